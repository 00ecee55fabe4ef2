//! Where a run stands: what its journals say, and whether its masters live.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_job::Plan;
use dybox_journal::{HookState, Run, RunState, RunView, decode};
use dybox_model::{Fact, RunId, StageEnd, SubDagId};
use dybox_store::StopMark;
use dybox_store::layout::RunDir;
use dybox_wire::Waiting;
use futures_util::future::join_all;

use crate::client::Place;
use crate::cluster::{Application, Cluster, Phase, Seen, Told};
use crate::folded::Folded;
use crate::{Client, ClientError};

/// A run as it stands now.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the journals add up to.
    pub view: RunView,
    /// Sub-DAGs that somebody drives: their master lives, or their application does.
    pub held: Vec<SubDagId>,
    /// What is wrong with journals, where anything is: the sub-DAG and a sentence.
    pub damaged: Vec<(SubDagId, String)>,
    /// On the cluster: the newest application of each sub-DAG.
    pub applications: BTreeMap<SubDagId, Application>,
    /// On the cluster: what can't be known now, in sentences; the rest is as it was last seen.
    pub unknown: Vec<String>,
    /// Whether somebody asked it to stop, which is looked up only where nobody drives it.
    pub marked: bool,
}

impl Standing {
    /// Whether the run has not ended and nobody drives it: its masters are gone, `dybox resume` goes on with it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        !self.view.state().is_over() && self.held.is_empty() && self.unknown.is_empty()
    }

    /// Whether somebody killed its applications before they ended.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.is_lost() && self.applications.values().any(|application| application.phase == Phase::Killed)
    }

    /// Whether it was asked to stop when its masters were gone already, or before they could write down that they did.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let failed = |sub: &Run| matches!(sub.end.as_ref().map(|end| end.end), Some(StageEnd::Failed | StageEnd::Lost));
        self.is_lost() && self.marked && !self.view.subs.values().any(failed)
    }

    /// The word for where it stands; `lost` for a run that has not ended and that nobody drives, `stopped` where its
    /// applications were killed, or where it was asked to.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.view.state() {
            _ if self.is_killed() || self.is_stopped() => RunState::Stopped.word(),
            _ if self.is_lost() => RunState::Lost.word(),
            state => state.word(),
        }
    }

    /// Why the run does not go on or ended as it did, where its journals do not say: what YARN says of an application.
    #[must_use]
    pub fn said_by_yarn(&self) -> Option<&Application> {
        let journal_says =
            |application: &&Application| self.view.subs.get(&application.subdag).is_some_and(|sub| sub.end.is_some());
        let mut silent = self.applications.values().filter(|application| !journal_says(application));
        silent.find(|application| !application.diagnostics.is_empty() && application.phase != Phase::Runs)
    }
}

/// A run's plan with the stages that hooks have added, as its journals say.
#[must_use]
pub fn grown(plan: &Plan, view: &RunView) -> Plan {
    let mut plan = plan.clone();
    for (hook, state) in view.subs.values().flat_map(|run| &run.hooks) {
        if let HookState::Decided { decision, .. } = state {
            plan.grow(*hook, &decision.add);
        }
    }
    plan
}

impl Client {
    /// Looks at a run of so many sub-DAGs.
    ///
    /// # Errors
    /// The store's.
    pub async fn standing(&self, run: &RunId, subdags: u32) -> Result<Standing, ClientError> {
        let mut standing = Standing {
            view: RunView::new(subdags),
            held: Vec::new(),
            damaged: Vec::new(),
            applications: BTreeMap::new(),
            unknown: Vec::new(),
            marked: false,
        };
        if let Place::Cluster(cluster) = &self.place {
            standing.look_at_yarn(cluster, run).await;
        }
        let all = join_all(
            (0..subdags)
                .map(SubDagId)
                .map(|subdag| self.look(run, subdag, (&standing.applications, standing.unknown.is_empty()))),
        )
        .await;
        for (subdag, looked) in (0..subdags).map(SubDagId).zip(all) {
            let (held, folded) = looked?;
            if held {
                standing.held.push(subdag);
            }
            standing.view.put(subdag, folded.run);
            standing.damaged.extend(folded.damage.map(|damage| (subdag, damage)));
            standing.unknown.extend(folded.short);
        }
        standing.unknown.dedup();
        if standing.is_lost() {
            standing.marked = StopMark::why(&self.store, &RunDir::new(run)).await.is_ok_and(|why| why.is_some());
        }
        standing.abandon();
        Ok(standing)
    }

