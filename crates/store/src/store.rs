//! The store: named files with durable writes, in a directory or in HDFS.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::append::DirAppender;
use crate::dir::{self, off_loop};
use crate::hdfs::{Claim, Hdfs, HdfsConf};
use crate::local::{write_atomic, write_new};
use crate::read::DirReader;
use crate::{Appender, EpochFence, Lock, Reader, StoreError};

/// Mode of every file of a store: its directories are closed to others anyway.
pub(crate) const FILE_MODE: u32 = 0o600;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes of a file; 0 for a directory.
    pub len: u64,
    /// When it was changed, in milliseconds.
    pub mtime_ms: u64,
}

/// What is known of a file or directory without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of a file. In HDFS also those of a file that is still written, which can't be read yet.
    pub len: u64,
    /// When it was changed, in milliseconds.
    pub mtime_ms: u64,
    /// Its permissions, as in Unix.
    pub mode: u32,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Where runs are kept. Cheap to clone.
///
/// On HDFS every call ends within a deadline, and one that fails because nobody answers is tried again for as long as
/// [`Store::with_patience`] says: not at all, unless told. There a file that its writer has not closed can be read as
/// far as its closed blocks reach: for most files, nothing of it.
#[derive(Debug, Clone)]
pub struct Store {
    place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Dir(Arc<Path>),
    Hdfs(Hdfs),
}

/// A name where it lies: a path of this machine, or one of HDFS.
enum Spot<'a> {
    Dir(PathBuf),
    Hdfs(&'a Hdfs, &'a str),
}

impl Store {
    /// The store in the directory `home`, which the first write creates.
    #[must_use]
    pub fn open_dir(home: impl Into<PathBuf>) -> Self {
        Self { place: Place::Dir(home.into().into()) }
    }

    /// The store at an `hdfs://` address. Connects at the first call.
    pub fn hdfs(conf: HdfsConf) -> Result<Self, StoreError> {
        Ok(Self { place: Place::Hdfs(Hdfs::new(conf)?) })
    }

