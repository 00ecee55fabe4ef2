//! States and ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a stage, a sub-DAG or a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageEnd {
    /// Every task succeeded.
    Succeeded,
    /// A task used up its tries.
    Failed,
    /// What it needs did not end as asked, or a hook said so.
    Skipped,
    /// Somebody stopped the run.
    Stopped,
    /// The platform lost it, after its retries.
    Lost,
}

impl StageEnd {
    /// The word for it, as in the file, the log and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for StageEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a stage asks of the end of a stage that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// It must have succeeded.
    #[default]
    Succeeded,
    /// It must have failed (or been lost).
    Failed,
    /// It must have run to an end: succeeded, failed or lost; not skipped, not stopped.
    Finished,
}

impl Need {
    /// Whether `end` is what was asked for.
    #[must_use]
    pub const fn met_by(self, end: StageEnd) -> bool {
        match self {
            Self::Succeeded => matches!(end, StageEnd::Succeeded),
            Self::Failed => matches!(end, StageEnd::Failed | StageEnd::Lost),
            Self::Finished => matches!(end, StageEnd::Succeeded | StageEnd::Failed | StageEnd::Lost),
        }
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Its stage has not started, or it waits for a grant or for its next try.
    #[default]
    Waiting,
    /// Given to a proxy; its container may not run yet (pull, create).
    Starting,
    /// Its container runs.
    Running,
    /// Ended well.
    Succeeded,
    /// Used up its tries.
    Failed,
    /// Stopped before its end.
    Stopped,
    /// Lost to the platform after its retries.
    Lost,
}
