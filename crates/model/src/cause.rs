//! The registry of causes: one row makes the enum, the docs page and `dybox explain`.

use serde::{Deserialize, Serialize};

/// Whose problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Whoever wrote the job or the image.
    User,
    /// Whoever runs the machines, the engine, the registry.
    Cluster,
    /// DYbox itself.
    Dybox,
}

/// The stage of an attempt's life in which it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before anything was asked for.
    Submit,
    /// Waiting for room.
    Allocate,
    /// Bringing the image.
    Pull,
    /// Making and starting the container.
    Create,
    /// The payload runs.
    Run,
    /// Bringing its output into the store.
    Ship,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Another try would fail the same way.
    Never,
    /// Tried again up to the stage's `retry.max`, where `retry.on` names it.
    UpToMax,
    /// Tried again without using the user's retries, with a bound of its own.
    Always,
    /// Like `Always`, after a growing pause.
    BackOff,
}

/// One row of the registry.
#[derive(Debug, Clone, Copy)]
pub struct CauseInfo {
    /// The cause.
    pub cause: Cause,
    /// Its code, as in `dybox explain C1001`.
    pub code: &'static str,
    /// Its name in JSON and in logs, kebab-case.
    pub name: &'static str,
    /// A phrase that completes "it failed: ...".
    pub phrase: &'static str,
    /// Whose problem it is.
    pub owner: Owner,
    /// When in the life of an attempt.
    pub phase: Phase,
    /// What DYbox does.
    pub reaction: Reaction,
    /// Why it happens.
    pub reason: &'static str,
    /// What to do next, as an imperative sentence.
    pub next: &'static str,
}

macro_rules! causes {
    ($($variant:ident $code:literal $name:literal $phrase:literal $owner:ident $phase:ident $reaction:ident $reason:literal $next:literal;)+) => {
        /// Why an attempt failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Cause {
            $(#[doc = $phrase] #[serde(rename = $name)] $variant,)+
        }

        /// Every cause, in the order of the codes.
        pub const CAUSES: &[CauseInfo] = &[$(CauseInfo {
            cause: Cause::$variant, code: $code, name: $name, phrase: $phrase,
            owner: Owner::$owner, phase: Phase::$phase, reaction: Reaction::$reaction, reason: $reason, next: $next,
        },)+];
    };
}

