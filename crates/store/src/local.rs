//! Durable writes of single files of this machine, for the store and for the local files of a run.
//!
//! All calls block; async code goes through [`Store`](crate::Store).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::StoreError;

/// Makes a file's name durable: syncs the directory that holds it.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|handle| handle.sync_all());
    synced.map_err(|e| StoreError::new("sync the directory", dir.display(), e))
}

/// Creates `dir` and what is missing above it, closed to others (0700), durably.
pub fn make_dir(dir: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => dir.parent().map_or(Ok(()), sync_dir),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().ok_or_else(|| StoreError::new("create the directory", dir.display(), e))?;
            make_dir(parent)?;
            make_dir(dir)
        }
        Err(e) => Err(StoreError::new("create the directory", dir.display(), e)),
    }
}

/// Writes a file so that at any crash either the old or the new content is there, and on return the new one is durable.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let staged = Staged::write(path, bytes, mode)?;
    fs::rename(&staged.path, path).map_err(|e| StoreError::new("write", path.display(), e))?;
    staged.published(path)
}

/// Like [`write_atomic`], but only where no such file exists; `false` where one does.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, StoreError> {
    let staged = Staged::write(path, bytes, mode)?;
    match fs::hard_link(&staged.path, path) {
        Ok(()) => staged.published(path).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(StoreError::new("create", path.display(), e)),
    }
}

/// A complete, synced file under a hidden name beside its future place. Removed when dropped.
struct Staged {
    path: PathBuf,
}

/// What hidden names of staged files hold, so that lists leave out those that a crash left behind.
pub(crate) const STAGED: &str = ".staged-";

impl Staged {
    fn write(target: &Path, bytes: &[u8], mode: u32) -> Result<Self, StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let dir = target.parent().unwrap_or(Path::new("/"));
        let name = format!("{STAGED}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let staged = Self { path: dir.join(name) };
        let failed = |e| StoreError::new("write", target.display(), e);
        let mut file = match create(&staged.path, mode) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_dir(dir)?;
                create(&staged.path, mode).map_err(failed)?
            }
            // A process with our id died here once.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&staged.path).and_then(|()| create(&staged.path, mode)).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        file.write_all(bytes).map_err(failed)?;
        file.sync_all().map_err(|e| StoreError::new("sync", target.display(), e))?;
        Ok(staged)
    }

    fn published(self, path: &Path) -> Result<(), StoreError> {
        drop(self);
        path.parent().map_or(Ok(()), sync_dir)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where it was renamed; what can't be removed is hidden and harmless.
        let _ = fs::remove_file(&self.path);
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}
