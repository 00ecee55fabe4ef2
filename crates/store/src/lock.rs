//! Locks that the kernel frees at any death of their holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::local::make_dir;

/// First and longest pause between two tries of a lock that is held.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// An exclusive lock (`flock`) on a file of this machine.
///
/// It belongs to the open file, so a child that inherits the descriptor holds it too: it is free when the last holder
/// has closed it or died. Nothing unlocks it explicitly, so handing it to a child and dropping it here is safe.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock when it is free; `None` when somebody holds it. Creates the file (0600) where it is missing.
    ///
    /// [`Lock::is_held`] of another process may hold it for a moment: who must not be refused by that uses
    /// [`Lock::wait`] with a short deadline.
    pub fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(StoreError::new("lock", path.display(), e)),
            }
            // The file may have been removed between open and lock; then the lock would be on nothing.
            if same_file(&file, path)? {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// Waits for the lock, at most `deadline`; `None` when it is still held then. Blocks.
    pub fn wait(path: &Path, deadline: Duration) -> Result<Option<Self>, StoreError> {
        let mut pauses = Pauses::new(deadline);
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(Some(lock));
            }
            match pauses.next() {
                Some(pause) => std::thread::sleep(pause),
                None => return Ok(None),
            }
        }
    }

    /// Like [`Lock::wait`], without blocking the thread.
    pub async fn acquire(path: &Path, deadline: Duration) -> Result<Option<Self>, StoreError> {
        let mut pauses = Pauses::new(deadline);
        loop {
            // Opening and trying are two system calls that never wait.
            if let Some(lock) = Self::try_take(path)? {
                return Ok(Some(lock));
            }
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(None),
            }
        }
    }

    /// Whether somebody holds the lock now. A missing file is not held and not created.
    pub fn is_held(path: &Path) -> Result<bool, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(StoreError::new("open", path.display(), e)),
        };
        // Shared, so that two who look do not see each other.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(StoreError::new("lock", path.display(), e)),
        }
    }

    /// Replaces what the file says, for whoever is refused ("pid 12, since ...") or counts it (a share).
    pub fn write(&self, text: &[u8]) -> Result<(), StoreError> {
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(text, 0));
        written.and_then(|()| (&self.file).flush()).map_err(|e| StoreError::new("write", self.path.display(), e))
    }

    /// What the holder wrote; empty where nothing is. May be read without the lock.
    pub fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
        let mut text = Vec::new();
        match File::open(path).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => Ok(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(StoreError::new("read", path.display(), e)),
        }
    }

    /// Removes the file while the lock is held, so that no one can take a lock on a file that is gone, and lets go.
    pub fn remove(self) -> Result<(), StoreError> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::new("remove", self.path.display(), e)),
            _ => Ok(()),
        }
    }

    /// The descriptor, for a child to inherit. The lock lives as long as any copy of it.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }

    /// The file that is locked.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let try_open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let opened = match (try_open(), path.parent()) {
        (Err(e), Some(dir)) if e.kind() == io::ErrorKind::NotFound => {
            make_dir(dir)?;
            try_open()
        }
        (opened, _) => opened,
    };
    opened.map_err(|e| StoreError::new("open", path.display(), e))
}

fn same_file(file: &File, path: &Path) -> Result<bool, StoreError> {
    let ours = file.metadata().map_err(|e| StoreError::new("look at", path.display(), e))?;
    match std::fs::metadata(path) {
        Ok(there) => Ok(there.ino() == ours.ino() && there.dev() == ours.dev()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::new("look at", path.display(), e)),
    }
}

/// Growing pauses up to a deadline.
struct Pauses {
    end: Instant,
    next: Duration,
}

impl Pauses {
    fn new(deadline: Duration) -> Self {
        Self { end: Instant::now() + deadline, next: PAUSES.0 }
    }

    fn next(&mut self) -> Option<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        let pause = self.next.min(left);
        self.next = (self.next * 2).min(PAUSES.1);
        (!left.is_zero()).then_some(pause)
    }
}
