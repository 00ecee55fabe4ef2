//! Facts: what happened and changes the outcome. The journal keeps them; machines are rebuilt from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cache::{Missed, Print};
use crate::{
    AttemptId, Cause, Exit, GrantId, HookId, Millis, Moved, Need, Peak, Published, Resources, RunId, StageEnd, StageId,
    SubDagId, Usage,
};

/// One stage, as a reader of the journal needs it without the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutline {
    /// Its id in the plan.
    pub id: StageId,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What each task asks for.
    pub ask: Resources,
    /// Tasks, as planned.
    pub tasks: u32,
    /// What it needs.
    pub needs: Vec<(StageId, Need)>,
    /// Whether a hook runs as it (`hooks` with `image`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hook: bool,
}

/// A stage that a hook adds, as it was planned then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// What readers of the journal need of it.
    pub outline: StageOutline,
    /// All of it, as `plan.json` would have it, as JSON.
    pub stage: String,
}

/// What a hook decided. Every part is optional; all empty = go on as planned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Stages, by name, that are not to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// Tasks of stages that have not started, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parallelism: BTreeMap<String, u32>,
    /// Parameters, by name, that have these values in all stages that waited for the hook.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Ends the run, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// Stages that are new, planned and numbered: whoever reads this again comes to the same plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Added>,
}

/// A record of the journal. New variants and fields are only ever added; old ones keep their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The first record of every journal: what this sub-DAG is.
    Submitted {
        /// The run.
        run: RunId,
        /// The job's name.
        job: String,
        /// Which sub-DAG this journal is of.
        subdag: SubDagId,
        /// When the user submitted.
        at: Millis,
        /// The stages of this sub-DAG.
        stages: Vec<StageOutline>,
    },
    /// A master took control. Its epoch is one more than the last one's, from 1.
    Opened {
        /// The master's number.
        epoch: u32,
        /// When.
        at: Millis,
        /// Its process id.
        pid: u32,
    },
    /// `resume` of a run that had ended: what did not succeed may run again.
    Reopened {
        /// When.
        at: Millis,
    },
    /// The items of a stage are known: it has one task for each. Written before it starts, and once: the tasks of a
    /// stage stay what they are, also when its run is reopened.
    StageFanned {
        /// The stage.
        stage: StageId,
        /// Each as JSON, in the order of its tasks.
        items: Vec<String>,
    },
    /// What the tasks of a stage ask for is known, where that differs from task to task. Written before it starts, and once.
    StageSized {
        /// The stage.
        stage: StageId,
        /// How many tasks in a row, in their order, and what each of them asks for.
        sizes: Vec<(u32, Resources)>,
    },
    /// A stage's needs are met; its tasks may start.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// How many tasks it has (a hook may have changed the plan's number).
        tasks: u32,
        /// When.
        at: Millis,
    },
    /// The resource manager gave room.
    GrantGot {
        /// The grant.
        grant: GrantId,
        /// How much.
        size: Resources,
        /// When.
        at: Millis,
        /// On which machine, as the ResourceManager names it; empty on one machine.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        host: String,
        /// The YARN container; empty on one machine.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        container: String,
    },
    /// The resource manager made a grant larger or smaller.
    GrantResized {
        /// The grant.
        grant: GrantId,
        /// Its size from now on.
        size: Resources,
        /// When.
        at: Millis,
    },
    /// A grant is over: nothing of it runs any more.
    GrantEnded {
        /// The grant.
        grant: GrantId,
        /// When.
        at: Millis,
    },
    /// An attempt was given to a grant. Written before the proxy hears of it.
    AttemptStarted {
        /// The attempt.
        attempt: AttemptId,
        /// Where.
        grant: GrantId,
        /// When.
        at: Millis,
    },
    /// Its container runs.
    AttemptRuns {
        /// The attempt.
        attempt: AttemptId,
        /// The engine's id of the container.
        container: String,
        /// When.
        at: Millis,
        /// Where its ports are reached.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ports: Vec<Published>,
    },
    /// An attempt ended, well or not.
    AttemptEnded {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
        /// Whether the task is tried again.
        again: bool,
    },
    /// What an image name stands for in this run.
    ImagePinned {
        /// The image, as the job file names it.
        image: String,
        /// Its id (`sha256:...`).
        id: String,
    },
    /// An image came to a machine, or did not. What was there already is not written down.
    ImageBrought {
        /// The image, as the job file names it.
        image: String,
        /// On which machine, as the ResourceManager names it; empty on one machine.
        host: String,
        /// The stage of the task that waited for it; nothing = it was to come before any task needed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
        /// For how long it was brought, or waited for.
        took: Millis,
        /// When that was over.
        at: Millis,
        /// Why it did not come; empty where it did.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// A stage does not run: what it came to is taken from an earlier run, or it was left out of this one.
    StageTaken {
        /// The stage.
        stage: StageId,
        /// From where; nothing = it was left out.
        from: Option<RunId>,
        /// What each task wrote as its result, as JSON.
        results: Vec<Option<String>>,
        /// Whether the cache found it when the stage began, and no person named the run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cached: bool,
        /// What of it was brought into this run's own store.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<Moved>,
        /// When.
        at: Millis,
    },
    /// A stage was looked up and runs all the same. Written before it starts.
    CacheMissed {
        /// The stage.
        stage: StageId,
        /// Why.
        missed: Missed,
        /// What its inputs were before its first task began, where that is known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inputs: Vec<Print>,
        /// When.
        at: Millis,
    },
    /// Somebody looked into a running task. Written before they get to see anything.
    Visited {
        /// The attempt.
        attempt: AttemptId,
        /// Who ("ann, uid 1000").
        by: String,
        /// What they wanted, in short ("exec sh").
        want: String,
        /// When.
        at: Millis,
    },
    /// A stage ended.
    StageEnded {
        /// The stage.
        stage: StageId,
        /// How.
        end: StageEnd,
        /// Why, in a sentence; empty for a success.
        why: String,
        /// What it failed of, where no attempt of it tells that: it waited too long for room, or may not run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// When.
        at: Millis,
    },
    /// A hook's decision. Written before it takes effect, so that no hook runs twice.
    HookDecided {
        /// The hook.
        hook: HookId,
        /// What it said.
        decision: Decision,
        /// When.
        at: Millis,
    },
    /// A hook failed, and the run with it.
    HookFailed {
        /// The hook.
        hook: HookId,
        /// Its stderr or what was wrong with its answer.
        why: String,
        /// When.
        at: Millis,
    },
    /// Somebody wants the run to end.
    StopAsked {
        /// Why, in a phrase ("asked by uid 1000", "fail_fast: stage a failed").
        why: String,
        /// When.
        at: Millis,
    },
    /// Nothing more happens in this sub-DAG.
    Ended {
        /// How.
        end: StageEnd,
        /// Why; empty for a success.
        why: String,
        /// When.
        at: Millis,
    },
}

