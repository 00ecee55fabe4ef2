//! The proxy that runs as a child of this process, in the master's own container.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dybox_model::GrantId;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use super::FromRm;
use super::yarn::Did;

/// Dropping it kills the process; its end is told either way.
#[derive(Debug)]
pub(crate) struct Child {
    _kill: oneshot::Sender<()>,
}

impl Child {
    /// Starts `program` with this token file. It stays in the process group that YARN kills, and asks the kernel to be
    /// ended when this process dies (`--child`).
    pub(super) fn start(
        (grant, program): (GrantId, &Path),
        token_file: PathBuf,
        credentials: Vec<u8>,
        tell: mpsc::UnboundedSender<FromRm>,
    ) -> Self {
        let (kill, killed) = oneshot::channel();
        let started = write(&token_file, &credentials).and_then(|()| {
            let mut command = Command::new(program);
            command.arg0("dybox").args(["proxy", "--yarn", "--child"]).env("HADOOP_TOKEN_FILE_LOCATION", &token_file);
            command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()
        });
        tokio::spawn(async move {
            let (clean, how) = match started {
                Ok(child) => wait(child, killed).await,
                Err(error) => (false, format!("could not be started: {error}")),
            };
            let _ = std::fs::remove_file(token_file);
            let _ = tell.send(FromRm::Did(Did::OwnEnded { grant, clean, how }));
        });
        Self { _kill: kill }
    }
}

async fn wait(mut child: tokio::process::Child, killed: oneshot::Receiver<()>) -> (bool, String) {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = killed => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    match status {
        Ok(status) => (status.success(), dybox_local::how(status)),
        Err(error) => (false, error.to_string()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}
