//! The way in for visitors of a running task (`dybox exec`): `out/exec.sock`.
//!
//! Each visitor gets a process of its own, this program as `dybox-init visit` with the visitor's socket as its stdin:
//! what goes wrong there is nothing to PID 1, and the kernel ends it with the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::attach;
use crate::secrets::Secrets;

/// Where visitors knock.
pub(crate) struct Door {
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl Door {
    /// Opens it in the directory `out`. A task whose door can't be opened runs all the same.
    pub(crate) fn open(out: &Path) -> Self {
        let path = out.join("exec.sock");
        let listener = attach::listen_at(&path).ok();
        Self { path, listener }
    }

    /// Opens it anew, where its file was cleared away.
    pub(crate) fn reopen(&mut self) {
        self.listener = attach::listen_at(&self.path).ok();
    }

    /// What to wait on.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Lets everybody in who waits; `env` are the task's own variables. What visitors see is without the secrets.
    pub(crate) fn admit(&self, env: &[String], secrets: &Secrets) {
        let Some(listener) = &self.listener else { return };
        while let Ok((stream, _)) = listener.accept() {
            let pairs = env.iter().filter_map(|pair| pair.split_once('='));
            let mut visit = Command::new("/proc/self/exe");
            visit.arg("visit").stdin(OwnedFd::from(stream)).stdout(Stdio::null()).stderr(Stdio::null());
            if !secrets.words.is_empty() {
                // Without them nobody comes in.
                let Some(shared) = secrets.shared() else { continue };
                visit.arg("--secrets").stdout(shared);
            }
            // Where it fails (no room for a process) the visitor sees the line end. Its end is taken as an orphan's is.
            drop(visit.envs(pairs).spawn());
        }
    }
}
