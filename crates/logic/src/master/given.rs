//! Stages that do not run: what they came to is known from an earlier run, or they are left out of this one.

use std::collections::BTreeMap;

use dybox_job::{Plan, Taken};
use dybox_model::cache::Found;
use dybox_model::{Fact, Millis, StageId, TaskId};

use super::tasks::{Phase, State, Tasks};
use super::{Effect, Master};

/// What the plan knows already.
pub(super) fn of(plan: &Plan) -> BTreeMap<StageId, Taken> {
    let stages = (0u32..).map(StageId).zip(&plan.stages);
    stages.filter_map(|(id, stage)| Some((id, stage.taken.clone()?))).collect()
}

impl Tasks {
    /// What a stage came to is known: none of its tasks runs.
    pub(super) fn taken(&mut self, id: StageId, results: &[Option<String>]) {
        let Some(stage) = self.stages.get_mut(id.0 as usize).filter(|stage| stage.phase == Phase::Running) else {
            return;
        };
        if stage.tasks as usize != results.len() || stage.live > 0 || stage.verdict.is_some() {
            return;
        }
        self.drop_waiting(id);
        let stage = &mut self.stages[id.0 as usize];
        stage.succeeded = stage.tasks;
        for (index, result) in (0u32..).zip(results) {
            let task = &mut self.tasks[(stage.first + index) as usize];
            (task.state, task.ended, task.code) = (State::Succeeded, true, 0);
            if let Some(result) = result {
                self.results.insert(TaskId { stage: id, index }, result.as_str().into());
            }
        }
        self.touched.push(id.0);
    }
}

impl Master {
    /// Decides from now on; all facts have been applied.
    pub(super) fn open(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.opened = true;
        self.tasks.look_at_all();
        self.take_given(now, out);
    }

    /// A stage begins.
    pub(super) fn start(&mut self, stage: StageId, tasks: u32, now: Millis, out: &mut Vec<Effect>) {
        self.begin(stage, tasks);
        self.take_given(now, out);
    }

    /// A stage begins and is over: an earlier run has done the same.
    pub(super) fn found(&mut self, (stage, tasks): (StageId, u32), found: Found, now: Millis, out: &mut Vec<Effect>) {
        self.begin(stage, tasks);
        // After a stop and a resume tasks of it may still live: then it goes on with them.
        if self.tasks.stage(stage).is_none_or(|begun| begun.live > 0) {
            return;
        }
        let Found { from, results, kept } = found;
        let from = Some(from);
        self.record(Fact::StageTaken { stage, from, results, cached: true, kept, at: now }, out);
    }

    /// Takes in what a stage came to that does not run.
    pub(super) fn taken(&mut self, stage: StageId, results: &[Option<String>]) {
        self.given.remove(&stage);
        self.tasks.taken(stage, results);
    }

    /// Ends what began and need not run. A hook may have given a stage other tasks than it had then: that one runs.
    fn take_given(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let begun = |id: &StageId| self.tasks.stage(*id).is_some_and(|stage| stage.phase == Phase::Running);
        let ids: Vec<StageId> = self.given.keys().copied().filter(begun).collect();
        for stage in ids {
            let Some(Taken { from, results }) = self.given.remove(&stage) else { continue };
            if self.tasks.stage(stage).is_some_and(|begun| begun.tasks as usize == results.len()) {
                let (cached, kept) = (false, Vec::new());
                self.record(Fact::StageTaken { stage, from, results, cached, kept, at: now }, out);
            }
        }
    }
}
