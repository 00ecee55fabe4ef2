//! The proxy that runs as a child of this process, in the master's own container.

use std::io;
use std::path::Path;
use std::process::Stdio;

use dybox_model::GrantId;
use tokio::io::AsyncWriteExt;
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
    /// Starts `program`, which gets its bundle on stdin: no file holds it. It stays in the process group that YARN
    /// kills, and has the kernel end it when this process dies.
    pub(super) fn start(
        (grant, program): (GrantId, &Path),
        bundle: Vec<u8>,
        tell: mpsc::UnboundedSender<FromRm>,
    ) -> Self {
        let (kill, killed) = oneshot::channel();
        let mut command = Command::new(program);
        command.arg0("dybox").args(["proxy", "--yarn", "--stdin"]);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn();
        tokio::spawn(async move {
            let (clean, how) = match started {
                Ok(child) => match hand_over(child, bundle).await {
                    Ok(child) => wait(child, killed).await,
                    Err(error) => (false, format!("could not be told what to do: {error}")),
                },
                Err(error) => (false, format!("could not be started: {error}")),
            };
            let _ = tell.send(FromRm::Did(Did::OwnEnded { grant, clean, how }));
        });
        Self { _kill: kill }
    }
}

async fn hand_over(mut child: tokio::process::Child, bundle: Vec<u8>) -> io::Result<tokio::process::Child> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&bundle).await?;
        stdin.shutdown().await?;
    }
    Ok(child)
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
