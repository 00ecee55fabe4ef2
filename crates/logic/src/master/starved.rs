//! Stages that wait for room no longer than their file says (`timeout.queue`).

use std::collections::BTreeMap;

use dybox_job::{Plan, Stage};
use dybox_model::{Cause, Millis, StageEnd, StageId, SubDagId, format_duration};

use super::Master;
use super::tasks::Verdict;

/// For each stage with a limit: the limit, and when one of its tasks last got room, or the stage began.
#[derive(Debug, Default)]
pub(super) struct Starved {
    stages: BTreeMap<StageId, (Millis, Millis)>,
}

impl Starved {
    pub(super) fn of(plan: &Plan, subdag: SubDagId) -> Self {
        let ours = (0u32..).zip(&plan.stages).filter(|(_, stage)| stage.subdag == subdag);
        let limited = ours.filter_map(|(id, stage)| Some((StageId(id), (stage.timeout.queue?, Millis(0)))));
        Self { stages: limited.collect() }
    }

    /// A stage is new.
    pub(super) fn add(&mut self, id: StageId, stage: &Stage) {
        self.stages.extend(stage.timeout.queue.map(|limit| (id, (limit, Millis(0)))));
    }

    /// Its wait begins anew.
    pub(super) fn begin(&mut self, stage: StageId, now: Millis) {
        self.stages.entry(stage).and_modify(|(_, since)| *since = now);
    }
}

impl Master {
    /// Stages of which tasks wait, with the limit and its end.
    fn starving(&self) -> impl Iterator<Item = (StageId, Millis, Millis)> {
        let waits = |stage: &StageId| self.tasks.stage(*stage).is_some_and(|stage| stage.waiting > 0);
        let all = self.starved.stages.iter().filter(move |(stage, _)| waits(stage));
        all.map(|(stage, (limit, since))| (*stage, *limit, since.after(*limit)))
    }

    /// When the first of them has waited too long.
    pub(super) fn starved(&self) -> Option<Millis> {
        self.starving().map(|(_, _, end)| end).min()
    }

    /// A stage none of whose waiting tasks got room for so long has failed.
    pub(super) fn give_up_if_starved(&mut self, now: Millis) {
        let late: Vec<_> = self.starving().filter(|&(_, _, end)| end <= now).collect();
        for (stage, limit, _) in late {
            let why = self.why().into_iter().find(|waiting| waiting.stage == stage).map(|waiting| waiting.why);
            let cause = Cause::QueueTimeout;
            let why = format!(
                "none of its waiting tasks got room for timeout.queue = {}: {} ({})",
                format_duration(limit),
                why.unwrap_or_default(),
                cause.info().code
            );
            self.tasks.condemn(stage, Verdict { end: StageEnd::Failed, why, cause: Some(cause) });
        }
    }
}
