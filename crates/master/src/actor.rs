//! The loop: one mailbox; what came in is decided on as one batch, written and synced once, then performed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dybox_logic::master;
use dybox_model::{Cause, Fact, GrantId, Millis, Note, SubDagId};
use dybox_store::{Store, StoreError};
use dybox_wire::{Call, MasterOrder, ProxyNews, Server};
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::MasterError;
use crate::adds::tasks_of;
use crate::awaited::Awaited;
use crate::book::Book;
use crate::cache;
use crate::event::{Effect, Event};
use crate::inbox::Inbox;
use crate::live::Live;
use crate::mind::Mind;
use crate::perform::{After, Ports};
use crate::rm::{News, Rm};

/// Most events of one batch: a bound on how long a record waits for its sync.
const BATCH: usize = 1024;
/// Telling of pauses takes at most one part in so many of the time.
const PAUSES_SHARE: u32 = 50;
/// After the end: for proxies to clean up and leave.
const LINGER: Millis = Millis::from_secs(30);
/// After the end, on a cluster: for YARN to say that grants are over whose proxies have no line and no work. Where a
/// NodeManager is dead it says so minutes later, and nothing is left to wait for; it ends what lives on with the application.
const LEFT: Millis = Millis::from_secs(3);
/// After the end: for the last frames to reach their watchers.
const FLUSH: Duration = Duration::from_secs(1);
/// After the end: for the other masters to hear of a stop.
const TELL: Duration = Duration::from_secs(15);
/// After the end: for the next sub-DAGs to be started.
const HAND_OVER: Duration = Duration::from_secs(300);
/// Before the end is told: for the run's files to be in the store. Where it does not answer, the end is told without.
const SETTLES: Duration = Duration::from_secs(2);
/// When the journal can't be written: for the tasks to be stopped.
const ABANDON: Duration = Duration::from_secs(12);

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a master is made of.
pub(crate) struct Parts {
    pub(crate) mind: Mind,
    pub(crate) live: Live,
    pub(crate) book: Book,
    pub(crate) ports: Ports,
    /// Where watchers' bytes are read: the journal, or its mirror on this machine.
    pub(crate) mirror: (Store, String),
    pub(crate) epoch: u32,
    /// What is written with the first batch, before its effects. The mind knows it already.
    pub(crate) opening: Vec<Fact>,
    /// Writes the run's directory beside the work.
    pub(crate) settled: Option<JoinHandle<()>>,
}

pub(crate) struct Actor {
    pub(crate) mind: Mind,
    pub(crate) live: Live,
    pub(crate) book: Book,
    pub(crate) ports: Ports,
    pub(crate) mirror: (Store, String),
    pub(crate) notes: broadcast::Sender<Note>,
    pub(crate) awaited: Awaited,
    /// Grants that the resource manager took or will take, and why: what they work on was told to end.
    pub(crate) taken: BTreeMap<GrantId, Cause>,
    /// Why the machine has no room, as the resource manager says.
    pub(crate) room: String,
    /// Pauses before further tries are not told before: a run of very many of them has more to do.
    hush: Instant,
    pub(crate) epoch: u32,
    /// What is to be written before all else.
    opening: Vec<Fact>,
    /// Another master takes this one's place.
    pub(crate) over: Option<String>,
    /// When the sub-DAG's end was written down.
    ended: Option<Millis>,
    settled: Option<JoinHandle<()>>,
    /// What follows the end, beside the loop.
    handing: Option<JoinHandle<()>>,
    /// All tasks of the sub-DAG, as planned.
    tasks: u32,
}

/// One batch: what the machines are told, and who waits until it is written down.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    pub(crate) written: Vec<oneshot::Sender<()>>,
    /// What comes next is decided on after this: it may change the plan.
    pub(crate) full: bool,
}

fn numbers(subdags: &[SubDagId]) -> String {
    subdags.iter().map(|subdag| subdag.0.to_string()).collect::<Vec<_>>().join(", ")
}

