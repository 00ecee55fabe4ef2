//! A store, and the program that runs in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dybox_job::{Plan, SubDag};
use dybox_model::{RunId, SubDagId};
use dybox_store::layout::{Home, MASTER_SOCKET, RunDir, SubDir};
use dybox_store::logs::{Grants, RunLogs, Select};
use dybox_store::{FoundRun, RunInfo, Runs, Store, find_run};
use dybox_wire::{MasterClient, WireError};
use dybox_yarn::ApplicationId;

use crate::cluster::{Application, Cluster, ClusterConf, binary};
use crate::machine::Machine;
use crate::{ClientError, Submitted};

/// Runs of one store. Cheap to clone; holds nothing open.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) place: Place,
    pub(crate) store: Store,
}

/// Where masters run, and how they are found, told and watched.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// As processes of this machine.
    Machine(Machine),
    /// As applications of a YARN cluster.
    Cluster(Cluster),
}

impl Client {
    /// The runs in the directory `home`; masters are started from `binary`. Touches nothing.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, binary: impl Into<PathBuf>) -> Self {
        let home = home.into();
        let store = Store::open_dir(&home);
        let machine = Machine { home: Home::new(home), binary: binary.into(), engine: None };
        Self { place: Place::Machine(machine), store }
    }

    /// Masters use the engine at this address, and so do their proxies; nothing = as docker's own client would. On the
    /// cluster every node has its own.
    #[must_use]
    pub fn with_engine(mut self, address: Option<String>) -> Self {
        if let Place::Machine(machine) = &mut self.place {
            machine.engine = address;
        }
        self
    }

    /// The runs of a cluster. Touches nothing.
    ///
    /// # Errors
    /// The store's, where its address makes no sense.
    pub fn of_cluster(conf: ClusterConf) -> Result<Self, ClientError> {
        let store = Store::hdfs(conf.hdfs.clone())?;
        Ok(Self {
            place: Place::Cluster(Cluster { conf: Arc::new(conf), store: store.clone(), own: None, ahead: None }),
            store,
        })
    }

    /// The same with what it knows of a run that was submitted just now.
    #[must_use]
    pub fn knowing(mut self, submitted: &Submitted) -> Self {
        if let (Place::Cluster(cluster), Some(own)) = (&mut self.place, &submitted.own) {
            cluster.own = Some(own.clone());
        }
        self
    }

    /// What it was told of its cluster; nothing on one machine.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterConf> {
        match &self.place {
            Place::Machine(_) => None,
            Place::Cluster(cluster) => Some(&cluster.conf),
        }
    }

    /// The cluster as it stands now, for a plan; nothing on one machine.
    ///
    /// # Errors
    /// The ResourceManager's.
    pub async fn facts(&self) -> Result<Option<dybox_job::Cluster>, ClientError> {
        match &self.place {
            Place::Machine(_) => Ok(None),
            Place::Cluster(cluster) => cluster.facts().await.map(Some),
        }
    }

    /// What a queue and the cluster have left, in sentences; none on one machine.
    pub async fn room(&self, queue: &str) -> Vec<String> {
        match &self.place {
            Place::Machine(_) => Vec::new(),
            Place::Cluster(cluster) => cluster.room(queue).await,
        }
    }

    /// The applications of a run, the newest of each sub-DAG; none on one machine.
    ///
    /// # Errors
    /// The ResourceManager's.
    pub async fn applications(&self, run: &RunId) -> Result<BTreeMap<SubDagId, Application>, ClientError> {
        match &self.place {
            Place::Machine(_) => Ok(BTreeMap::new()),
            Place::Cluster(cluster) => cluster.applications(run).await,
        }
    }

    /// An application in which a sub-DAG of a run was driven, also where it is not the run's newest or is a session that
    /// has other runs now; nothing where YARN has forgotten it, and on one machine.
    ///
    /// # Errors
    /// The ResourceManager's.
    pub async fn drove(
        &self,
        run: &RunId,
        subdag: SubDagId,
        id: ApplicationId,
    ) -> Result<Option<Application>, ClientError> {
        match &self.place {
            Place::Machine(_) => Ok(None),
            Place::Cluster(cluster) => cluster.reported(run, subdag, id).await,
        }
    }

    /// The name in HDFS of this program, and, where it is there, whether everybody may read it.
    ///
    /// # Errors
    /// The program can't be read, or the store's.
    pub async fn program(&self) -> Result<(String, Option<bool>), ClientError> {
        let Some(conf) = self.cluster() else { return Ok((String::new(), None)) };
        let name = binary::name_of(conf.binary.clone(), conf.cache.clone()).await?;
        let there = binary::look(&self.store, &name).await?;
        Ok((name, there.map(|binary| binary.public)))
    }

    /// All runs, newest first.
    ///
    /// # Errors
    /// The store's or the cluster's.
    pub async fn runs(&self) -> Result<Runs, ClientError> {
        match &self.place {
            Place::Machine(_) => Ok(dybox_store::runs(&self.store).await?),
            Place::Cluster(cluster) => cluster.runs(&self.store).await,
        }
    }

    /// The store itself.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Finds one run by `@latest`, id, name of the job, beginning or short form of the id.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, or the store's.
    pub async fn find(&self, query: &str) -> Result<RunInfo, ClientError> {
        let found = match &self.place {
            Place::Machine(_) => find_run(&self.store, query).await?,
            Place::Cluster(cluster) => cluster.find(&self.store, query).await?,
        };
        match found {
            FoundRun::Found(info) => Ok(*info),
            FoundRun::None => Err(ClientError::NotFound { query: query.to_owned() }),
            FoundRun::Ambiguous(list) => {
                let runs = list.into_iter().map(|info| info.run).collect();
                Err(ClientError::Ambiguous { query: query.to_owned(), runs })
            }
        }
    }

    /// What the tasks of a run wrote, also where it is still being written.
    ///
    /// # Errors
    /// The store's.
    pub async fn logs(&self, run: &RunId, select: Select) -> Result<RunLogs, ClientError> {
        let dir = RunDir::new(run).logs();
        let grants = match &self.place {
            Place::Machine(_) => Grants::Unknown,
            Place::Cluster(cluster) => cluster.grants(&self.store, run).await,
        };
        Ok(RunLogs::open_with(&self.store, &dir, select, grants).await?)
    }

    /// The plan of a run; on the cluster, before its master has written it down, one without stages.
    ///
    /// # Errors
    /// The store's, or `Damaged`.
    pub async fn plan(&self, run: &RunId) -> Result<Plan, ClientError> {
        let name = RunDir::new(run).plan();
        let text = match (&self.place, self.store.get_opt(&name).await?) {
            (_, Some(text)) => text,
            (Place::Cluster(cluster), None) => return cluster.outline(run).await,
            (Place::Machine(_), None) => self.store.get(&name).await?,
        };
        serde_json::from_slice(&text)
            .map_err(|error| ClientError::Damaged { what: "the plan".to_owned(), why: error.to_string() })
    }

    /// Whether somebody drives a sub-DAG: on one machine its master lives, on the cluster its application does.
    ///
    /// # Errors
    /// The store's or the cluster's.
    pub async fn is_driven(&self, run: &RunId, subdag: SubDagId) -> Result<bool, ClientError> {
        match &self.place {
            Place::Machine(machine) => machine.is_held(run, subdag),
            Place::Cluster(cluster) => {
                let application = cluster.application(run, subdag).await?;
                Ok(application.is_some_and(|application| application.phase.is_live()))
            }
        }
    }

    /// Where what the masters of a run wrote is to be read, for a message.
    #[must_use]
    pub fn words_of_masters(&self, run: &RunId) -> String {
        match &self.place {
            Place::Machine(machine) => format!("{}/sub/*/master.log", machine.run_dir(run).display()),
            Place::Cluster(_) => format!("dybox logs {run} --system"),
        }
    }

    /// Who drives a sub-DAG, in words, where that is known.
    pub(crate) async fn holder(&self, run: &RunId, subdag: SubDagId) -> Option<String> {
        match &self.place {
            Place::Machine(machine) => machine.holder(run, subdag).map(|pid| format!("pid {pid}")),
            Place::Cluster(cluster) => {
                let application = cluster.application(run, subdag).await.ok().flatten();
                application.map(|application| match application.session {
                    true => format!("{}, {}", application.name, application.id),
                    false => application.id,
                })
            }
        }
    }

    /// A line to the live master of a sub-DAG; `patience`: how long one that is just starting may take.
    pub(crate) async fn dial(
        &self,
        run: &RunId,
        subdag: SubDagId,
        patience: Duration,
    ) -> Result<MasterClient, WireError> {
        match &self.place {
            Place::Machine(machine) => {
                MasterClient::dial(&machine.sub_path(run, subdag, SubDir::root), MASTER_SOCKET, patience).await
            }
            Place::Cluster(cluster) => cluster.dial(&self.store, run, subdag, patience).await,
        }
    }
}

/// The sub-DAGs of a plan, each with its id.
pub(crate) fn subdags(plan: &Plan) -> impl Iterator<Item = (SubDagId, &SubDag)> {
    (0..).map(SubDagId).zip(&plan.subdags)
}
