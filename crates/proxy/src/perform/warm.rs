//! The next task in a container that waits: its files change their owner, and its init is told.

use std::sync::Arc;

use dybox_engine::init_next;
use dybox_logic::proxy::Event;
use dybox_model::{AttemptId, TaskSpec};

use super::{Hand, Performer};
use crate::files::Files;
use crate::parked::Parked;
use crate::watch::{Eyes, watch};

impl Performer {
    /// Hands an attempt to the container in which `from` has ended. What can't be handed over is told as `Cold`.
    pub(super) fn next(&mut self, from: AttemptId, spec: Arc<TaskSpec>) {
        let attempt = spec.attempt;
        let Some(mut old) = self.hands.remove(&from) else { return self.ports.tell(Event::Cold(attempt)) };
        let Some((mut eyes, container)) = old.eyes.take().zip(old.container.clone()) else {
            self.hands.insert(from, old);
            return self.ports.tell(Event::Cold(attempt));
        };
        let files = Files::of(&self.ports.places, attempt);
        let moved = old.files.pass_on(&files, self.ports.places.shown(&spec).as_deref());
        let text = init_next(&old.made, &spec);
        eyes.next(attempt, files.clone(), self.shipper.clone());
        let ports = self.ports.clone();
        let task = tokio::spawn(async move {
            let told = match moved {
                Ok(()) => eyes.say(&text).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::info!(%attempt, %error, "its container takes no further task");
                return ports.tell(Event::Cold(attempt));
            }
            ports.tell(Event::Started { attempt, container });
            watch(ports, *eyes).await;
        });
        let hand = Hand { spec, files, task: task.abort_handle(), from: Some(from), lost: 0, asked: None, ..old };
        self.hands.insert(attempt, hand);
    }

    /// The container is again that of whom it was before; all files of the attempt are made anew.
    pub(super) fn take_back(&mut self, attempt: AttemptId) {
        let Some(mut hand) = self.hands.remove(&attempt) else { return };
        let Some(from) = hand.from else {
            // That of another run: nobody else is in it.
            let room = hand.origin.as_ref().map(|origin| Parked::room(&origin.places));
            hand.files = room.unwrap_or(hand.files);
            self.hands.insert(attempt, hand);
            return self.remove(attempt, false);
        };
        hand.files = Files::of(&self.ports.places, from);
        self.hands.insert(from, hand);
    }

    /// How a payload ended whose container may wait for the next.
    pub(super) fn rest(hand: &mut Hand, eyes: Option<Box<Eyes>>) -> bool {
        hand.eyes = eyes.filter(|_| hand.asked.is_none());
        hand.eyes.is_some()
    }

    /// Whether there is output to ship. Most short tasks have none, and then nobody is troubled with it.
    pub(super) fn ships(&self, attempt: AttemptId, hand: &Hand) -> bool {
        if !hand.opened {
            if !hand.files.has_output() {
                return false;
            }
            self.shipper.open(attempt, &hand.files);
        }
        true
    }
}
