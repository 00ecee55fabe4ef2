//! Archives that are still written, asked of the masters that live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dybox_model::{GrantId, RunId, SubDagId};
use dybox_store::layout::RunDir;
use dybox_store::logs::{Grants, Live, LiveGrant, LivePiece};
use dybox_store::{Answer, Store, StoreError};
use dybox_wire::{MasterClient, WireError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::{Application, Cluster, Phase};

/// How long a master may be away (it is started again) before a reader is told.
const AWAY: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The masters of one run.
#[derive(Debug)]
struct Masters {
    cluster: Cluster,
    store: Store,
    run: RunId,
    /// Lines that are open: a look every third of a second should not begin with a handshake.
    lines: Mutex<BTreeMap<SubDagId, MasterClient>>,
}

impl Cluster {
    /// What a reader of logs must know of the grants of a run.
    pub(crate) async fn grants(&self, store: &Store, run: &RunId) -> Grants {
        match self.applications(run).await {
            Ok(all) if all.values().all(|application| !application.phase.is_live()) => Grants::AllOver,
            // Masters that can be reached go on without the ResourceManager.
            Ok(_) | Err(_) => Grants::Live(Arc::new(Masters {
                cluster: self.clone(),
                store: store.clone(),
                run: run.clone(),
                lines: Mutex::default(),
            })),
        }
    }
}

impl Masters {
    /// The master of a sub-DAG: as YARN reports it, or where it wrote that it listens while YARN can't be asked.
    async fn line(&self, subdag: SubDagId, reported: Option<&Application>) -> Result<MasterClient, WireError> {
        let mut lines = self.lines.lock().await;
        if let Some(line) = lines.get(&subdag) {
            return Ok(line.clone());
        }
        let line = match reported {
            Some(application) => self.cluster.dial_application(&self.store, &self.run, application).await?,
            None => self.cluster.dial_as_written(&self.store, &self.run, subdag).await?,
        };
        lines.insert(subdag, line.clone());
        Ok(line)
    }

    /// The sub-DAGs that ever had a master.
    async fn begun(&self) -> Result<Vec<SubDagId>, StoreError> {
        let dirs = self.store.list(&format!("{}/sub", RunDir::new(&self.run).root())).await?;
        Ok(dirs.iter().filter_map(|entry| entry.name.parse().ok().map(SubDagId)).collect())
    }

    async fn forget(&self, subdag: SubDagId) {
        self.lines.lock().await.remove(&subdag);
    }

    async fn list(&self) -> Result<Vec<LiveGrant>, StoreError> {
        // Nothing while YARN can't be asked: then every master may live.
        let reported = self.cluster.applications(&self.run).await.ok();
        let asked: Vec<SubDagId> = match &reported {
            Some(all) => all.values().filter(|one| one.phase == Phase::Runs).map(|one| one.subdag).collect(),
            None => self.begun().await?,
        };
        let mut known = Vec::new();
        let mut told: BTreeMap<SubDagId, BTreeSet<GrantId>> = BTreeMap::new();
        for subdag in asked {
            let reported = reported.as_ref().and_then(|all| all.get(&subdag));
            let Ok(line) = self.line(subdag, reported).await else { continue };
            match line.grants().await {
                Ok(grants) => {
                    let ids: BTreeSet<_> = grants.into_iter().map(|live| live.grant).collect();
                    known.extend(ids.iter().map(|&grant| LiveGrant { grant, over: false, size: None }));
                    told.insert(subdag, ids);
                }
                Err(_) => self.forget(subdag).await,
            }
        }
        for entry in self.store.list(&RunDir::new(&self.run).logs()).await? {
            let Some(grant) = RunDir::grant_of_archive(&entry.name) else { continue };
            let subdag = grant.subdag();
            let live = reported.as_ref().is_none_or(|all| all.get(&subdag).is_some_and(|one| one.phase.is_live()));
            // A live master that answered knows every grant that is not over; of one that did not, nothing is known.
            let over = told.get(&subdag).map_or(!live, |ids| !ids.contains(&grant));
            if over {
                known.push(LiveGrant { grant, over, size: None });
            }
        }
        Ok(known)
    }

    async fn piece(&self, grant: GrantId, offset: u64, max: usize) -> Result<Option<LivePiece>, StoreError> {
        let subdag = grant.subdag();
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let until = Instant::now() + AWAY;
        loop {
            // An open line answers or breaks: YARN need not be asked for every piece.
            let open = self.lines.lock().await.get(&subdag).cloned();
            let line = match open {
                Some(line) => Ok(line),
                None => match self.cluster.application(&self.run, subdag).await {
                    Ok(Some(application)) if application.phase == Phase::Runs => {
                        self.line(subdag, Some(&application)).await.map_err(|error| error.to_string())
                    }
                    Ok(Some(application)) if application.phase == Phase::Waits => {
                        Err("its master is being started".to_owned())
                    }
                    Ok(_) => return Ok(None),
                    Err(error) => self.line(subdag, None).await.map_err(|_| error.to_string()),
                },
            };
            let why = match line {
                Ok(line) => match line.read(grant, offset, max).await {
                    Ok(piece) => return Ok(Some(LivePiece { bytes: piece.bytes, size: piece.total })),
                    Err(WireError::Refused { .. }) => return Ok(None),
                    Err(error) => error.to_string(),
                },
                Err(why) => why,
            };
            self.forget(subdag).await;
            if Instant::now() >= until {
                return Err(self.silent("read", &why));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn silent(&self, operation: &'static str, why: &str) -> StoreError {
        StoreError::unreachable(operation, self.store.url(&RunDir::new(&self.run).logs()), why)
    }
}

impl Live for Masters {
    fn grants(&self) -> Answer<'_, Result<Vec<LiveGrant>, StoreError>> {
        Box::pin(self.list())
    }

    fn read(&self, grant: GrantId, offset: u64, max: usize) -> Answer<'_, Result<Option<LivePiece>, StoreError>> {
        Box::pin(self.piece(grant, offset, max))
    }
}
