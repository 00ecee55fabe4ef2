//! A master on the cluster: an ApplicationMaster with a port, a page, and a journal in HDFS.

mod conf;
mod hooks;
pub(crate) mod page;
mod recover;
mod settle;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dybox_logic::master;
use dybox_store::bundle::Tls;
use dybox_store::{Store, Trouble};
use dybox_wire::{Call, Server, TlsIdentity, serve_tcp};
use dybox_yarn::{FinalStatus, ResourceManager, Settings, am};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::MasterError;
use crate::actor::{Actor, Parts, now};
use crate::cache::Cache;
use crate::inbox::Inbox;
use crate::links::Links;
use crate::next::{Others, Rest, There};
use crate::perform::Ports;
use crate::recover::Recovered;
use crate::rm::{self, Desk, FromRm, Launcher, Line, Rm, Room};
use crate::roster::Roster;
use crate::session::Hand;

pub use conf::{AmConf, SessionConf, YarnConf};
pub(crate) use recover::{PATIENCE, Taken};

/// Any port of any interface.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// For the ResourceManager to hear why nothing can be done.
const GOODBYE: Duration = Duration::from_secs(60);
/// Between two heartbeats: grants that are told a beat later cost every stage of a run that much.
pub(crate) const BEATS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(100));

/// Gets one sub-DAG done as an ApplicationMaster: returns when it has ended and YARN knows, or when this attempt can't
/// go on; then YARN starts the next one. Made for a current-thread runtime.
///
/// # Errors
/// [`MasterError`].
pub async fn run_on_yarn(conf: YarnConf) -> Result<(), MasterError> {
    let roster = Roster::start(conf.bundle.roster.as_ref());
    let (server, calls, port) = serve_tcp(ANY, &identity(&conf.bundle.tls.master)).await?;
    let listener = TcpListener::bind(ANY).await.map_err(MasterError::Page)?;
    let page_port = listener.local_addr().map_err(MasterError::Page)?.port();
    // The ResourceManager hears of this master while it reads its journal.
    let settings = Settings::from_map(conf.bundle.store.settings.clone());
    let (line, events) = am::start(am::Conf {
        user: Some(conf.bundle.info.user.clone()),
        host: conf.host.clone(),
        rpc_port: port,
        tracking_url: format!("http://{}:{page_port}/", conf.host),
        beat: BEATS.0,
        quick_beat: BEATS.1,
        ..am::Conf::new(settings, conf.container, conf.token.clone())
    });
    let (tell, from_rm) = mpsc::unbounded_channel();
    let troubles = troubles(tell.clone());
    let past = match recover::recover(&conf, troubles, (now(), None)).await {
        Ok(past) => past,
        Err(error) => return Err(refuse(error, &line, events).await),
    };
    forward(events, tell.clone());
    let page = Shows::At(listener);
    let line = Line::yarn(line);
    Begun { server, calls, port, page, line, tell, from_rm, session: None, roster }.go_on(conf, past).await
}

/// What a session and a master in it hear of each other while that begins.
pub(crate) struct Ears {
    /// The port, once it listens.
    pub(crate) port: oneshot::Sender<u16>,
    /// What its page is made of, once it is in control.
    pub(crate) page: oneshot::Sender<page::Source>,
    /// That the session has it, where it began before that.
    pub(crate) taken: Option<Taken>,
}

/// The same in a session, whose pool of grants is this sub-DAG's YARN.
///
/// # Errors
/// [`MasterError`].
pub(crate) async fn run_in_session(
    conf: YarnConf,
    hand: Hand,
    (tell, from_rm): (mpsc::UnboundedSender<FromRm>, mpsc::UnboundedReceiver<FromRm>),
    ears: Ears,
) -> Result<(), MasterError> {
    let roster = Roster::start(conf.bundle.roster.as_ref());
    let (server, calls, port) = serve_tcp(ANY, &identity(&conf.bundle.tls.master)).await?;
    // Whoever submitted may be gone.
    let _ = ears.port.send(port);
    let past = recover::recover(&conf, troubles(tell.clone()), (now(), ears.taken)).await?;
    let known = past.rooms.iter().map(|(grant, room)| (*grant, room.container.clone())).collect();
    hand.began(known);
    let session = Some(hand.clone());
    let line = Line::session(hand);
    let page = Shows::To(ears.page);
    Begun { server, calls, port, page, line, tell, from_rm, session, roster }.go_on(conf, past).await
}

/// Who shows the page.
enum Shows {
    /// This master itself.
    At(TcpListener),
    /// Its session.
    To(oneshot::Sender<page::Source>),
}

/// A master that listens and knows who gives it grants.
struct Begun {
    server: Server,
    calls: mpsc::Receiver<Call>,
    port: u16,
    page: Shows,
    line: Line,
    tell: mpsc::UnboundedSender<FromRm>,
    from_rm: mpsc::UnboundedReceiver<FromRm>,
    session: Option<Hand>,
    roster: Roster,
}

