//! The loop: one mailbox, one machine; every effect goes to the performer.

use dybox_logic::proxy::{Effect, Event, LOST_AFTER, LOST_AFTER_FAR, Proxy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

use crate::error::ProxyError;
use crate::inbox::Arrived;
use crate::perform::Performer;

/// Works until the machine leaves, and tells why it did.
pub(crate) async fn work(
    performer: &mut Performer,
    inbox: &mut UnboundedReceiver<Arrived>,
) -> Result<String, ProxyError> {
    let clock = performer.ports.clock;
    let far = performer.ports.places.far.is_some();
    let mut machine = Proxy::patient(clock.now(), if far { LOST_AFTER_FAR } else { LOST_AFTER });
    let mut effects = Vec::new();
    let [mut term, mut hangup, mut interrupt] = signals()?;
    loop {
        let wake = machine.wake();
        let event = tokio::select! {
            arrived = inbox.recv() => match arrived {
                Some(arrived) => performer.take(arrived),
                None => Some(Event::Signalled),
            },
            () = async { sleep_until(clock.instant(wake.unwrap_or_default())).await }, if wake.is_some() => {
                Some(Event::Tick)
            }
            _ = term.recv() => {
                // YARN waits a quarter of a second; on one machine there is time for the payload's grace.
                if far {
                    performer.end_now();
                }
                Some(Event::Signalled)
            }
            _ = hangup.recv() => Some(Event::Signalled),
            _ = interrupt.recv() => Some(Event::Signalled),
        };
        let Some(event) = event else { continue };
        machine.handle(clock.now(), event, &mut effects);
        debug_assert_eq!(machine.check(), Ok(()));
        for effect in effects.drain(..) {
            if let Effect::Leave { why } = effect {
                return Ok(why);
            }
            performer.perform(effect);
        }
    }
}

fn signals() -> Result<[Signal; 3], ProxyError> {
    let on = |kind| signal(kind).map_err(ProxyError::Runtime);
    Ok([on(SignalKind::terminate())?, on(SignalKind::hangup())?, on(SignalKind::interrupt())?])
}
