//! Effects of the machine -> tasks, files, words to the master. Nothing here waits: answers arrive as events.

mod ending;
mod fetch;
mod limit;
mod now;
mod park;
mod warm;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use dybox_engine::{Asked, End, ImageInfo, exit_of};
use dybox_logic::proxy::{Effect, Event};
use dybox_logic::result::hold_to;
use dybox_model::{AttemptId, Cause, Exit, GrantId, Moved, Network, Peak, Published, TaskSpec};
use dybox_wire::ProxyNews;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use crate::files::{Files, absent_is_fine};
use crate::inbox::{Arrived, Dead};
use crate::lease::Leases;
use crate::parked::{Origin, Parked};
use crate::ports::Ports;
use crate::ship::Shipper;
use crate::watch::Eyes;
use crate::{engine_watch, image, names, node, policy, start};

/// Removals under way before the next start waits.
const BACKLOG: usize = 4;

/// What is known of the attempt in hand, beside what the machine knows.
struct Hand {
    spec: Arc<TaskSpec>,
    name: String,
    /// The engine's id, once it runs.
    container: Option<String>,
    files: Files,
    asked: Option<Asked>,
    halt: Arc<Notify>,
    kick: Arc<Notify>,
    task: AbortHandle,
    /// Bytes of output that its init found no room for.
    lost: u64,
    /// Its output is not all in the store.
    undrained: bool,
    /// What its container was made for: that attempt's variables are those that its init has.
    made: Arc<TaskSpec>,
    /// The attempt before it in its container.
    from: Option<AttemptId>,
    /// The container waits for the next attempt.
    eyes: Option<Box<Eyes>>,
    /// Its output is being shipped.
    opened: bool,
    /// The grant that made its container, where that is another's.
    origin: Option<Origin>,
    /// It succeeded, and its outputs are still to be put.
    puts: bool,
}

impl Hand {
    /// Where its lease is written.
    fn leases<'a>(&'a self, ports: &'a Ports) -> &'a Leases {
        self.origin.as_ref().map_or(&ports.leases, |origin| &origin.leases)
    }
}

/// Does what the machine wishes.
pub(crate) struct Performer {
    pub(crate) ports: Ports,
    pub(crate) shipper: Shipper,
    pub(crate) line: Option<UnboundedSender<ProxyNews>>,
    pub(crate) removals: JoinSet<()>,
    /// Whether a network of the run was used, which may be removed at the end.
    pub(crate) networks: bool,
    /// Attempts whose files stay, for a look or for a sweep that ships the rest.
    pub(crate) keeps: BTreeSet<AttemptId>,
    /// What sweeps found, said again to every master.
    swept: BTreeMap<GrantId, Vec<(AttemptId, Option<Exit>)>>,
    backlog: Arc<Semaphore>,
    images: BTreeMap<String, Arc<ImageInfo>>,
    pub(crate) sandbox: Option<String>,
    fetching: Option<(AttemptId, AbortHandle)>,
    /// Whether a container may wait for another run.
    pub(crate) parks: bool,
    /// The one that does.
    pub(crate) parked: Option<Parked>,
    hands: BTreeMap<AttemptId, Hand>,
    /// Inputs that were brought.
    brought: BTreeMap<AttemptId, Vec<Moved>>,
    /// Where ports of attempts are reached.
    published: BTreeMap<AttemptId, Vec<Published>>,
}

impl Performer {
    pub(crate) fn new(ports: Ports, shipper: Shipper) -> Self {
        Self {
            ports,
            shipper,
            line: None,
            removals: JoinSet::new(),
            networks: false,
            keeps: BTreeSet::new(),
            swept: BTreeMap::new(),
            backlog: Arc::new(Semaphore::new(BACKLOG)),
            images: BTreeMap::new(),
            sandbox: None,
            fetching: None,
            parks: false,
            parked: None,
            hands: BTreeMap::new(),
            brought: BTreeMap::new(),
            published: BTreeMap::new(),
        }
    }

