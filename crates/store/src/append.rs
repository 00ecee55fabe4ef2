//! Appending to one file, durably and in order.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::dir::off_loop;
use crate::hdfs::HdfsAppender;
use crate::local::{make_dir, sync_dir};
use crate::{Guard, StoreError};

/// The end of a file that one writer at a time extends.
///
/// In a directory, a write that fails half-way (a full disk) leaves no half record: the file is cut back to where it
/// was. A sync that fails, or a cut that fails, ends this appender: what is on the disk is unknown, so every later call
/// fails too. A call that is dropped before its end still happens, before the next one.
///
/// In HDFS a failure ends it too, unless it has a [`Guard`]: then it keeps what is not synced, takes its own file back
/// once HDFS answers again (as long as the fence says that it is still its own), and writes the rest, each byte once.
#[derive(Debug)]
pub struct Appender {
    to: Target,
}

#[derive(Debug)]
enum Target {
    Dir(DirAppender),
    Hdfs(HdfsAppender),
}

impl Appender {
    pub(crate) const fn from_dir(appender: DirAppender) -> Self {
        Self { to: Target::Dir(appender) }
    }

    pub(crate) const fn from_hdfs(appender: HdfsAppender) -> Self {
        Self { to: Target::Hdfs(appender) }
    }

    /// The same appender, which goes on after an outage of HDFS. A directory needs no guard.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        if let Target::Hdfs(appender) = &self.to {
            appender.guard(guard);
        }
        self
    }

    /// The same appender, which in HDFS closes the file when it was idle for so long, and opens it again at the next
    /// write (about 20 ms, with the fence asked twice). A dead writer's open file can't be read before the DataNode has
    /// heard of it, up to 3 s by default; a resting one at once. Without a [guard](Appender::guarded) nobody is asked
    /// whether the file is still ours: only for one that nobody else ever writes.
    #[must_use]
    pub fn resting(self, after: Duration) -> Self {
        if let Target::Hdfs(appender) = &self.to {
            appender.rest_after(after);
        }
        self
    }

    /// Writes at the end. Not durable before [`Appender::sync`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_parts(vec![Bytes::copy_from_slice(bytes)]).await
    }

    /// Writes several pieces as one, without copying them.
    pub async fn write_parts(&mut self, parts: Vec<Bytes>) -> Result<(), StoreError> {
        match &mut self.to {
            Target::Dir(appender) => appender.with(move |shared| shared.write(&parts)).await,
            Target::Hdfs(appender) => appender.write(parts, false).await,
        }
    }

    /// Writes and makes durable in one call: what a journal does with a batch of records.
    pub async fn write_synced(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let parts = vec![Bytes::copy_from_slice(bytes)];
        match &mut self.to {
            Target::Dir(appender) => {
                appender.with(move |shared| shared.write(&parts).and_then(|()| shared.sync())).await
            }
            Target::Hdfs(appender) => appender.write(parts, true).await,
        }
    }

    /// Makes all that was written durable (`fdatasync`, `hsync`).
    pub async fn sync(&mut self) -> Result<(), StoreError> {
        match &mut self.to {
            Target::Dir(appender) => appender.with(Shared::sync).await,
            Target::Hdfs(appender) => appender.sync().await,
        }
    }

    /// Cuts the file down to `len` bytes, durably: a torn record after a crash. HDFS gets a copy that is cut.
    pub async fn truncate(&mut self, len: u64) -> Result<(), StoreError> {
        match &mut self.to {
            Target::Dir(appender) => appender.with(move |shared| shared.truncate(len)).await,
            Target::Hdfs(appender) => appender.truncate(len).await,
        }
    }

    /// Bytes in the file, with those that are not durable yet.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length in bytes, not a collection")]
    pub fn len(&self) -> u64 {
        match &self.to {
            Target::Dir(appender) => appender.shared.len.load(Ordering::Acquire),
            Target::Hdfs(appender) => appender.len(),
        }
    }

    /// Syncs and closes. In HDFS a closed file can be read.
    pub async fn close(mut self) -> Result<(), StoreError> {
        match &mut self.to {
            Target::Dir(_) => self.sync().await,
            Target::Hdfs(appender) => appender.close().await,
        }
    }
}

/// The end of a file of this machine.
#[derive(Debug)]
pub(crate) struct DirAppender {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: PathBuf,
    len: AtomicU64,
    broken: AtomicBool,
    // Orders calls that overlap because the future of the first was dropped.
    turn: Mutex<()>,
}

impl DirAppender {
    /// Opens or creates the file; blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |e| StoreError::new("open for appending", path.display(), e);
        let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let mut new = !path.exists();
        let file = match (open(), path.parent()) {
            (Err(e), Some(dir)) if e.kind() == io::ErrorKind::NotFound => {
                make_dir(dir)?;
                new = true;
                open().map_err(failed)?
            }
            (opened, _) => opened.map_err(failed)?,
        };
        if let (true, Some(dir)) = (new, path.parent()) {
            sync_dir(dir)?;
        }
        let len = AtomicU64::new(file.metadata().map_err(failed)?.len());
        let shared = Shared { file, path: path.to_owned(), len, broken: AtomicBool::new(false), turn: Mutex::new(()) };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn with<T, F>(&mut self, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        off_loop("append to", &self.shared.path, move || {
            let _turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
            shared.whole()?;
            call(&shared)
        })
        .await
    }
}

impl Shared {
    fn failed(&self, operation: &'static str, e: io::Error) -> StoreError {
        StoreError::new(operation, self.path.display(), e)
    }

    fn whole(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(self.failed("append to", io::Error::other("an earlier write or sync failed")));
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<(), StoreError> {
        self.file.set_len(len).map_err(|e| self.failed("truncate", e))?;
        self.len.store(len, Ordering::Release);
        self.sync()
    }

    fn write(&self, parts: &[Bytes]) -> Result<(), StoreError> {
        let before = self.len.load(Ordering::Acquire);
        match write_all(&self.file, parts) {
            Ok(written) => {
                self.len.store(before + written, Ordering::Release);
                Ok(())
            }
            Err(e) => {
                if self.file.set_len(before).is_err() {
                    self.broken.store(true, Ordering::Release);
                }
                Err(self.failed("append to", e))
            }
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|e| {
            // The kernel may have dropped the pages that it could not write: trying again would only look like success.
            self.broken.store(true, Ordering::Release);
            self.failed("sync", e)
        })
    }
}

fn write_all(mut file: &File, parts: &[Bytes]) -> io::Result<u64> {
    let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    let mut total = 0;
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                total += n as u64;
                IoSlice::advance_slices(&mut left, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(total)
}
