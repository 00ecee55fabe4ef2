//! The copy itself: how much of it is durable, and bringing the next bytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::dir::off_loop;
use crate::{Appender, Store, StoreError};

/// Bytes that are read, sent and compared at once: a proxy is to stay below 15 MB in all.
const PIECE: usize = 256 << 10;
/// A copy to which nothing came for so long is closed, so that it can be read also when we die.
const REST: Duration = Duration::from_secs(10);
/// Bytes that are sent before they are synced.
const BATCH: u64 = 512 << 10;

/// A file of this machine and its copy in the store.
pub(super) struct Copy {
    store: Store,
    local: PathBuf,
    name: String,
    to: Option<Appender>,
    durable: u64,
}

impl Copy {
    pub(super) const fn new(store: Store, local: PathBuf, name: String) -> Self {
        Self { store, local, name, to: None, durable: 0 }
    }

    pub(super) const fn durable(&self) -> u64 {
        self.durable
    }

    pub(super) fn url(&self) -> String {
        self.store.url(&self.name)
    }

    /// Bytes of the file now; 0 where it is not there yet.
    pub(super) fn local_len(&self) -> u64 {
        fs::metadata(&self.local).map_or(0, |meta| meta.len())
    }

    /// Makes the next bytes durable, up to `end` at most. After a failure the copy is opened anew.
    pub(super) async fn push(&mut self, end: u64) -> Result<(), StoreError> {
        let mut to = match self.to.take() {
            Some(to) => to,
            None => self.open().await?,
        };
        let end = end.min(to.len() + BATCH);
        while to.len() < end {
            let want = usize::try_from(end - to.len()).unwrap_or(PIECE).min(PIECE);
            let piece = read(&self.local, to.len(), want).await?;
            if piece.is_empty() {
                break;
            }
            to.write_parts(vec![piece]).await?;
        }
        to.sync().await?;
        self.durable = to.len();
        self.to = Some(to);
        Ok(())
    }

    /// Closes the copy. One that was not written by us is closed too.
    pub(super) async fn close(&mut self) -> Result<(), StoreError> {
        match self.to.take() {
            Some(to) => to.close().await,
            None => self.store.close_dead(&self.name).await.map(|_| ()),
        }
    }

    /// Opens the copy at its end, and cuts off what is not in the file: a torn write that was repaired since.
    async fn open(&mut self) -> Result<Appender, StoreError> {
        let same = if self.store.close_dead(&self.name).await? { self.common().await? } else { 0 };
        let mut to = self.store.take_over(&self.name).await?;
        if to.len() > same {
            to.truncate(same).await?;
        }
        self.durable = to.len();
        // Nobody but us writes it, and it never goes on by itself after a failure: the next open finds out what is there.
        Ok(to.resting(REST))
    }

    /// How many first bytes both have in common, compared from the end: all before an equal piece are equal.
    async fn common(&self) -> Result<u64, StoreError> {
        let remote = self.store.open(&self.name).await?;
        let both = remote.size().await?.min(self.local_len());
        let (mut end, mut same) = (both, both);
        while end > 0 {
            let begin = end.saturating_sub(PIECE as u64);
            let len = usize::try_from(end - begin).expect("no longer than a piece");
            let (ours, theirs) = (read(&self.local, begin, len).await?, remote.read_at(begin, len).await?);
            let equal = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            if equal == len {
                break;
            }
            same = begin + equal as u64;
            end = begin;
        }
        Ok(same)
    }
}

/// At most `max` bytes from `offset`.
async fn read(local: &Path, offset: u64, max: usize) -> Result<Bytes, StoreError> {
    let path = local.to_owned();
    off_loop("read", local, move || {
        let mut bytes = vec![0; max];
        let mut done = 0;
        let failed = |e: io::Error| StoreError::new("read", path.display(), e);
        let file = File::open(&path).map_err(failed)?;
        while done < max {
            match file.read_at(&mut bytes[done..], offset + done as u64).map_err(failed)? {
                0 => break,
                n => done += n,
            }
        }
        bytes.truncate(done);
        Ok(bytes.into())
    })
    .await
}
