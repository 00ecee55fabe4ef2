//! The end of an attempt: signals, the rest of its output, and the removal of what it leaves.

use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{Asked, KILL, STOP, STOP_NOW};
use dybox_logic::proxy::{Ending, Event, Signal};
use dybox_model::{AttemptId, Exit, Note};
use dybox_wire::ProxyNews;
use tokio::time::timeout;

use super::{Hand, Performer};
use crate::data;
use crate::files::write_whole;
use crate::inbox::Arrived;
use crate::remove::{Leftover, remove_attempt};

/// An engine that takes a signal no faster is left to the lease: a stop has an end.
const SIGNAL: Duration = Duration::from_secs(5);

impl Performer {
    pub(super) fn kill(&mut self, attempt: AttemptId, signal: Signal, why: Ending) {
        let Some(hand) = self.hands.get_mut(&attempt) else { return };
        tracing::info!("stopping attempt={attempt} with {signal:?}: {}", why.cause.info().phrase);
        hand.asked = Some(Asked { by: why.by(), cause: why.cause, text: why.text });
        let Some(name) = hand.container.clone() else { return };
        let (ports, kick) = (self.ports.clone(), Arc::clone(&hand.kick));
        let signal = match signal {
            Signal::Term => STOP,
            Signal::Now => STOP_NOW,
            Signal::Kill => KILL,
        };
        tokio::spawn(async move {
            let sent = timeout(SIGNAL, async { ports.engine().await?.engine.kill(&name, signal).await }).await;
            match sent {
                Ok(Ok(true)) if signal == STOP => {}
                // It does not run any more, or will not in a moment: look.
                Ok(Ok(_)) => kick.notify_one(),
                Ok(Err(error)) => {
                    tracing::warn!(container = name, %error, "can't signal");
                    ports.tell(Event::KillFailed(attempt));
                }
                Err(_) => {
                    tracing::warn!(container = name, "the engine does not take a signal");
                    ports.tell(Event::KillFailed(attempt));
                }
            }
        });
    }

    pub(super) fn revoke(&mut self, attempt: AttemptId) {
        let Some(hand) = self.hands.get(&attempt) else { return };
        tracing::warn!(%attempt, "left to its lease");
        hand.leases(&self.ports).stop(&hand.name);
        hand.files.revoke();
    }

    pub(super) fn drain(&mut self, attempt: AttemptId) {
        let Some(hand) = self.hands.get(&attempt) else { return };
        if hand.eyes.is_none() {
            hand.leases(&self.ports).stop(&hand.name);
        }
        if self.ships(attempt, hand) {
            self.shipper.finish(attempt, hand.lost);
        } else {
            self.ports.tell(Event::Drained { attempt, problem: None });
        }
    }

    /// Puts the outputs of an attempt whose output is in the archive, where it has any; its end waits for that.
    pub(super) fn puts(&mut self, attempt: AttemptId) -> bool {
        let Some(hand) = self.hands.get_mut(&attempt).filter(|hand| hand.puts) else { return false };
        hand.puts = false;
        let (ports, spec) = (self.ports.clone(), Arc::clone(&hand.spec));
        tokio::spawn(async move {
            let put = data::put(&ports, &spec).await;
            ports.arrive(Arrived::Put(attempt, put));
        });
        true
    }

    pub(super) fn save(&mut self, attempt: AttemptId, exit: &Exit) {
        let path = self.ports.places.saved(attempt);
        let text = serde_json::to_vec(exit).expect("an end is JSON");
        if let Err(error) = write_whole(&path, text.as_slice(), 0o600) {
            // The master hears of it all the same; only a master that dies before it has written it down may miss it.
            tracing::warn!(path = %path.display(), %error, "can't save an end");
        }
    }

    pub(super) fn remove(&mut self, attempt: AttemptId, keep: bool) {
        let Some(hand) = self.hands.remove(&attempt) else { return };
        if keep || hand.undrained {
            self.keeps.insert(attempt);
        }
        if keep {
            let text = format!(
                "the container {} of {}/{} is kept: `docker start -ai {0}`, `docker rm -v {0}`",
                hand.name, hand.spec.stage, attempt.task.index
            );
            self.say(ProxyNews::Noted(Note::Warns { text, cause: None }));
        }
        // One that waits still has its lease and its line; without them its init ends by itself.
        hand.leases(&self.ports).stop(&hand.name);
        let Hand { name, container, files, undrained, task, origin, .. } = hand;
        let leftover = Leftover { attempt, name, container, files, keep, keep_logs: undrained };
        let (ports, backlog) = (self.ports.clone(), Arc::clone(&self.backlog));
        self.removals.spawn(async move {
            let _room = backlog.acquire_owned().await;
            task.abort();
            remove_attempt(&ports, leftover).await;
            if let Some(origin) = origin {
                origin.leave().await;
            }
        });
        while self.removals.try_join_next().is_some() {}
    }
}
