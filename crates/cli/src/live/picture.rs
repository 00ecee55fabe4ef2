//! One moment of a run, as the live tree shows it.

use dybox_model::{Millis, StageEnd};

/// Everything that the tree shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// When it was submitted.
    pub since: Millis,
    /// How it ended.
    pub end: Option<StageEnd>,
    /// What the whole run does now, where that is more than running ("stopping").
    pub word: Option<String>,
    /// Stages, in the order of the file.
    pub stages: Vec<StageRow>,
    /// Images on their way.
    pub pulls: Vec<Pull>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A stage's line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StageRow {
    /// Its name.
    pub name: String,
    /// Its tasks, by state.
    pub tasks: Counts,
    /// When it started and when it ended.
    pub from: Option<Millis>,
    /// When it ended.
    pub to: Option<Millis>,
    /// How it ended.
    pub end: Option<StageEnd>,
    /// Why it waits, or why it ended so.
    pub why: String,
}

/// Tasks by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// All.
    pub all: u32,
    /// Given to a proxy, not running yet.
    pub starting: u32,
    /// Running.
    pub running: u32,
    /// Succeeded.
    pub done: u32,
    /// Failed or lost.
    pub failed: u32,
    /// Stopped.
    pub stopped: u32,
}

impl Counts {
    /// Those that have not been given to a proxy.
    pub(crate) fn waiting(&self) -> u32 {
        self.all.saturating_sub(self.starting + self.running + self.done + self.failed + self.stopped)
    }
}

/// An image on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pull {
    /// Its name.
    pub image: String,
    /// Bytes here.
    pub have: u64,
    /// Bytes in all, 0 where that is not known.
    pub total: u64,
}
