//! Grants that are made larger or smaller while a task runs in them, by what it uses.
//!
//! A container never has more than its grant: growing asks the resource manager first and tells the engine last,
//! shrinking tells the engine first. What is refused leaves the task as it was.

use dybox_job::LEAST_GRANT;
use dybox_model::{AttemptId, Fact, GrantId, Millis, Resources, Usage};

use super::{Effect, Master};
use crate::usage::{Bounds, Step};

const MIB: u64 = 1 << 20;

impl Master {
    /// Takes a sample of a running attempt in.
    pub(super) fn used(
        &mut self,
        (id, attempt): (GrantId, AttemptId),
        used: &Usage,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let stage = attempt.task.stage;
        let Some((least, most, extra)) = self.span_of(attempt) else { return };
        let Some(grant) = self.pool.get(id).filter(|grant| grant.load == Some(attempt) && !grant.halted) else {
            return;
        };
        if self.tasks.verdict(stage).is_some() {
            return;
        }
        let size = grant.size;
        let bounds = Bounds { least, most, room: size.memory.saturating_sub(extra) };
        let (last, fit) = self.fits.entry(id).or_insert_with(|| (attempt, crate::usage::Fit::default()));
        if *last != attempt {
            *last = attempt;
            fit.begin();
        }
        match fit.look(now, used, bounds) {
            None => {}
            Some(Step::Limit(memory) | Step::Shrink(memory)) => out.push(Effect::Limit { grant: id, attempt, memory }),
            Some(Step::Grow(memory)) => {
                out.push(Effect::Resize { grant: id, size: Resources { memory: grant_for(memory, extra), ..size } });
            }
        }
    }

    /// A proxy set another limit, or could not.
    pub(super) fn limited(
        &mut self,
        (id, attempt): (GrantId, AttemptId),
        memory: Option<u64>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some((_, _, extra)) = self.span_of(attempt) else { return };
        let Some((_, fit)) = self.fits.get_mut(&id).filter(|(last, _)| *last == attempt) else { return };
        let Some(size) = self.pool.get(id).map(|grant| grant.size) else { return };
        if fit.limited(now, memory.is_some())
            && let Some(memory) = memory
        {
            let smaller = Resources { memory: grant_for(memory, extra), ..size };
            if smaller.memory >= size.memory {
                return fit.refused(now);
            }
            // Written down before it is asked for: the master that comes after this one must not think that there is
            // more. Where it is not done, the resource manager says how large the grant still is.
            self.record(Fact::GrantResized { grant: id, size: smaller, at: now }, out);
            out.push(Effect::Resize { grant: id, size: smaller });
        }
    }

    /// The resource manager made a grant larger or smaller.
    pub(super) fn resized(&mut self, id: GrantId, size: Resources, now: Millis, out: &mut Vec<Effect>) {
        let Some(grant) = self.pool.get(id) else { return };
        let (load, before) = (grant.load, grant.size);
        if before != size {
            self.record(Fact::GrantResized { grant: id, size, at: now }, out);
        }
        let Some((_, fit)) = self.fits.get_mut(&id) else { return };
        let grown = fit.resized(now);
        if let Some(attempt) = load.filter(|_| grown)
            && let Some((_, most, extra)) = self.span_of(attempt)
        {
            let memory = size.memory.saturating_sub(extra).min(most);
            out.push(Effect::Limit { grant: id, attempt, memory });
        }
    }

    /// It did not.
    pub(super) fn not_resized(&mut self, id: GrantId, now: Millis) {
        if let Some((_, fit)) = self.fits.get_mut(&id) {
            fit.refused(now);
        }
    }

    /// Whether an attempt has less memory than its stage may give it.
    pub(super) fn is_squeezed(&self, attempt: AttemptId) -> bool {
        let ladder = self.tasks.stage(attempt.task.stage).map(|stage| &stage.ladder).filter(|ladder| ladder.follows());
        let Some(top) = ladder.and_then(|ladder| ladder.top()) else { return false };
        let most = self.tasks.shapes.get(top).size.memory;
        self.pool.bearer(attempt).and_then(|id| self.pool.get(id)).is_some_and(|grant| grant.size.memory < most)
    }

    /// Least and most memory of a task whose grant may be resized, and what the grant has on top.
    fn span_of(&self, attempt: AttemptId) -> Option<(u64, u64, u64)> {
        self.tasks.stage(attempt.task.stage).filter(|_| self.resizes)?.ladder.span()
    }
}

/// The memory of a grant whose task gets so much.
fn grant_for(memory: u64, extra: u64) -> u64 {
    memory.saturating_add(extra).max(LEAST_GRANT).div_ceil(MIB).saturating_mul(MIB)
}
