//! Whether the memory of a running task fits what it uses, and what to do where it does not.
//!
//! Growing is decided on the last two samples, for a task that nears its limit has seconds; shrinking on a dozen seconds
//! of samples that all stay far below. What is under way is finished or given up before anything new begins.

use std::collections::VecDeque;

use dybox_model::{Millis, Usage};

const MIB: u64 = 1 << 20;
/// Samples that must all be far below the limit.
const CALM: usize = 6;
/// An order to a proxy that got no answer by then is forgotten: its line broke.
const ANSWER: Millis = Millis::from_secs(30);
/// After the resource manager refused to make a grant larger.
const REFUSED: Millis = Millis::from_secs(20);
/// After it refused to make one smaller: it rounds to its own steps.
const KEPT: Millis = Millis::from_secs(300);

/// How far the limit of a task may move, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// No smaller than this.
    pub least: u64,
    /// No larger than this.
    pub most: u64,
    /// What the grant has for the task now.
    pub room: u64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Give the container this limit; the grant has room for it.
    Limit(u64),
    /// Ask for a grant with so much room for the task.
    Grow(u64),
    /// Give the container this limit, and when it has it, give the rest of the grant back.
    Shrink(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// The proxy was told.
    Engine { shrinks: bool, since: Millis },
    /// The resource manager was asked.
    Manager { grows: bool },
}

/// One grant's.
#[derive(Debug, Clone, Default)]
pub struct Fit {
    /// Working sets of the last samples.
    recent: VecDeque<u64>,
    pending: Option<Pending>,
    quiet_until: Millis,
}

impl Fit {
    /// Another task runs in the grant: what the last one used says nothing about it.
    pub fn begin(&mut self) {
        self.recent.clear();
        if let Some(Pending::Engine { .. }) = self.pending {
            self.pending = None;
        }
    }

    /// Takes a sample in.
    pub fn look(&mut self, now: Millis, used: &Usage, bounds: Bounds) -> Option<Step> {
        let working = used.working_set;
        let rise = working.saturating_sub(self.recent.back().copied().unwrap_or(working));
        if self.recent.len() == CALM {
            self.recent.pop_front();
        }
        self.recent.push_back(working);
        if let Some(Pending::Engine { since, .. }) = self.pending
            && now >= since.after(ANSWER)
        {
            self.pending = None;
        }
        if self.pending.is_some() {
            return None;
        }
        let limit = if used.limit > 0 { used.limit } else { bounds.room.min(bounds.most) };
        let tight = near(working, 75, limit) || near(working + rise, 90, limit);
        let step = if tight { self.up(now, limit, working, bounds) } else { self.down(now, limit, bounds) }?;
        self.recent.clear();
        self.recent.push_back(working);
        self.pending = Some(match step {
            Step::Limit(_) => Pending::Engine { shrinks: false, since: now },
            Step::Shrink(_) => Pending::Engine { shrinks: true, since: now },
            Step::Grow(_) => Pending::Manager { grows: true },
        });
        Some(step)
    }

    fn up(&self, now: Millis, limit: u64, working: u64, bounds: Bounds) -> Option<Step> {
        let inside = bounds.room.min(bounds.most);
        if inside >= limit + MIB {
            return Some(Step::Limit(inside));
        }
        let target = whole(limit.max(working).saturating_mul(2)).clamp(bounds.least.min(bounds.most), bounds.most);
        (target > bounds.room && now >= self.quiet_until).then_some(Step::Grow(target))
    }

    fn down(&self, now: Millis, limit: u64, bounds: Bounds) -> Option<Step> {
        if self.recent.len() < CALM || now < self.quiet_until {
            return None;
        }
        let highest = self.recent.iter().max().copied().unwrap_or(0);
        let target = whole(highest + (highest / 2).max(32 * MIB)).max(bounds.least);
        (target + (limit / 4).max(32 * MIB) <= limit).then_some(Step::Shrink(target))
    }

    /// The proxy answered. Whether the rest of the grant is to be given back now.
    pub fn limited(&mut self, now: Millis, done: bool) -> bool {
        let Some(Pending::Engine { shrinks, .. }) = self.pending else { return false };
        self.pending = (shrinks && done).then_some(Pending::Manager { grows: false });
        if !done {
            self.quiet_until = now.after(REFUSED);
        }
        shrinks && done
    }

