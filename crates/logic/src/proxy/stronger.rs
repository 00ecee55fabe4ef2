//! A stop that does not work: ever stronger means, up to the lease that stands still.

use dybox_model::{AttemptId, Millis};

use super::machine::Proxy;
use super::work::{Phase, Step, Work};
use super::{Effect, Signal};

impl Proxy {
    pub(super) fn kill_failed(&mut self, attempt: AttemptId, now: Millis, out: &mut Vec<Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        if let Phase::Running { stop: stop @ (Step::Term { .. } | Step::Now { .. } | Step::Kill { .. }), .. } =
            &mut work.phase
        {
            *stop = Step::revoked(now);
            out.push(Effect::Revoke(attempt));
        }
    }

    /// The next stronger means to end a container that should be dead by now.
    pub(super) fn go_on_stopping(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Some(Work { spec, ending: Some(why), phase: Phase::Running { stop, since, .. }, .. }) = &mut self.work
        else {
            return;
        };
        let (attempt, why) = (spec.attempt, why.clone());
        match *stop {
            Step::None => {}
            Step::Term { .. } => {
                *stop = Step::at_once(now);
                out.push(Effect::Kill { attempt, signal: Signal::Now, why });
            }
            Step::Now { .. } => {
                *stop = Step::kill(now);
                out.push(Effect::Kill { attempt, signal: Signal::Kill, why });
            }
            Step::Kill { .. } => {
                *stop = Step::revoked(now);
                out.push(Effect::Revoke(attempt));
            }
            Step::Revoked { .. } => {
                let exit = why.unseen(*since, now);
                self.ended((attempt, false), exit, now, out);
            }
        }
    }
}
