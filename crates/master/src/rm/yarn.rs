//! YARN as the resource manager: the desk's wishes become orders, events of the ApplicationMaster's line its facts.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_model::{GrantId, Node, Resources};
use dybox_store::Store;
use dybox_yarn::{Container, ContainerId, Kind, YarnError, am};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::desk::Desk;
use super::exit::verdict;
use super::launch::Launcher;
use super::line::Line;
use super::own::Child;
use super::waits::Waits;
use super::words::{In, Out, Place};
use super::{FromRm, Heard, News, Order, Room, report};
use crate::MasterError;

/// For the ResourceManager to take the goodbye.
const GOODBYE: Duration = Duration::from_secs(900);

/// What the ports answered.
#[derive(Debug)]
pub(crate) enum Did {
    /// A NodeManager took the order to start a proxy, or not.
    Started { grant: GrantId, outcome: Result<(), YarnError> },
    /// A NodeManager was told of a larger container.
    Grown { container: Box<Container>, outcome: Result<(), YarnError> },
    /// The child in the master's own container ended.
    OwnEnded { grant: GrantId, clean: bool, how: String },
}

/// YARN's.
#[derive(Debug)]
pub(crate) struct Cluster {
    desk: Desk,
    line: Line,
    launcher: Launcher,
    tell: mpsc::UnboundedSender<FromRm>,
    /// By id, as long as they are not over.
    containers: BTreeMap<String, Container>,
    children: BTreeMap<GrantId, Child>,
    waits: Waits,
    progress: f32,
    /// Where each host's NodeManager shows its pages.
    pages: watch::Sender<BTreeMap<String, String>>,
}

impl Cluster {
    pub(crate) fn new(desk: Desk, line: Line, launcher: Launcher, tell: mpsc::UnboundedSender<FromRm>) -> Self {
        let (containers, children, waits) = (BTreeMap::new(), BTreeMap::new(), Waits::default());
        let pages = watch::Sender::default();
        Self { desk, line, launcher, tell, containers, children, waits, progress: 0.0, pages }
    }

    pub(super) fn need_images(&mut self, images: impl Iterator<Item = String>) {
        self.launcher.images.extend(images);
    }

    /// Where the NodeManagers show their pages, by host, as far as it is known.
    pub(crate) fn pages(&self) -> watch::Receiver<BTreeMap<String, String>> {
        self.pages.subscribe()
    }

    fn keep(&mut self, container: Container) -> Room {
        let room = room(&container);
        let new = |pages: &BTreeMap<String, String>| pages.get(&room.host) != Some(&container.http);
        if !container.http.is_empty() && new(&self.pages.borrow()) {
            self.pages.send_modify(|pages| drop(pages.insert(room.host.clone(), container.http.clone())));
        }
        self.containers.insert(room.container.clone(), container);
        room
    }

    pub(super) fn order(&mut self, order: Order) -> Vec<News> {
        let event = match order {
            Order::Ask { wish, count } => In::Asked { wish, count },
            Order::Launch { grant } => In::Launch(grant),
            Order::Sweep { grant } => In::Sweep(grant),
            Order::Kill { grant } => In::Kill(grant),
            Order::Resize { grant, size } => return self.resize(grant, size),
            Order::Blacklist { host } => {
                self.line.order(am::Order::Blacklist { add: vec![host.clone()], remove: Vec::new() });
                In::Avoided { host, avoid: true }
            }
            Order::Forgive { host } => {
                self.line.order(am::Order::Blacklist { add: Vec::new(), remove: vec![host.clone()] });
                In::Avoided { host, avoid: false }
            }
        };
        self.handle(event)
    }

    pub(super) fn heard(&mut self, grant: GrantId, heard: Heard) -> Vec<News> {
        self.handle(match heard {
            Heard::Joined => In::Joined(grant),
            Heard::Given => In::Given(grant),
            Heard::Works => In::Works(grant),
            Heard::Cut => In::Cut(grant),
            Heard::Leaving => In::Leaving(grant),
            Heard::Swept { grant: swept, exits } => In::Swept { by: grant, grant: swept, exits },
        })
    }

