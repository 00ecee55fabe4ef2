//! Other masters on one machine are processes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dybox_model::{Millis, SubDagId};
use dybox_store::layout::{Home, MASTER_SOCKET, RunDir};
use dybox_wire::MasterClient;
use serde::Serialize;
use tokio::process::Command;

use super::Rest;
use crate::MasterError;

/// How to start and find them.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) home: Home,
    pub(crate) run_dir: PathBuf,
    pub(crate) binary: PathBuf,
}

#[derive(Serialize)]
struct Claim {
    by: SubDagId,
    pid: u32,
    at: Millis,
}

impl Here {
    /// Claims a sub-DAG and starts its master; `false` where another one has. A claim whose master never came up is
    /// finished by `resume`.
    pub(super) async fn bring_up(&self, rest: &Rest, subdag: SubDagId, now: Millis) -> Result<bool, MasterError> {
        let claim = Claim { by: rest.own, pid: std::process::id(), at: now };
        let text = serde_json::to_vec(&claim).expect("numbers are JSON");
        let ours = rest.store.put_new(&rest.dir.sub(subdag).claim(), text).await?;
        if ours {
            self.start(rest, subdag)?;
        }
        Ok(ours)
    }

    /// The new master leaves this one's session by itself (`--detach`). One that had ended before a `resume` of the run
    /// is opened again (`--reopen` does nothing to others).
    fn start(&self, rest: &Rest, subdag: SubDagId) -> Result<(), MasterError> {
        let log = self.home.path(&rest.dir.sub(subdag).log());
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

    /// The master of a sub-DAG, where one lives.
    pub(super) async fn dial(&self, dir: &RunDir, subdag: SubDagId) -> Option<MasterClient> {
        let dir = self.home.path(&dir.sub(subdag).root());
        MasterClient::dial(&dir, MASTER_SOCKET, Duration::ZERO).await.ok()
    }
}
