//! Facts change the state. Nothing here decides: what a fact does not say does not happen.

use std::borrow::Borrow;

use dybox_model::{
    Added, AttemptId, Cause, Exit, Fact, GrantId, Millis, Published, Resources, StageEnd, StageId, StageOutline,
    TaskState, Usage,
};

use crate::images::Brought;
use crate::run::{Ended, HookState, Live, Run, StopAsked, Where};
use crate::stage::Stage;

/// The state that these facts, in order, add up to.
pub fn fold<F: Borrow<Fact>>(facts: impl IntoIterator<Item = F>) -> Run {
    let mut run = Run::default();
    for fact in facts {
        run.apply(fact.borrow());
    }
    run
}

impl Run {
    /// Takes one more fact in.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Submitted { run, job, subdag, at, stages } => {
                self.run = Some(run.clone());
                self.job.clone_from(job);
                self.subdag = Some(*subdag);
                self.submitted = Some(*at);
                self.outline(stages);
            }
            Fact::Opened { epoch, at, pid } => {
                self.epoch = *epoch;
                self.pid = *pid;
                self.opened = self.opened.or(Some(*at));
            }
            Fact::Reopened { .. } => self.reopen(),
            // How many tasks there are says the start, its limits each attempt; visits are for readers of one task's facts.
            Fact::StageFanned { .. } | Fact::StageSized { .. } | Fact::Visited { .. } => {}
            Fact::StageStarted { stage, tasks, at } => self.on_stage(*stage, |stage| stage.start(*tasks, *at)),
            Fact::StageEnded { stage, end, why, cause, at } => self.end_stage(*stage, (*end, why, *cause), *at),
            Fact::GrantGot { grant, size, host, container, at } => {
                self.bill.begin(*grant, *size, *at);
                self.grant_got(*grant, *size, (host, container));
            }
            Fact::GrantResized { grant, size, at } => {
                self.bill.begin(*grant, *size, *at);
                self.grants.entry(*grant).and_modify(|old| *old = *size);
            }
            Fact::GrantEnded { grant, at } => {
                self.bill.end(*grant, *at);
                self.grants.remove(grant);
            }
            Fact::AttemptStarted { attempt, grant, at } => self.attempt_started(*attempt, *grant, *at),
            Fact::AttemptRuns { attempt, container, at, ports } => {
                self.attempt_runs(*attempt, (container, ports), *at);
            }
            Fact::AttemptEnded { attempt, exit, again } => self.attempt_ended(*attempt, exit, *again),
            Fact::ImagePinned { image, id } => drop(self.pins.insert(image.clone(), id.clone())),
            Fact::ImageBrought { image, host, stage, took, at, why } => {
                let (image, host, why) = (image.clone(), host.clone(), why.clone());
                self.brought.push(Brought { image, host, stage: *stage, took: *took, at: *at, why });
            }
            Fact::HookDecided { hook, decision, at } => {
                self.grow(&decision.add);
                self.hooks.insert(*hook, HookState::Decided { decision: decision.clone(), at: *at });
            }
            Fact::HookFailed { hook, why, at } => {
                self.hooks.insert(*hook, HookState::Failed { why: why.clone(), at: *at });
            }
            Fact::StageTaken { stage, from, results, cached, .. } => {
                self.on_stage(*stage, |stage| stage.taken(from.clone(), *cached, results.len()));
            }
            Fact::CacheMissed { stage, missed, .. } => {
                self.on_stage(*stage, |stage| stage.missed = Some(missed.clone()))
            }
            Fact::StopAsked { why, at } => {
                self.stop.get_or_insert_with(|| StopAsked { why: why.clone(), at: *at });
            }
            Fact::Ended { end, why, at } => {
                self.end = Some(Ended { end: *end, why: why.clone(), at: *at });
                self.pulls.clear();
            }
        }
    }

    fn outline(&mut self, stages: &[StageOutline]) {
        self.stages = stages.iter().cloned().map(Stage::new).collect();
        self.stages.sort_by_key(|stage| stage.outline.id);
    }

    /// Stages that a hook added.
    fn grow(&mut self, added: &[Added]) {
        for outline in added.iter().map(|added| &added.outline) {
            if self.stage(outline.id).is_none() {
                self.stages.push(Stage::new(outline.clone()));
                self.stages.sort_by_key(|stage| stage.outline.id);
            }
        }
    }

    fn reopen(&mut self) {
        self.stop = None;
        self.end = None;
        // A decision stands; a hook that failed runs again.
        self.hooks.retain(|_, hook| matches!(hook, HookState::Decided { .. }));
        self.stages.iter_mut().for_each(Stage::reopen);
    }

    fn grant_got(&mut self, grant: GrantId, size: Resources, at: (&str, &str)) {
        self.grants.insert(grant, size);
        if !at.0.is_empty() {
            self.places.insert(grant, Where { host: at.0.to_owned(), container: at.1.to_owned() });
        }
    }

    fn end_stage(&mut self, stage: StageId, how: (StageEnd, &str, Option<Cause>), at: Millis) {
        self.on_stage(stage, |stage| stage.end(how, at));
    }

    fn on_stage(&mut self, id: StageId, change: impl FnOnce(&mut Stage)) {
        match self.stage_mut(id) {
            Some(stage) => change(stage),
            None => self.strays += 1,
        }
    }

    fn attempt_started(&mut self, attempt: AttemptId, grant: GrantId, at: Millis) {
        if !self.stage_mut(attempt.task.stage).is_some_and(|stage| stage.attempt_started(attempt, grant)) {
            self.strays += 1;
            return;
        }
        // A task has one live attempt at most: an older one is over, whoever failed to say so.
        if let Some((older, _)) = self.live_of(attempt.task) {
            self.live.remove(&older);
        }
        let (container, used) = Default::default();
        let now = Usage::default();
        let ports = Vec::new();
        self.live.insert(attempt, Live { grant, given: at, runs: None, container, ports, used, memory: 0, now });
    }

    fn attempt_runs(&mut self, attempt: AttemptId, (container, ports): (&str, &[Published]), at: Millis) {
        if !self.stage_mut(attempt.task.stage).is_some_and(|stage| stage.move_task(attempt, TaskState::Running)) {
            self.strays += 1;
            return;
        }
        if let Some(live) = self.live.get_mut(&attempt) {
            live.runs = Some(at);
            container.clone_into(&mut live.container);
            ports.clone_into(&mut live.ports);
        }
    }

    fn attempt_ended(&mut self, attempt: AttemptId, exit: &Exit, again: bool) {
        let Some(Live { grant, .. }) = self.live.remove(&attempt) else {
            self.strays += 1;
            return;
        };
        self.on_stage(attempt.task.stage, |stage| stage.attempt_ended(attempt, grant, (exit, again)));
    }
}
