//! What the master hears, and hears again.

use dybox_model::{AttemptId, Exit, Millis};

use super::Effect;
use super::machine::{Line, Proxy};
use super::work::{Phase, Work};

/// An end that was not acknowledged is said again after this.
const REPEAT: Millis = Millis::from_secs(2);

impl Proxy {
    /// The one place where an attempt ends. `repeat_ends` tells the master, now and again.
    pub(super) fn end(&mut self, attempt: AttemptId, exit: Exit, out: &mut Vec<Effect>) {
        out.push(Effect::Save { attempt, exit: exit.clone() });
        self.unacked.push((attempt, exit));
        self.untold += 1;
    }

    pub(super) fn forget(&mut self, attempt: AttemptId, out: &mut Vec<Effect>) {
        let before = self.unacked.len();
        self.unacked.retain(|(other, _)| *other != attempt);
        if self.unacked.len() < before {
            out.push(Effect::Forget(attempt));
        }
    }

    pub(super) fn say_again(&self, attempt: AttemptId, out: &mut Vec<Effect>) {
        let known = self.unacked.iter().find(|(other, _)| *other == attempt);
        if let (Some((_, exit)), Line::Up) = (known, self.line) {
            out.push(Effect::Exited { attempt, exit: exit.clone() });
        }
    }

    pub(super) fn say_running(&self, out: &mut Vec<Effect>) {
        let Some(Work { spec, image: Some(image_id), phase: Phase::Running { container, .. }, .. }) = &self.work else {
            return;
        };
        if self.line == Line::Up {
            let (container, image_id) = (container.clone(), image_id.clone());
            out.push(Effect::Runs { attempt: spec.attempt, container, image: spec.image.clone(), image_id });
        }
    }

    pub(super) fn repeat_ends(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.line != Line::Up || self.unacked.is_empty() {
            return;
        }
        // Where tasks are short, many ends are on their way; each is told once, and again only after a while.
        let mut from = self.unacked.len().saturating_sub(std::mem::take(&mut self.untold));
        if now >= self.repeat_at {
            from = 0;
            self.repeat_at = now.after(REPEAT);
        }
        let told = self.unacked[from..].iter().map(|(attempt, exit)| (*attempt, exit.clone()));
        out.extend(told.map(|(attempt, exit)| Effect::Exited { attempt, exit }));
    }
}
