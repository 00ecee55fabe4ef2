//! The loop: owns the roster, the agents' lines and the way to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dybox_logic::roster::{Effect, Event, Question, Roster, Rules, Session};
use dybox_model::Millis;
use dybox_wire::roster::{AgentOrder, RosterCall, RosterTold, read_identity, serve_roster};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answers, advice};
use crate::authority::read;
use crate::conf::{Conf, StateError};
use crate::count::Count;
use crate::http::{self, Look};
use crate::keep::Keep;

/// For answers that are on their way when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Calls that are taken before the loop looks at anything else.
const TOGETHER: usize = 64;

/// A state server that listens.
#[derive(Debug)]
pub struct Running {
    /// The port for those with certificates.
    pub port: u16,
    /// The port for everybody, where there is one.
    pub http_port: Option<u16>,
    /// What is wrong with it from the start; empty where nothing is.
    pub troubles: Vec<String>,
    server: dybox_wire::Server,
    calls: mpsc::Receiver<RosterCall>,
    looks: mpsc::Receiver<Look>,
    mind: Mind,
}

/// Time that never jumps, whatever is done to the machine's clock while the server lives.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    at: Millis,
}

impl Clock {
    fn start() -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), at: Millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)) }
    }

    fn now(self) -> Millis {
        self.at.after(Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Opens the database and listens.
///
/// # Errors
/// [`StateError`].
pub async fn start(conf: &Conf) -> Result<Running, StateError> {
    let clock = Clock::start();
    let identity = read_identity(&read(&conf.identity)?)?;
    let found = Keep::open(&conf.dir, clock.now())?;
    let mut roster = Roster::new(Rules::default());
    for (host, (mark, history)) in found.rows {
        roster.restore(clock.now(), &host, mark, history);
    }
    let troubles: Vec<_> = found.trouble.into_iter().collect();
    let (look, looks) = mpsc::channel(64);
    let http_port = match conf.http {
        None => None,
        Some(bind) => {
            let failed = |source| StateError::Http { bind, source };
            let listener = TcpListener::bind(bind).await.map_err(failed)?;
            let port = listener.local_addr().map_err(failed)?.port();
            tokio::spawn(http::serve(listener, look.clone()));
            Some(port)
        }
    };
    let (server, calls, port) = serve_roster(conf.bind, &identity, conf.open).await?;
    let mind = Mind {
        clock,
        roster,
        keep: found.keep,
        troubles: troubles.clone(),
        lines: BTreeMap::new(),
        count: Count::default(),
        answers: Answers::default(),
        _look: look,
    };
    Ok(Running { port, http_port, troubles, server, calls, looks, mind })
}

impl Running {
    /// Serves until `end` comes.
    pub async fn until(self, end: impl Future<Output = ()>) {
        let Self { server, mut calls, mut looks, mut mind, .. } = self;
        tokio::pin!(end);
        let mut came = Vec::new();
        loop {
            let wait = mind.roster.wake().since(mind.clock.now());
            tokio::select! {
                () = &mut end => break,
                count = calls.recv_many(&mut came, TOGETHER) => {
                    if count == 0 {
                        break;
                    }
                    came.drain(..).for_each(|call| mind.take(call));
                }
                Some(look) = looks.recv() => mind.show(look),
                () = tokio::time::sleep(Duration::from_millis(wait.0)) => mind.hear(Event::Tick, None),
            }
        }
        mind.lines.clear();
        server.close(LAST_WORDS).await;
    }
}

/// Everything that the loop owns.
#[derive(Debug)]
struct Mind {
    clock: Clock,
    roster: Roster,
    keep: Keep,
    troubles: Vec<String>,
    lines: BTreeMap<Session, mpsc::UnboundedSender<Box<AgentOrder>>>,
    count: Count,
    answers: Answers,
    /// Keeps the loop's other end open where there are no pages.
    _look: mpsc::Sender<Look>,
}

impl Mind {
    fn take(&mut self, call: RosterCall) {
        match call {
            RosterCall::Opened { session, host, orders } => {
                self.lines.insert(Session(session), orders);
                self.hear(Event::Opened { session: Session(session), host }, None);
            }
            RosterCall::Reported { session, report } => {
                self.count.reports += 1;
                let dybox_wire::roster::NodeReport { host, seq, pulse, facts } = *report;
                self.hear(
                    Event::Reported { session: Session(session), host, seq, pulse: Box::new(pulse), facts },
                    None,
                );
            }
            RosterCall::Closed { session } => {
                self.lines.remove(&Session(session));
                self.hear(Event::Closed { session: Session(session) }, None);
            }
            RosterCall::Denied { why } => self.count.refuse(why),
            RosterCall::Nodes { host: None, images, advice: true, answer } => {
                self.count.answers += 1;
                let nodes = advice(&self.roster, self.clock.now(), &images);
                let _ = answer.send(RosterTold { nodes, troubles: self.troubles() });
            }
            RosterCall::Nodes { host, images, advice: _, answer } => {
                self.count.answers += 1;
                let nodes = self.answers.to(&self.roster, self.clock.now(), &Question { host, images });
                let _ = answer.send(RosterTold { nodes, troubles: self.troubles() });
            }
            RosterCall::Mark { host, drained, why, by, done } => {
                self.hear(Event::Marked { host, drained, why, by }, Some(done));
            }
            RosterCall::Sweep { host, order, answer } => {
                tracing::info!(order = order.id, by = order.by, "sweeps are wanted");
                let _ = answer.send(self.order(Event::Wanted { host, order }));
            }
            RosterCall::Bring { hosts, order, answer } => {
                tracing::info!(image = order.image, run = order.run, "an image is wanted");
                let _ = answer.send(self.order(Event::Missed { hosts, order }));
            }
        }
        self.count.lines = self.lines.len() as u64;
    }

    /// Passes an order on to agents; whose agents those are.
    fn order(&mut self, event: Event) -> Vec<String> {
        let mut effects = Vec::new();
        self.roster.handle(self.clock.now(), event, &mut effects);
        let mut told = Vec::new();
        for effect in effects {
            let (session, host, order) = match effect {
                Effect::Sweep { session, host, order } => (session, host, AgentOrder::Sweep(order)),
                Effect::Bring { session, host, order } => (session, host, AgentOrder::Bring(order)),
                _ => continue,
            };
            self.tell(session, order);
            told.push(host);
        }
        told
    }

    fn show(&mut self, look: Look) {
        // Whoever asked may be gone.
        let _ = match look {
            Look::Nodes(host, answer) => answer.send(self.page(host)),
            Look::Metrics(answer) => {
                let troubles = self.troubles().len();
                answer.send(self.count.text(&self.roster, troubles).into())
            }
        };
    }

    fn page(&mut self, host: Option<String>) -> Bytes {
        self.count.answers += 1;
        self.answers.page(&self.roster, self.clock.now(), host, self.troubles()).into()
    }

    /// What is wrong with this server.
    fn troubles(&self) -> Vec<String> {
        self.troubles.iter().cloned().chain(self.keep.trouble()).collect()
    }

    /// Lets the machine hear, and does what it wants. `done` is answered once what must last is on the disk.
    fn hear(&mut self, event: Event, mut done: Option<oneshot::Sender<Result<(), String>>>) {
        let now = self.clock.now();
        let mut effects = Vec::new();
        self.roster.handle(now, event, &mut effects);
        let mut changed = BTreeSet::new();
        for effect in effects {
            match effect {
                Effect::Record { host, change } => {
                    tracing::info!(host, to = change.to, why = change.why, "a node changed");
                    changed.insert(host);
                }
                Effect::Keep { host, .. } => drop(changed.insert(host)),
                Effect::Forget { host } => self.keep.put(host, None),
                Effect::Tell { session, mark } => self.tell(session, AgentOrder::Carry(mark)),
                Effect::Sweep { session, order, .. } => self.tell(session, AgentOrder::Sweep(order)),
                Effect::Bring { session, order, .. } => self.tell(session, AgentOrder::Bring(order)),
                Effect::Refuse { session, why } => {
                    self.count.refuse(why.name());
                    self.tell(session, AgentOrder::Leave(why.to_string()));
                    self.lines.remove(&session);
                }
            }
        }
        for host in changed {
            let Some(row) = self.roster.lasting(&host) else { continue };
            match done.take() {
                Some(done) => self.keep.put_now(host, row, done),
                None => self.keep.put(host, Some(row)),
            }
        }
    }

    fn tell(&self, session: Session, order: AgentOrder) {
        if let Some(line) = self.lines.get(&session) {
            // It may be gone; its news that the line is cut is on its way.
            let _ = line.send(Box::new(order));
        }
    }
}
