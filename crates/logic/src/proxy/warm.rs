//! Tasks that follow each other in one container (`reuse: true`), and those that were given in advance.

use std::collections::VecDeque;
use std::sync::Arc;

use dybox_model::{AttemptId, Cause, Exit, Millis, TaskSpec};

use super::Effect;
use super::machine::Proxy;
use super::work::{Phase, Work};

/// What waits behind an attempt for longer than this is given back: somebody else may have a hand free.
const HOLD: Millis = Millis(300);

/// Why a proxy leaves that its master has let go.
pub(super) const ASKED: &str = "the master asked for it";

/// A container whose last payload ended well, and that waits.
#[derive(Debug)]
pub(super) struct Warm {
    pub(super) spec: Arc<TaskSpec>,
    pub(super) image: String,
}

/// Attempts that were given while another one was in hand.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    list: VecDeque<Arc<TaskSpec>>,
    /// When they go back.
    until: Millis,
}

impl Ahead {
    pub(super) fn attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.list.iter().map(|spec| spec.attempt)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn wake(&self) -> Option<Millis> {
        (!self.list.is_empty()).then_some(self.until)
    }
}

impl Proxy {
    /// Takes an attempt that is to follow what is in hand, where it may.
    pub(super) fn queue(&mut self, spec: &Arc<TaskSpec>, now: Millis) -> bool {
        let stage = spec.attempt.task.stage;
        let follows = self.work.as_ref().is_some_and(|work| spec.reuse && work.attempt().task.stage == stage);
        if follows && self.leaving.is_none() {
            if self.ahead.is_empty() {
                self.ahead.until = now.after(HOLD);
            }
            self.ahead.list.push_back(Arc::clone(spec));
            return true;
        }
        false
    }

    /// Begins an attempt: in the container that waits, where that is one for it, else in a new one.
    pub(super) fn begin(&mut self, spec: Arc<TaskSpec>, now: Millis, out: &mut Vec<Effect>) {
        let mut work = Work::new(Arc::clone(&spec), now);
        match self.warm.take() {
            Some(warm) if warm.spec.leads_to(&spec) => {
                work.starting(warm.image, now);
                work.from = Some(warm.spec.attempt);
                out.push(Effect::Next { from: warm.spec.attempt, spec });
            }
            other => {
                other.into_iter().for_each(|warm| out.push(cool(warm.spec.attempt)));
                out.push(Effect::Fetch(spec));
            }
        }
        self.work = Some(work);
    }

    /// The container did not take it: a new one does.
    pub(super) fn cold(&mut self, attempt: AttemptId, now: Millis, out: &mut Vec<Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        let (Phase::Starting { .. } | Phase::Running { .. }) = &work.phase else { return };
        let (spec, ending) = (Arc::clone(&work.spec), work.ending.take());
        // One of another run is nobody's any more.
        out.extend(work.from.map(cool));
        self.work = None;
        match ending {
            Some(ending) => self.end(attempt, Exit::not_started(ending.cause, ending.text, now), out),
            None => self.begin(spec, now, out),
        }
    }

    /// Goes on with what was given in advance, or gives it back.
    pub(super) fn go_on(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.leaving.is_some() || (self.work.is_some() && self.ahead.wake().is_some_and(|until| until <= now)) {
            for spec in std::mem::take(&mut self.ahead.list) {
                self.end(spec.attempt, Exit::not_started(Cause::GivenBack, "", now), out);
            }
        }
        if self.work.is_none()
            && let Some(spec) = self.ahead.list.pop_front()
        {
            self.ahead.until = now.after(HOLD);
            self.begin(spec, now, out);
        }
    }

    /// Takes an attempt out of those given in advance.
    pub(super) fn drop_ahead(&mut self, attempt: AttemptId) -> bool {
        let before = self.ahead.list.len();
        self.ahead.list.retain(|spec| spec.attempt != attempt);
        self.ahead.list.len() < before
    }

    /// Gives up the container that waits. Where all went as it should, it may wait for another run.
    pub(super) fn cool_down(&mut self, why: &str, out: &mut Vec<Effect>) {
        if let Some(Warm { spec, image }) = self.warm.take() {
            let attempt = spec.attempt;
            out.push(if why == ASKED { Effect::Park { attempt, image } } else { cool(attempt) });
        }
    }
}

fn cool(attempt: AttemptId) -> Effect {
    Effect::Remove { attempt, keep: false }
}