/// News for whoever watches: not written down, and no outcome depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// An image is on its way.
    Pulling {
        /// Which.
        image: String,
        /// Bytes that are here.
        have: u64,
        /// Bytes in all, as far as known.
        total: u64,
    },
    /// An image has arrived.
    Pulled {
        /// Which.
        image: String,
    },
    /// An image did not come; the attempt's end says why.
    NotPulled {
        /// Which.
        image: String,
    },
    /// An image that was not there has come, or was to come before any task needed it and has not. Its master writes
    /// that down; nobody else hears of it.
    Brought {
        /// Which.
        image: String,
        /// The stage of the task that waited for it; nothing = no task needed it yet.
        stage: Option<StageId>,
        /// For how long it was brought, or waited for.
        took: Millis,
        /// Why it did not come; empty where it did.
        why: String,
    },
    /// An input is brought, or an output put.
    Moves {
        /// For which attempt.
        attempt: AttemptId,
        /// Whether it is an output.
        out: bool,
        /// From where, or to where.
        place: String,
        /// Bytes that have come, or gone.
        have: u64,
        /// Bytes in all, as far as known.
        total: u64,
        /// Whether that is over, well or not: the attempt's end says which.
        over: bool,
    },
    /// What a running attempt uses.
    Uses {
        /// The attempt.
        attempt: AttemptId,
        /// Cpu time and highest memory so far.
        used: Peak,
        /// Memory now.
        memory: u64,
        /// All that was read now.
        #[serde(default)]
        now: Box<Usage>,
    },
    /// Why something waits (no room, a pause before the next try, a pull).
    Waits {
        /// The stage.
        stage: StageId,
        /// Why, in a sentence; empty when it no longer waits.
        why: String,
    },
    /// Something that a person should know; the run goes on.
    Warns {
        /// What, in a sentence.
        text: String,
        /// What kind, where it is one of the causes.
        cause: Option<Cause>,
    },
}
