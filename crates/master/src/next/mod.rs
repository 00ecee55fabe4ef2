//! What a master says to the rest of the run: the next sub-DAGs start, or all stop.

mod cluster;
mod machine;

use std::sync::Arc;

use dybox_job::Plan;
use dybox_journal::fold;
use dybox_model::{Millis, SubDagId};
use dybox_store::layout::RunDir;
use dybox_store::learned::{self, Learned};
use dybox_store::{StopMark, Store};

use crate::{MasterError, recover};

pub(crate) use cluster::There;
pub(crate) use machine::Here;

/// The run, as seen from one of its sub-DAGs. A value of its own, so that it can go on beside the loop.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(crate) store: Store,
    pub(crate) dir: RunDir,
    pub(crate) own: SubDagId,
    pub(crate) plan: Arc<Plan>,
    pub(crate) others: Others,
}

/// Where the other masters are.
#[derive(Debug, Clone)]
pub(crate) enum Others {
    /// Processes of this machine.
    Here(Here),
    /// Applications of the cluster.
    There(Arc<There>),
}

fn ids(plan: &Plan) -> impl Iterator<Item = SubDagId> + use<> {
    (0..u32::try_from(plan.subdags.len()).expect("a plan has few sub-DAGs")).map(SubDagId)
}

impl Rest {
    /// Starts the masters of the sub-DAGs that needed ours and have now all that they need. Two masters that end at
    /// once both look, after each has written its own end: the claim's exclusive create lets one of them start it.
    pub(crate) async fn hand_over(&self, now: Millis) -> Result<Vec<SubDagId>, MasterError> {
        let mut started = Vec::new();
        for subdag in ids(&self.plan).filter(|id| self.plan.subdags[id.0 as usize].needs.contains(&self.own)) {
            if !self.is_ready(subdag).await? {
                continue;
            }
            let ours = match &self.others {
                Others::Here(here) => here.bring_up(self, subdag, now).await?,
                Others::There(there) => there.bring_up(self, subdag, now).await?,
            };
            if ours {
                started.push(subdag);
            }
        }
        Ok(started)
    }

    /// Writes down what the next run of the job may learn from this one.
    pub(crate) async fn remember(&self, learned: Vec<Learned>) {
        if learned.is_empty() {
            return;
        }
        let own = &self.plan.subdags[self.own.0 as usize];
        let names: Vec<&str> =
            own.stages.iter().map(|stage| self.plan.stages[stage.0 as usize].name.as_str()).collect();
        if let Err(error) = learned::put(&self.store, &self.plan.name, &names, learned).await {
            tracing::warn!("what this run used could not be written down for the next one: {error}");
        }
    }

    async fn is_ready(&self, subdag: SubDagId) -> Result<bool, MasterError> {
        for &needed in self.plan.subdags[subdag.0 as usize].needs.iter().filter(|needed| **needed != self.own) {
            // First the mark: when that is gone, the journal tells that it was opened again.
            let sub = self.dir.sub(needed);
            if self.store.exists(&sub.again()).await? {
                return Ok(false);
            }
            let (facts, _) = recover::read(&self.store, &sub.journal()).await?;
            let killed = async || match &self.others {
                Others::There(there) if self.plan.is_last(subdag) => there.was_killed(self, needed).await,
                _ => Ok(false),
            };
            if fold(facts).end.is_none() && !killed().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the mark that lasts, then tells every master that lives.
    pub(crate) async fn stop_run(self, why: String, at: Millis) {
        let mark = StopMark { why: why.clone(), at };
        if let Err(error) = mark.leave(&self.store, &self.dir).await {
            tracing::warn!("the mark to stop the run could not be written: {error}");
        }
        for subdag in ids(&self.plan).filter(|id| *id != self.own) {
            let master = match &self.others {
                Others::Here(here) => here.dial(&self.dir, subdag).await,
                Others::There(there) => there.dial(&self, subdag).await,
            };
            if let Some(master) = master
                && let Err(error) = master.stop(&why, false).await
            {
                tracing::warn!("the master of sub-DAG {} did not hear the stop: {error}", subdag.0);
            }
        }
    }
}