    /// Turns what arrived into an event for the machine, where it is one.
    pub(crate) fn take(&mut self, arrived: Arrived) -> Option<Event> {
        match arrived {
            Arrived::Event(Event::Drained { attempt, problem: None }) if self.puts(attempt) => None,
            Arrived::Event(event) => {
                self.see(&event);
                Some(event)
            }
            Arrived::Brought(attempt, moved) => self.brought.insert(attempt, moved).and(None),
            Arrived::Published(attempt, ports) => self.published.insert(attempt, ports).and(None),
            Arrived::Put(attempt, put) => {
                self.ports.tell(Event::Drained { attempt, problem: None });
                let (moved, failed) = match put {
                    Ok(moved) => (moved, None),
                    Err(no) => (Vec::new(), Some((no.cause, no.text))),
                };
                Some(Event::Put { attempt, moved, failed })
            }
            Arrived::Line(line) => {
                self.line = Some(line);
                Some(Event::Dialed)
            }
            Arrived::Image(attempt, info) => {
                let id = info.id.clone();
                self.images.insert(id.clone(), info);
                Some(Event::ImageReady { attempt, id })
            }
            Arrived::Sandbox(id) => {
                self.sandbox = Some(id);
                None
            }
            Arrived::Dead(dead) => self.judge(*dead),
            Arrived::SweepAsked(grant) => {
                tokio::spawn(node::sweep_asked(self.ports.clone(), grant));
                None
            }
            Arrived::Swept(grant, exits) => {
                self.say(ProxyNews::Swept { grant, exits: exits.clone() });
                self.swept.insert(grant, exits);
                None
            }
            Arrived::LimitAsked(attempt, memory) => {
                let container = self.hands.get(&attempt).and_then(|hand| hand.container.clone());
                tokio::spawn(limit::set(self.ports.clone(), attempt, container, memory));
                None
            }
            Arrived::PrefetchAsked(image) => {
                tokio::spawn(image::prefetch(self.ports.clone(), image));
                None
            }
            Arrived::Limited(attempt, memory, why_not) => {
                self.say(ProxyNews::Limited { attempt, memory, why_not });
                None
            }
            Arrived::Note(note) => {
                self.say(ProxyNews::Noted(note));
                None
            }
        }
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Cut => self.line = None,
            Event::Started { attempt, container } => {
                self.with(*attempt, |hand| hand.container = Some(container.clone()))
            }
            Event::NotStarted { exit, .. } if exit.cause == Some(Cause::EngineDown) => {
                tokio::spawn(engine_watch::give_up_without(self.ports.clone(), true));
            }
            Event::Drained { attempt, problem: Some(_) } => {
                self.with(*attempt, |hand| hand.undrained = true);
            }
            Event::Cold(attempt) => self.take_back(*attempt),
            _ => {}
        }
    }

    /// How it ended, from what was found and what was asked of it.
    fn judge(&mut self, dead: Dead) -> Option<Event> {
        let (attempt, hand) = (dead.attempt, self.hands.get_mut(&dead.attempt)?);
        hand.opened = dead.opened;
        hand.lost = dead.verdict.as_ref().map_or(0, |verdict| verdict.dropped);
        let mut exit = exit_of(&End {
            verdict: dead.verdict.as_ref(),
            seen: dead.seen.as_ref(),
            asked: hand.asked.as_ref(),
            engine_started: dead.engine_started,
            usage: dead.usage,
            now: self.ports.clock.now(),
        });
        // Its init counts to the very end, and from the first moment; samples know the rest.
        let Peak { cpu_ms, memory, .. } = exit.used;
        exit.used = Peak { cpu_ms, memory, ..dead.used };
        dead.result.put_into(&mut exit);
        hold_to(hand.spec.results.as_ref(), &mut exit);
        exit.moved = self.brought.remove(&attempt).unwrap_or_default().into();
        hand.puts = exit.ok() && !hand.spec.outputs.is_empty();
        if Self::rest(hand, dead.eyes) {
            tracing::debug!("ended attempt={attempt}: {}; its container waits", exit.words());
            return Some(Event::Rests { attempt, exit });
        }
        tracing::info!("ended attempt={attempt}: {}", exit.words());
        Some(Event::Ended { attempt, exit })
    }

    /// Does one thing; `Leave` is the actor's.
    pub(crate) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Hello(attempts) => {
                let (grant, pid) = (self.ports.places.grant_id, std::process::id());
                self.say(ProxyNews::Hello { grant, pid, attempts });
                for (&grant, exits) in &self.swept {
                    self.say(ProxyNews::Swept { grant, exits: exits.clone() });
                }
            }
            Effect::Fetch(spec) => self.fetch(spec),
            Effect::CancelFetch(attempt) => self.cancel_fetch(attempt),
            Effect::Start { spec, image } => self.start(spec, &image),
            Effect::Next { from, spec } => self.next(from, spec),
            Effect::Park { attempt, image } => self.park(attempt, image),
            Effect::HaltStart(attempt) => self.with(attempt, |hand| hand.halt.notify_one()),
            Effect::CancelStart(attempt) => self.cancel_start(attempt),
            Effect::Runs { attempt, container, image, image_id } => {
                let ports = self.published.get(&attempt).cloned().unwrap_or_default();
                self.say(ProxyNews::Runs { attempt, container, image, image_id, ports });
            }
            Effect::Kill { attempt, signal, why } => self.kill(attempt, signal, why),
            Effect::Revoke(attempt) => self.revoke(attempt),
            Effect::Drain(attempt) => self.drain(attempt),
            Effect::Save { attempt, exit } => self.save(attempt, &exit),
            Effect::Exited { attempt, exit } => self.say(ProxyNews::Exited { attempt, exit }),
            Effect::Forget(attempt) => {
                let path = self.ports.places.saved(attempt);
                if let Err(error) = absent_is_fine(fs::remove_file(&path)) {
                    tracing::warn!(path = %path.display(), %error, "can't remove a saved end");
                }
            }
            Effect::Remove { attempt, keep } => {
                self.published.remove(&attempt);
                self.remove(attempt, keep);
            }
            Effect::Note(note) => self.say(ProxyNews::Noted(note)),
            Effect::Leave { .. } => {}
        }
    }

    pub(crate) fn say(&self, news: ProxyNews) {
        // A line that is cut is dialled again, and all that matters is said again then.
        if let Some(line) = &self.line {
            let _ = line.send(news);
        }
    }

    fn with(&mut self, attempt: AttemptId, act: impl FnOnce(&mut Hand)) {
        if let Some(hand) = self.hands.get_mut(&attempt) {
            act(hand);
        }
    }

    fn fetch(&mut self, spec: Arc<TaskSpec>) {
        let attempt = spec.attempt;
        if let Err(no) = policy::judge(&self.ports.places, &spec) {
            tracing::warn!("refused attempt={attempt}: {}", no.text);
            let exit = Exit::not_started(no.cause, no.text, self.ports.clock.now());
            return self.ports.tell(Event::NotStarted { attempt, exit });
        }
        // What this run has pinned and this proxy has seen needs no question to the engine.
        if let Some(info) = spec.pinned.as_ref().and_then(|id| self.images.get(id))
            && spec.inputs.is_empty()
        {
            return self.ports.arrive(Arrived::Image(attempt, Arc::clone(info)));
        }
        let ports = self.ports.clone();
        let task = tokio::spawn(async move {
            match fetch::fetched(&ports, &spec).await {
                Ok(info) => ports.arrive(Arrived::Image(attempt, Arc::new(info))),
                Err(no) => {
                    tracing::warn!(
                        "no image attempt={attempt}: {} ({}): {}",
                        no.cause.info().name,
                        no.cause.info().code,
                        no.text
                    );
                    let exit = Exit::not_started(no.cause, no.text, ports.clock.now());
                    ports.tell(Event::NotStarted { attempt, exit });
                }
            }
        });
        self.fetching = Some((attempt, task.abort_handle()));
    }

    fn cancel_fetch(&mut self, attempt: AttemptId) {
        if let Some((_, task)) = self.fetching.take_if(|(of, _)| *of == attempt) {
            task.abort();
            let _ = Files::of(&self.ports.places, attempt).remove_data();
        }
    }

    fn start(&mut self, spec: Arc<TaskSpec>, image: &str) {
        let attempt = spec.attempt;
        self.fetching = None;
        if self.wakes(&spec, image) {
            return;
        }
        let Some(info) = self.images.get(image) else {
            let text = "the image was forgotten between its fetch and the start";
            let exit = Exit::not_started(Cause::Internal, text, self.ports.clock.now());
            return self.ports.tell(Event::NotStarted { attempt, exit });
        };
        self.networks |= matches!(spec.network, Network::Named(_));
        let (halt, kick) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let job = start::Job {
            spec: Arc::clone(&spec),
            image: Arc::clone(info),
            sandbox: self.sandbox.clone(),
            halt: Arc::clone(&halt),
            kick: Arc::clone(&kick),
            backlog: Arc::clone(&self.backlog),
            shipper: self.shipper.clone(),
        };
        let task = tokio::spawn(start::run(self.ports.clone(), job)).abort_handle();
        let (name, files) = (names::task(&spec), Files::of(&self.ports.places, attempt));
        let (container, asked, from, eyes, origin) = (None, None, None, None, None);
        let (made, lost, undrained, opened) = (Arc::clone(&spec), 0, false, true);
        let hand = Hand {
            spec,
            name,
            container,
            files,
            asked,
            halt,
            kick,
            task,
            lost,
            undrained,
            made,
            from,
            eyes,
            opened,
            origin,
            puts: false,
        };
        self.hands.insert(attempt, hand);
    }

    fn cancel_start(&mut self, attempt: AttemptId) {
        let Some(hand) = self.hands.get(&attempt) else { return };
        hand.task.abort();
        let (ports, name) = (self.ports.clone(), hand.name.clone());
        tokio::spawn(async move {
            if let Ok(known) = ports.engine().await {
                start::make_sure(&ports, &known.engine, attempt, &name).await;
            }
            let exit = Exit::not_started(Cause::EngineDown, "its start took too long", ports.clock.now());
            ports.tell(Event::NotStarted { attempt, exit });
        });
    }
}