    /// The grant has another size. Whether that is more than before, and the container is to get it.
    pub fn resized(&mut self, now: Millis) -> bool {
        match self.pending.take() {
            Some(Pending::Manager { grows: true }) => {
                self.pending = Some(Pending::Engine { shrinks: false, since: now });
                true
            }
            Some(other @ Pending::Engine { .. }) => {
                self.pending = Some(other);
                false
            }
            _ => false,
        }
    }

    /// The grant keeps its size: the task goes on as it was.
    pub fn refused(&mut self, now: Millis) {
        if let Some(Pending::Manager { grows }) = self.pending {
            self.pending = None;
            self.quiet_until = now.after(if grows { REFUSED } else { KEPT });
        }
    }
}

const fn near(used: u64, percent: u64, limit: u64) -> bool {
    used.saturating_mul(100) >= limit.saturating_mul(percent)
}

const fn whole(bytes: u64) -> u64 {
    bytes.div_ceil(MIB).saturating_mul(MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn bounds(least: u64, most: u64, room: u64) -> Bounds {
        Bounds { least: least * MIB, most: most * MIB, room: room * MIB }
    }

    fn used(working: u64, limit: u64) -> Usage {
        Usage { working_set: working * MIB, limit: limit * MIB, ..Usage::default() }
    }

    fn at(seconds: u64) -> Millis {
        Millis::from_secs(seconds)
    }

    #[test]
    fn a_task_that_nears_its_limit_gets_twice_as_much_and_never_more_than_the_most() {
        let mut fit = Fit::default();
        assert_eq!(fit.look(at(0), &used(300, 512), bounds(512, 4096, 512)), None);
        let grow = fit.look(at(2), &used(420, 512), bounds(512, 4096, 512));
        assert_eq!(grow, Some(Step::Grow(1024 * MIB)), "at this pace it is full in two seconds");
        assert_eq!(fit.look(at(4), &used(500, 512), bounds(512, 4096, 512)), None, "one thing at a time");
        assert!(fit.resized(at(5)), "the container gets it");
        assert!(!fit.limited(at(5), true));
        let most = fit.look(at(6), &used(3000, 3072), bounds(512, 4096, 3072));
        assert_eq!(most, Some(Step::Grow(4096 * MIB)));
        fit.refused(at(7));
        assert_eq!(fit.look(at(9), &used(3000, 3072), bounds(512, 4096, 3072)), None, "it was refused just now");
        assert!(fit.look(at(30), &used(3000, 3072), bounds(512, 4096, 3072)).is_some());
        let mut full = Fit::default();
        assert_eq!(full.look(at(0), &used(4090, 4096), bounds(512, 4096, 4096)), None);
    }

    #[test]
    fn what_the_grant_has_is_used_before_more_is_asked_for() {
        let step = Fit::default().look(at(0), &used(400, 500), bounds(64, 4096, 1024));
        assert_eq!(step, Some(Step::Limit(1024 * MIB)));
    }

    #[test]
    fn a_task_far_below_its_limit_gives_back_engine_first() {
        let mut fit = Fit::default();
        let all: Vec<_> =
            (0..6).filter_map(|n| fit.look(at(2 * n), &used(300, 4096), bounds(64, 4096, 4096))).collect();
        assert_eq!(all, [Step::Shrink(450 * MIB)], "only after six calm samples");
        assert!(fit.limited(at(11), true), "now the grant");
        assert!(!fit.resized(at(12)));
        for n in 6..20 {
            assert_eq!(fit.look(at(2 * n), &used(300, 450), bounds(64, 4096, 450)), None, "it fits");
        }
    }

    #[test]
    fn a_kernel_that_cannot_take_it_away_leaves_it() {
        let mut fit = Fit::default();
        for n in 0..6 {
            fit.look(at(2 * n), &used(300, 4096), bounds(64, 4096, 4096));
        }
        assert!(!fit.limited(at(11), false));
        assert_eq!(fit.look(at(12), &used(300, 4096), bounds(64, 4096, 4096)), None);
    }

    #[test]
    fn an_order_that_was_lost_is_not_waited_for() {
        let mut fit = Fit::default();
        assert!(fit.look(at(0), &used(400, 500), bounds(64, 4096, 1024)).is_some());
        assert_eq!(fit.look(at(29), &used(400, 500), bounds(64, 4096, 1024)), None);
        assert!(fit.look(at(31), &used(400, 500), bounds(64, 4096, 1024)).is_some());
    }
}
