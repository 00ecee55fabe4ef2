//! The loop: one mailbox; what came in is decided on as one batch, written and synced once, then performed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dybox_local::{self as local, Ledger, Local, Order};
use dybox_logic::{driver, master};
use dybox_model::{Cause, Fact, GrantId, Millis, Note, Resources};
use dybox_store::layout::{MASTER_SOCKET, Machine};
use dybox_store::{Lock, StoreError};
use dybox_wire::{Call, LinkId, MasterOrder, ProxyNews, Server, serve};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::awaited::Awaited;
use crate::book::Book;
use crate::event::{Effect, Event};
use crate::inbox::{Came, Inbox};
use crate::links::Links;
use crate::mind::Mind;
use crate::next::Rest;
use crate::perform::{After, Ports};
use crate::recover::{Recovered, recover};
use crate::watch::Watch;
use crate::{Conf, MasterError};

/// Most events of one batch: a bound on how long a record waits for its sync.
const BATCH: usize = 1024;
/// A proxy whose line or master is gone dials again within 8 s, or leaves.
const HELLO: Duration = Duration::from_secs(12);
/// A proxy says its first Hello within milliseconds of its start.
const BIRTH: Duration = Duration::from_secs(20);
/// After the end: for proxies to clean up and leave.
const LINGER: Millis = Millis::from_secs(30);
/// After the end: for the last frames to reach their watchers.
const FLUSH: Duration = Duration::from_secs(1);
/// After the end: for the other masters to hear of a stop.
const TELL: Duration = Duration::from_secs(15);
/// When the journal can't be written: for the tasks to be stopped.
const ABANDON: Duration = Duration::from_secs(12);

/// Gets one sub-DAG done: returns when it has ended and nothing of it is left, or when this process can't go on.
/// Made for a current-thread runtime.
///
/// # Errors
/// [`MasterError`]; `Held` when another master lives.
pub async fn run(conf: Conf) -> Result<(), MasterError> {
    let recovered = recover(&conf, now()).await?;
    let sub_dir = recovered.home.path(&recovered.dir.sub(conf.subdag).root());
    let (server, calls) = serve(&sub_dir, MASTER_SOCKET).await?;
    // Before the first decision: what is found now is no hook of this master.
    dybox_driver::end_orphans(&sub_dir).await;
    let (events, from_local) = mpsc::unbounded_channel();
    let (hook_events, from_hooks) = mpsc::unbounded_channel();
    let ledger = Ledger::open(ledger_conf(&conf, &recovered))?;
    let orphans = ledger.own_shares()?;
    let local = Local::start(ledger, events);
    let Recovered { home, store, dir, info, plan, mind, book, upstream, first, lock, epoch } = recovered;
    let rest = Rest { home, store, dir, run_dir: conf.run_dir, binary: conf.binary, own: conf.subdag };
    let (links, hooks, needs) = (Links::default(), BTreeMap::new(), BTreeMap::new());
    let ports =
        Ports { info, plan, rest, links, local, hook_events, hooks, upstream, needs, telling: JoinSet::new(), sub_dir };
    let actor = Actor {
        mind,
        book,
        ports,
        notes: broadcast::Sender::new(256),
        awaited: Awaited::default(),
        room: String::new(),
        ended: None,
        epoch,
        _lock: lock,
    };
    actor.serve(Inbox { calls, from_local, from_hooks }, server, first, orphans).await
}

