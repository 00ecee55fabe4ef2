//! What a proxy needs to know to run one attempt: nothing in it is left to choose.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{AttemptId, Declared, Millis, Port, RegistryAuth, Resources, RunId, SecretUse};

/// When the engine asks a registry for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// When the engine does not have it.
    #[default]
    Missing,
    /// Before every first use in a run.
    Always,
    /// Never: it must be there.
    Never,
}

/// The network that a task sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// None at all, not even a shared loopback.
    #[default]
    None,
    /// The way out, shared by the tasks of one slot; nobody can reach the task, but at the ports that it publishes.
    Bridge,
    /// A network of the run by this name, in which tasks find each other as `stage` and `stage-N`.
    Named(String),
}

/// How long a named volume is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Until somebody removes it: later runs of the user on the same machine find what is in it.
    Always,
    /// Until the run has succeeded.
    Run,
}

/// A bind mount of a host path, or a named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path on the host; exists when the plan is made. Of a named volume: its name.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the task may only read it.
    pub read_only: bool,
    /// It is a named volume, and how long it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Keep>,
}

/// A file or directory that is brought into a container, or out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Absolute path in the container.
    pub path: String,
    /// `hdfs://...`, `file:///...`, or `run:NAME` for the run's own store.
    pub place: String,
}

/// A tmpfs in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Absolute path in the container.
    pub target: String,
    /// Its size in bytes; nothing = half of the task's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// How little a payload may do, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// After so long of it the payload is ended.
    pub after: Millis,
    /// Less than so many thousandths of a cpu is no use of it.
    pub cpu_milli: u32,
}

/// Limits in time; nothing = no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the payload's start to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Millis>,
    /// For bringing the image to the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Millis>,
    /// Without a byte on stdout or stderr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Millis>,
    /// While tasks of the stage wait for room and none of them gets any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Millis>,
    /// With next to no use of cpus and disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
}

/// A person at the other end of the container (`dybox shell`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Keep stdin open and feed it from the client.
    pub stdin: bool,
    /// Give the payload a terminal.
    pub tty: bool,
}

/// One attempt, ready to be started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The run that it belongs to.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// The stage's name.
    pub stage: String,
    /// Which attempt of which task.
    pub attempt: AttemptId,
    /// How many tasks the stage has.
    pub tasks: u32,
    /// The image as the job file names it.
    pub image: String,
    /// The image id (`sha256:...`) that this run has pinned for `image`, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// When to ask the registry.
    pub pull: PullPolicy,
    /// Replaces the image's entrypoint when given (an empty list clears it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Text of a script that is run instead of a command: by its `#!` line, else by `/bin/sh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Working directory; nothing = the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The whole environment beside the image's own: user's variables and DYbox's.
    pub env: Vec<(String, String)>,
    /// `uid`, `uid:gid`, a name of the image; nothing = the submitter's uid:gid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its limits; never above the grant.
    pub limits: Resources,
    /// Bytes of /dev/shm; nothing = the engine's default (64 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm: Option<u64>,
    /// Most processes and threads.
    pub pids: u32,
    /// Host paths.
    pub volumes: Vec<Mount>,
    /// Temporary file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Files that are brought in before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Transfer>,
    /// Files that are brought out after a success; each place is this task's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Transfer>,
    /// Secrets, as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    /// How its image is asked for; nothing = with the submitter's logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<RegistryAuth>,
    /// The network.
    pub network: Network,
    /// Ports that others can reach; a task that has some has a network of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Limits in time.
    pub timeout: Timeouts,
    /// Between TERM and KILL.
    pub stop_grace: Millis,
    /// What it gets instead of TERM, as `INT`; nothing = what the image says, else TERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Keep the container when the attempt fails, for a look (`keep_failed`).
    pub keep_failed: bool,
    /// A person at the other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
    /// Tasks of this stage follow each other in one container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// What its result has to be; nothing = anything, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Declared>,
    /// Text of the file that `$DYBOX_NEEDS` names: states, exit codes and results of the needed stages, as JSON.
    pub needs: String,
    /// It is a hook: it reads `needs`, the run so far, on its standard input, and what it writes to its standard output is
    /// its result, as the JSON text of a string.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hook: bool,
}

/// Most bytes of a hook's answer; a decision is a few hundred.
pub const LONGEST_ANSWER: usize = 1 << 20;

impl TaskSpec {
    /// Whether `next` can follow in this one's container: a further attempt of the same stage whose container would be
    /// made in the same way. Values of variables may differ.
    #[must_use]
    pub fn leads_to(&self, next: &Self) -> bool {
        let of = |spec: &Self| (spec.run.clone(), spec.attempt.task.stage, spec.tasks);
        of(self) == of(next)
            && self.attempt != next.attempt
            && self.needs == next.needs
            && next.pinned.as_ref().is_none_or(|id| self.pinned.as_ref().is_none_or(|own| own == id))
            && self.is_made_like(next)
    }

    /// Whether the containers of the two, which may be used again, would be made in the same way and run the same
    /// command: in two runs of one job, say. Their images may still be two of one name.
    #[must_use]
    pub fn is_made_like(&self, next: &Self) -> bool {
        let made = |spec: &Self| (spec.reuse, spec.limits, spec.shm, spec.pids, spec.stop_grace, spec.keep_failed);
        let names = |spec: &Self| spec.env.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        self.reuse
            && made(self) == made(next)
            && (&self.stage, &self.image, &self.attach) == (&next.stage, &next.image, &None)
            && self.stop_signal == next.stop_signal
            && (&self.entrypoint, &self.command, &self.script) == (&next.entrypoint, &next.command, &next.script)
            && (&self.workdir, &self.user, &self.network) == (&next.workdir, &next.user, &next.network)
            && (&self.volumes, &self.tmpfs, &self.secrets) == (&next.volumes, &next.tmpfs, &next.secrets)
            && self.ports == next.ports
            && names(self) == names(next)
    }

    /// The variables that are others for `next`, which this one leads to.
    pub fn changes<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = &'a (String, String)> {
        next.env.iter().zip(&self.env).filter(|(theirs, ours)| theirs != ours).map(|(theirs, _)| theirs)
    }
}
