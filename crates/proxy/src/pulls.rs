//! One pull an image at a time for all users of a node: locks in a directory that the node's agent made, where it did.
//!
//! Whoever may write there may hold a lock for ever, so nobody waits for ever: a pull more costs less than a task that
//! never starts.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_store::layout::Machine;
use nix::libc;
use tokio::time::{Instant, sleep};

/// The longest wait for a pull of somebody else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// Where agents make it.
const RUN_DIR: &str = "/run/dybox";

/// The directory of what all users of this node share.
fn run_dir() -> PathBuf {
    std::env::var_os("DYBOX_RUN_DIR").filter(|dir| !dir.is_empty()).map_or_else(|| RUN_DIR.into(), PathBuf::from)
}

/// The lock of this image on this node. Nothing where no agent made a place for it, or it is not free in time: then the
/// image is pulled all the same.
pub(crate) async fn hold(image: &str, patience: Duration) -> Option<File> {
    let path = run_dir().join(Machine::pull_of_all(image));
    path.parent().filter(|dir| dir.is_dir())?;
    match wait(&path, patience).await {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => {
            tracing::warn!(image, "somebody on this node has pulled it for {} s: pulling it too", patience.as_secs());
            None
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "can't lock: pulling without");
            None
        }
    }
}

async fn wait(path: &Path, patience: Duration) -> io::Result<Option<File>> {
    let end = Instant::now() + patience;
    let file = open(path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(PAUSE).await,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Others must be able to lock it, too. What somebody put there instead of a file is not followed and not waited for.
fn open(path: &Path) -> io::Result<File> {
    let plain = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let there = || OpenOptions::new().read(true).custom_flags(plain).open(path);
    match there() {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
            match OpenOptions::new().write(true).create_new(true).mode(0o644).custom_flags(plain).open(path) {
                Ok(made) => made.set_permissions(Permissions::from_mode(0o644)).map(|()| made),
                Err(raced) if raced.kind() == io::ErrorKind::AlreadyExists => there(),
                Err(error) => Err(error),
            }
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_holds_it_too_long_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let soon = Duration::from_millis(50);
        let first = wait(&path, soon).await.unwrap().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644, "others must get it, too");
        assert!(wait(&path, soon).await.unwrap().is_none());
        drop(first);
        assert!(wait(&path, soon).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_is_no_file_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(wait(&link, PATIENCE).await.is_err());
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let opened = tokio::time::timeout(Duration::from_secs(20), wait(&pipe, Duration::ZERO)).await;
        assert!(opened.is_ok());
    }
}
