//! Writing an archive.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use dybox_model::{AttemptId, Millis};
use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, FrameKind};
use super::frame::{Body, Head, MAX_PAYLOAD, count_lines};
use super::index;
use super::item::{Source, Stream};
use crate::{Appender, Store, StoreError};

/// Frames after which the index so far is written and forgotten.
const INDEX_EVERY: usize = 16 << 10;

/// What was found when an archive was opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Bytes of whole frames that were there.
    pub kept: u64,
    /// Bytes of a torn frame at the end, which were cut off.
    pub torn: u64,
}

/// The record of dropped output, as the payload of its frame.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) bytes: u64,
    pub(crate) why: String,
}

/// The one writer of an archive. Whoever opens one holds the grant's owner lock.
///
/// A call returns when the kernel has the bytes: other processes read them at once, and they survive the death of this
/// one, but not that of the machine before [`ArchiveWriter::sync`]. A call whose future is dropped ends the writer.
#[derive(Debug)]
pub struct ArchiveWriter {
    out: Appender,
    /// Frames that no index on the disk lists.
    catalog: Catalog,
    /// Where each output goes on.
    next: BTreeMap<Source, u64>,
    recovered: Recovered,
    indexed: bool,
    busy: bool,
    last: Millis,
    name: String,
}

impl ArchiveWriter {
    /// Opens or creates an archive, cuts off a torn frame at its end, and finds out how much of each output is in it.
    pub async fn open(store: &Store, name: &str) -> Result<Self, StoreError> {
        let mut out = store.append(name).await?;
        let mut catalog = Catalog::default();
        if out.len() > 0 {
            catalog = Catalog::load(&store.open(name).await?).await?;
        }
        let recovered = Recovered { kept: catalog.end, torn: catalog.torn };
        if recovered.torn > 0 {
            out.truncate(catalog.end).await?;
            catalog.torn = 0;
        }
        let mut next = BTreeMap::new();
        for frame in catalog.frames() {
            let grown = if frame.kind == FrameKind::Data { u64::from(frame.len) } else { 0 };
            if let Some(source) = catalog.source(frame) {
                next.insert(source, frame.pos + grown);
            }
        }
        // The whole catalogue is at hand, so the next index lists all and names none before it.
        catalog.last_index = None;
        let indexed = recovered.kept == 0 || catalog.closed;
        let last = catalog.frames().last().map_or(Millis(0), |frame| frame.at);
        Ok(Self { out, catalog, next, recovered, indexed, busy: false, last, name: name.to_owned() })
    }

    /// What was there when it was opened.
    #[must_use]
    pub const fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Bytes of this output that are in the archive or recorded as dropped: where shipping goes on.
    #[must_use]
    pub fn shipped(&self, attempt: AttemptId, stream: Stream) -> u64 {
        self.next.get(&Source { attempt, stream }).copied().unwrap_or(0)
    }

    /// Adds output. Copies it; who has [`Bytes`] calls [`ArchiveWriter::append_bytes`].
    pub async fn append(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        at: Millis,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.append_bytes(attempt, stream, at, Bytes::copy_from_slice(bytes)).await
    }

    /// Adds output without copying it. More than 1 MiB makes several frames.
    pub async fn append_bytes(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        at: Millis,
        mut bytes: Bytes,
    ) -> Result<(), StoreError> {
        self.last = at;
        let source = Source { attempt, stream };
        let mut frames = Vec::with_capacity(bytes.len() / MAX_PAYLOAD + 1);
        let (mut offset, mut pos) = (self.out.len(), self.shipped(attempt, stream));
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(MAX_PAYLOAD));
            let head = head(Body::Data(source), (offset, pos, at), &part);
            (offset, pos) = (head.end(), pos + part.len() as u64);
            frames.push((head, part));
        }
        self.write(frames).await?;
        self.next.insert(source, pos);
        Ok(())
    }

    /// Records that `dropped` bytes of output are not kept, and why: readers see it in their place. Its time is that
    /// of the last output.
    pub async fn gap(&mut self, attempt: AttemptId, stream: Stream, dropped: u64, why: &str) -> Result<(), StoreError> {
        let source = Source { attempt, stream };
        let pos = self.shipped(attempt, stream) + dropped;
        let record =
            serde_json::to_vec(&Dropped { bytes: dropped, why: why.to_owned() }).expect("a number and a text are JSON");
        let head = head(Body::Gap(source), (self.out.len(), pos, self.last), &record);
        self.write(vec![(head, record.into())]).await?;
        self.next.insert(source, pos);
        Ok(())
    }

    /// Forgets how much of an attempt's output is in: call it once nothing more of that attempt will come.
    pub fn forget(&mut self, attempt: AttemptId) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.next.remove(&Source { attempt, stream });
        }
    }

    /// Makes all that was added durable.
    pub async fn sync(&mut self) -> Result<(), StoreError> {
        self.out.sync().await
    }

    /// Bytes in the archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.out.len()
    }

    /// Writes the index. Does not wait for the disk: a lost index costs readers a scan, and output that must be durable
    /// was synced before its end was reported.
    pub async fn close(mut self) -> Result<(), StoreError> {
        self.write_index().await
    }

    /// Like [`ArchiveWriter::close`], and all is durable on return.
    pub async fn close_synced(mut self) -> Result<(), StoreError> {
        self.write_index().await?;
        self.out.close().await
    }

    async fn write(&mut self, frames: Vec<(Head, Bytes)>) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.busy, true) {
            let why = io::Error::other("an earlier write was given up half-way");
            return Err(StoreError::new("append to", &self.name, why));
        }
        let parts = frames.iter().flat_map(|(head, payload)| [head_bytes(head), payload.clone()]).collect();
        let written = self.out.write_parts(parts).await;
        self.busy = false;
        written?;
        for (head, _) in &frames {
            self.catalog.push_head(head);
        }
        self.indexed = matches!(frames.last(), Some((Head { body: Body::Index, .. }, _)));
        if self.catalog.frames().len() >= INDEX_EVERY && !self.indexed {
            Box::pin(self.write_index()).await?;
        }
        Ok(())
    }

    async fn write_index(&mut self) -> Result<(), StoreError> {
        if self.indexed {
            return Ok(());
        }
        let offset = self.out.len();
        let payload = index::encode(&self.catalog, offset, self.catalog.last_index.unwrap_or(index::NONE_BEFORE));
        let head = head(Body::Index, (offset, 0, Millis(0)), &payload);
        self.write(vec![(head, payload.into())]).await?;
        self.catalog.forget_frames();
        Ok(())
    }
}

fn head(body: Body, (offset, pos, at): (u64, u64, Millis), payload: &[u8]) -> Head {
    let len = u32::try_from(payload.len()).expect("a payload is far below 4 GiB");
    let lines = if matches!(body, Body::Data(_)) { count_lines(payload) } else { 0 };
    Head { body, len, lines, offset, pos, at, sum: crc32c::crc32c(payload) }
}

fn head_bytes(head: &Head) -> Bytes {
    Bytes::copy_from_slice(&head.encode())
}
