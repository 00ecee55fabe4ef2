//! The loop of a session: one mailbox, one pool; runs go on beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_model::{Millis, Node, Resources};
use dybox_store::bundle::{AGENT_ALIAS, AgentBundle, BUNDLE_VERSION};
use dybox_store::layout::SubDir;
use dybox_store::{StoreError, Trouble};
use dybox_wire::{AgentNews, AgentOrder, LinkId, Server, SessionCall};
use dybox_yarn::{Container, ContainerId, Credentials, FinalStatus, Kind, Launch, NodeManagers, am};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::avoid::Avoided;
use super::book::Book;
use super::hand::Said;
use super::page::{Kept, Look, Over, serve as serve_page};
use super::pool::{In, Key, Out, Pool};
use super::runs::{Answer, Running};
use crate::MasterError;
use crate::actor::now;
use crate::cluster::SessionConf;
use crate::cluster::page::Source;
use crate::rm::{Room, program};

/// For agents to leave when the session ends.
const LEAVING: Duration = Duration::from_secs(60);
/// For the ResourceManager to take the goodbye.
const GOODBYE: Duration = Duration::from_secs(60);
/// For the last answers to reach whoever asked.
const FLUSH: Duration = Duration::from_secs(1);

/// What comes in beside calls and YARN's events.
#[derive(Debug)]
pub(super) enum Came {
    /// A run's master says something to the pool.
    Said(Key, Said),
    /// A run's master listens.
    Listens(Key, u16),
    /// What a run's page is made of.
    Shows(Key, Source),
    /// Somebody looks at a page.
    Looks(Look),
    /// The page of one that is over.
    Kept(Over),
    /// A run's master has returned.
    Returned(Key, Result<(), MasterError>),
    /// One that failed is to be started again.
    Again(Key),
    /// A NodeManager did not start an agent.
    NotStarted(ContainerId, String),
    /// All runs were told to end.
    Told,
}

/// Calls, YARN's events, and what the store has to say.
type Ins = (mpsc::Receiver<SessionCall>, mpsc::UnboundedReceiver<am::Event>, mpsc::UnboundedReceiver<Trouble>);

/// The session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conf: SessionConf,
    pub(super) port: u16,
    server: Option<Server>,
    pub(super) book: Book,
    pub(super) pool: Pool,
    pub(super) am: am::Handle,
    /// What YARN was told to leave out.
    pub(super) avoided: Avoided,
    nodes: NodeManagers,
    /// Of those that are not over.
    pub(super) containers: BTreeMap<String, Container>,
    links: BTreeMap<LinkId, (mpsc::UnboundedSender<AgentOrder>, Option<String>)>,
    pub(super) runs: BTreeMap<Key, Running>,
    pub(super) kept: Kept,
    /// Who waits for what their masters' ports are.
    pub(super) answers: BTreeMap<Key, Vec<Answer>>,
    pub(super) tell: mpsc::UnboundedSender<Came>,
    inbox: mpsc::UnboundedReceiver<Came>,
    pub(super) machines: Vec<Node>,
    pub(super) queue: String,
    /// What the queue would still give.
    pub(super) free: Option<Resources>,
    pub(super) since: Millis,
    /// Runs are told once YARN knows this master.
    registered: bool,
    /// It takes no more, since then.
    pub(super) ends: Option<Instant>,
    leaving: Option<Instant>,
    over: Option<Result<(), MasterError>>,
}

impl Session {
    pub(super) fn new(conf: SessionConf, am: am::Handle, (server, port): (Server, u16), book: Book) -> Self {
        let (tell, inbox) = mpsc::unbounded_channel();
        let pool = Pool::new(conf.bundle.spec.clone(), Instant::now());
        let nodes = am.node_managers();
        Self {
            conf,
            port,
            server: Some(server),
            book,
            pool,
            am,
            avoided: Avoided::default(),
            nodes,
            containers: BTreeMap::new(),
            links: BTreeMap::new(),
            runs: BTreeMap::new(),
            kept: Kept::new(),
            answers: BTreeMap::new(),
            tell,
            inbox,
            machines: Vec::new(),
            queue: String::new(),
            free: None,
            since: now(),
            registered: false,
            ends: None,
            leaving: None,
            over: None,
        }
    }

    /// Until the end.
    pub(super) async fn serve(
        mut self,
        (mut calls, mut events, mut troubles): Ins,
        page: TcpListener,
    ) -> Result<(), MasterError> {
        tokio::spawn(serve_page(page, self.tell.clone()));
        loop {
            let wake = self.wake();
            tokio::select! {
                Some(call) = calls.recv() => self.take_call(call).await?,
                Some(event) = events.recv() => self.take_event(event),
                Some(came) = self.inbox.recv() => self.take_in(came).await?,
                Some(trouble) = troubles.recv() => tracing::warn!("{}", trouble.text),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.pool(In::Tick),
            }
            self.see_to_the_end();
            if let Some(over) = self.over.take() {
                return self.close(over, events).await;
            }
        }
    }

