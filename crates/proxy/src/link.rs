//! The line to the master: dialled again whenever it is cut.

use std::path::PathBuf;
use std::time::Duration;

use dybox_logic::proxy::Event;
use dybox_store::layout::MASTER_SOCKET;
use dybox_wire::{Link, MasterClient, MasterOrder, ProxyNews, WireError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::inbox::Arrived;

/// How long one dial waits for a master to come up, and the pause after one that failed otherwise.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

/// Keeps a line for as long as somebody listens to its events.
pub(crate) async fn keep_line(dir: PathBuf, inbox: UnboundedSender<Arrived>) {
    while !inbox.is_closed() {
        match dial(&dir).await {
            Ok(link) => {
                // One channel a line: what was meant for the master before must not reach the next one unasked.
                let (say, said) = unbounded_channel();
                if inbox.send(Arrived::Line(say)).is_err() {
                    return;
                }
                carry(link, said, &inbox).await;
                tracing::info!("the line to the master is cut");
                let _ = inbox.send(Arrived::Event(Event::Cut));
            }
            Err(error) => tracing::debug!(%error, "no master"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn dial(dir: &std::path::Path) -> Result<Link, WireError> {
    MasterClient::dial(dir, MASTER_SOCKET, PATIENCE).await?.link().await
}

async fn carry(mut link: Link, mut said: UnboundedReceiver<ProxyNews>, inbox: &UnboundedSender<Arrived>) {
    loop {
        tokio::select! {
            news = said.recv() => {
                let Some(news) = news else { return };
                if link.news.send(news).await.is_err() {
                    return;
                }
            }
            order = link.orders.recv() => {
                let Some(order) = order else { return };
                if let Some(event) = event(order)
                    && inbox.send(Arrived::Event(event)).is_err()
                {
                    return;
                }
            }
        }
    }
}

fn event(order: MasterOrder) -> Option<Event> {
    Some(match order {
        MasterOrder::Welcome { epoch } => {
            tracing::info!(epoch, "the master answered");
            Event::Welcomed
        }
        MasterOrder::Start(spec) => Event::Ordered((*spec).into()),
        MasterOrder::Halt { attempt, now } => Event::HaltAsked { attempt, now },
        MasterOrder::Ack { attempt } => Event::Acked(attempt),
        MasterOrder::Leave => Event::LeaveAsked,
        MasterOrder::Sweep { .. } | MasterOrder::Read { .. } | MasterOrder::Attach { .. } => return None,
    })
}
