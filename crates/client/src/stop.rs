//! Stopping a run: a mark that lasts, and a word to each master that lives.

use std::time::Duration;

use dybox_model::{Millis, RunId, SubDagId};
use dybox_store::StopMark;
use dybox_store::layout::{MASTER_SOCKET, SubDir};
use dybox_wire::{MasterClient, WireError};

use crate::{Client, ClientError};

/// How long a master that is just starting may take to listen.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a stop reached.
#[derive(Debug, Default)]
pub struct Stopped {
    /// Sub-DAGs whose master has written the stop down.
    pub told: Vec<SubDagId>,
    /// Sub-DAGs without a live master. Those that have not ended see the mark when a master is started for them.
    pub absent: Vec<SubDagId>,
    /// Sub-DAGs whose master lives and did not answer.
    pub deaf: Vec<(SubDagId, WireError)>,
}

impl Client {
    /// Asks every sub-DAG to end; `now`: without the stages' grace. Returns when all live masters have written it down.
    ///
    /// # Errors
    /// The store's, when the mark can't be written and no master could be told either.
    pub async fn stop(&self, run: &RunId, why: &str, now: bool, at: Millis) -> Result<Stopped, ClientError> {
        let plan = self.plan(run).await?;
        let marked = self.mark_stop(run, &StopMark { why: why.to_owned(), at }).await;
        let mut stopped = Stopped::default();
        for n in 0..u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX) {
            let subdag = SubDagId(n);
            match self.tell_stop(run, subdag, why, now).await {
                Ok(true) => stopped.told.push(subdag),
                Ok(false) => stopped.absent.push(subdag),
                Err(error) => stopped.deaf.push((subdag, error)),
            }
        }
        if stopped.told.is_empty() {
            marked?;
        }
        Ok(stopped)
    }

    async fn tell_stop(&self, run: &RunId, subdag: SubDagId, why: &str, now: bool) -> Result<bool, WireError> {
        let dir = self.sub_path(run, subdag, SubDir::root);
        let held = self.is_held(run, subdag).unwrap_or(true);
        let patience = if held { PATIENCE } else { Duration::ZERO };
        match MasterClient::dial(&dir, MASTER_SOCKET, patience).await {
            Ok(master) => match master.stop(why, now).await {
                Ok(()) => Ok(true),
                // It ended while it was asked.
                Err(_) if !self.is_held(run, subdag).unwrap_or(true) => Ok(false),
                Err(error) => Err(error),
            },
            Err(_) if !self.is_held(run, subdag).unwrap_or(true) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