    fn wake(&self) -> Option<Instant> {
        let keep = Duration::from_millis(self.conf.bundle.spec.keep.0);
        let keep = self.pool.quiet().filter(|_| self.ends.is_none()).map(|quiet| quiet + keep);
        [self.pool.wake(), keep, self.leaving.map(|since| since + LEAVING)].into_iter().flatten().min()
    }

    /// Nobody came for long, or it was stopped: when no run is left its agents leave, then it does.
    fn see_to_the_end(&mut self) {
        let (at, keep) = (Instant::now(), Duration::from_millis(self.conf.bundle.spec.keep.0));
        if self.ends.is_none() && self.runs.is_empty() && self.pool.quiet().is_some_and(|quiet| quiet + keep <= at) {
            tracing::info!("no run came for the time that it is kept: the session ends");
            self.ends = Some(at);
        }
        if self.ends.is_none() || !self.runs.is_empty() || self.over.is_some() {
            return;
        }
        if self.leaving.is_none() {
            self.leaving = Some(at);
            self.pool(In::Close);
        }
        if self.pool.is_empty() || self.leaving.is_some_and(|since| since + LEAVING <= at) {
            self.over = Some(Ok(()));
        }
    }

    async fn close(
        mut self,
        over: Result<(), MasterError>,
        mut events: mpsc::UnboundedReceiver<am::Event>,
    ) -> Result<(), MasterError> {
        if over.is_ok() {
            // Nobody finds its way here any more.
            let names = SubDir::of_session(&self.conf.application());
            if let Err(error) = self.book.store.remove_tree(&names.root()).await {
                tracing::warn!("the session's directory could not be removed: {}", error.text());
            }
            let (status, diagnostics) = (FinalStatus::Succeeded, String::new());
            self.am.order(am::Order::Finish { status, diagnostics, url: String::new() });
            let done = |event: &am::Event| matches!(event, am::Event::Finished | am::Event::Dead { .. });
            let finished = async { while events.recv().await.is_some_and(|event| !done(&event)) {} };
            let _ = timeout(GOODBYE, finished).await;
        }
        if let Some(server) = self.server.take() {
            server.close(FLUSH).await;
        }
        over
    }

    async fn take_call(&mut self, call: SessionCall) -> Result<(), StoreError> {
        match call {
            SessionCall::Linked { link, orders } => drop(self.links.insert(link, (orders, None))),
            SessionCall::Unlinked { link } => {
                if let Some((_, Some(container))) = self.links.remove(&link)
                    && self.link_of(&container).is_none()
                {
                    self.pool(In::Cut { container });
                }
            }
            SessionCall::News { link, news } => self.take_news(link, news),
            SessionCall::Submit { bundle, answer } => self.submit(&bundle, answer).await?,
            SessionCall::Look { answer } => drop(answer.send(self.view())),
            SessionCall::End { why, now, done } => {
                tracing::info!(why, "the session is asked to end");
                self.ends.get_or_insert_with(Instant::now);
                self.stop_runs(&why, now, done);
            }
        }
        Ok(())
    }

    fn take_news(&mut self, link: LinkId, news: AgentNews) {
        let Some((_, of)) = self.links.get_mut(&link) else { return };
        match news {
            AgentNews::Hello { container, serving, last } => {
                *of = Some(container.clone());
                self.pool(In::Hello { container, serving, last });
            }
            AgentNews::Ended(end) => {
                // Who did not say who it is has nothing to say.
                let Some(container) = of.clone() else { return };
                self.pool(In::Ended { container, end });
            }
        }
    }

    fn take_event(&mut self, event: am::Event) {
        use am::Event as E;
        match event {
            E::Registered { queue, previous, .. } => {
                tracing::info!("registered in queue {queue}; {} grants of earlier masters live", previous.len());
                (self.queue, self.registered) = (queue, true);
                let previous = self.take_containers(previous);
                self.pool(In::Registered { previous });
                self.go_on();
            }
            E::Found(found) => {
                let previous = self.take_containers(found);
                self.pool(In::Registered { previous });
            }
            E::Granted { container, wish } => {
                for room in self.take_containers(vec![container]) {
                    self.pool(In::Granted { room, wish: wish.clone() });
                }
            }
            E::Completed { id, exit, diagnostics } => {
                let container = id.to_string();
                self.containers.remove(&container);
                self.pool(In::Completed { container, exit, how: diagnostics });
            }
            E::Refused { wish, why } => self.pool(In::Refused { wish, why }),
            E::Nodes(nodes) => {
                self.machines.clone_from(&nodes);
                self.pool(In::Racks(nodes.iter().map(|node| (node.host.clone(), node.rack.clone())).collect()));
                self.tell_all(&E::Nodes(nodes));
            }
            E::Dead { why } => self.over = Some(Err(MasterError::Over { why })),
            E::Trouble { text } => {
                tracing::warn!("{text}");
                self.tell_all(&E::Trouble { text });
            }
            E::Preempts(_) | E::Recovered => self.tell_all(&event),
            E::Headroom { free, .. } => self.free = Some(free),
            E::Updated(_) | E::UpdateFailed { .. } | E::Restarted | E::Finished => {}
        }
    }

