//! The journal of a sub-DAG on the cluster: from its live master, else from HDFS.

use std::time::Duration;

use bytes::Bytes;
use dybox_journal::Records;
use dybox_model::{Fact, RunId, SubDagId};
use dybox_store::layout::RunDir;
use dybox_store::{Store, StoreError};
use dybox_wire::{MasterClient, Watched, WireError};
use tokio::time::{Instant, sleep, timeout};

use super::{Application, Cluster, Phase};

/// A master that says nothing for so long has told all that there is: it sends what it has at once.
const SILENCE: Duration = Duration::from_millis(80);
/// How long the first word may take.
const FIRST: Duration = Duration::from_secs(3);
/// How long a master that answers nobody any more may take to close its journal.
const GOING: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What YARN says of the application of a sub-DAG.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen<'a> {
    /// It can't be asked: the master may live.
    Unknown,
    /// There is none, or it is forgotten.
    Nothing,
    /// This.
    Is(&'a Application),
}

impl<'a> Seen<'a> {
    /// What a ResourceManager that answered said.
    pub(crate) fn of(application: Option<&'a Application>) -> Self {
        application.map_or(Self::Nothing, Self::Is)
    }
}

/// What could be read of a journal.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Its bytes.
    pub bytes: Bytes,
    /// Why there may be more than that, in a sentence.
    pub short: Option<String>,
}

impl Cluster {
    /// A sub-DAG's journal as far as it can be read now.
    pub(crate) async fn journal(
        &self,
        store: &Store,
        run: &RunId,
        (subdag, seen): (SubDagId, Seen<'_>),
    ) -> Result<Told, StoreError> {
        match seen {
            Seen::Unknown => {}
            Seen::Is(application) if application.phase == Phase::Runs => {}
            // Its next master is being started, or its first one has written nothing.
            Seen::Is(application) if application.phase.is_live() => return Ok(Told::default()),
            Seen::Is(_) | Seen::Nothing => {
                return Ok(Told { bytes: closed(store, run, subdag).await?, short: None });
            }
        }
        let until = Instant::now() + GOING;
        loop {
            let why = match self.of_living(store, run, (subdag, seen)).await {
                Ok(bytes) => return Ok(Told { bytes, short: None }),
                Err(error) => error.to_string(),
            };
            // Nobody may close the file of a master that lives; what is closed of it can be read.
            let bytes = store.get_opt(&RunDir::new(run).sub(subdag).journal()).await?.unwrap_or_default();
            // A master that has written its end down is about to go.
            if has_ended(&bytes) {
                return Ok(Told { bytes, short: None });
            }
            if Instant::now() >= until {
                return Ok(Told { bytes, short: Some(format!("its master can't be reached: {why}")) });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn of_living(
        &self,
        store: &Store,
        run: &RunId,
        (subdag, seen): (SubDagId, Seen<'_>),
    ) -> Result<Bytes, WireError> {
        let master = match seen {
            Seen::Is(application) => self.dial_application(store, run, application).await?,
            Seen::Unknown | Seen::Nothing => self.dial_as_written(store, run, subdag).await?,
        };
        from_master(&master).await
    }
}

/// The journal of a master that is gone: closed by it, or left open, which is put right here.
pub(crate) async fn closed(store: &Store, run: &RunId, subdag: SubDagId) -> Result<Bytes, StoreError> {
    let name = RunDir::new(run).sub(subdag).journal();
    let Some(stat) = store.stat(&name).await? else { return Ok(Bytes::new()) };
    let bytes = store.get_opt(&name).await?.unwrap_or_default();
    if bytes.len() as u64 >= stat.len && !bytes.is_empty() {
        return Ok(bytes);
    }
    store.close_dead(&name).await?;
    Ok(store.get_opt(&name).await?.unwrap_or_default())
}

/// Whether a journal's last word is its end.
fn has_ended(bytes: &[u8]) -> bool {
    let ends = Records::new(bytes).filter(|fact| matches!(fact, Fact::Ended { .. } | Fact::Reopened { .. }));
    matches!(ends.last(), Some(Fact::Ended { .. }))
}

async fn from_master(master: &MasterClient) -> Result<Bytes, WireError> {
    let mut watching = master.watch(0, false).await?;
    let mut bytes = Vec::new();
    let mut patience = FIRST;
    // Everything that is there comes first and at once.
    while let Ok(next) = timeout(patience, watching.next()).await {
        match next? {
            Some(Watched::Frames(frames)) => bytes.extend_from_slice(&frames),
            Some(Watched::Note(_)) => {}
            // One that has ended says no more than that; its file tells the rest.
            None if has_ended(&bytes) => break,
            None => return Err(WireError::Ended { what: "watch", why: "the master is about to go".to_owned() }),
        }
        patience = SILENCE;
    }
    if bytes.is_empty() {
        return Err(WireError::Late { what: "watch" });
    }
    Ok(bytes.into())
}
