//! The plan: the immutable result of planning a job. Printable, linted, and it leaves no choices to execution.

use std::collections::BTreeMap;

use dybox_model::{
    Attach, Declared, HookId, Millis, Mount, Need, Network, Placement, Port, PullPolicy, RegistryAuth, Resources,
    RunId, SecretRef, SecretUse, StageId, StageOutline, SubDagId, Timeouts, Tmpfs, Transfer,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::late::Late;
use crate::param::ParamRule;
use crate::profiled::Profiled;

/// Version of the plan's encoding.
pub const PLAN_VERSION: u32 = 1;

/// Everything that a run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of who made it.
    pub version: u32,
    /// The job's name.
    pub name: String,
    /// Free words to find the run by.
    pub tags: Vec<String>,
    /// Parameters with their final values.
    pub params: BTreeMap<String, String>,
    /// What those of them that are not plain text may be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, ParamRule>,
    /// YARN queue; one machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// YARN priority; one machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// YARN node label; one machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_label: Option<String>,
    /// From its submission to the end of all stages but those that run after everything; nothing = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// Whether the first failed stage stops the whole run.
    pub fail_fast: bool,
    /// Stages in the order of the file; a [`StageId`] is a place in this list.
    pub stages: Vec<Stage>,
    /// Hooks in the order of the file; a [`HookId`] is a place in this list.
    pub hooks: Vec<Hook>,
    /// Sub-DAGs; a [`SubDagId`] is a place in this list.
    pub subdags: Vec<SubDag>,
    /// What stages that hooks add start from: the file's defaults, templates and named volumes, as text. Nothing where
    /// there is no hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<String>,
}

/// A node of the DAG, with all defaults filled in and all templates resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its sub-DAG.
    pub subdag: SubDagId,
    /// What it needs, each with the end that it asks for. All must be met.
    pub needs: Vec<(StageId, Need)>,
    /// Number of tasks (a hook may change it before the stage starts).
    pub tasks: u32,
    /// The image, as written.
    pub image: String,
    /// When to ask the registry.
    pub pull: PullPolicy,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// A script instead of a command.
    pub script: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// The user's variables (`env_file` first, `env` over it).
    pub env: BTreeMap<String, String>,
    /// `user:`, nothing = the submitter.
    pub user: Option<String>,
    /// What each task asks for and is limited to.
    pub ask: Resources,
    /// How far their memory may move; nothing = it stays what `ask` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
    /// Bytes of /dev/shm.
    pub shm: Option<u64>,
    /// Most processes and threads of a task.
    pub pids: u32,
    /// Host paths.
    pub volumes: Vec<Mount>,
    /// Temporary file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Files that are brought in before each task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Transfer>,
    /// Files that are brought out after the success of each task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Transfer>,
    /// Secrets that its tasks find as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    /// How its image is asked for; nothing = with the submitter's logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<RegistryAuth>,
    /// The network.
    pub network: Network,
    /// Ports of its tasks that others can reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Limits in time.
    pub timeout: Timeouts,
    /// Between TERM and KILL.
    pub stop_grace: Millis,
    /// What its tasks get instead of TERM; nothing = what the image says, else TERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Where its tasks may run; one machine has no choice.
    #[serde(default, skip_serializing_if = "Placement::is_anywhere")]
    pub placement: Placement,
    /// The profile that it takes, and what of it; all of it is resolved here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profiled>,
    /// When a failed task is tried again.
    pub retry: Retry,
    /// Tasks of stages with more of it come first where room is short.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Keep containers of failed attempts.
    pub keep_failed: bool,
    /// Tasks follow each other in one container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// What each of its tasks has to write to `$DYBOX_RESULT`; nothing = anything, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Declared>,
    /// What of it is decided when it begins, or when its tasks do.
    #[serde(default, skip_serializing_if = "Late::is_empty")]
    pub late: Late,
    /// It does not run: what it came to is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
    /// It may be taken from an earlier success of the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cache: bool,
    /// A person at the other end (`dybox shell` only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<Attach>,
    /// The hook that added it while the run was under way; nothing = it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<HookId>,
    /// The hook that runs as the one task of this stage; nothing = it is a stage of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// What a stage came to that does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The run that it is taken from; nothing = it is left out, and counts as done without a result.
    pub from: Option<RunId>,
    /// What each task wrote as its result, as JSON.
    pub results: Vec<Option<String>>,
}