fn ledger_conf(conf: &Conf, of: &Recovered) -> local::Conf {
    let machine = local::machine();
    local::Conf {
        run: of.info.run.clone(),
        run_dir: conf.run_dir.clone(),
        subdag: conf.subdag,
        epoch: of.epoch,
        budget: Resources {
            cpu_milli: of.info.budget_cpu_milli.unwrap_or(machine.cpu_milli),
            memory: of.info.budget_memory.unwrap_or(machine.memory),
        },
        budget_lock: of.home.path(&Machine::budget_lock()),
        shares: of.home.path(&Machine::shares()),
        waiting: of.home.path(&Machine::waiting()),
        grants: of.home.path(&of.dir.grants()),
        binary: conf.binary.clone(),
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

struct Actor {
    mind: Mind,
    book: Book,
    ports: Ports,
    notes: broadcast::Sender<Note>,
    awaited: Awaited,
    /// Why the machine has no room, as the resource manager says.
    room: String,
    /// When the sub-DAG's end was written down.
    ended: Option<Millis>,
    epoch: u32,
    _lock: Lock,
}

/// One batch: what the machines are told, and who waits until it is written down.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    written: Vec<oneshot::Sender<()>>,
}

impl Actor {
    async fn serve(
        mut self,
        mut inbox: Inbox,
        server: Server,
        first: Vec<Event>,
        shares: Vec<GrantId>,
    ) -> Result<(), MasterError> {
        let mut batch = Batch { events: first, ..Batch::default() };
        self.look_after_the_past(&shares, &mut batch);
        let outcome = loop {
            if let Err(error) = self.act(batch).await {
                self.abandon(&mut inbox).await;
                break Err(MasterError::Unrecorded(error));
            }
            if self.is_over() {
                break Ok(());
            }
            batch = Batch::default();
            let came = inbox.next(self.wake()).await;
            self.take_in(came, &mut batch);
            while batch.events.len() < BATCH
                && let Some(came) = inbox.ready()
            {
                self.take_in(came, &mut batch);
            }
        };
        // Dropping what watchers and proxies hang on lets their streams end; the last frames are on their way.
        let Self { mut ports, .. } = self;
        let _ = timeout(TELL, async { while ports.telling.join_next().await.is_some() {} }).await;
        ports.local.close().await;
        drop(inbox);
        server.close(FLUSH).await;
        outcome
    }

    /// Grants of earlier masters: who lives says Hello, whoever is dead is swept. A share that the journal does not
    /// know was taken just before a crash.
    fn look_after_the_past(&mut self, shares: &[GrantId], batch: &mut Batch) {
        let known: BTreeSet<GrantId> = self.mind.master.grants().collect();
        for &grant in &known {
            if shares.contains(&grant) {
                self.awaited.expect(grant, Instant::now(), HELLO);
                self.ports.local.order(Order::Adopt { grant });
            } else {
                batch.events.push(master::Event::ProxyLost { grant, how: String::new() }.into());
            }
        }
        for &grant in shares.iter().filter(|grant| !known.contains(grant)) {
            self.ports.local.order(Order::Sweep { grant });
        }
    }

    fn take_in(&mut self, came: Came, batch: &mut Batch) {
        match came {
            Came::Call(call) => self.take_call(call, batch),
            Came::Local(event) => self.take_local(event, batch),
            Came::Hook(event) => {
                if let driver::Event::HookEnded { hook, .. } = &event {
                    self.ports.hooks.remove(hook);
                }
                batch.events.push(event.into());
            }
            Came::Time => {
                let late = self.awaited.late(Instant::now());
                batch.events.extend(late.into_iter().map(|grant| self.give_up(grant)));
                batch.events.push(master::Event::Tick.into());
            }
        }
    }

    /// A proxy that does not answer is ended, for nobody can tell what it would still do; its containers end by sweep.
    fn give_up(&mut self, grant: GrantId) -> Event {
        tracing::warn!("the proxy of {grant} does not answer: it is killed");
        self.ports.links.forget(grant);
        self.ports.local.order(Order::Kill { grant });
        master::Event::ProxyLost { grant, how: "did not answer and was killed".to_owned() }.into()
    }

    fn take_call(&mut self, call: Call, batch: &mut Batch) {
        match call {
            Call::Linked { link, orders, .. } => self.ports.links.open(link, orders),
            Call::News { link, news } => self.take_news(link, news, batch),
            Call::Unlinked { link, .. } => {
                let silent = self.ports.links.close(link).filter(|grant| self.mind.master.size_of(*grant).is_some());
                if let Some(grant) = silent {
                    self.awaited.expect(grant, Instant::now(), HELLO);
                }
            }
            Call::Watch { from, notes, watcher } => {
                let watch = Watch {
                    store: self.ports.rest.store.clone(),
                    journal: self.ports.rest.dir.sub(self.ports.rest.own).journal(),
                    from,
                    durable: self.book.durable(),
                    notes: notes.then(|| self.notes.subscribe()),
                    watcher,
                };
                tokio::spawn(watch.serve());
                if !self.room.is_empty() {
                    // It was not there when the reason was told.
                    self.note_waiting();
                }
            }
            Call::Stop { why, now, uid, done } => {
                let asked = || uid.map_or_else(|| "asked to stop".to_owned(), |uid| format!("asked by uid {uid}"));
                let why = if why.is_empty() { asked() } else { why };
                batch.events.push(driver::Event::StopAsked { why, now }.into());
                batch.written.push(done);
            }
            Call::Why { answer } => {
                let mut waiting = self.mind.why();
                for why in waiting.iter_mut().filter(|why| !self.room.is_empty() && why.why.starts_with("no room")) {
                    why.why = format!("{} ({})", why.why, self.room);
                }
                let _ = answer.send(waiting);
            }
            Call::Grants { answer } => drop(answer.send(Vec::new())),
            Call::Relay { grant, ask } => ask.refuse(&dybox_wire::no_line(grant)),
        }
    }

    fn take_news(&mut self, link: LinkId, news: ProxyNews, batch: &mut Batch) {
        if let ProxyNews::Hello { grant, attempts, .. } = news {
            self.awaited.settle(grant);
            self.ports.links.bind(link, grant);
            self.ports.links.send(grant, MasterOrder::Welcome { epoch: self.epoch });
            return batch.events.push(master::Event::ProxyJoined { grant, attempts }.into());
        }
        // Who did not say who it is has nothing to say.
        let Some(grant) = self.ports.links.grant(link) else { return };
        match news {
            ProxyNews::Hello { .. } | ProxyNews::Swept { .. } => {}
            ProxyNews::Runs { attempt, container, image, image_id } => {
                if !image_id.is_empty() {
                    batch.events.push(master::Event::ImagePinned { image, id: image_id }.into());
                }
                batch.events.push(master::Event::Runs { grant, attempt, container }.into());
            }
            ProxyNews::Exited { attempt, exit } => {
                batch.events.push(master::Event::Exited { grant, attempt, exit }.into());
            }
            ProxyNews::Noted(note) => self.note(note),
            ProxyNews::Leaving { .. } => batch.events.push(master::Event::ProxyLeaving { grant }.into()),
        }
    }

    fn take_local(&mut self, event: local::Event, batch: &mut Batch) {
        let told = match event {
            local::Event::Granted { grant, size } => {
                let (host, container) = (String::new(), String::new());
                master::Event::Granted { grant, size, host, container, wish: None }
            }
            local::Event::Gone { grant, clean, how } => {
                self.awaited.settle(grant);
                if clean {
                    master::Event::GrantEnded { grant }
                } else {
                    tracing::warn!("the proxy of {grant} {how}");
                    master::Event::ProxyLost { grant, how }
                }
            }
            local::Event::Swept { grant, exits } => master::Event::Swept { grant, exits },
            local::Event::Refused { why, .. } => {
                let why = format!("a task can never run here: {why}");
                return batch.events.push(driver::Event::StopAsked { why, now: false }.into());
            }
            local::Event::Waits { why } => {
                self.room = why;
                return self.note_waiting();
            }
            local::Event::OthersWait { any, first } => master::Event::OthersWait { any, first },
            local::Event::Trouble { text } => {
                tracing::warn!("{text}");
                return self.note(Note::Warns { text, cause: Some(Cause::StoreFailed) });
            }
        };
        batch.events.push(told.into());
    }

    fn note(&self, note: Note) {
        // Nobody may be watching.
        let _ = self.notes.send(note);
    }

    fn note_waiting(&self) {
        for waiting in self.mind.master.why() {
            let why = if self.room.is_empty() { String::new() } else { waiting.why };
            self.note(Note::Waits { stage: waiting.stage, why });
        }
    }

    /// Decides, writes down, then does. What an effect itself leads to is decided on in the next round.
    async fn act(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        while !batch.events.is_empty() {
            let now = now();
            let turn = self.mind.settle(now, batch.events.drain(..));
            self.book.write(&turn.facts).await?;
            for fact in &turn.facts {
                if let Fact::StageEnded { stage, .. } = fact {
                    self.ports.forget(*stage);
                }
            }
            let mut effects: VecDeque<_> = turn.effects.into();
            while let Some(effect) = effects.pop_front() {
                if let Effect::Master(master::Effect::Launch { grant }) = &effect {
                    self.awaited.expect(*grant, Instant::now(), BIRTH);
                }
                match self.ports.perform(effect, &self.mind, now) {
                    After::Nothing => {}
                    After::Tell(event) => batch.events.push(event),
                    After::Finish => self.finish(now).await,
                }
            }
        }
        for done in batch.written {
            let _ = done.send(());
        }
        Ok(())
    }

    /// Its own end is written: the next sub-DAGs can start. What can't be started now is started by `resume`.
    async fn finish(&mut self, now: Millis) {
        self.ended = Some(now);
        match self.ports.rest.hand_over(&self.ports.plan, now).await {
            Ok(started) if started.is_empty() => {}
            Ok(started) => tracing::info!("started the masters of {started:?}"),
            Err(error) => tracing::error!("the next sub-DAG could not be started: {error}; {}", error.advice()),
        }
    }

    fn is_over(&self) -> bool {
        let Some(ended) = self.ended else { return false };
        let left = self.mind.master.grants().count();
        let late = now() >= ended.after(LINGER);
        if left > 0 && late {
            tracing::warn!("{left} proxies have not left in time; `dybox gc` shows what they leave");
        }
        left == 0 || late
    }

    fn wake(&self) -> Option<Instant> {
        let linger = self.ended.map(|ended| ended.after(LINGER));
        let next = [self.mind.wake(), linger].into_iter().flatten().min();
        let next = next.map(|next| Instant::now() + Duration::from_millis(next.since(now()).0));
        [next, self.awaited.next()].into_iter().flatten().min()
    }

    /// The journal can't be written any more: stops what can't be recorded. Nothing is acknowledged, so proxies keep
    /// the ends of their attempts for the next master, and leave by themselves when this one is gone.
    async fn abandon(&mut self, inbox: &mut Inbox) {
        tracing::error!("the journal could not be written: all tasks are told to stop");
        let mut left = BTreeSet::new();
        let grants: Vec<_> = self.mind.master.grants().filter(|grant| self.ports.links.is_linked(*grant)).collect();
        for grant in grants {
            if let Some(attempt) = self.mind.master.attempt_at(grant) {
                self.ports.links.send(grant, MasterOrder::Halt { attempt, now: false });
                left.insert(attempt);
            }
        }
        let all_ended = async {
            while !left.is_empty()
                && let Some(call) = inbox.calls.recv().await
            {
                if let Call::News { news: ProxyNews::Exited { attempt, .. }, .. } = call {
                    left.remove(&attempt);
                }
            }
        };
        let _ = timeout(ABANDON, all_ended).await;
    }
}
