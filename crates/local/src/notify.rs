//! Wakes whoever waits for room as soon as a share or a waiter comes or goes.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe::Receiver;

/// A watch on directories. Where the system has none left, only the slow poll remains.
///
/// An inotify descriptor is read like a pipe, so tokio's pipe carries it.
#[derive(Debug)]
pub(crate) struct Changes(Option<Receiver>);

impl Changes {
    pub(crate) fn of(dirs: &[&Path]) -> Self {
        let open = || -> Result<OwnedFd, Errno> {
            let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            for dir in dirs {
                watch.add_watch(*dir, AddWatchFlags::IN_DELETE)?;
            }
            Ok(watch.into())
        };
        Self(open().ok().and_then(|fd| Receiver::from_owned_fd_unchecked(fd).ok()))
    }

    /// Returns when a file of the directories was removed; may return early. Written files do not count: every waiting
    /// run writes its own once a second.
    pub(crate) async fn changed(&self) {
        let Some(watch) = &self.0 else { return std::future::pending().await };
        if watch.readable().await.is_err() {
            return std::future::pending().await;
        }
        let mut buffer = [0; 4096];
        while watch.try_read(&mut buffer).is_ok_and(|read| read > 0) {}
    }
}
