//! From the run's directory to a master that has the whole past in mind. There is no other recovery code.

use std::collections::{BTreeMap, BTreeSet};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use dybox_job::{Plan, Profiles, SubDag};
use dybox_journal::{State, decode};
use dybox_logic::{driver, master};
use dybox_model::{Fact, Millis, Need, StageId, SubDagId};
use dybox_store::layout::{Home, RunDir};
use dybox_store::{Appender, Lock, RunInfo, StopMark, Store};
use serde::de::DeserializeOwned;

use crate::adds::grow;
use crate::book::Book;
use crate::cache::Seen;
use crate::event::Event;
use crate::fill;
use crate::live::Live;
use crate::mind::Mind;
use crate::policy::Policy;
use crate::world::profiles;
use crate::{Conf, MasterError};

/// Whoever looks whether a master lives holds its lock for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// A sub-DAG in the hands of this process.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) store: Store,
    pub(crate) dir: RunDir,
    pub(crate) info: RunInfo,
    /// With all that hooks have added.
    pub(crate) plan: Arc<Plan>,
    /// Without it: what is in the store, or is to be.
    pub(crate) planned: Arc<Plan>,
    pub(crate) mind: Mind,
    pub(crate) live: Live,
    pub(crate) book: Book,
    pub(crate) epoch: u32,
    /// What the journal is to hold before anything else is done: known to the mind already.
    pub(crate) opening: Vec<Fact>,
    /// Sub-DAGs that ours needs, as their journals tell.
    pub(crate) upstream: BTreeMap<SubDagId, Mind>,
    /// What the administrator allows.
    pub(crate) policy: Policy,
    /// The administrator's profiles, where hooks may add stages.
    pub(crate) profiles: Profiles,
    /// What of it the cache needs.
    pub(crate) seen: Seen,
    /// What the machines are told first.
    pub(crate) first: Vec<Event>,
}

/// All that was written down before, and what it means for this master.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) store: Store,
    pub(crate) dir: RunDir,
    pub(crate) info: RunInfo,
    pub(crate) plan: Arc<Plan>,
    pub(crate) subdag: SubDagId,
    /// The journal's, and the journal itself.
    pub(crate) facts: Vec<Fact>,
    pub(crate) book: Book,
    /// What the administrator allows.
    pub(crate) policy: Policy,
    /// This master's number, where it is claimed already.
    pub(crate) epoch: Option<u32>,
    pub(crate) reopen: bool,
}

/// On one machine: the lock, then the past.
pub(crate) async fn recover(conf: &Conf, home: &Home, dir: RunDir, now: Millis) -> Result<Recovered, MasterError> {
    let store = Store::open_dir(home.dir());
    let sub = dir.sub(conf.subdag);
    let info: RunInfo = json(&store, &dir.info()).await?;
    let plan: Plan = json(&store, &dir.plan()).await?;
    let (facts, whole) = read(&store, &sub.journal()).await?;
    let mut appender = store.append(&sub.journal()).await?;
    cut_torn(&mut appender, whole).await?;
    let (plan, book, subdag, reopen) = (Arc::new(plan), Book::new(appender), conf.subdag, conf.reopen);
    let policy = Policy::load(&store, &info).await?;
    let past = Past { store, dir, info, plan, subdag, facts, book, policy, epoch: None, reopen };
    let mut recovered = past.go_on(now).await?;
    recovered.open().await?;
    recovered.store.remove(&sub.again()).await?;
    Ok(recovered)
}

impl Recovered {
    /// Writes down that a new master is in control, where that is not left to its first batch.
    pub(crate) async fn open(&mut self) -> Result<(), MasterError> {
        let opening = std::mem::take(&mut self.opening);
        self.book.write(&opening).await.map_err(MasterError::Unrecorded)
    }
}