    pub(super) fn did(&mut self, did: Did) -> Vec<News> {
        match did {
            Did::Started { outcome: Ok(()), .. } => Vec::new(),
            Did::Started { grant, outcome: Err(error) } => {
                // A call that got no answer may have been heard.
                let sure = error.kind() != Kind::Unreachable;
                let how = format!("could not be started: {error}");
                self.handle(In::NotStarted { grant, how, sure })
            }
            Did::Grown { container, outcome: Ok(()) } => {
                let size = container.size;
                self.handle(In::Resized { container: container.id.to_string(), size })
            }
            Did::Grown { container, outcome: Err(error) } => {
                // Its NodeManager did not take it: YARN takes the rest back by itself after a while.
                let why = format!("its NodeManager did not take it: {error}");
                self.handle(In::NotResized { container: container.id.to_string(), why })
            }
            Did::OwnEnded { grant, clean, how } => {
                self.children.remove(&grant);
                self.handle(In::OwnEnded { grant, clean, how })
            }
        }
    }

    pub(super) fn told(&mut self, event: am::Event) -> Vec<News> {
        use am::Event as E;
        let trouble = |text| vec![News::Trouble { text, cause: None }];
        match event {
            E::Registered { queue, previous, .. } => {
                tracing::info!("registered in queue {queue}; {} grants of earlier masters live", previous.len());
                self.waits.queue = queue;
                let previous = self.take_containers(previous);
                self.handle(In::Registered { previous })
            }
            E::Found(found) => {
                let found = self.take_containers(found);
                self.handle(In::Found { found })
            }
            E::Granted { container, wish } => {
                let room = self.keep(container);
                self.handle(In::Granted { room, wish })
            }
            E::Completed { id, exit, diagnostics } => {
                let container = id.to_string();
                self.containers.remove(&container);
                self.handle(In::Completed { container, verdict: verdict(exit, &diagnostics) })
            }
            E::Nodes(nodes) => self.take_nodes(nodes),
            E::Headroom { free, .. } => {
                self.waits.free = Some(free);
                self.waits()
            }
            E::Preempts(ids) => self.handle(In::Preempts(ids.iter().map(ToString::to_string).collect())),
            E::Refused { wish, .. } if self.desk.is_to_sweep(&wish) => Vec::new(),
            E::Refused { wish, why } => vec![News::Refused { wish, why }],
            E::Updated(container) => self.updated(container),
            E::UpdateFailed { id, why } => self.handle(In::NotResized { container: id.to_string(), why }),
            E::Restarted => trouble(
                "the ResourceManager came back without memory of this master; all is asked for again".to_owned(),
            ),
            E::Recovered => trouble("the ResourceManager answers again".to_owned()),
            E::Trouble { text } => trouble(text),
            E::Dead { why } => vec![News::Over { why }],
            E::Finished => vec![News::Finished],
        }
    }

    fn take_nodes(&mut self, nodes: Vec<Node>) -> Vec<News> {
        self.waits.nodes.clone_from(&nodes);
        let mut news = vec![News::Nodes(nodes)];
        news.extend(self.waits());
        news
    }

    fn take_containers(&mut self, containers: Vec<Container>) -> Vec<Room> {
        containers.into_iter().map(|container| self.keep(container)).collect()
    }

    pub(super) fn tick(&mut self) -> Vec<News> {
        let mut news = self.handle(In::Tick);
        news.extend(self.waits());
        news
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        [self.desk.wake(), self.waits.wake()].into_iter().flatten().min()
    }

    pub(super) fn is_sweeper(&self, grant: GrantId) -> bool {
        self.desk.is_sweeper(grant)
    }

    pub(super) fn is_over(&self, grant: GrantId) -> bool {
        self.desk.is_over(grant)
    }

    pub(super) fn progress(&mut self, part: f32) {
        if part - self.progress >= 0.005 || part >= 1.0 && self.progress < 1.0 {
            self.progress = part;
            self.line.order(am::Order::Progress(part));
        }
    }

    fn waits(&mut self) -> Vec<News> {
        self.waits.look(self.desk.waiting(), Instant::now()).map(|why| News::Waits { why }).into_iter().collect()
    }