/// How far the memory of a stage's tasks may move, in bytes. Its tasks begin with what [`Stage::ask`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elastic {
    /// What the job file asks for.
    pub requested: u64,
    /// No less than this.
    pub least: u64,
    /// No more than this.
    pub most: u64,
    /// Whether what was measured decides where later tasks begin.
    pub learns: bool,
}

/// No task is made smaller than this by what was measured.
pub const LEAST_LEARNED: u64 = 64 << 20;

impl Stage {
    /// The most memory that a task of it may ever have, in bytes.
    #[must_use]
    pub fn most_memory(&self) -> u64 {
        self.memory_steps()
            .last()
            .copied()
            .unwrap_or_else(|| self.elastic.map_or(self.ask.memory, |elastic| elastic.most))
    }

    /// The memory of its tasks, in bytes: as it begins, and after each want of it; none where it stays what it is.
    #[must_use]
    pub fn memory_steps(&self) -> Vec<u64> {
        const MIB: u64 = 1 << 20;
        let Some(Grow { percent, cap }) = self.retry.grow.filter(|_| self.elastic.is_none()) else { return Vec::new() };
        let more = |memory: &u64| {
            let next = (memory.saturating_mul(u64::from(percent)) / 100).div_ceil(MIB).saturating_mul(MIB).min(cap);
            (next > *memory).then_some(next)
        };
        std::iter::successors(Some(self.ask.memory), more).take(self.retry.max as usize + 1).collect()
    }

    fn may_learn(&self) -> bool {
        self.attach.is_none() && !self.reuse && self.retry.grow.is_none() && self.late.sizes.is_none()
    }

    /// Lets its memory follow what is measured; `learned`: what its tasks should begin with.
    pub(crate) fn right_size(&mut self, learned: Option<u64>) {
        if !self.may_learn() {
            return;
        }
        let requested = self.elastic.map_or(self.ask.memory, |elastic| elastic.requested);
        let (least, most) = (LEAST_LEARNED.min(requested), self.most_memory());
        self.elastic = Some(Elastic { requested, least, most, learns: true });
        if let Some(memory) = learned {
            self.ask.memory = memory.clamp(least, most);
        }
    }

    /// What readers of the journal need of it.
    #[must_use]
    pub fn outline(&self, id: StageId) -> StageOutline {
        let (name, image, needs) = (self.name.clone(), self.image.clone(), self.needs.clone());
        StageOutline { id, name, image, ask: self.ask, tasks: self.tasks, needs, hook: self.hook.is_some() }
    }

    /// The same stage, its tasks beginning with so much memory.
    #[must_use]
    pub fn with_memory(&self, memory: u64) -> Self {
        Self { ask: Resources { memory, ..self.ask }, ..self.clone() }
    }

    /// The memory limit of a task of it in a grant that has so much.
    #[must_use]
    pub fn limit_in(&self, grant: u64) -> u64 {
        let extra = crate::room_for(Resources::default(), &self.network).memory;
        match self.elastic {
            Some(elastic) => grant.saturating_sub(extra).min(elastic.most),
            None => self.ask.memory,
        }
    }
}

impl Plan {
    /// Whether a sub-DAG runs when everything else of the run has ended, whatever became of it.
    #[must_use]
    pub fn is_last(&self, subdag: SubDagId) -> bool {
        let first = self.subdags.get(subdag.0 as usize).and_then(|subdag| subdag.stages.first());
        first.and_then(|stage| self.stages.get(stage.0 as usize)).is_some_and(|stage| stage.late.last)
    }

