//! What of the journal is needed to write a success down: the same after a restart.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::cache::Print;
use dybox_model::{Fact, Moved, StageId};

/// Made of facts alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// What the tasks of stages that have not ended put: by task and place.
    outs: BTreeMap<StageId, BTreeMap<(u32, String), Moved>>,
    /// What inputs were before stages began.
    inputs: BTreeMap<StageId, Vec<Print>>,
    /// What lies in the run's own store: by place.
    kept: BTreeMap<String, Moved>,
    /// Stages that did not run.
    taken: BTreeSet<StageId>,
}

impl Seen {
    pub(crate) fn of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut seen = Self::default();
        facts.into_iter().for_each(|fact| seen.apply(fact));
        seen
    }

    /// Whether anything of a fact is kept.
    pub(crate) const fn matters(fact: &Fact) -> bool {
        matches!(fact, Fact::AttemptEnded { exit, .. } if !exit.moved.is_empty())
            || matches!(fact, Fact::CacheMissed { .. } | Fact::StageTaken { .. })
    }

    pub(crate) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::AttemptEnded { attempt, exit, .. } if exit.ok() => {
                for one in exit.moved.iter().filter(|one| one.out) {
                    let outs = self.outs.entry(attempt.task.stage).or_default();
                    outs.insert((attempt.task.index, one.place.clone()), one.clone());
                    self.keep(one);
                }
            }
            Fact::CacheMissed { stage, inputs, .. } => drop(self.inputs.insert(*stage, inputs.clone())),
            Fact::StageTaken { stage, kept, .. } => {
                self.taken.insert(*stage);
                kept.iter().for_each(|one| self.keep(one));
            }
            _ => {}
        }
    }

    fn keep(&mut self, one: &Moved) {
        if one.place.starts_with("run:") {
            self.kept.insert(one.place.clone(), one.clone());
        }
    }

    /// What lies in the run's own store.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Moved> {
        self.kept.values()
    }

    pub(crate) fn is_taken(&self, stage: StageId) -> bool {
        self.taken.contains(&stage)
    }

    /// What the inputs of a stage were before it began; none where nobody looked.
    pub(crate) fn inputs(&self, stage: StageId) -> &[Print] {
        self.inputs.get(&stage).map(Vec::as_slice).unwrap_or_default()
    }

    /// What the tasks of a stage put, in their order.
    pub(crate) fn outs(&self, stage: StageId) -> Vec<Moved> {
        self.outs.get(&stage).into_iter().flat_map(|outs| outs.values().cloned()).collect()
    }

    /// A stage that has ended.
    pub(crate) fn forget(&mut self, stage: StageId) {
        self.outs.remove(&stage);
    }
}