    fn handle(&mut self, event: In) -> Vec<News> {
        let mut out = Vec::new();
        self.desk.handle(Instant::now(), event, &mut out);
        let mut news = Vec::new();
        for out in out {
            match out {
                Out::Tell(told) => news.push(told),
                Out::Ask { wish, count } => self.line.order(am::Order::Ask { wish, count }),
                Out::Release(container) => self.release(&container),
                Out::Start { grant, place } => self.start(grant, place),
                Out::Stop { grant, place: Place::Own } => drop(self.children.remove(&grant)),
                Out::Stop { grant, place: Place::Container } => self.stop(grant),
            }
        }
        news.extend(self.waits());
        news
    }

    fn release(&self, container: &str) {
        // The own container of an earlier master is not YARN's to take back, and one that is no id never was.
        if let Ok(id) = container.parse::<ContainerId>() {
            self.line.order(am::Order::Release(id));
        }
    }

    fn start(&mut self, grant: GrantId, place: Place) {
        let Some(room) = self.desk.room(grant) else { return };
        let tell = self.tell.clone();
        if place == Place::Own {
            let child = self.launcher.own(grant, room, tell);
            self.children.insert(grant, child);
            return;
        }
        let Some(container) = self.containers.get(&room.container).cloned() else { return };
        self.line.start((grant, &container), &self.launcher.of(grant, room), tell);
    }

    fn resize(&mut self, grant: GrantId, size: Resources) -> Vec<News> {
        let refuse = |why: &str| News::NotResized { grant, why: why.to_owned() };
        let Some(room) = self.desk.room(grant) else { return vec![refuse("it is over")] };
        match self.containers.get(&room.container) {
            Some(container) if !self.desk.is_over(grant) => {
                self.line.order(am::Order::Update { container: container.id, size });
                Vec::new()
            }
            // The master's own container is not the application's to change.
            _ => vec![
                refuse("YARN does not change the size of a master's own container"),
                News::Resized { grant, size: room.size },
            ],
        }
    }

    /// One that grew must be known to its NodeManager before anything in it does; it is not waited for in the loop.
    fn updated(&mut self, container: Container) -> Vec<News> {
        let id = container.id.to_string();
        let before = self.containers.insert(id.clone(), container.clone()).map(|old| old.size);
        if before.is_none_or(|before| container.size.fits(before)) {
            return self.handle(In::Resized { container: id, size: container.size });
        }
        self.line.grow(container, self.tell.clone());
        Vec::new()
    }

    /// Its end comes as that of its container.
    fn stop(&self, grant: GrantId) {
        let container = self.desk.room(grant).and_then(|room| self.containers.get(&room.container));
        if let Some(container) = container {
            self.line.stop(grant, container);
        }
    }

    /// Why asks wait, where a session has an answer of its own.
    pub(super) fn waits_for_session(&mut self, why: String) -> Vec<News> {
        self.waits.session = Some(why);
        self.waits()
    }

    /// Says goodbye where the sub-DAG has ended, until the ResourceManager has understood it.
    pub(super) async fn close(
        mut self,
        ended: Option<(Store, String)>,
        mut told: mpsc::UnboundedReceiver<FromRm>,
    ) -> Result<(), MasterError> {
        self.children.clear();
        let Some((store, journal)) = ended else { return Ok(()) };
        let (status, diagnostics) = report::of(&store, &journal).await;
        self.line.order(am::Order::Finish { status, diagnostics, url: String::new() });
        let finished = async {
            while let Some(event) = told.recv().await {
                let FromRm::Am(event) = event else { continue };
                match *event {
                    am::Event::Finished => return Ok(()),
                    am::Event::Dead { why } => return Err(MasterError::Over { why }),
                    _ => {}
                }
            }
            Ok(())
        };
        let late = || MasterError::Over { why: "the ResourceManager did not answer to its goodbye".to_owned() };
        timeout(GOODBYE, finished).await.unwrap_or_else(|_| Err(late()))
    }
}

fn room(container: &Container) -> Room {
    Room { container: container.id.to_string(), host: container.node.host.clone(), size: container.size }
}

/// The largest free room of one machine, for people.
pub(super) fn largest(nodes: &[Node]) -> Option<Resources> {
    nodes.iter().filter(|node| node.usable).map(|node| node.capacity - node.used).max_by_key(|free| free.memory)
}