    /// Whether a sub-DAG is driven, and what its journal says.
    async fn look(
        &self,
        run: &RunId,
        subdag: SubDagId,
        (applications, asked): (&BTreeMap<SubDagId, Application>, bool),
    ) -> Result<(bool, Folded), ClientError> {
        match &self.place {
            // First the lock: a master that ends in between has written its end before it lets go.
            Place::Machine(machine) => Ok((machine.is_held(run, subdag)?, self.folded(run, subdag).await?)),
            Place::Cluster(cluster) => {
                let application = applications.get(&subdag);
                let seen = if asked { Seen::of(application) } else { Seen::Unknown };
                let told = cluster.journal(&self.store, run, (subdag, seen)).await?;
                Ok((application.is_some_and(|application| application.phase.is_live()), Folded::of(told)))
            }
        }
    }

    /// One sub-DAG's journal, folded.
    pub(crate) async fn folded(&self, run: &RunId, subdag: SubDagId) -> Result<Folded, ClientError> {
        Ok(Folded::of(self.journal(run, subdag).await?))
    }

    /// All facts of a sub-DAG that can be read.
    ///
    /// # Errors
    /// The store's or the cluster's.
    pub async fn facts_of(&self, run: &RunId, subdag: SubDagId) -> Result<Vec<Fact>, ClientError> {
        Ok(decode(&self.journal(run, subdag).await?.bytes).facts)
    }

    async fn journal(&self, run: &RunId, subdag: SubDagId) -> Result<Told, ClientError> {
        match &self.place {
            Place::Machine(_) => {
                let bytes = self.store.get_opt(&RunDir::new(run).sub(subdag).journal()).await?;
                Ok(Told { bytes: bytes.unwrap_or_default(), short: None })
            }
            Place::Cluster(cluster) => {
                let application = cluster.application(run, subdag).await?;
                Ok(cluster.journal(&self.store, run, (subdag, Seen::of(application.as_ref()))).await?)
            }
        }
    }

    /// Why tasks wait, as the live masters of a run see it now. Masters that do not answer are left out.
    pub async fn why(&self, run: &RunId, subdags: u32) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for subdag in (0..subdags).map(SubDagId) {
            if let Ok(master) = self.dial(run, subdag, Duration::ZERO).await {
                waiting.extend(master.why().await.unwrap_or_default());
            }
        }
        waiting
    }
}

impl Standing {
    /// What ran in sub-DAGs that nobody drives does not run any more, though no journal tells its end.
    fn abandon(&mut self) {
        let stopped = self.is_killed() || self.is_stopped();
        let whole = self.is_lost().then_some(if stopped { StageEnd::Stopped } else { StageEnd::Lost });
        let of = |subdag: &SubDagId| match self.applications.get(subdag).map(|application| application.phase) {
            _ if !self.unknown.is_empty() => None,
            Some(Phase::Killed) => Some(StageEnd::Stopped),
            Some(Phase::Failed) => Some(StageEnd::Lost),
            _ => None,
        };
        let ends: Vec<_> =
            self.view.subs.keys().filter_map(|subdag| Some((*subdag, whole.or_else(|| of(subdag))?))).collect();
        for (subdag, end) in ends {
            self.view.abandon(subdag, end);
        }
    }

    async fn look_at_yarn(&mut self, cluster: &Cluster, run: &RunId) {
        match cluster.applications(run).await {
            Ok(applications) => self.applications = applications,
            Err(error) => self.unknown.push(format!("the ResourceManager can't be asked: {}", error.text())),
        }
    }
}
