//! A whole run: several sub-DAGs side by side. Their facts may come in any interleaving.

use std::collections::BTreeMap;
use std::fmt;

use dybox_model::{Fact, Millis, Note, Peak, StageEnd, StageId, SubDagId};

use crate::run::Run;
use crate::stage::{Counts, Stage};

/// Where a run stands, as its journals say. Whether a master that should live is dead, they can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// No master has taken control yet.
    Submitted,
    /// At least one sub-DAG has not ended.
    Running,
    /// Every sub-DAG ended well.
    Succeeded,
    /// User work failed.
    Failed,
    /// Somebody stopped it.
    Stopped,
    /// The platform lost it, after its retries.
    Lost,
}

impl RunState {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Submitted | Self::Running)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A run of one or more sub-DAGs, each with a journal of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunView {
    /// Every planned sub-DAG; the default [`Run`] where nothing is known of it.
    pub subs: BTreeMap<SubDagId, Run>,
}

impl RunView {
    /// A run of so many planned sub-DAGs.
    #[must_use]
    pub fn new(subdags: u32) -> Self {
        Self { subs: (0..subdags).map(|n| (SubDagId(n), Run::default())).collect() }
    }

    /// Takes one more fact of a sub-DAG in.
    pub fn apply(&mut self, subdag: SubDagId, fact: &Fact) {
        self.subs.entry(subdag).or_default().apply(fact);
    }

    /// Takes one note of a sub-DAG in.
    pub fn note(&mut self, subdag: SubDagId, note: &Note) {
        self.subs.entry(subdag).or_default().note(note);
    }

    /// Puts a folded journal in the place of what was known of its sub-DAG.
    pub fn put(&mut self, subdag: SubDagId, run: Run) {
        self.subs.insert(subdag, run);
    }

    /// Nobody drives a sub-DAG any more that has not ended: `end` says what became of what ran, `Stopped` or `Lost`. Its
    /// journal stays as it is: a `resume` goes on from there.
    pub fn abandon(&mut self, subdag: SubDagId, end: StageEnd) {
        let Some(run) = self.subs.get_mut(&subdag).filter(|run| run.end.is_none()) else { return };
        run.stages.iter_mut().for_each(|stage| stage.abandon(end));
        run.live.clear();
    }

    /// Where the run stands.
    #[must_use]
    pub fn state(&self) -> RunState {
        if self.subs.values().any(|run| run.end.is_none()) {
            let opened = self.subs.values().any(|run| run.epoch > 0);
            return if opened { RunState::Running } else { RunState::Submitted };
        }
        let ends = self.subs.values().filter_map(|run| run.end.as_ref()).map(|ended| ended.end);
        // Failed work says most; then what nobody could help; then what somebody wanted.
        let weight = |end: &StageEnd| match end {
            StageEnd::Failed => 3,
            StageEnd::Lost => 2,
            StageEnd::Stopped => 1,
            StageEnd::Succeeded | StageEnd::Skipped => 0,
        };
        match ends.max_by_key(weight) {
            Some(StageEnd::Failed) => RunState::Failed,
            Some(StageEnd::Lost) => RunState::Lost,
            Some(StageEnd::Stopped) => RunState::Stopped,
            _ => RunState::Succeeded,
        }
    }

    /// Why it ended as it did: the reason of the sub-DAG that decided its state; empty for a success.
    #[must_use]
    pub fn why(&self) -> &str {
        let state = self.state();
        let of_state = |end: StageEnd| end.word() == state.word();
        let ends = self.subs.values().filter_map(|run| run.end.as_ref());
        ends.filter(|ended| of_state(ended.end)).map(|ended| ended.why.as_str()).next().unwrap_or_default()
    }

    /// Every stage, in the order of the job file.
    #[must_use]
    pub fn stages(&self) -> Vec<&Stage> {
        let mut stages: Vec<_> = self.subs.values().flat_map(|run| &run.stages).collect();
        stages.sort_by_key(|stage| stage.outline.id);
        stages
    }

    /// A stage with the sub-DAG that it is in.
    #[must_use]
    pub fn stage(&self, id: StageId) -> Option<(&Run, &Stage)> {
        self.subs.values().find_map(|run| run.stage(id).map(|stage| (run, stage)))
    }

    /// A stage by its name, with the sub-DAG that it is in.
    #[must_use]
    pub fn stage_named(&self, name: &str) -> Option<(&Run, &Stage)> {
        self.subs.values().find_map(|run| run.stage_named(name).map(|stage| (run, stage)))
    }

    /// Tasks of all stages by state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.subs.values().flat_map(|run| &run.stages).fold(Counts::default(), |sum, stage| sum + stage.counts)
    }

    /// Cpu time of all ended attempts together, and the highest memory of any.
    #[must_use]
    pub fn used(&self) -> Peak {
        self.subs.values().flat_map(|run| &run.stages).fold(Peak::default(), |sum, stage| sum.and(stage.used))
    }

    /// When the last sub-DAG ended, where all have.
    #[must_use]
    pub fn ended(&self) -> Option<Millis> {
        let over = self.state().is_over();
        self.subs.values().filter_map(|run| run.end.as_ref()).map(|ended| ended.at).max().filter(|_| over)
    }
}
