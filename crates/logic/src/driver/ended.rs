//! How something ended, and what is written down of it.

use dybox_model::{Cause, Fact, Millis, StageEnd, StageId};

/// How a stage, or the sub-DAG, ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) end: StageEnd,
    pub(super) why: String,
    /// What a stage failed of, where no attempt of it tells that.
    pub(super) cause: Option<Cause>,
}

impl Ended {
    /// An end that names no cause.
    pub(super) const fn of(end: StageEnd, why: String) -> Self {
        Self { end, why, cause: None }
    }

    /// What is written down of it.
    pub(super) fn of_stage(self, stage: StageId, at: Millis) -> Fact {
        Fact::StageEnded { stage, end: self.end, why: self.why, cause: self.cause, at }
    }
}
