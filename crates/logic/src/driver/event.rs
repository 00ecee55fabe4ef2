//! What comes in and what goes out.

use dybox_model::cache::{Found, Missed, Print};
use dybox_model::{Cause, Decision, Fact, HookId, Resources, StageEnd, StageId};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Everything that the journal holds has been applied: begin, or go on.
    /// Ends of needed stages of other sub-DAGs may be told before or after it.
    Opened,
    /// The master machine saw a stage of ours end.
    StageEnded {
        /// The stage.
        stage: StageId,
        /// How.
        end: StageEnd,
        /// Why, in a sentence; empty for a success.
        why: String,
        /// What it failed of, where no attempt of it tells that.
        cause: Option<Cause>,
    },
    /// A stage of another sub-DAG, that one of ours needs, has ended. That is written in the other's journal, so it is
    /// told anew after each recovery. Telling it twice does no harm.
    UpstreamEnded {
        /// The stage.
        stage: StageId,
        /// How.
        end: StageEnd,
    },
    /// For a sub-DAG that runs after everything: how the rest of the run ended. Told before [`Event::Opened`].
    RunEnded {
        /// `succeeded`, `failed`, `stopped` or `lost`.
        state: String,
    },
    /// The time that `wake` named has come.
    Tick,
    /// The answer to [`Effect::LookUp`]. One that comes too late is passed over.
    LookedUp {
        /// The stage.
        stage: StageId,
        /// What may be taken, or why nothing.
        answer: Result<Found, Missed>,
        /// What its inputs are now, where that is known.
        inputs: Vec<Print>,
    },
    /// The results of a stage of another sub-DAG, where a condition or a list of ours reads them. Told before its end,
    /// and anew after each recovery.
    UpstreamResult {
        /// The stage.
        stage: StageId,
        /// As JSON: the value for a stage of one task, else the list in task order.
        result: String,
    },
    /// A hook's process ended, with what it decided or with its stderr; or what the task of one said was read.
    HookEnded {
        /// The hook.
        hook: HookId,
        /// What it said, or why it has nothing to say.
        answer: Result<Decision, String>,
    },
    /// Somebody wants the run to end. A second one with `now` cuts the stages' grace short.
    StopAsked {
        /// Why, in a phrase ("asked by uid 1000").
        why: String,
        /// Without the stages' grace.
        now: bool,
    },
}

/// What is to be done about it, in order. Everything that follows a `Record` waits until that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write it down. The machine has applied it to itself already.
    Record(Fact),
    /// Tell the master machine what the tasks of a stage ask for (`master::Event::StageSized`). It comes before
    /// [`Effect::StartStage`], where they differ.
    SizeStage {
        /// The stage.
        stage: StageId,
        /// How many tasks in a row, and what each of them asks for.
        sizes: Vec<(u32, Resources)>,
    },
    /// Tell the master machine to run the tasks of a stage (`master::Event::StageStarted`).
    StartStage {
        /// The stage.
        stage: StageId,
        /// How many tasks.
        tasks: u32,
    },
    /// Look whether an earlier success of a stage can be taken, which is about to start with so many tasks; answered by
    /// [`Event::LookedUp`].
    LookUp {
        /// The stage.
        stage: StageId,
        /// How many tasks.
        tasks: u32,
    },
    /// Nobody waits for that answer any more.
    EndLook {
        /// The stage.
        stage: StageId,
    },
    /// Tell the master machine what a stage came to that begins and need not run (`master::Event::StageFound`).
    TakeStage {
        /// The stage.
        stage: StageId,
        /// How many tasks.
        tasks: u32,
        /// What it came to.
        found: Found,
    },
    /// Tell the master machine that this stage will never start (`master::Event::StageClosed`).
    CloseStage {
        /// The stage.
        stage: StageId,
    },
    /// Tell the master machine to stop all stages that run (`master::Event::StopAsked`).
    StopStages {
        /// Why.
        why: String,
        /// Without the stages' grace.
        now: bool,
    },
    /// Start a hook's process; answer with [`Event::HookEnded`].
    RunHook {
        /// The hook.
        hook: HookId,
    },
    /// Read what the task of a hook said, as its result; answer with [`Event::HookEnded`].
    HearHook {
        /// The hook.
        hook: HookId,
        /// The stage that it is.
        stage: StageId,
    },
    /// Kill a hook's process; [`Event::HookEnded`] still follows.
    StopHook {
        /// The hook.
        hook: HookId,
    },
    /// The sub-DAG has ended and that is written down. What is left is to let the grants go.
    Finish {
        /// How.
        end: StageEnd,
        /// Why; empty for a success.
        why: String,
    },
}
