//! A container from one run to the next: where its last attempt has ended it waits, and the first that suits takes it.

use std::sync::Arc;

use dybox_engine::init_next;
use dybox_logic::proxy::Event;
use dybox_model::{AttemptId, Network, TaskSpec};
use tokio::sync::Notify;

use super::{Hand, Performer};
use crate::files::Files;
use crate::parked::Parked;
use crate::watch::{Eyes, watch};

impl Performer {
    /// Keeps the container in which the attempt ended for another run, or removes it where that can't be.
    pub(super) fn park(&mut self, attempt: AttemptId, image: String) {
        let Some(mut hand) = self.hands.remove(&attempt) else { return };
        if let Some(rested) = self.to_rest(&mut hand) {
            let places = hand.origin.as_ref().map_or(&self.ports.places, |origin| &origin.places);
            let shown = self.ports.places.far.as_ref().and_then(|far| far.shown.as_ref());
            match Parked::put_away(&hand.files, places, shown.map(|(dir, _)| dir.as_path())) {
                Ok(files) => {
                    let Hand { origin, made, name, .. } = hand;
                    self.parked = Some(Parked { origin, made, image, name, files, rested });
                    return;
                }
                Err(error) => tracing::warn!(%attempt, %error, "its container can't wait for another run"),
            }
        }
        self.hands.insert(attempt, hand);
        self.remove(attempt, false);
    }

    fn to_rest(&self, hand: &mut Hand) -> Option<crate::watch::Rested> {
        // Another run may mean another value by the same secret.
        let may = self.parks
            && hand.made.secrets.is_empty()
            && hand.made.network == Network::None
            && !hand.undrained
            && hand.asked.is_none();
        hand.eyes.take().filter(|_| may)?.rest()
    }

    /// Whether a container that waits takes this attempt. One that does not suit is removed.
    pub(super) fn wakes(&mut self, spec: &Arc<TaskSpec>, image: &str) -> bool {
        let Some(parked) = self.parked.take() else { return false };
        if parked.suits(spec, image) {
            self.wake(parked, spec);
            return true;
        }
        let ports = self.ports.clone();
        self.removals.spawn(async move { parked.end(Some(&ports)).await });
        false
    }

    fn wake(&mut self, parked: Parked, spec: &Arc<TaskSpec>) {
        let attempt = spec.attempt;
        let Parked { origin, made, name, files: old, rested, .. } = parked;
        let files = Files::of(&self.ports.places, attempt);
        let moved = old.pass_on(&files, self.ports.places.shown(spec).as_deref());
        let moved = moved.and_then(|()| files.give("needs.json", &spec.needs, 0o644));
        let (kick, halt) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (text, container) = (init_next(&made, spec), rested.container.clone());
        let eyes = Eyes::wake(rested, attempt, files.clone(), (Arc::clone(&kick), self.shipper.clone()));
        let (ports, id) = (self.ports.clone(), container.clone());
        let task = tokio::spawn(async move {
            let told = async {
                moved?;
                let mut eyes = eyes?;
                eyes.say(&text).await.map(|()| eyes)
            };
            match told.await {
                Ok(eyes) => {
                    ports.tell(Event::Started { attempt, container: id });
                    watch(ports, eyes).await;
                }
                Err(error) => {
                    tracing::info!(%attempt, %error, "the container of another run takes no further task");
                    ports.tell(Event::Cold(attempt));
                }
            }
        });
        let hand = Hand {
            spec: Arc::clone(spec),
            name,
            container: Some(container),
            files,
            asked: None,
            halt,
            kick,
            task: task.abort_handle(),
            lost: 0,
            undrained: false,
            made,
            from: None,
            eyes: None,
            opened: false,
            origin,
            puts: false,
        };
        self.hands.insert(attempt, hand);
    }
}