impl Begun {
    /// To the end of the sub-DAG.
    async fn go_on(self, conf: YarnConf, past: recover::OnCluster) -> Result<(), MasterError> {
        let Self { server, calls, port, page, line, tell, from_rm, session, roster } = self;
        let recover::OnCluster { recovered, rooms, mirror } = past;
        let Recovered { store, dir, info, plan, planned, mind, live, book, upstream, .. } = recovered;
        let (policy, profiles, mut first) = (recovered.policy, recovered.profiles, recovered.first);
        let (epoch, opening, seen) = (recovered.epoch, recovered.opening, recovered.seen);
        tracing::info!(run = %info.run, epoch, port, "in control");
        let settled = settle::start(&conf, &store, ((port, epoch), tell.clone()), &planned);
        let own_room = own_room(&conf).filter(|_| session.is_none());
        let desk = Desk::new((conf.bundle.subdag, epoch), rooms, own_room);
        let launcher = Launcher {
            bundle: conf.bundle.clone(),
            host: conf.host.clone(),
            port,
            credentials: conf.for_proxies(),
            program: conf.program.clone(),
            secrets: plan.secrets(Some(conf.bundle.subdag)).into_keys().map(str::to_owned).collect(),
            images: plan.stages.iter().filter(|stage| !stage.late.image).map(|stage| stage.image.clone()).collect(),
        };
        let rm = rm::Cluster::new(desk, line, launcher, tell);
        let source = page::Source::new(&conf, (mirror.clone(), book.durable()), rm.pages());
        match page {
            Shows::At(listener) => drop(tokio::spawn(page::Page::new(&conf, source).serve(listener))),
            // A session that ends shows nothing.
            Shows::To(session) => drop(session.send(source)),
        }
        let rm = Rm::Cluster(Box::new(rm));
        let there = There::new(&conf, client(&conf)?, session);
        let (own, others) = (conf.bundle.subdag, Others::There(Arc::new(there)));
        let rest = Rest { store, dir, own, plan: planned, others };
        let (hook_events, from_hooks) = mpsc::unbounded_channel();
        let hook_events = crate::names::first(&rest, hook_events);
        let (links, hooks, prepared) = (Links::default(), BTreeMap::new(), BTreeMap::new());
        let (telling, sub_dir) = (JoinSet::new(), conf.work_dir.clone());
        let wishes = roster.wishes();
        let (cache, found) = Cache::new(conf.program.clone(), Some(conf.bundle.store.clone()), seen);
        let ports = Ports {
            info,
            plan,
            rest,
            links,
            rm,
            hook_events,
            hooks,
            upstream,
            policy,
            profiles,
            prepared,
            cache,
            telling,
            wishes,
            sub_dir,
        };
        // The first ask knows what is closed already.
        let (known, advice) = roster.begin(mind.master.images()).await;
        first.splice(0..0, known.map(|known| master::Event::Roster(known).into()));
        let actor = Actor::new(Parts { mind, live, book, ports, mirror, epoch, opening, settled: Some(settled) });
        actor.serve(Inbox { calls, from_rm, from_hooks, found, advice }, server, first, Vec::new()).await
    }
}

/// Room for tasks in this process's own container.
fn own_room(conf: &YarnConf) -> Option<Room> {
    let size = conf.bundle.own?;
    Some(Room { container: conf.container.to_string(), host: conf.host.clone(), size })
}

fn client(conf: &YarnConf) -> Result<ResourceManager, MasterError> {
    let settings = Settings::from_map(conf.bundle.store.settings.clone());
    Ok(ResourceManager::from_settings(&settings, &conf.bundle.info.user)?)
}

pub(crate) fn identity(tls: &Tls) -> TlsIdentity {
    TlsIdentity { ca: tls.ca.clone(), cert: tls.cert.clone(), key: tls.key.clone() }
}

/// What the store has to say becomes news for watchers.
fn troubles(tell: mpsc::UnboundedSender<FromRm>) -> mpsc::UnboundedSender<Trouble> {
    let (troubles, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(trouble) = told.recv().await {
            if tell.send(FromRm::Store(trouble)).is_err() {
                break;
            }
        }
    });
    troubles
}

fn forward(mut events: mpsc::UnboundedReceiver<am::Event>, tell: mpsc::UnboundedSender<FromRm>) {
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if tell.send(FromRm::Am(Box::new(event))).is_err() {
                break;
            }
        }
    });
}

/// What no other attempt could do better is said to the ResourceManager; for the rest another attempt is tried.
async fn refuse(error: MasterError, line: &am::Handle, mut events: mpsc::UnboundedReceiver<am::Event>) -> MasterError {
    if !error.is_final() {
        return error;
    }
    let diagnostics = format!("{error}. {}", error.advice());
    line.order(am::Order::Finish { status: FinalStatus::Failed, diagnostics, url: String::new() });
    let over = |event: &am::Event| matches!(event, am::Event::Finished | am::Event::Dead { .. });
    let finished = async { while events.recv().await.is_some_and(|event| !over(&event)) {} };
    let _ = timeout(GOODBYE, finished).await;
    error
}

/// The store as masters use it: a call may wait for a NameNode that restarts.
pub(crate) fn store(conf: &YarnConf) -> Result<Store, MasterError> {
    Ok(Store::hdfs(conf.bundle.store.clone())?.with_patience(PATIENCE))
}
