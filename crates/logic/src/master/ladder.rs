//! The sizes that the asks of a stage may have: from the least that was ever measured to the most that the file allows.

use std::borrow::Cow;

use dybox_job::{Elastic, SANDBOX_MEMORY, Stage};
use dybox_model::{Cause, Exit, Network, StageId};

use super::tasks::{Phase, Tasks};
use crate::usage::Lessons;

const MIB: u64 = 1 << 20;

/// The rungs of one stage; none where its asks keep their size.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Memory of a task and the shape of its ask, from small to large.
    rungs: Vec<(u64, u32)>,
    lessons: Lessons,
    learns: bool,
    /// A task did not find enough: the stage asks for all from then on.
    burnt: bool,
    least: u64,
    /// What a grant has on top of the task's memory.
    extra: u64,
    /// A want of memory leads one rung up, at the user's tries; this is the rung.
    step: Option<usize>,
}

/// A stage in each size that its asks may have.
pub(super) fn forms(stage: &Stage) -> Vec<Cow<'_, Stage>> {
    let levels = match stage.elastic {
        Some(elastic) => levels(stage, elastic),
        None if stage.retry.grow.is_some() => stage.memory_steps(),
        None => return vec![Cow::Borrowed(stage)],
    };
    levels.into_iter().map(|memory| Cow::Owned(stage.with_memory(memory))).collect()
}

/// Steps of an eighth, downwards; where nothing is learned, only where it begins and where it ends.
fn levels(stage: &Stage, elastic: Elastic) -> Vec<u64> {
    let mut levels = vec![elastic.most, stage.ask.memory];
    let mut level = elastic.most;
    while elastic.learns && level > elastic.least {
        level = (level / 8 * 7).div_ceil(MIB).saturating_mul(MIB).min(level - 1).max(elastic.least);
        levels.push(level);
    }
    levels.sort_unstable();
    levels.dedup();
    levels
}

impl Ladder {
    /// `find` tells the shape of a form's ask.
    pub(super) fn of(stage: &Stage, find: impl Fn(&Stage) -> u32) -> Self {
        let extra = if stage.network == Network::Bridge { SANDBOX_MEMORY } else { 0 };
        let rungs = || forms(stage).iter().map(|form| (form.ask.memory, find(form))).collect();
        let Some(elastic) = stage.elastic else {
            let Some(_) = stage.retry.grow else { return Self::default() };
            return Self { rungs: rungs(), extra, step: Some(0), ..Self::default() };
        };
        let rungs = rungs();
        Self { rungs, learns: elastic.learns, least: elastic.least, extra, ..Self::default() }
    }

    /// The shape of the largest asks.
    pub(super) fn top(&self) -> Option<u32> {
        self.rungs.last().map(|&(_, shape)| shape)
    }

    /// The shape of the smallest asks.
    pub(super) fn bottom(&self) -> Option<u32> {
        self.rungs.first().map(|&(_, shape)| shape)
    }

    /// Least and most memory of a task, and what a grant has on top; nothing where it keeps its size. Where one did not
    /// find enough, nobody gives anything back.
    pub(super) fn span(&self) -> Option<(u64, u64, u64)> {
        if self.step.is_some() {
            return None;
        }
        let least = |most| if self.burnt { most } else { self.least };
        self.rungs.last().map(|&(most, _)| (least(most), most, self.extra))
    }

    /// The memory limit of a task in a grant that has so much, where a want of memory leads up.
    pub(super) fn step_in(&self, grant: u64) -> Option<u64> {
        let steps = &self.rungs[..=self.step?];
        let fits = steps.iter().rev().find(|(memory, _)| memory.saturating_add(self.extra) <= grant);
        fits.or(steps.first()).map(|&(memory, _)| memory)
    }

    /// Whether sizes follow what was measured, so that a want of memory is nobody's fault.
    pub(super) fn follows(&self) -> bool {
        self.step.is_none()
    }

    /// One rung up, after a task wanted memory in a grant that had so much: one that had less than others have now
    /// says nothing new.
    fn climb(&mut self, grant: u64) -> Option<u32> {
        let step = self.step?;
        let (memory, _) = self.rungs.get(step)?;
        let &(_, next) = self.rungs.get(step + 1).filter(|_| self.step_in(grant) == Some(*memory))?;
        self.step = Some(step + 1);
        Some(next)
    }

    /// The smallest shape with so much memory.
    fn shape_for(&self, memory: u64) -> Option<u32> {
        self.rungs.iter().find(|(rung, _)| *rung >= memory).or(self.rungs.last()).map(|&(_, shape)| shape)
    }

    /// The shape of the next asks, where an end changes it.
    fn after(&mut self, exit: &Exit, squeezed: bool) -> Option<u32> {
        if exit.cause == Some(Cause::Oom) && squeezed {
            self.burnt = true;
            return self.top();
        }
        if self.step.is_some() {
            return None;
        }
        // What failed may have ended before it needed most.
        if !self.learns || self.burnt || !exit.ok() {
            return None;
        }
        self.lessons.add(exit.used.needed());
        self.shape_for(self.lessons.advice()?)
    }
}

impl Tasks {
    /// An attempt ended: the next asks of its stage may be of another size.
    pub(super) fn learn(&mut self, id: StageId, exit: &Exit, squeezed: bool) {
        let Some(stage) = self.stages.get_mut(id.0 as usize) else { return };
        if let Some(shape) = stage.ladder.after(exit, squeezed) {
            self.reshape(id, shape);
        }
    }

    /// A task of a stage wanted memory in a grant that had so much: the next asks are larger, where the file says so.
    pub(super) fn grow(&mut self, id: StageId, exit: &Exit, grant: u64) {
        let Some(stage) = self.stages.get_mut(id.0 as usize).filter(|_| exit.cause == Some(Cause::Oom)) else { return };
        if let Some(shape) = stage.ladder.climb(grant) {
            self.reshape(id, shape);
        }
    }

    /// What waits and what may come of a stage asks in another shape from now on.
    pub(super) fn reshape(&mut self, id: StageId, to: u32) {
        let stage = &mut self.stages[id.0 as usize];
        let from = std::mem::replace(&mut stage.shape, to);
        if from == to || !stage.ours {
            return;
        }
        let coming = stage.resting + u32::from(stage.phase == Phase::Unstarted);
        if stage.waiting > 0 {
            self.shapes.wait(from, id.0, (0, stage.waiting), 0);
            self.shapes.wait(to, id.0, (stage.waiting, 0), stage.waiting);
        }
        self.shapes.expect(from, 0, coming);
        self.shapes.expect(to, coming, 0);
    }
}
