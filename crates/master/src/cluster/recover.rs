//! From HDFS to a master that has the whole past in mind. The epoch first: it fences an older attempt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dybox_job::Plan;
use dybox_model::{Fact, GrantId, Millis};
use dybox_store::bundle::REOPEN;
use dybox_store::layout::{RunDir, SubDir};
use dybox_store::{Appender, EpochFence, Guard, Store, Trouble, epochs};
use tokio::sync::{mpsc, oneshot};

use super::{YarnConf, store};
use crate::MasterError;
use crate::book::Book;
use crate::policy::Policy;
use crate::recover::{Past, Recovered, facts_of, has_ended};
use crate::rm::Room;

/// How long HDFS may be away when nothing has begun yet; the client waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long the journal waits for HDFS while tasks run.
const OUTAGE: Duration = Duration::from_secs(300);
/// Idle for so long, the journal is closed until the next fact: what is closed, every reader of HDFS can read, and the
/// next attempt needs no copy of it. Opening it again costs some 25 ms, so not between quick tasks.
const REST: Duration = Duration::from_secs(1);
/// In the place of what a request to reopen is told apart by: its application is, where each has one.
const EACH: &str = "true";
/// The mirror of the journal, in the working directory.
const MIRROR: &str = "journal";

/// Comes when a session has written down that it has the sub-DAG. What is made before that says nothing: an epoch, and a
/// journal without a word. A dropped one: the session has it not.
pub(crate) type Taken = oneshot::Receiver<()>;

/// What is known at the start.
#[derive(Debug)]
pub(super) struct OnCluster {
    pub(super) recovered: Recovered,
    /// Grants that the journal does not know to be over.
    pub(super) rooms: BTreeMap<GrantId, Room>,
    /// Where the journal's bytes can be read.
    pub(super) mirror: (Store, String),
}

pub(super) async fn recover(
    conf: &YarnConf,
    troubles: mpsc::UnboundedSender<Trouble>,
    (now, taken): (Millis, Option<Taken>),
) -> Result<OnCluster, MasterError> {
    let (store, info) = (store(conf)?, conf.bundle.info.clone());
    let dir = RunDir::new(&info.run);
    let (sub, subdag) = (dir.sub(conf.bundle.subdag), conf.bundle.subdag);
    let (epoch, plan, policy) =
        tokio::join!(epochs::claim(&store, &sub), plan(conf, &store, &dir), Policy::load(&store, &info));
    let (epoch, plan, policy) = (epoch?, Arc::new(plan?), policy?);
    let fence = Arc::new(EpochFence { store: store.clone(), sub: sub.clone(), epoch });
    let (facts, bytes, appender) = take_over(&store, &sub.journal(), &fence).await?;
    let appender = appender.guarded(Guard { fence, patience: OUTAGE, trouble: troubles }).resting(REST);
    let here = Store::open_dir(&conf.work_dir);
    let mut mirror = here.append(MIRROR).await?;
    mirror.truncate(0).await?;
    mirror.write(&bytes).await?;
    let rooms = rooms(&facts);
    let reopen = is_to_reopen(conf, &store, &sub, &facts).await?;
    let book = Book::mirrored(appender, mirror);
    super::hooks::bring(conf, &store, &plan).await?;
    let past = Past { store: store.clone(), dir, info, plan, subdag, facts, book, policy, epoch: Some(epoch), reopen };
    let mut recovered = past.go_on(now).await?;
    if let Some(taken) = taken {
        let why = "the session did not take it".to_owned();
        taken.await.map_err(|_| MasterError::Over { why })?;
    }
    // Also where it had nothing to reopen: it may be handed to a session twice, and have ended in between.
    if reopen || conf.bundle.extra.get(REOPEN).is_some_and(|once| once != EACH) {
        // First that it is open again: the mark alone would keep it closed for good.
        recovered.open().await?;
        store.claim(&reopened_by(conf, &sub)).await?;
    }
    if conf.bundle.extra.contains_key(REOPEN) {
        // An attempt that died here may have left it.
        store.remove(&sub.again()).await?;
    }
    Ok(OnCluster { recovered, rooms, mirror: (here, MIRROR.to_owned()) })
}

async fn plan(conf: &YarnConf, store: &Store, dir: &RunDir) -> Result<Plan, MasterError> {
    let text = match &conf.bundle.plan {
        Some(text) => text.clone().into_bytes(),
        None => store.get(&dir.plan()).await?.to_vec(),
    };
    serde_json::from_slice(&text).map_err(|source| MasterError::Unreadable { what: dir.plan(), source })
}

/// The journal's facts and whole bytes, and the journal open at its end. A first attempt has none to recover.
async fn take_over(
    store: &Store,
    journal: &str,
    fence: &EpochFence,
) -> Result<(Vec<Fact>, Bytes, Appender), MasterError> {
    if fence.epoch == 1 {
        return Ok((Vec::new(), Bytes::new(), store.begin(journal).await?));
    }
    let (bytes, mut appender) = store.adopt(journal, fence).await?;
    let (facts, whole) = facts_of(journal, &bytes)?;
    if appender.len() > whole {
        tracing::warn!("the journal's last record was cut by a crash; it is dropped");
        appender.truncate(whole).await?;
    }
    let whole = usize::try_from(whole).unwrap_or(usize::MAX).min(bytes.len());
    Ok((facts, bytes.slice(..whole), appender))
}

/// Grants that were got and are not known to be over.
fn rooms(facts: &[Fact]) -> BTreeMap<GrantId, Room> {
    let mut rooms = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::GrantGot { grant, size, host, container, .. } => {
                rooms.insert(*grant, Room { container: container.clone(), host: host.clone(), size: *size });
            }
            Fact::GrantResized { grant, size, .. } => {
                rooms.entry(*grant).and_modify(|room: &mut Room| room.size = *size);
            }
            Fact::GrantEnded { grant, .. } => drop(rooms.remove(grant)),
            _ => {}
        }
    }
    rooms
}

/// Whether `resume` asked for it, and no master has opened the journal again for that yet: a later attempt must not do
/// it twice.
async fn is_to_reopen(conf: &YarnConf, store: &Store, sub: &SubDir, facts: &[Fact]) -> Result<bool, MasterError> {
    let asked = conf.bundle.extra.contains_key(REOPEN) && has_ended(facts);
    Ok(asked && !store.exists(&reopened_by(conf, sub)).await?)
}

fn reopened_by(conf: &YarnConf, sub: &SubDir) -> String {
    let once = conf.bundle.extra.get(REOPEN).filter(|once| *once != EACH);
    let application = || conf.container.attempt.application.to_string();
    format!("{}/reopened.{}", sub.root(), once.cloned().unwrap_or_else(application))
}
