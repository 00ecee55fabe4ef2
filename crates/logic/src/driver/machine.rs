//! The machine itself.

use dybox_job::Plan;
use dybox_model::{Fact, Millis, StageEnd, StageId, SubDagId};

use super::{Effect, Event};

/// Sequences the stages of one sub-DAG.
#[derive(Debug)]
pub struct Driver {}

impl Driver {
    /// The machine of one sub-DAG, before anything happened.
    #[must_use]
    pub fn new(_plan: &Plan, _subdag: SubDagId) -> Self {
        Self {}
    }

    /// Takes one fact of the journal in. Facts that are not the driver's are passed over.
    pub fn apply(&mut self, _fact: &Fact) {}

    /// Takes one event in and pushes what must be done about it, in order.
    pub fn handle(&mut self, _now: Millis, _event: Event, _out: &mut Vec<Effect>) {}

    /// When to call `handle` next if nothing else comes: never, the driver waits for events alone.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        None
    }

    /// How a stage ended, of this sub-DAG or of another one; nothing while it has not (or is not known to have).
    #[must_use]
    pub fn end_of(&self, _stage: StageId) -> Option<StageEnd> {
        None
    }

    /// How many tasks a stage has, after what hooks decided.
    #[must_use]
    pub fn tasks_of(&self, _stage: StageId) -> u32 {
        0
    }

    /// How the sub-DAG ended; nothing while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<StageEnd> {
        None
    }

    /// What must always hold; nothing, or what does not.
    ///
    /// # Errors
    /// A sentence that names the broken rule.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