causes! {
    ExitCode "C1001" "exit-code" "the command ended with a non-zero exit code" User Run UpToMax
        "The program reported a failure of its own."
        "Read its last lines with `dybox logs`; add the code to `retry.on` if another try can help.";
    Signal "C1002" "signal" "a signal ended the command" User Run UpToMax
        "The program crashed or sent itself a signal (134 abort, 139 segmentation fault)."
        "Read its last lines with `dybox logs`; run the image with `dybox shell` to see it happen.";
    Oom "C1003" "oom" "it used more memory than it asked for" User Run UpToMax
        "The kernel killed a process of the container at its memory limit; the cgroup's own counter says so."
        "Raise `memory`, or let further tries have more: `retry: { max: 2, memory: x1.5 }`.";
    CommandNotFound "C1004" "command-not-found" "the command does not exist in the image" User Create Never
        "The file is not in the image, or not on its PATH."
        "Check the command's spelling; look into the image with `dybox shell --image IMAGE -- ls`.";
    NotExecutable "C1005" "not-executable" "the command is not executable" User Create Never
        "The file has no execute permission for the task's user, or is made for another machine."
        "Make it executable in the image, or run it by its interpreter.";
    NoCommand "C1006" "no-command" "neither the stage nor the image names a command" User Create Never
        "The image has no entrypoint and no command."
        "Add `command:` to the stage.";
    BadInterpreter "C1007" "bad-interpreter" "the script's interpreter does not exist in the image" User Create Never
        "The `#!` line names a program that the image lacks, or ends with a carriage return (CRLF line ends)."
        "Save the script with LF line ends; check the first line.";
    BadWorkdir "C1008" "bad-workdir" "the working directory can't be entered" User Create Never
        "The directory does not exist in the image, is a file, or is closed to the task's user."
        "Check `workdir` and `user`.";
    BadUser "C1009" "bad-user" "the user does not exist in the image" User Create Never
        "The image's /etc/passwd or /etc/group has no such name."
        "Write a uid:gid, or add the user to the image.";
    ImageNotFound "C1010" "image-not-found" "the image does not exist" User Pull Never
        "The engine does not have it and the registry does not know it."
        "Check the spelling of image and tag; `docker pull IMAGE` should give the same answer.";
    ImageDenied "C1011" "image-denied" "the registry refused access to the image" User Pull Never
        "The registry wants a login, or the login lacks the right."
        "Log in with `docker login`, or ask for access.";
    MountMissing "C1012" "mount-missing" "a path to mount does not exist on the machine" User Create Never
        "The host path of a volume is gone."
        "Create it, or correct `volumes`.";
    BadOptions "C1013" "bad-options" "the engine refused the container's settings" User Create Never
        "The engine found a setting invalid; its words are in the message."
        "Correct the setting that the message names.";
    RunTimeout "C1014" "run-timeout" "it ran longer than `timeout.run`" User Run UpToMax
        "The limit on its running time has passed."
        "Raise `timeout.run`, or find out what it waits for with `dybox logs`.";
    SilenceTimeout "C1015" "silence-timeout" "it wrote nothing for longer than `timeout.silence`" User Run UpToMax
        "Nothing came on stdout or stderr for that long: it hangs, or works silently."
        "Raise `timeout.silence`, or make the program say that it lives.";
    BadResult "C1016" "bad-result" "its result is not what it has to be" User Run Never
        "`$DYBOX_RESULT` is a file of UTF-8 text, holds at most 64 KiB, and has what `results` of the stage declares; the message says what was found instead."
        "Correct what the program writes, or `results`; large data goes to a volume or `outputs`, and its path to the result.";
    ImageMissing "C1017" "image-missing" "the image is not on the machine and `pull: never` is set" User Pull Never
        "`pull: never` forbids asking the registry."
        "Load the image into the engine, or use `pull: missing`.";
    Idle "C1018" "idle" "it did next to nothing for as long as `idle` allows" User Run UpToMax
        "Its container took less of a cpu than `idle` asks for, and hardly touched a disk, for that long; its grant went back."
        "Nothing, if it was not needed any more; else raise `idle`, or add `idle` to `retry.on`.";
    Policy "C1019" "policy" "the administrator's policy does not allow it" User Create Never
        "A rule of the policy on the machine, or in the store, refuses what the stage asks for; the message names rule, file and machine."
        "Ask the administrator, or change what the stage asks for. Another machine is not tried: that would be a way around the rule.";
    InputMissing "C1020" "input-missing" "an input or a secret does not exist" User Create Never
        "Nothing is at the place that `inputs` or `secrets` names, or it may not be read."
        "Check the place; the stage that writes it must be among the `needs`.";
    OutputMissing "C1021" "output-missing" "it succeeded without writing an output" User Ship Never
        "The program ended with 0, and nothing is at a path that `outputs` names, or something that is no file or directory."
        "Correct the path, or let the program fail where it has nothing to show.";
    BadTemplate "C1022" "bad-template" "an expression in its command, script or env has no value" User Run Never
        "What `${...}` reads is not what it takes: a result that was not written, or of another type."
        "Correct the expression, or what the stage before it writes to `$DYBOX_RESULT`.";
    PortTaken "C1023" "port-taken" "a port of the machine that it asks for is taken" User Create UpToMax
        "Another container or program listens on the host port that `ports` names."
        "Leave out the host port, so that the engine picks a free one, or end what listens there (`ss -lntup` shows it).";
    TooLarge "C1024" "too-large" "it asks for more than any machine has" User Allocate Never
        "A size that is known when the stage begins is larger than the machine gives in all, or than the largest container of the cluster."
        "Ask for less, or let the stage that computes the size keep it below that.";
    PullTimeout "C2001" "pull-timeout" "the image took longer than `timeout.pull`" Cluster Pull UpToMax
        "The registry or the network is slow, or the image is large."
        "Raise `timeout.pull`, or pull the image once by hand.";
    RegistryDown "C2002" "registry-down" "the registry can't be reached" Cluster Pull BackOff
        "No connection, a name that does not resolve, a certificate that the engine does not trust, an error of the registry (5xx), or too many requests (429)."
        "Check the registry and its name, for one without a trusted certificate the engine's `insecure-registries`; DYbox tries again with growing pauses.";
    EngineDown "C2003" "engine-down" "the Docker engine does not answer" Cluster Create BackOff
        "The engine is stopped, hangs, or its socket is closed to this user."
        "Run `dybox doctor` on the machine.";
    EngineFailed "C2004" "engine-failed" "the Docker engine failed to do what it should" Cluster Create BackOff
        "The engine answered with an error of its own; its words are in the message."
        "Read the engine's log; run `dybox doctor`.";
    EngineRestarted "C2005" "engine-restarted" "the Docker engine restarted and took the container with it" Cluster Run Always
        "Without live-restore a restart of the engine kills its containers."
        "Set `live-restore: true` in the engine's configuration.";
    KilledOutside "C2006" "killed-outside" "somebody outside DYbox killed the container" Cluster Run Always
        "`docker kill`, `docker rm -f`, or a fault of the engine's own parts."
        "Find out who; DYbox tries again.";
    DiskFull "C2007" "disk-full" "a disk is full" Cluster Create BackOff
        "The engine's or the store's file system has no room."
        "Free some room: `dybox gc`, `docker system df`.";
    ProxyLost "C2008" "proxy-lost" "the proxy of the container died" Cluster Run Always
        "The process that looks after the container was killed; the container was ended with it."
        "Nothing: DYbox tries again.";
    LeaseExpired "C2009" "lease-expired" "nobody renewed the container's lease" Cluster Run Always
        "Its proxy died or stood still for longer than the lease lasts, so the container ended itself."
        "Nothing: DYbox tries again. Check whether the machine is overloaded.";
    MasterLost "C2010" "master-lost" "the run's master was gone for too long" Cluster Run Always
        "The proxy lost its master and ended the container."
        "Go on with `dybox resume RUN`.";
    GrantLost "C2011" "grant-lost" "the resource manager took the grant back" Cluster Run Always
        "The grant ended before the task did."
        "Nothing: DYbox asks for another.";
    StoreFailed "C2012" "store-failed" "the store could not be written" Cluster Ship Never
        "The directory of runs is full or not writable."
        "Free some room or correct the permissions, then `dybox resume RUN`.";
    Preempted "C2013" "preempted" "YARN took its grant for another queue" Cluster Run Always
        "A queue claimed its guaranteed share, and the scheduler ended containers of this one."
        "Nothing: DYbox tries again. A queue with a larger guarantee is preempted less.";
    NodeLost "C2014" "node-lost" "its machine was lost" Cluster Run Always
        "YARN hears nothing of the machine, or took it out of service; what ran there ends by its lease."
        "Nothing: DYbox tries again elsewhere. Ask the administrator what happened to the machine.";
    GivenBack "C2015" "given-back" "it was given back before it began" Cluster Allocate Always
        "With `reuse: true` tasks are handed out in advance; this one would have waited behind one that takes longer."
        "Nothing: it starts elsewhere, or later. No try is used up.";
    DataFailed "C2016" "data-failed" "an input or output could not be copied" Cluster Ship BackOff
        "The store, HDFS or a disk did not do what it should while files were brought in or out; its words are in the message."
        "Nothing: DYbox tries again. Check HDFS and the disks of the machine.";
    PortTakenThere "C2017" "port-taken-there" "a port of its machine that it asks for is taken" Cluster Create BackOff
        "On the machine that YARN chose, another container or program listens on the host port that `ports` names."
        "Nothing: DYbox tries again, elsewhere where there is room. Without the host port in `ports` any machine will do.";
    QueueTimeout "C2018" "queue-timeout" "nothing of it got room for as long as `timeout.queue` allows" Cluster Allocate Never
        "Tasks of the stage waited for room, and none of them got any for that long; the message says what they wanted."
        "When there is room (`dybox plan` shows it): `dybox resume RUN`. Else run it with a longer `timeout.queue`, with less to ask for, or in another queue.";
    Internal "C9001" "internal" "DYbox itself failed" Dybox Run BackOff
        "A bug, or something that DYbox does not understand."
        "Report it with `dybox logs --system RUN`.";
    Stopped "C0001" "stopped" "it was stopped" User Run Never
        "Somebody stopped the run, a hook did, or `fail_fast` did."
        "Go on with `dybox resume RUN`.";
}

