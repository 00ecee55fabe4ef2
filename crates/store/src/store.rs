//! The store: named files with durable writes.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::local::{STAGED, sync_dir, write_atomic, write_new};
use crate::{Appender, Lock, Reader, StoreError};

/// Mode of every file of a store: its directories are closed to others anyway.
const FILE_MODE: u32 = 0o600;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes of a file; 0 for a directory.
    pub len: u64,
}

/// Where runs are kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<Path>,
}

impl Store {
    /// The store in the directory `home`, which the first write creates.
    #[must_use]
    pub fn open_dir(home: impl Into<PathBuf>) -> Self {
        Self { root: home.into().into() }
    }

    /// Replaces a file's content in one step. On return it is durable; a crash leaves the old or the new content.
    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        let (path, bytes) = (self.place("write", name)?, bytes.into());
        off_loop("write", &path.clone(), move || write_atomic(&path, &bytes, FILE_MODE)).await
    }

    /// Creates a file with its content, durably; `false` where it exists already, which then stays as it is.
    pub async fn put_new(&self, name: &str, bytes: impl Into<Bytes>) -> Result<bool, StoreError> {
        let (path, bytes) = (self.place("create", name)?, bytes.into());
        off_loop("create", &path.clone(), move || write_new(&path, &bytes, FILE_MODE)).await
    }

    /// A whole file.
    pub async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let path = self.place("read", name)?;
        off_loop("read", &path.clone(), move || {
            fs::read(&path).map(Bytes::from).map_err(|e| StoreError::new("read", path.display(), e))
        })
        .await
    }

    /// A whole file, or nothing where it does not exist.
    pub async fn get_opt(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        found(self.get(name).await)
    }

    /// At most `max` bytes from `offset`; fewer only at the end. For many reads of one file, [`Store::open`] it.
    pub async fn read_from(&self, name: &str, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let path = self.place("read", name)?;
        off_loop("read", &path.clone(), move || Reader::open(&path)?.read_now(offset, max)).await
    }

    /// Opens a file for reading.
    pub async fn open(&self, name: &str) -> Result<Reader, StoreError> {
        let path = self.place("open", name)?;
        off_loop("open", &path.clone(), move || Reader::open(&path)).await
    }

    /// Opens or creates a file for appending. One writer at a time: who opens it holds a lock of its own.
    pub async fn append(&self, name: &str) -> Result<Appender, StoreError> {
        let path = self.place("append to", name)?;
        off_loop("append to", &path.clone(), move || Appender::open(&path)).await
    }

    /// What is in a directory, by name. Empty where it does not exist.
    pub async fn list(&self, dir: &str) -> Result<Vec<Entry>, StoreError> {
        let path = self.place("list", dir)?;
        off_loop("list", &path.clone(), move || list(&path)).await
    }

    /// Bytes of a file, or nothing where it does not exist.
    pub async fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.place("look at", name)?;
        found(
            off_loop("look at", &path.clone(), move || {
                fs::metadata(&path).map(|m| m.len()).map_err(|e| StoreError::new("look at", path.display(), e))
            })
            .await,
        )
    }

    /// Whether there is a file or directory of this name.
    pub async fn exists(&self, name: &str) -> Result<bool, StoreError> {
        self.len(name).await.map(|len| len.is_some())
    }

    /// Whether somebody holds the lock of this name; one without a file is not held.
    pub async fn is_locked(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.place("look at", name)?;
        off_loop("look at", &path.clone(), move || Lock::is_held(&path)).await
    }

    /// Removes a file, durably; `false` where it did not exist.
    pub async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.place("remove", name)?;
        off_loop("remove", &path.clone(), move || gone(&path, fs::remove_file(&path))).await
    }

    /// Removes a directory with all in it; `false` where it did not exist.
    pub async fn remove_tree(&self, dir: &str) -> Result<bool, StoreError> {
        let path = self.place("remove", dir)?;
        off_loop("remove", &path.clone(), move || gone(&path, fs::remove_dir_all(&path))).await
    }

    fn place(&self, operation: &'static str, name: &str) -> Result<PathBuf, StoreError> {
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain {
            let why = io::Error::new(io::ErrorKind::InvalidInput, "not a name of the store");
            return Err(StoreError::new(operation, format!("{name:?}"), why));
        }
        Ok(self.root.join(name))
    }
}

fn found<T>(got: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match got {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

fn gone(path: &Path, removed: io::Result<()>) -> Result<bool, StoreError> {
    match removed {
        Ok(()) => path.parent().map_or(Ok(()), sync_dir).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::new("remove", path.display(), e)),
    }
}

fn list(dir: &Path) -> Result<Vec<Entry>, StoreError> {
    let failed = |e| StoreError::new("list", dir.display(), e);
    let found = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut entries = Vec::new();
    for entry in found {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(STAGED) {
            continue;
        }
        match entry.metadata() {
            Ok(meta) => {
                entries.push(Entry { name, is_dir: meta.is_dir(), len: if meta.is_dir() { 0 } else { meta.len() } })
            }
            // Removed since the directory was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
    }
    entries.sort();
    Ok(entries)
}

/// Runs what blocks on a thread made for that.
pub(crate) async fn off_loop<T, F>(operation: &'static str, place: &Path, call: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(call).await {
        Ok(done) => done,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(join) => Err(StoreError::new(operation, place.display(), io::Error::other(join))),
        },
    }
}
