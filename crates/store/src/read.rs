//! Reading one file from any place in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::StoreError;
use crate::dir::off_loop;
use crate::hdfs::HdfsReader;
use crate::logs::LiveReader;

/// An open file of the store. Sees what is appended after it was opened; in HDFS, once that is closed.
#[derive(Debug, Clone)]
pub struct Reader {
    from: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    Dir(DirReader),
    Hdfs(HdfsReader),
    Live(LiveReader),
}

impl Reader {
    pub(crate) const fn from_dir(reader: DirReader) -> Self {
        Self { from: Origin::Dir(reader) }
    }

    pub(crate) const fn from_hdfs(reader: HdfsReader) -> Self {
        Self { from: Origin::Hdfs(reader) }
    }

    pub(crate) const fn from_live(reader: LiveReader) -> Self {
        Self { from: Origin::Live(reader) }
    }

    /// At most `max` bytes from `offset`; fewer only at the end of the file.
    pub async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        match &self.from {
            Origin::Dir(reader) => reader.read_at(offset, max).await,
            Origin::Hdfs(reader) => reader.read_at(offset, max).await,
            Origin::Live(reader) => reader.read_at(offset, max).await,
        }
    }

    /// Begins to read on another thread, into the memory of `spare`: who reads a file from end to end works on one part
    /// while the next one comes. Nothing where the file is not of this machine.
    pub(crate) fn ahead(&self, offset: u64, max: usize, spare: BytesMut) -> Option<ReadAhead> {
        let reader = self.dir()?.clone();
        let reading = spawn_blocking(move || reader.read_now(offset, max, spare));
        Some(ReadAhead { offset, reading })
    }

    /// Bytes that can be read now.
    pub async fn size(&self) -> Result<u64, StoreError> {
        match &self.from {
            Origin::Dir(reader) => reader.size().await,
            Origin::Hdfs(reader) => reader.size().await,
            Origin::Live(reader) => reader.size().await,
        }
    }

    /// The file of this machine behind it, where there is one.
    pub(crate) const fn dir(&self) -> Option<&DirReader> {
        match &self.from {
            Origin::Dir(reader) => Some(reader),
            Origin::Hdfs(_) | Origin::Live(_) => None,
        }
    }
}

/// A part of a file that is being read.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    offset: u64,
    reading: JoinHandle<Result<Bytes, StoreError>>,
}

impl ReadAhead {
    /// Where it begins.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What was read; nothing where its thread was taken away. May be dropped while it waits, and asked again until it
    /// has answered.
    pub(crate) async fn answer(&mut self) -> Result<Option<Bytes>, StoreError> {
        (&mut self.reading).await.ok().transpose()
    }
}

/// An open file of this machine.
#[derive(Debug, Clone)]
pub(crate) struct DirReader {
    file: Arc<File>,
    path: PathBuf,
}

impl DirReader {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| StoreError::new("open", path.display(), e))?;
        Ok(Self { file: Arc::new(file), path: path.to_owned() })
    }

    pub(crate) async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let this = self.clone();
        off_loop("read", &self.path, move || this.read_now(offset, max, BytesMut::new())).await
    }

    async fn size(&self) -> Result<u64, StoreError> {
        let this = self.clone();
        off_loop("look at", &self.path, move || {
            this.file.metadata().map(|m| m.len()).map_err(|e| StoreError::new("look at", this.path.display(), e))
        })
        .await
    }

    /// Bytes in the file now, and when it was changed.
    pub(crate) async fn looked(&self) -> Result<(u64, SystemTime), StoreError> {
        let this = self.clone();
        off_loop("look at", &self.path, move || {
            let looked = this.file.metadata().and_then(|meta| Ok((meta.len(), meta.modified()?)));
            looked.map_err(|e| StoreError::new("look at", this.path.display(), e))
        })
        .await
    }

    /// The first piece from `offset` on that holds data and no hole: where it begins and ends. Nothing where only a hole
    /// follows.
    pub(crate) async fn data_from(&self, offset: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let this = self.clone();
        let seek = move |from: u64, whence| lseek(&this.file, from.cast_signed(), whence).map(i64::cast_unsigned);
        off_loop("look at", &self.path, move || match seek(offset, Whence::SeekData) {
            Ok(begin) => Ok(Some((begin, seek(begin, Whence::SeekHole).unwrap_or(u64::MAX)))),
            Err(Errno::ENXIO) => Ok(None),
            // A file system that knows no holes.
            Err(_) => Ok(Some((offset, u64::MAX))),
        })
        .await
    }

    /// Into `bytes`, whose memory is used again.
    fn read_now(&self, offset: u64, max: usize, mut bytes: BytesMut) -> Result<Bytes, StoreError> {
        let failed = |e| StoreError::new("read", self.path.display(), e);
        let there = self.file.metadata().map_err(failed)?.len().saturating_sub(offset);
        bytes.resize(usize::try_from(there).unwrap_or(usize::MAX).min(max), 0);
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        bytes.truncate(done);
        Ok(bytes.freeze())
    }
}