    /// The secrets that its stages take, or those of one sub-DAG alone, each once.
    #[must_use]
    pub fn secrets(&self, of: Option<SubDagId>) -> BTreeMap<&str, &SecretRef> {
        let own = move |stage: &&Stage| stage.taken.is_none() && of.is_none_or(|subdag| stage.subdag == subdag);
        let run = || self.stages.iter().filter(own);
        let files = run().flat_map(|stage| &stage.secrets).map(|one| &one.secret);
        let logins = run().filter_map(|stage| stage.registry_auth.as_ref()).map(|auth| &auth.secret);
        files.chain(logins).map(|one| (one.name.as_str(), one)).collect()
    }

    /// The value of a parameter whose text this is, of its type.
    #[must_use]
    pub fn param(&self, name: &str, text: &str) -> Json {
        let value = self.rules.get(name).map_or_else(|| ParamRule::default().parse(text), |rule| rule.parse(text));
        value.unwrap_or_else(|| Json::String(text.to_owned()))
    }

    /// Lets the memory of all stages follow what is measured, down to [`LEAST_LEARNED`] and up to what the file asks for
    /// (or names as the limit); where containers are used again all are of one size. `learned`: what tasks of a stage with this image should begin with.
    pub fn right_size(&mut self, learned: impl Fn(&Stage) -> Option<u64>) {
        for stage in &mut self.stages {
            let learned = learned(stage);
            stage.right_size(learned);
        }
    }
}

/// When a failed task is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retry {
    /// Most further tries after the first, for the user's own failures.
    pub max: u32,
    /// Pause before the first further try; doubled each time, at most 5 minutes.
    pub backoff: Millis,
    /// Which failures are tried again. Empty = any (but idleness).
    pub on: Vec<RetryOn>,
    /// How much more memory tasks get after one did not find enough; nothing = the same again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grow: Option<Grow>,
}

/// How memory grows after a want of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grow {
    /// Each time so many hundredths of what it was: 150 for `x1.5`.
    pub percent: u32,
    /// In bytes, no more than this.
    pub cap: u64,
}

/// A kind of failure in `retry.on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// Any failure of the user's work but idleness.
    Any,
    /// Out of memory.
    Oom,
    /// Failures of the platform; they are tried again anyway, without using `max`.
    Infra,
    /// Failures of bringing the image.
    Image,
    /// `timeout.run`, `timeout.silence`, `timeout.pull`.
    Timeout,
    /// `idle`: named by this word alone, not by `Any`.
    Idle,
    /// An exit code in this range, both ends included.
    Exit(i32, i32),
    /// This signal number.
    Signal(i32),
}

/// User code that the driver runs between stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// It runs when all of these have succeeded.
    pub after: Vec<StageId>,
    /// These wait for it: every stage downstream of one in `after`, but those that `after` itself depends on.
    pub holds: Vec<StageId>,
    /// Program and arguments; run in the job file's directory, or in the container of a stage of its own
    /// ([`Plan::stage_of_hook`]).
    pub run: Vec<String>,
    /// Most time.
    pub timeout: Millis,
    /// Most address space, in bytes; of a container, most memory.
    pub memory: u64,
    /// The sub-DAG whose driver runs it.
    pub subdag: SubDagId,
}

impl Hook {
    /// A hook has no name: people know it by its command.
    #[must_use]
    pub fn label(&self) -> String {
        let mut text = self.run.join(" ");
        if let Some((cut, _)) = text.char_indices().nth(60) {
            text.truncate(cut);
            text.push_str("...");
        }
        text
    }
}

/// A slice of the plan with a master of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubDag {
    /// Its stages, in the order of the file.
    pub stages: Vec<StageId>,
    /// Its hooks.
    pub hooks: Vec<HookId>,
    /// Sub-DAGs that must have ended before it is submitted.
    pub needs: Vec<SubDagId>,
    /// The name that `subdag:` gave it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The YARN queue that it goes to; nothing = the user's default, or one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The YARN node label that it asks for; nothing = machines without one, or one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_label: Option<String>,
}