impl Actor {
    pub(crate) fn new(Parts { mind, live, book, ports, mirror, epoch, opening, settled }: Parts) -> Self {
        let tasks = tasks_of(&ports.plan, ports.rest.own);
        let (awaited, taken) = (Awaited::default(), BTreeMap::new());
        let (notes, room) = (broadcast::Sender::new(256), String::new());
        let (over, ended, handing) = (None, None, None);
        Self {
            mind,
            live,
            book,
            ports,
            mirror,
            notes,
            awaited,
            taken,
            room,
            hush: Instant::now(),
            epoch,
            opening,
            over,
            ended,
            settled,
            handing,
            tasks,
        }
    }

    /// Until the end. `first` is what the machines are told first, `past` what became of earlier masters' grants.
    pub(crate) async fn serve(
        mut self,
        mut inbox: Inbox,
        server: Server,
        first: Vec<Event>,
        past: Vec<News>,
    ) -> Result<(), MasterError> {
        let mut batch = Batch { events: first, ..Batch::default() };
        self.take_news_of_rm(past, &mut batch);
        let outcome = loop {
            if let Err(error) = self.act(batch).await {
                if !error.is_fenced() {
                    self.abandon(&mut inbox).await;
                }
                break Err(MasterError::Unrecorded(error));
            }
            if let Some(why) = self.over.take() {
                break Err(MasterError::Over { why });
            }
            if self.is_over() {
                break Ok(());
            }
            batch = Batch::default();
            let came = inbox.next(self.wake()).await;
            self.take_in(came, &mut batch);
            while batch.events.len() < BATCH
                && !batch.full
                && let Some(came) = inbox.ready()
            {
                self.take_in(came, &mut batch);
            }
        };
        self.close(outcome, inbox, server).await
    }

    async fn close(self, outcome: Result<(), MasterError>, inbox: Inbox, server: Server) -> Result<(), MasterError> {
        let Inbox { calls, from_rm, .. } = inbox;
        // Dropping what watchers and proxies hang on lets their streams end; the last frames are on their way.
        let Self { mut ports, handing, mirror, .. } = self;
        drop(std::mem::take(&mut ports.links));
        let _ = timeout(TELL, async { while ports.telling.join_next().await.is_some() {} }).await;
        if let (Ok(()), Some(handing)) = (&outcome, handing) {
            let _ = timeout(HAND_OVER, handing).await;
        }
        drop(calls);
        let report = outcome.is_ok().then_some(mirror);
        let writes = std::mem::take(&mut ports.cache.writes);
        let (closed, ()) = tokio::join!(ports.rm.close(report, from_rm), cache::written(writes));
        server.close(FLUSH).await;
        outcome.and(closed)
    }

    /// Decides, writes down, then does. What an effect itself leads to is decided on in the next round.
    async fn act(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        while !batch.events.is_empty() {
            let now = now();
            let turn = self.mind.settle(now, batch.events.drain(..));
            self.ports.remember(&turn.facts, &self.mind);
            if turn.facts.iter().any(|fact| matches!(fact, Fact::Ended { .. })) {
                self.await_settled().await;
                self.ports.settle_cache().await;
            }
            self.write(&turn.facts).await?;
            self.apply(&turn.facts);
            self.note_pauses(&turn.facts);
            let mut effects: VecDeque<_> = turn.effects.into();
            while let Some(effect) = effects.pop_front() {
                if let Effect::Master(master::Effect::Launch { grant }) = &effect {
                    self.awaited.expect(*grant, Instant::now(), self.ports.rm.birth());
                }
                match self.ports.perform(effect, &self.mind, now) {
                    After::Nothing => {}
                    After::Tell(event) => batch.events.push(*event),
                    After::Heard(news) => self.take_news_of_rm(news, &mut batch),
                    After::Finish => self.finish(now),
                }
            }
        }
        for done in batch.written {
            let _ = done.send(());
        }
        Ok(())
    }

    async fn write(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        let opening = std::mem::take(&mut self.opening);
        if opening.is_empty() {
            return self.book.write(facts).await;
        }
        self.book.write(&[&opening, facts].concat()).await
    }