impl Past {
    /// Folds it, and what the new master writes down first.
    pub(crate) async fn go_on(self, now: Millis) -> Result<Recovered, MasterError> {
        let (opening, epoch) = self.opening(now);
        let Self { store, dir, info, plan: planned, subdag, facts, book, policy, .. } = self;
        let Some(own) = planned.subdags.get(subdag.0 as usize) else { return Err(MasterError::NoSubDag(subdag.0)) };
        let (mut upstream, mut before, far) = (BTreeMap::new(), Vec::new(), store.is_remote());
        let mut known = planned.clone();
        for needed in read_of(&planned, subdag, own) {
            let facts = read_closed(&store, &dir.sub(needed).journal()).await?;
            before.extend(facts.iter().filter(|fact| Seen::matters(fact)).cloned());
            upstream.insert(needed, fold((&planned, needed), far, &facts));
            grow(&mut known, &facts);
        }
        let mut mind = fold((&known, subdag), far, &facts);
        let mut plan = known;
        grow(&mut plan, &facts);
        let Some(own) = plan.subdags.get(subdag.0 as usize) else { return Err(MasterError::NoSubDag(subdag.0)) };
        let profiles = if own.hooks.is_empty() { Profiles::Unasked } else { profiles(&store).await };
        let mut live = Live::of(&facts);
        let seen = Seen::of(before.iter().chain(&facts));
        for fact in &opening {
            mind.apply(fact);
            live.apply(fact);
        }
        let refused = |&stage: &StageId| policy.refuses_stage(&plan, stage).map(|why| (stage, why));
        mind.refused = own.stages.iter().filter_map(refused).collect();
        let last = plan.is_last(subdag);
        let mut first = upstream_results(&plan, subdag, &upstream);
        if last {
            let state = fill::state_of(&upstream).to_owned();
            first.push(driver::Event::RunEnded { state }.into());
        }
        first.extend(upstream_ends(&plan, subdag, &upstream));
        first.extend([Event::from(driver::Event::Opened), master::Event::Opened.into()]);
        // What runs after everything does so after a stop, too; one that is asked for now comes over its line.
        if !last {
            first.extend(stop_mark(&store, &dir).await?);
        }
        Ok(Recovered {
            store,
            dir,
            info,
            plan,
            planned,
            mind,
            live,
            book,
            epoch,
            opening,
            upstream,
            policy,
            profiles,
            seen,
            first,
        })
    }

    /// What is written first: the sub-DAG itself where the journal is empty, and that a new master is in control.
    fn opening(&self, now: Millis) -> (Vec<Fact>, u32) {
        let facts = &self.facts;
        let mut news = Vec::new();
        if facts.is_empty() && (self.subdag.0 as usize) < self.plan.subdags.len() {
            news.push(submitted(&self.plan, self.subdag, &self.info));
        }
        let last = |fact: &Fact| if let Fact::Opened { epoch, .. } = fact { Some(*epoch) } else { None };
        let epoch = self.epoch.unwrap_or_else(|| facts.iter().rev().find_map(last).unwrap_or(0) + 1);
        if self.reopen && has_ended(facts) {
            news.push(Fact::Reopened { at: now });
        }
        news.push(Fact::Opened { epoch, at: now, pid: process::id() });
        (news, epoch)
    }
}

/// Whether the last word of a journal is an end.
pub(crate) fn has_ended(facts: &[Fact]) -> bool {
    let last = facts.iter().rev().find(|fact| matches!(fact, Fact::Ended { .. } | Fact::Reopened { .. }));
    matches!(last, Some(Fact::Ended { .. }))
}

/// The facts of a sub-DAG that has ended. In HDFS a master that died after its end may have left its journal open.
async fn read_closed(store: &Store, journal: &str) -> Result<Vec<Fact>, MasterError> {
    let (facts, _) = read(store, journal).await?;
    // One that was killed before it began has none.
    if !store.is_remote() || has_ended(&facts) || !store.exists(journal).await? {
        return Ok(facts);
    }
    store.close_dead(journal).await?;
    Ok(read(store, journal).await?.0)
}

/// The lock that makes this process the sub-DAG's only master.
pub(crate) async fn hold(subdag: SubDagId, path: &std::path::Path) -> Result<Lock, MasterError> {
    match Lock::acquire(path, LOCK_PATIENCE).await? {
        Some(lock) => {
            lock.write(format!("{}\n", process::id()).as_bytes())?;
            Ok(lock)
        }
        None => {
            let holder = String::from_utf8_lossy(&Lock::read(path)?).trim().to_owned();
            let holder =
                if holder.is_empty() { "a process that is just starting".to_owned() } else { format!("pid {holder}") };
            Err(MasterError::Held { subdag: subdag.0, holder })
        }
    }
}

async fn json<T: DeserializeOwned>(store: &Store, name: &str) -> Result<T, MasterError> {
    let text = store.get(name).await?;
    serde_json::from_slice(&text).map_err(|source| MasterError::Unreadable { what: name.to_owned(), source })
}

/// The facts of a journal and how many of its bytes are whole records.
pub(crate) async fn read(store: &Store, journal: &str) -> Result<(Vec<Fact>, u64), MasterError> {
    facts_of(journal, &store.get_opt(journal).await?.unwrap_or_default())
}

