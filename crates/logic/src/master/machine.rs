//! The machine itself.

use dybox_job::Plan;
use dybox_model::{AttemptId, Fact, GrantId, Millis, Resources, StageId, SubDagId, TaskId};

use super::{Effect, Event};

/// What each grant of a stage with a bridge network has on top of the task's memory, for its sandbox container.
pub const SANDBOX_MEMORY: u64 = 8 << 20;

/// Why tasks of one stage wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The stage.
    pub stage: StageId,
    /// How many of its tasks.
    pub tasks: u32,
    /// Why, in a sentence.
    pub why: String,
}

/// Gets the tasks of one sub-DAG's stages done.
#[derive(Debug)]
pub struct Master {}

impl Master {
    /// The machine of one sub-DAG, before anything happened.
    #[must_use]
    pub fn new(_plan: &Plan, _subdag: SubDagId) -> Self {
        Self {}
    }

    /// Takes one fact of the journal in. Facts that are not the master's are passed over.
    pub fn apply(&mut self, _fact: &Fact) {}

    /// Takes one event in and pushes what must be done about it, in order.
    pub fn handle(&mut self, _now: Millis, _event: Event, _out: &mut Vec<Effect>) {}

    /// When to call `handle` with [`Event::Tick`] next, if nothing else comes.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        None
    }

    /// What must always hold; nothing, or what does not. Walks over everything.
    ///
    /// # Errors
    /// A sentence that names the broken rule.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Every grant that is held, in order. Empty after the run: nothing is left.
    pub fn grants(&self) -> impl Iterator<Item = GrantId> + '_ {
        std::iter::empty()
    }

    /// How large a held grant is.
    #[must_use]
    pub fn size_of(&self, _grant: GrantId) -> Option<Resources> {
        None
    }

    /// The attempt that a grant works on.
    #[must_use]
    pub fn attempt_at(&self, _grant: GrantId) -> Option<AttemptId> {
        None
    }

    /// The grant that works on an attempt; nothing when the attempt is not live. Walks over the grants.
    #[must_use]
    pub fn grant_of(&self, _attempt: AttemptId) -> Option<GrantId> {
        None
    }

    /// How many tasks a started stage has.
    #[must_use]
    pub fn tasks_of(&self, _stage: StageId) -> u32 {
        0
    }

    /// The exit code (as `docker run` would give it) of a task's last attempt that ended.
    #[must_use]
    pub fn code_of(&self, _task: TaskId) -> Option<i32> {
        None
    }

    /// What a succeeded task wrote to `$DYBOX_RESULT`, as JSON text.
    #[must_use]
    pub fn result_of(&self, _task: TaskId) -> Option<&str> {
        None
    }

    /// The id that this run has pinned for an image name.
    #[must_use]
    pub fn pinned(&self, _image: &str) -> Option<&str> {
        None
    }

    /// Why things wait, in the order of the stages.
    #[must_use]
    pub fn why(&self) -> Vec<Waiting> {
        Vec::new()
    }
}
