//! Which output is wanted.

use dybox_model::{Millis, StageId};

use crate::archive::{Source, Stream};

/// What a reader wants to see. Nothing set = everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Select {
    /// Of this stage.
    pub stage: Option<StageId>,
    /// Of this task of each stage.
    pub task: Option<u32>,
    /// Of this attempt of each task.
    pub attempt: Option<u32>,
    /// Of this output.
    pub stream: Option<Stream>,
    /// Taken at this time or later.
    pub since: Option<Millis>,
    /// Taken before this time.
    pub until: Option<Millis>,
}

impl Select {
    /// Whether output of `source` is wanted.
    #[must_use]
    pub fn takes(&self, source: Source) -> bool {
        let Source { attempt, stream } = source;
        self.stage.is_none_or(|stage| stage == attempt.task.stage)
            && self.task.is_none_or(|task| task == attempt.task.index)
            && self.attempt.is_none_or(|number| number == attempt.number)
            && self.stream.is_none_or(|wanted| wanted == stream)
    }

    /// Whether output that was taken at `at` is wanted.
    #[must_use]
    pub fn takes_time(&self, at: Millis) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}