    /// The same store, whose calls are tried again for so long while HDFS does not answer or is in safe mode.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        match &self.place {
            Place::Dir(_) => self.clone(),
            Place::Hdfs(hdfs) => Self { place: Place::Hdfs(hdfs.with_patience(patience)) },
        }
    }

    /// The same store, each of whose calls to HDFS is given up after so long.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        match &self.place {
            Place::Dir(_) => self.clone(),
            Place::Hdfs(hdfs) => Self { place: Place::Hdfs(hdfs.with_deadline(deadline)) },
        }
    }

    /// Whether it lies in HDFS.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.place, Place::Hdfs(_))
    }

    /// The whole address of a name: a path, or `hdfs://...`.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        match &self.place {
            Place::Dir(root) => root.join(name).display().to_string(),
            Place::Hdfs(hdfs) => hdfs.url(name),
        }
    }

    /// Replaces a file's content in one step. On return it is durable; a crash leaves the old or the new content.
    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        let bytes = bytes.into();
        match self.spot("write", name)? {
            Spot::Dir(path) => off_loop("write", &path.clone(), move || write_atomic(&path, &bytes, FILE_MODE)).await,
            Spot::Hdfs(hdfs, name) => hdfs.put(name, bytes).await,
        }
    }

    /// Creates a file with its content, durably; `false` where it exists already, which then stays as it is.
    pub async fn put_new(&self, name: &str, bytes: impl Into<Bytes>) -> Result<bool, StoreError> {
        let bytes = bytes.into();
        match self.spot("create", name)? {
            Spot::Dir(path) => off_loop("create", &path.clone(), move || write_new(&path, &bytes, FILE_MODE)).await,
            Spot::Hdfs(hdfs, name) => hdfs.put_new(name, bytes).await,
        }
    }

    /// Puts a file of this machine with a mode. For names that tell the content: in HDFS a file that is there stays, for
    /// YARN refuses one whose time has changed since a submission named it.
    pub async fn put_file(&self, name: &str, local: &Path, mode: u32) -> Result<(), StoreError> {
        let local = local.to_owned();
        match self.spot("write", name)? {
            Spot::Dir(path) => off_loop("write", &path.clone(), move || dir::put_file(&path, &local, mode)).await,
            Spot::Hdfs(hdfs, name) => hdfs.put_file(name, &local, mode).await,
        }
    }

    /// Creates an empty file; `false` where one of that name exists. Of many who try, one wins; on HDFS this is the
    /// fastest durable step. An error leaves open who has it: claim the next name.
    pub async fn claim(&self, name: &str) -> Result<bool, StoreError> {
        match self.spot("claim", name)? {
            Spot::Dir(path) => off_loop("claim", &path.clone(), move || write_new(&path, b"", FILE_MODE)).await,
            Spot::Hdfs(hdfs, name) => hdfs.claim(name).await,
        }
    }

    /// A whole file.
    pub async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        match self.spot("read", name)? {
            Spot::Dir(path) => off_loop("read", &path.clone(), move || dir::read(&path).map(Bytes::from)).await,
            Spot::Hdfs(hdfs, name) => hdfs.get(name).await,
        }
    }

    /// A whole file, or nothing where it does not exist.
    pub async fn get_opt(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        found(self.get(name).await)
    }

    /// At most `max` bytes from `offset`; fewer only at the end. For many reads of one file, [`Store::open`] it.
    pub async fn read_from(&self, name: &str, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        self.open(name).await?.read_at(offset, max).await
    }

    /// Opens a file for reading.
    pub async fn open(&self, name: &str) -> Result<Reader, StoreError> {
        match self.spot("open", name)? {
            Spot::Dir(path) => {
                off_loop("open", &path.clone(), move || DirReader::open(&path)).await.map(Reader::from_dir)
            }
            Spot::Hdfs(hdfs, name) => hdfs.open(name).await.map(Reader::from_hdfs),
        }
    }

    /// Opens or creates a file for appending. One writer at a time: in a directory, who opens it holds a lock of its
    /// own; in HDFS [`StoreError::is_held`] says that another writer has it open.
    pub async fn append(&self, name: &str) -> Result<Appender, StoreError> {
        match self.spot("append to", name)? {
            Spot::Dir(path) => {
                off_loop("append to", &path.clone(), move || DirAppender::open(&path)).await.map(Appender::from_dir)
            }
            Spot::Hdfs(hdfs, name) => hdfs.append(name, false).await.map(Appender::from_hdfs),
        }
    }

    /// Like [`Store::append`], and takes the file from another writer: dead, or to be fenced by this. What that one
    /// synced is there, and its next write fails. Takes about a second where it left the file open.
    ///
    /// Claim the right to it first (an epoch), and call this only then.
    pub async fn take_over(&self, name: &str) -> Result<Appender, StoreError> {
        match self.spot("take over", name)? {
            Spot::Dir(_) => self.append(name).await,
            Spot::Hdfs(hdfs, name) => hdfs.append(name, true).await.map(Appender::from_hdfs),
        }
    }

    /// Like [`Store::take_over`] of a file that nobody has made yet, as far as the caller knows: one step instead of three
    /// in HDFS. One that is there all the same is taken over.
    ///
    /// Claim the right to it first (an epoch), and call this only then.
    pub async fn begin(&self, name: &str) -> Result<Appender, StoreError> {
        if let Spot::Hdfs(hdfs, name) = self.spot("create", name)?
            && let Some(appender) = hdfs.append_new(name).await?
        {
            return Ok(Appender::from_hdfs(appender));
        }
        self.take_over(name).await
    }

    /// Takes a file from an older attempt, dead or alive, with all that was synced in it: the content, and its end. Unlike
    /// [`Store::take_over`], this waits for no lease recovery: what HDFS has open is read where it lies, and goes on in a
    /// new file under the same name. The fence's epoch must have been claimed before; a newer one ends this.
    pub async fn adopt(&self, name: &str, fence: &EpochFence) -> Result<(Bytes, Appender), StoreError> {
        match self.spot("take over", name)? {
            Spot::Dir(_) => {
                let appender = self.append(name).await?;
                Ok((self.get(name).await?, appender))
            }
            Spot::Hdfs(hdfs, name) => {
                let (bytes, appender) = hdfs.adopt(Claim { name, epoch: fence.epoch, fence }).await?;
                Ok((bytes, Appender::from_hdfs(appender)))
            }
        }
    }

    /// Closes the file of a writer that is dead, so that it can be read; `false` where there is no file. A writer that
    /// lives is fenced by this.
    pub async fn close_dead(&self, name: &str) -> Result<bool, StoreError> {
        match self.spot("close", name)? {
            Spot::Dir(path) => off_loop("look at", &path.clone(), move || Ok(path.exists())).await,
            Spot::Hdfs(hdfs, name) => found(hdfs.recover(name).await).map(|closed| closed.is_some()),
        }
    }

    /// What is in a directory, by name. Empty where it does not exist.
    pub async fn list(&self, dir: &str) -> Result<Vec<Entry>, StoreError> {
        match self.spot("list", dir)? {
            Spot::Dir(path) => off_loop("list", &path.clone(), move || dir::list(&path)).await,
            Spot::Hdfs(hdfs, name) => hdfs.list(name).await,
        }
    }

    /// What is known of a file or directory, or nothing where it does not exist.
    pub async fn stat(&self, name: &str) -> Result<Option<Stat>, StoreError> {
        found(match self.spot("look at", name)? {
            Spot::Dir(path) => off_loop("look at", &path.clone(), move || dir::stat(&path)).await,
            Spot::Hdfs(hdfs, name) => hdfs.stat(name).await,
        })
    }

    /// Bytes of a file, or nothing where it does not exist.
    pub async fn len(&self, name: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.stat(name).await?.map(|stat| stat.len))
    }

    /// Whether there is a file or directory of this name.
    pub async fn exists(&self, name: &str) -> Result<bool, StoreError> {
        self.stat(name).await.map(|stat| stat.is_some())
    }

    /// Whether everybody may read this file: it and all directories above it are open to others. YARN shares such a
    /// file between users and applications on a node.
    pub async fn is_public(&self, name: &str) -> Result<bool, StoreError> {
        match self.spot("look at", name)? {
            Spot::Dir(path) => off_loop("look at", &path.clone(), move || dir::is_public(&path)).await,
            Spot::Hdfs(hdfs, name) => hdfs.is_public(name).await,
        }
    }

    /// Creates a directory, and what is missing above it, or gives the one that is there this mode.
    pub async fn make_dir(&self, name: &str, mode: u32) -> Result<(), StoreError> {
        match self.spot("create the directory", name)? {
            Spot::Dir(path) => off_loop("create", &path.clone(), move || dir::make_dir_of(&path, mode)).await,
            Spot::Hdfs(hdfs, name) => hdfs.make_dir(name, mode).await,
        }
    }

    /// Sets the permissions of a file or directory.
    pub async fn set_mode(&self, name: &str, mode: u32) -> Result<(), StoreError> {
        match self.spot("set the permissions of", name)? {
            Spot::Dir(path) => off_loop("change", &path.clone(), move || dir::set_mode(&path, mode)).await,
            Spot::Hdfs(hdfs, name) => hdfs.set_mode(name, mode).await,
        }
    }

    /// Makes the store itself on HDFS: it (0711), `bin/` (0755), `runs/` (0700). Nothing where they are there; a
    /// directory makes itself at its first write.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        match &self.place {
            Place::Dir(_) => Ok(()),
            Place::Hdfs(hdfs) => hdfs.prepare().await,
        }
    }

    /// Whether somebody holds the lock of this name; one without a file is not held. HDFS has no locks.
    pub async fn is_locked(&self, name: &str) -> Result<bool, StoreError> {
        match self.spot("look at", name)? {
            Spot::Dir(path) => off_loop("look at", &path.clone(), move || Lock::is_held(&path)).await,
            Spot::Hdfs(..) => Ok(false),
        }
    }

    /// Gives a file or directory another name, where nothing may be but a file; all or nothing.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        match (self.spot("rename", from)?, self.spot("rename", to)?) {
            (Spot::Dir(from), Spot::Dir(to)) => {
                off_loop("rename", &from.clone(), move || dir::rename(&from, &to)).await
            }
            (Spot::Hdfs(hdfs, from), Spot::Hdfs(_, to)) => hdfs.rename(from, to).await,
            // Both names are of one store.
            _ => Ok(()),
        }
    }

    /// Removes a file, durably; `false` where it did not exist.
    pub async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        match self.spot("remove", name)? {
            Spot::Dir(path) => {
                off_loop("remove", &path.clone(), move || dir::gone(&path, fs::remove_file(&path))).await
            }
            Spot::Hdfs(hdfs, name) => hdfs.remove(name, false).await,
        }
    }

    /// Removes a directory with all in it; `false` where it did not exist.
    pub async fn remove_tree(&self, dir: &str) -> Result<bool, StoreError> {
        match self.spot("remove", dir)? {
            Spot::Dir(path) => {
                off_loop("remove", &path.clone(), move || dir::gone(&path, fs::remove_dir_all(&path))).await
            }
            Spot::Hdfs(hdfs, name) => hdfs.remove(name, true).await,
        }
    }

    fn spot<'a>(&'a self, operation: &'static str, name: &'a str) -> Result<Spot<'a>, StoreError> {
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain {
            let why = io::Error::new(io::ErrorKind::InvalidInput, "not a name of the store");
            return Err(StoreError::new(operation, format!("{name:?}"), why));
        }
        Ok(match &self.place {
            Place::Dir(root) => Spot::Dir(root.join(name)),
            Place::Hdfs(hdfs) => Spot::Hdfs(hdfs, name),
        })
    }
}

fn found<T>(got: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match got {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}