    /// Whoever hears that the run has ended looks into its directory next. A run of tasks that are warm already may end
    /// before that is there.
    async fn await_settled(&mut self) {
        if let Some(settled) = &mut self.settled
            && timeout(SETTLES, settled).await.is_ok()
        {
            self.settled = None;
        }
    }

    fn apply(&mut self, facts: &[Fact]) {
        for fact in facts {
            self.live.apply(fact);
            match fact {
                Fact::StageEnded { stage, .. } => self.ports.forget(*stage),
                Fact::GrantEnded { grant, .. } => drop(self.taken.remove(grant)),
                Fact::HookDecided { decision, .. } if !decision.add.is_empty() => {
                    self.ports.grow(fact);
                    self.tasks = tasks_of(&self.ports.plan, self.ports.rest.own);
                }
                _ => {}
            }
        }
        if !facts.is_empty() {
            self.ports.rm.progress(self.live.progress(self.tasks));
        }
    }

    /// Tells watchers when what has failed is tried again.
    fn note_pauses(&mut self, facts: &[Fact]) {
        let start = Instant::now();
        let again = |fact: &Fact| matches!(fact, Fact::AttemptEnded { again: true, .. });
        if start >= self.hush && facts.iter().any(again) {
            self.note_waiting();
            self.hush = Instant::now() + start.elapsed() * PAUSES_SHARE;
        }
    }

    /// Its own end is written: the next sub-DAGs can start. What can't be started now is started by `resume`.
    fn finish(&mut self, now: Millis) {
        self.ended = Some(now);
        let (journal, rest, settled) = (self.book.close(), self.ports.rest.clone(), self.settled.take());
        let learned = self.live.learned(&self.ports.plan, now);
        self.handing = Some(tokio::spawn(async move {
            if let Some(settled) = settled {
                let _ = settled.await;
            }
            if let Some(journal) = journal
                && let Err(error) = journal.close().await
            {
                tracing::error!("the journal could not be closed: {error}; {}", error.advice());
            }
            match rest.hand_over(now).await {
                Ok(started) if started.is_empty() => {}
                Ok(started) => tracing::info!("started the masters of sub-DAGs {}", numbers(&started)),
                Err(error) => tracing::error!("the next sub-DAG could not be started: {error}; {}", error.advice()),
            }
            rest.remember(learned).await;
        }));
    }

    fn is_over(&self) -> bool {
        let Some(ended) = self.ended else { return false };
        let now = now();
        let waited = matches!(self.ports.rm, Rm::Cluster(_)) && now >= ended.after(LEFT);
        let gone = |&grant: &GrantId| {
            waited && !self.ports.links.is_linked(grant) && self.mind.master.attempts_at(grant).next().is_none()
        };
        let left = self.mind.master.grants().filter(|grant| !gone(grant)).count();
        let late = now >= ended.after(LINGER);
        if left > 0 && late {
            tracing::warn!("{left} proxies have not left in time; `dybox gc` shows what they leave");
        }
        left == 0 || late
    }

    fn wake(&self) -> Option<Instant> {
        let linger = self.ended.map(|ended| ended.after(LINGER));
        let left = self.ended.map(|ended| ended.after(LEFT)).filter(|at| *at > now());
        let next = [self.mind.wake(), left, linger].into_iter().flatten().min();
        let next = next.map(|next| Instant::now() + Duration::from_millis(next.since(now()).0));
        [next, self.awaited.next(), self.ports.rm.wake()].into_iter().flatten().min()
    }

    /// The journal can't be written any more: stops what can't be recorded. Nothing is acknowledged, so proxies keep
    /// the ends of their attempts for the next master, and leave by themselves when this one is gone.
    async fn abandon(&mut self, inbox: &mut Inbox) {
        tracing::error!("the journal could not be written: all tasks are told to stop");
        let mut left = BTreeSet::new();
        let grants: Vec<_> = self.mind.master.grants().filter(|grant| self.ports.links.is_linked(*grant)).collect();
        for grant in grants {
            for attempt in self.mind.master.attempts_at(grant) {
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