impl Cause {
    /// The row of the registry.
    #[must_use]
    pub fn info(self) -> &'static CauseInfo {
        // The macro lists rows in the order of the variants.
        &CAUSES[self as usize]
    }

    /// What to do about it. A hook in a container has other keys than a stage: its limit in time is `timeout`, and it
    /// has no `retry`.
    #[must_use]
    pub fn next(self, hook: bool) -> &'static str {
        match self {
            Self::RunTimeout if hook => "Raise the hook's `timeout`, or find out what it waits for with `dybox logs`.",
            Self::Oom if hook => "Raise the hook's `memory`.",
            Self::ExitCode if hook => "Read its last lines with `dybox logs`.",
            _ => self.info().next,
        }
    }

    /// Finds a cause by code (`C1003`) or name (`oom`).
    #[must_use]
    pub fn find(text: &str) -> Option<Cause> {
        CAUSES.iter().find(|row| row.code.eq_ignore_ascii_case(text) || row.name == text).map(|row| row.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_its_own_row() {
        for (i, row) in CAUSES.iter().enumerate() {
            assert_eq!(row.cause as usize, i);
            assert_eq!(Cause::find(row.code), Some(row.cause));
            assert_eq!(Cause::find(row.name), Some(row.cause));
            assert_eq!(row.cause.next(false), row.next);
        }
    }

    #[test]
    fn a_hook_is_told_of_keys_that_hooks_have() {
        for row in CAUSES {
            let next = row.cause.next(true);
            for key in ["timeout.run", "timeout.silence", "retry"] {
                // Nothing ends a hook for its silence, or because it is idle.
                let never = matches!(row.cause, Cause::SilenceTimeout | Cause::Idle);
                assert!(never || !next.contains(key), "{}: {next}", row.code);
            }
        }
        assert!(Cause::RunTimeout.next(true).contains("the hook's `timeout`"));
    }
}
