//! Starting masters: processes in a session of their own, which outlive the client and its terminal.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use dybox_model::{RunId, SubDagId};
use dybox_store::layout::SubDir;
use dybox_store::local;
use tokio::process::{Child, Command};

use super::Machine;
use crate::ClientError;

impl Machine {
    /// Starts the master of a sub-DAG; harmless where one lives, for the second finds the lock held and ends.
    ///
    /// # Errors
    /// The store's, or `Spawn`.
    pub(crate) fn start_master(&self, run: &RunId, subdag: SubDagId, reopen: bool) -> Result<Child, ClientError> {
        local::make_dir(&self.sub_path(run, subdag, SubDir::root))?;
        let spawn = |source| ClientError::Spawn { source };
        let log = self.sub_path(run, subdag, SubDir::log);
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(log).map_err(spawn)?;
        let mut command = Command::new(&self.binary);
        command.arg("master").arg("--detach").arg("--run-dir").arg(self.run_dir(run));
        command.arg("--subdag").arg(subdag.0.to_string());
        if reopen {
            command.arg("--reopen");
        }
        if let Some(engine) = &self.engine {
            // Proxies and sweeps inherit it.
            command.env("DOCKER_HOST", engine);
        }
        // The directory may be removed or unmounted while the run goes on.
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(spawn)
    }
}