/// The same of a journal's bytes.
pub(crate) fn facts_of(journal: &str, bytes: &[u8]) -> Result<(Vec<Fact>, u64), MasterError> {
    let decoded = decode(bytes);
    let journal = journal.to_owned();
    match decoded.state {
        State::Clean | State::Torn { .. } => Ok((decoded.facts, decoded.consumed as u64)),
        State::Broken { offset } => Err(MasterError::Damaged { journal, offset }),
        State::Foreign { version, why, .. } => Err(MasterError::Foreign { journal, version, why }),
    }
}

/// A record that a crash cut was never acknowledged.
async fn cut_torn(appender: &mut Appender, whole: u64) -> Result<(), MasterError> {
    let torn = appender.len() - whole;
    if torn > 0 {
        tracing::warn!("the journal's last record was cut by a crash after {torn} bytes; it is dropped");
        appender.truncate(whole).await?;
    }
    Ok(())
}

pub(crate) fn fold((plan, subdag): (&Plan, SubDagId), far: bool, facts: &[Fact]) -> Mind {
    let mut mind = Mind::new(plan, subdag, far);
    facts.iter().for_each(|fact| mind.apply(fact));
    mind
}

fn submitted(plan: &Plan, subdag: SubDagId, info: &RunInfo) -> Fact {
    let outline = |&id: &StageId| plan.stages[id.0 as usize].outline(id);
    Fact::Submitted {
        run: info.run.clone(),
        job: plan.name.clone(),
        subdag,
        at: info.submitted,
        stages: plan.subdags[subdag.0 as usize].stages.iter().map(outline).collect(),
    }
}

/// Sub-DAGs that ours needs, and those before them whose results its stages read.
fn read_of(plan: &Plan, subdag: SubDagId, own: &SubDag) -> BTreeSet<SubDagId> {
    let reads = own.stages.iter().flat_map(|id| &plan.stages[id.0 as usize].late.reads);
    let of = reads.map(|id| plan.stages[id.0 as usize].subdag).filter(|of| *of != subdag);
    own.needs.iter().copied().chain(of).collect()
}

/// The results of stages of other sub-DAGs that conditions and lists of ours read.
pub(crate) fn upstream_results(plan: &Plan, subdag: SubDagId, upstream: &BTreeMap<SubDagId, Mind>) -> Vec<Event> {
    let ours = plan.subdags[subdag.0 as usize].stages.iter().map(|id| &plan.stages[id.0 as usize].late);
    let read: BTreeSet<StageId> = ours.flat_map(|late| late.reads.iter().copied()).collect();
    let told = |stage: StageId| {
        let of = &plan.stages[stage.0 as usize];
        let story = upstream.get(&of.subdag)?.story(stage)?.fanned(of.late.each.is_some());
        Some(driver::Event::UpstreamResult { stage, result: story.result().to_string() }.into())
    };
    read.into_iter().filter_map(told).collect()
}

/// How the stages of other sub-DAGs ended that ours need.
pub(crate) fn upstream_ends(plan: &Plan, subdag: SubDagId, upstream: &BTreeMap<SubDagId, Mind>) -> Vec<Event> {
    let own = |id: &StageId| plan.stages[id.0 as usize].subdag == subdag;
    let stages = plan.subdags[subdag.0 as usize].stages.iter();
    let hooks = plan.subdags[subdag.0 as usize].hooks.iter().map(|hook| &plan.hooks[hook.0 as usize]);
    let needed: Vec<(StageId, Need)> = stages.flat_map(|id| plan.stages[id.0 as usize].needs.iter().copied()).collect();
    let mut ids: Vec<StageId> = needed.into_iter().map(|(id, _)| id).collect();
    ids.extend(hooks.flat_map(|hook| hook.after.iter().copied()));
    ids.retain(|id| !own(id));
    ids.sort_unstable();
    ids.dedup();
    let end = |stage: StageId| {
        let mind = upstream.get(&plan.stages[stage.0 as usize].subdag)?;
        Some(driver::Event::UpstreamEnded { stage, end: mind.driver.end_of(stage)? }.into())
    };
    ids.into_iter().filter_map(end).collect()
}

/// A stop that came while no master listened. Who asks for one leaves the mark first and then looks for a master, so a
/// master that looks for the mark once more when it can be found misses none.
pub(crate) async fn stop_mark(store: &Store, dir: &RunDir) -> Result<Option<Event>, MasterError> {
    let why = StopMark::why(store, dir).await?;
    Ok(why.map(|why| driver::Event::StopAsked { why, now: false }.into()))
}
