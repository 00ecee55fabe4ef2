//! What a master says to the rest of the run: the next sub-DAGs start, or all stop.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dybox_job::Plan;
use dybox_journal::fold;
use dybox_model::{Millis, SubDagId};
use dybox_store::layout::{Home, MASTER_SOCKET, RunDir};
use dybox_store::{StopMark, Store};
use dybox_wire::MasterClient;
use serde::Serialize;
use tokio::process::Command;

use crate::{MasterError, recover};

/// The run, as seen from one of its sub-DAGs. A value of its own, so that it can go on beside the loop.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(crate) home: Home,
    pub(crate) store: Store,
    pub(crate) dir: RunDir,
    pub(crate) run_dir: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) own: SubDagId,
}

#[derive(Serialize)]
struct Claim {
    by: SubDagId,
    pid: u32,
    at: Millis,
}

fn ids(plan: &Plan) -> impl Iterator<Item = SubDagId> + use<> {
    (0..u32::try_from(plan.subdags.len()).expect("a plan has few sub-DAGs")).map(SubDagId)
}

impl Rest {
    /// Starts the masters of the sub-DAGs that needed ours and have now all that they need. Two masters that end at
    /// once both look, after each has written its own end: the claim's exclusive create lets one of them start it.
    /// A claim whose master never came up is finished by `resume`.
    pub(crate) async fn hand_over(&self, plan: &Plan, now: Millis) -> Result<Vec<SubDagId>, MasterError> {
        let mut started = Vec::new();
        for subdag in ids(plan).filter(|id| plan.subdags[id.0 as usize].needs.contains(&self.own)) {
            if self.is_ready(plan, subdag).await? && self.claim(subdag, now).await? {
                self.start(subdag)?;
                started.push(subdag);
            }
        }
        Ok(started)
    }

    async fn is_ready(&self, plan: &Plan, subdag: SubDagId) -> Result<bool, MasterError> {
        for &needed in plan.subdags[subdag.0 as usize].needs.iter().filter(|needed| **needed != self.own) {
            let (facts, _) = recover::read(&self.store, &self.dir.sub(needed).journal()).await?;
            if fold(facts).end.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn claim(&self, subdag: SubDagId, now: Millis) -> Result<bool, MasterError> {
        let claim = Claim { by: self.own, pid: std::process::id(), at: now };
        let text = serde_json::to_vec(&claim).expect("numbers are JSON");
        Ok(self.store.put_new(&self.dir.sub(subdag).claim(), text).await?)
    }

    /// The new master leaves this one's session by itself (`--detach`). One that had ended before a `resume` of the run
    /// is opened again (`--reopen` does nothing to others).
    fn start(&self, subdag: SubDagId) -> Result<(), MasterError> {
        let log = self.home.path(&self.dir.sub(subdag).log());
        let failed = |source| dybox_local::LocalError::Spawn { program: self.binary.clone(), source };
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&log).map_err(failed)?;
        let mut command = Command::new(&self.binary);
        command.args(["master", "--detach", "--run-dir"]).arg(&self.run_dir);
        command.args(["--subdag", &subdag.0.to_string(), "--reopen"]).current_dir("/");
        command.arg0("dybox").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Nobody waits for it: it outlives this process.
        drop(command.spawn().map_err(failed)?);
        Ok(())
    }

    /// Writes the mark that lasts, then tells every master that lives.
    pub(crate) async fn stop_run(self, plan: Plan, why: String, at: Millis) {
        let mark = serde_json::to_vec(&StopMark { why: why.clone(), at }).expect("text is JSON");
        if let Err(error) = self.store.put_new(&self.dir.stop(), mark).await {
            tracing::warn!("the mark to stop the run could not be written: {error}");
        }
        for subdag in ids(&plan).filter(|id| *id != self.own) {
            let dir: &Path = &self.home.path(&self.dir.sub(subdag).root());
            if let Ok(master) = MasterClient::dial(dir, MASTER_SOCKET, Duration::ZERO).await
                && let Err(error) = master.stop(&why, false).await
            {
                tracing::warn!("the master of sub-DAG {} did not hear the stop: {error}", subdag.0);
            }
        }
    }
}
