//! The line to one state server: what was seen goes there, marks come back. When it is cut it is dialled again, for ever.

use std::sync::Arc;
use std::time::Duration;

use dybox_model::roster::{BringOrder, Mark, NodeFacts, Pulse};
use dybox_model::sweep::SweepOrder;
use dybox_wire::WireError;
use dybox_wire::roster::{AgentOrder, Line, NodeReport};
use tokio::sync::{mpsc, watch};

use crate::conf::Conf;

/// For a connection.
const DIAL: Duration = Duration::from_secs(5);
/// For the first report, which has facts, and its answer.
const FIRST: Duration = Duration::from_secs(15);
/// Between two tries, at most.
const AGAIN: Duration = Duration::from_secs(8);

/// What was seen at one look. Facts are the same `Arc` until they change.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) pulse: Pulse,
    pub(crate) facts: Arc<NodeFacts>,
}

/// Where what servers say goes.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) marks: mpsc::Sender<Mark>,
    pub(crate) orders: mpsc::Sender<SweepOrder>,
    pub(crate) wishes: mpsc::Sender<BringOrder>,
}

impl Heard {
    async fn take(&self, order: AgentOrder) {
        match order {
            AgentOrder::Carry(mark) => drop(self.marks.send(mark).await),
            AgentOrder::Sweep(order) => {
                if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
                    tracing::warn!(order = order.id, "an order to sweep is dropped: too many wait");
                }
            }
            AgentOrder::Bring(order) => {
                if let Err(mpsc::error::TrySendError::Full(order)) = self.wishes.try_send(order) {
                    tracing::info!(image = order.image, "a wish for an image is dropped: too many wait");
                }
            }
            // The line itself says that it is cut.
            AgentOrder::Leave(_) => {}
        }
    }
}

/// Until nobody looks any more.
pub(crate) async fn keep_line(conf: Arc<Conf>, server: String, mut seen: watch::Receiver<Option<Seen>>, heard: Heard) {
    let mut pause = Duration::from_millis(250);
    let mut said = String::new();
    while seen.wait_for(Option::is_some).await.is_ok() {
        let Err((error, served)) = attend(&conf, &server, &mut seen, &heard).await else { return };
        let text = error.to_string();
        if served {
            pause = Duration::from_millis(250);
        }
        // The same trouble is told once.
        if text != said {
            tracing::warn!(server, "no line to the state server: {text}");
        }
        said = text;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN);
    }
}

/// Until the line is cut (with whether it ever stood), or nobody looks any more.
async fn attend(
    conf: &Conf,
    server: &str,
    seen: &mut watch::Receiver<Option<Seen>>,
    heard: &Heard,
) -> Result<(), (WireError, bool)> {
    let new = |error| (error, false);
    let line = Line::dial(server, &conf.identity, DIAL).await.map_err(new)?;
    let Some(first) = seen.borrow_and_update().clone() else { return Ok(()) };
    let mut known = Arc::clone(&first.facts);
    let mut seq = 1;
    let report = report(conf, seq, first.pulse, Some(&known));
    let mut line = line.attend(report, FIRST).await.map_err(new)?;
    tracing::info!(server, "reports go to the state server");
    loop {
        tokio::select! {
            order = line.orders.recv() => match order {
                Some(Ok(order)) => heard.take(order).await,
                Some(Err(error)) => return Err((error, true)),
                None => return Err((WireError::Ended { what: "attend", why: "the line is cut".to_owned() }, true)),
            },
            changed = seen.changed() => {
                let now = seen.borrow_and_update().clone();
                let (Ok(()), Some(now)) = (changed, now) else { return Ok(()) };
                seq += 1;
                let changed = !Arc::ptr_eq(&known, &now.facts);
                known = now.facts;
                let next = self::report(conf, seq, now.pulse, changed.then_some(&known));
                // A server that does not read has two reports in hand; the next look is a better one anyway.
                if let Err(mpsc::error::TrySendError::Full(_)) = line.reports.try_send(next) {
                    let why = "it does not take reports".to_owned();
                    return Err((WireError::Ended { what: "attend", why }, true));
                }
            }
        }
    }
}

fn report(conf: &Conf, seq: u64, pulse: Pulse, facts: Option<&Arc<NodeFacts>>) -> NodeReport {
    NodeReport { host: conf.host.clone(), seq, pulse, facts: facts.map(|facts| NodeFacts::clone(facts)) }
}
