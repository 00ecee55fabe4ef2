//! The line to the master: dialled again whenever it is cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dybox_logic::proxy::Event;
use dybox_store::Store;
use dybox_store::epochs::MasterAddr;
use dybox_store::layout::{MASTER_SOCKET, SubDir};
use dybox_wire::{Address, Link, MasterClient, MasterOrder, ProxyNews, TlsIdentity, WireError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::conf::Places;
use crate::inbox::Arrived;
use crate::{relay, visit};

/// How long one dial waits for a master to come up, and the pause after one that failed otherwise.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);
/// A master of another machine that is not at its last address has written down where it is; looked up this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(5);

/// Where masters of this sub-DAG are found.
pub(crate) enum Masters {
    /// At a socket in this directory.
    Here(PathBuf),
    /// At a port, and, after that, where the store says.
    Far(Box<FarMasters>),
}

/// A dial that is under way.
pub(crate) type Early = JoinHandle<Result<MasterClient, WireError>>;

pub(crate) struct FarMasters {
    pub(crate) at: Address,
    /// A dial that began while the grant moved in.
    pub(crate) early: Option<Early>,
    pub(crate) identity: TlsIdentity,
    pub(crate) store: Store,
    pub(crate) sub: SubDir,
    pub(crate) looked: Option<Instant>,
}

impl Masters {
    async fn dial(&mut self) -> Result<(MasterClient, Link), WireError> {
        let master = match self {
            Self::Here(dir) => MasterClient::dial(dir, MASTER_SOCKET, PATIENCE).await?,
            Self::Far(far) => match far.dial().await {
                Ok(master) => master,
                Err(error) => {
                    far.look().await;
                    return Err(error);
                }
            },
        };
        let link = master.link().await?;
        Ok((master, link))
    }
}

impl FarMasters {
    async fn dial(&mut self) -> Result<MasterClient, WireError> {
        if let Some(early) = self.early.take()
            && let Ok(dialled) = early.await
        {
            return dialled;
        }
        MasterClient::dial_at(&self.at, Duration::ZERO).await
    }

    /// Finds out where the newest master is.
    async fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        match timeout(LOOK, MasterAddr::get(&self.store, &self.sub)).await {
            Ok(Ok(Some(MasterAddr { host, port, epoch }))) => {
                let at = Address::Tcp { host, port, identity: self.identity.clone() };
                if at != self.at {
                    tracing::info!(master = %at, epoch, "the master moved");
                    self.at = at;
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::info!(%error, "where the master is can't be looked up"),
            Err(_) => tracing::info!("where the master is can't be looked up: the store does not answer"),
        }
    }
}

/// Keeps a line for as long as somebody listens to its events.
pub(crate) async fn keep_line(mut masters: Masters, places: Arc<Places>, inbox: UnboundedSender<Arrived>) {
    while !inbox.is_closed() {
        match masters.dial().await {
            Ok((master, link)) => {
                // One channel a line: what was meant for the master before must not reach the next one unasked.
                let (say, said) = unbounded_channel();
                if inbox.send(Arrived::Line(say)).is_err() {
                    return;
                }
                carry(&master, link, said, (&places, &inbox)).await;
                tracing::info!("the line to the master is cut");
                let _ = inbox.send(Arrived::Event(Event::Cut));
            }
            Err(error) => tracing::debug!(%error, "no master"),
        }
        sleep(PAUSE).await;
    }
}

async fn carry(
    master: &MasterClient,
    mut link: Link,
    mut said: UnboundedReceiver<ProxyNews>,
    (places, inbox): (&Arc<Places>, &UnboundedSender<Arrived>),
) {
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
                let (master, places) = (master.clone(), Arc::clone(places));
                let arrived = match order {
                    MasterOrder::Read { ticket, offset, max } => {
                        tokio::spawn(relay::read(master, places, (ticket, offset, max)));
                        continue;
                    }
                    MasterOrder::Attach { ticket, attempt, visit } => {
                        match visit {
                            None => drop(tokio::spawn(relay::attach(master, places, (ticket, attempt)))),
                            Some(visit) => drop(tokio::spawn(visit::visit(master, places, (ticket, attempt, *visit)))),
                        }
                        continue;
                    }
                    MasterOrder::Sweep { grant } => Arrived::SweepAsked(grant),
                    MasterOrder::Prefetch { image } => Arrived::PrefetchAsked(image),
                    MasterOrder::Limit { attempt, memory } => Arrived::LimitAsked(attempt, memory),
                    MasterOrder::Welcome { epoch } => {
                        tracing::info!(epoch, "the master answered");
                        Arrived::Event(Event::Welcomed)
                    }
                    MasterOrder::Start(spec) => Arrived::Event(Event::Ordered((*spec).into())),
                    MasterOrder::Halt { attempt, now } => Arrived::Event(Event::HaltAsked { attempt, now }),
                    MasterOrder::Ack { attempt } => Arrived::Event(Event::Acked(attempt)),
                    MasterOrder::Leave => Arrived::Event(Event::LeaveAsked),
                };
                if inbox.send(arrived).is_err() {
                    return;
                }
            }
        }
    }
}
