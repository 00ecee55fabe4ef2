//! The one attempt in hand: its phases and their deadlines.
//!
//! ```text
//! Fetching -> Starting -> Running -> Draining -> (an end)
//!     \           \          \-> stopping: TERM -> kill -> KILL -> lease revoked -> dead
//!      \           \-> Cancelling -> (an end)
//!       \-> (an end)
//! ```

use std::sync::Arc;

use dybox_model::{AttemptId, Cause, Exit, Millis, TaskSpec};

use super::Ending;
use super::idle::Still;

/// From the last write of a lease to the certain death of its container: time to live, grace, margin.
pub const LEASE_DEAD: Millis = Millis::from_secs(15 + 4 + 3);
/// Without a master for this long, a proxy ends its containers and goes.
pub const LOST_AFTER: Millis = Millis::from_secs(8);
/// On a cluster, where YARN needs its time to start the next master.
pub const LOST_AFTER_FAR: Millis = Millis::from_secs(45);
/// A payload that follows another in its container and lives longer is told of.
pub(super) const TELL_AFTER: Millis = Millis(200);
/// What is left of the 20 s after that for the payload's own grace.
pub(super) const LOST_GRACE: Millis = Millis::from_secs(6);
/// A pull without a limit of its own ends after this.
const PULL_MOST: Millis = Millis::from_secs(3600);
/// Create and start have deadlines of their own; this one is for a part that lost its answer.
const START_MOST: Millis = Millis::from_secs(240);
/// A start that was asked of the engine gets this long to become a container that can be stopped gently.
const START_STOP: Millis = Millis::from_secs(3);
/// Making sure that nothing runs, with the lease as the last means.
const CANCEL_MOST: Millis = Millis::from_secs(60);
/// Init sends KILL after the grace by itself; stronger means come only when that did not happen.
const KILL_MARGIN: Millis = Millis::from_secs(2);
/// From the order to kill, to init or to the engine, to the next stronger means.
const STRONGER_AFTER: Millis = Millis::from_secs(2);
/// The store gives up much earlier; this one is for a part that lost its answer.
const DRAIN_MOST: Millis = Millis::from_secs(600);
/// The same with outputs to put, which may be large.
const PUT_MOST: Millis = Millis::from_secs(6 * 3600);

/// An attempt that is being worked on.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) spec: Arc<TaskSpec>,
    pub(super) image: Option<String>,
    pub(super) ending: Option<Ending>,
    pub(super) phase: Phase,
    /// Whose container it was before, where it was not made for this attempt.
    pub(super) from: Option<AttemptId>,
    /// When the master hears that it runs, where that is not at once: most that follow another have ended by then.
    pub(super) tell_at: Option<Millis>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The image is on its way.
    Fetching { until: Millis },
    /// The container is being made and started.
    Starting { until: Millis },
    /// The start was given up; whether something runs is being found out.
    Cancelling { until: Millis },
    /// The container runs.
    Running { container: String, since: Millis, wrote: Millis, still: Option<Still>, stop: Step },
    /// The container is dead, or rests; the rest of its logs is on the way to the store.
    Draining { exit: Box<Exit>, until: Millis, rests: bool },
}

/// How far the stop of a running container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nobody stops it.
    None,
    /// TERM is sent; the order to kill at once follows then.
    Term { now_at: Millis },
    /// Init was told to kill at once; the engine is told to then.
    Now { kill_at: Millis },
    /// The engine was told to kill; the lease is stopped then.
    Kill { revoke_at: Millis },
    /// The lease stands still; nothing can live then.
    Revoked { dead_at: Millis },
}

impl Work {
    pub(super) fn new(spec: Arc<TaskSpec>, now: Millis) -> Self {
        let until = now.after(spec.timeout.pull.unwrap_or(PULL_MOST));
        Self { spec, image: None, ending: None, phase: Phase::Fetching { until }, from: None, tell_at: None }
    }

    pub(super) fn attempt(&self) -> AttemptId {
        self.spec.attempt
    }

    pub(super) fn starting(&mut self, image: String, now: Millis) {
        self.image = Some(image);
        self.phase = Phase::Starting { until: now.after(START_MOST) };
    }

    pub(super) fn running(&mut self, container: String, now: Millis) {
        self.phase = Phase::Running { container, since: now, wrote: now, still: None, stop: Step::None };
    }

    /// `rests`: its container waits for the next.
    pub(super) fn draining(&mut self, exit: Exit, rests: bool, now: Millis) {
        let most = if self.spec.outputs.is_empty() { DRAIN_MOST } else { PUT_MOST };
        self.phase = Phase::Draining { exit: Box::new(exit), until: now.after(most), rests };
    }

    pub(super) fn cancelling(&mut self, now: Millis) {
        self.phase = Phase::Cancelling { until: now.after(CANCEL_MOST) };
    }

    /// A start that somebody wants to stop: soon it runs and can be told so, or it is cancelled.
    pub(super) fn hurry_start(&mut self, at_once: bool, now: Millis) {
        if let Phase::Starting { until } = &mut self.phase {
            *until = (*until).min(if at_once { now } else { now.after(START_STOP) });
        }
    }

    /// When something of this attempt falls due.
    pub(super) fn due(&self) -> Option<Millis> {
        match &self.phase {
            Phase::Fetching { until } | Phase::Starting { until } => Some(*until),
            Phase::Cancelling { until } | Phase::Draining { until, .. } => Some(*until),
            Phase::Running { stop, since, wrote, .. } => match *stop {
                Step::None => {
                    let run = self.spec.timeout.run.map(|limit| since.after(limit));
                    let silence = self.spec.timeout.silence.map(|limit| wrote.after(limit));
                    run.into_iter().chain(silence).min()
                }
                Step::Term { now_at } => Some(now_at),
                Step::Now { kill_at } => Some(kill_at),
                Step::Kill { revoke_at } => Some(revoke_at),
                Step::Revoked { dead_at } => Some(dead_at),
            },
        }
    }

    /// Which limit in time a running container has passed.
    pub(super) fn passed(&self, now: Millis) -> Option<Cause> {
        let Phase::Running { since, wrote, stop: Step::None, .. } = self.phase else { return None };
        let over = |from: Millis, limit: Option<Millis>| limit.is_some_and(|limit| now >= from.after(limit));
        if over(since, self.spec.timeout.run) {
            return Some(Cause::RunTimeout);
        }
        over(wrote, self.spec.timeout.silence).then_some(Cause::SilenceTimeout)
    }
}

impl Step {
    pub(super) fn term(now: Millis, grace: Millis) -> Self {
        Self::Term { now_at: now.after(grace).after(KILL_MARGIN) }
    }

    pub(super) fn at_once(now: Millis) -> Self {
        Self::Now { kill_at: now.after(STRONGER_AFTER) }
    }

    pub(super) fn kill(now: Millis) -> Self {
        Self::Kill { revoke_at: now.after(STRONGER_AFTER) }
    }

    pub(super) fn revoked(now: Millis) -> Self {
        Self::Revoked { dead_at: now.after(LEASE_DEAD) }
    }
}