    async fn take_in(&mut self, came: Came) -> Result<(), StoreError> {
        match came {
            Came::Said(key, said) => self.take_said(key, said).await?,
            Came::Listens(key, port) => self.listens(&key, port),
            Came::Shows(key, source) => {
                if let Some(running) = self.runs.get_mut(&key) {
                    running.page = Some(source);
                }
            }
            Came::Looks(look) => self.shown(look),
            Came::Kept(over) => self.kept(over),
            Came::Returned(key, outcome) => self.returned(key, outcome).await?,
            Came::Again(key) => self.again(&key),
            Came::NotStarted(container, why) => {
                tracing::warn!("an agent could not be started in {container}: {why}");
                self.am.order(am::Order::Release(container));
            }
            Came::Told => {}
        }
        Ok(())
    }

    async fn take_said(&mut self, key: Key, said: Said) -> Result<(), StoreError> {
        match said {
            Said::Began(known) => self.pool(In::Began { key, known }),
            Said::Order(order) => self.take_order(key, order),
            Said::Start { grant, container, bundle } => {
                let link = self.link_of(&container).cloned();
                self.pool(In::Started { key, grant, container });
                // Where its line was just cut, its next Hello tells that it works on nothing.
                if let Some(link) = link {
                    let _ = link.send(AgentOrder::Serve(bundle));
                }
            }
            Said::Next { bundle, answer } => self.submit(&bundle, answer).await?,
        }
        Ok(())
    }

    fn take_order(&mut self, key: Key, order: am::Order) {
        match order {
            am::Order::Ask { wish, count } => self.pool(In::Asked { key, wish, count }),
            am::Order::Release(id) => self.pool(In::Released { key, container: id.to_string() }),
            am::Order::Blacklist { add, remove } => {
                self.avoid(&key, &add, &remove);
                self.pool(In::Avoids { key, add, remove });
            }
            am::Order::Update { container, .. } => {
                let why = "grants of a session keep their size".to_owned();
                self.tell_run(&key, am::Event::UpdateFailed { id: container, why });
            }
            am::Order::Finish { .. } => self.tell_run(&key, am::Event::Finished),
            am::Order::Progress(_) | am::Order::Tracking(_) => {}
        }
    }

    fn take_containers(&mut self, containers: Vec<Container>) -> Vec<Room> {
        let room = |container: &Container| Room {
            container: container.id.to_string(),
            host: container.node.host.clone(),
            size: container.size,
        };
        let rooms = containers.iter().map(room).collect();
        self.containers.extend(containers.into_iter().map(|container| (container.id.to_string(), container)));
        rooms
    }

    fn link_of(&self, container: &str) -> Option<&mpsc::UnboundedSender<AgentOrder>> {
        let of = |(_, of): &&(_, Option<String>)| of.as_deref() == Some(container);
        self.links.values().rev().find(of).map(|(orders, _)| orders)
    }

    /// Tells the pool, and does what it says.
    pub(super) fn pool(&mut self, event: In) {
        let mut out = Vec::new();
        self.pool.handle(Instant::now(), event, &mut out);
        for out in out {
            match out {
                Out::Ask { wish, count } => self.am.order(am::Order::Ask { wish, count }),
                Out::Launch(container) => self.launch(&container),
                Out::Release(container) => self.release(&container),
                Out::Leave(container) => match self.link_of(&container) {
                    Some(link) => drop(link.send(AgentOrder::Leave)),
                    None => self.release(&container),
                },
                Out::Tell(key, told) => self.pass(&key, told),
            }
        }
    }

    fn release(&self, container: &str) {
        if let Ok(id) = container.parse() {
            self.am.order(am::Order::Release(id));
        }
    }

    fn launch(&self, container: &str) {
        let Some(container) = self.containers.get(container).cloned() else { return };
        let bundle = AgentBundle {
            version: BUNDLE_VERSION,
            application: self.conf.application(),
            store: self.conf.bundle.store.clone(),
            tls: self.conf.bundle.tls.proxy.clone(),
            host: self.conf.host.clone(),
            port: self.port,
        };
        let theirs = self.conf.for_proxies();
        let secrets = BTreeMap::from([(AGENT_ALIAS.to_owned(), bundle.encode())]);
        let env = self.conf.bundle.env.clone();
        let launch = Launch { credentials: Credentials { secrets, ..theirs }, env, ..Launch::default() };
        let launch = launch.starting(program(&self.conf.bundle.binary), "proxy");
        let (nodes, tell) = (self.nodes.clone(), self.tell.clone());
        tokio::spawn(async move {
            if let Err(error) = nodes.start(&container, &launch).await
                && error.kind() != Kind::Unreachable
            {
                let _ = tell.send(Came::NotStarted(container.id, error.to_string()));
            }
        });
    }
}
