//! Reading an archive, closed or growing.

use std::sync::Arc;

use bytes::Bytes;
use dybox_model::{GrantId, Millis};

use super::catalog::{Catalog, FrameKind, FrameRef, Summary};
use super::frame::{Body, HEAD, Head};
use super::item::{Gap, LogItem, Source};
use super::writer::Dropped;
use crate::logs::{Live, LiveReader};
use crate::read::ReadAhead;
use crate::{Reader, Store, StoreError};

/// Bytes that are read at once, where frames are smaller.
const AHEAD: usize = 256 << 10;

/// A reader of one archive, frame by frame.
#[derive(Debug)]
pub struct ArchiveReader {
    store: Store,
    name: String,
    /// Who reads it to us while it is still written.
    live: Option<(Arc<dyn Live>, GrantId)>,
    file: Option<Reader>,
    catalog: Catalog,
    window: Window,
}

/// The part of the file that is at hand, and the one that is on its way.
#[derive(Debug, Default)]
struct Window {
    offset: u64,
    bytes: Bytes,
    /// Where the first frame stands that is not whole in it: who reads on from there reads from end to end.
    next: Option<u64>,
    ahead: Option<ReadAhead>,
}

impl ArchiveReader {
    /// Opens an archive and finds its frames.
    pub async fn open(store: &Store, name: &str) -> Result<Self, StoreError> {
        Self::open_from(store, name, None).await
    }

    /// Like [`ArchiveReader::open`]; one that is still written is read to us.
    pub(crate) async fn open_from(
        store: &Store,
        name: &str,
        live: Option<(Arc<dyn Live>, GrantId)>,
    ) -> Result<Self, StoreError> {
        let (store, name, catalog) = (store.clone(), name.to_owned(), Catalog::default());
        let mut reader = Self { store, name, live, file: None, catalog, window: Window::default() };
        reader.catalog = Catalog::load(&reader.file().await?).await?;
        Ok(reader)
    }

    /// From now on somebody reads it to us.
    pub(crate) fn read_by(&mut self, live: Arc<dyn Live>, grant: GrantId) {
        if self.live.is_none() {
            self.live = Some((live, grant));
            self.file = None;
        }
    }

    /// Looks for frames that came since; `true` when there are some.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let file = self.file().await?;
        let size = file.size().await?;
        if size <= self.catalog.end {
            return Ok(false);
        }
        let before = self.catalog.frames().len();
        self.catalog.scan(&file, size).await?;
        Ok(self.catalog.frames().len() > before)
    }

    /// How many pieces are known.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.catalog.frames().len()
    }

    /// Whose output is in it, and how much.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        self.catalog.summaries()
    }

    /// Whether it was closed, so that most likely nothing more will come.
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.catalog.closed
    }

    /// Bytes behind the last whole frame: a write under way, or one that a crash cut.
    #[must_use]
    pub const fn torn(&self) -> u64 {
        self.catalog.torn
    }

    /// Bytes of whole frames.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.catalog.end
    }

    /// The `n`th piece; nothing behind the last one.
    pub async fn piece(&mut self, n: usize) -> Result<Option<LogItem>, StoreError> {
        let Some(frame) = self.catalog.frames().get(n).copied() else { return Ok(None) };
        let source = self.catalog.source(&frame);
        let (Some(source), false) = (source, frame.kind == FrameKind::Damage) else {
            return Ok(Some(damaged(&frame, None)));
        };
        let bytes = self.bytes_of(n, &frame).await?;
        Ok(Some(understand(&frame, source, &bytes).unwrap_or_else(|| damaged(&frame, Some(source)))))
    }

    pub(crate) fn frames(&self) -> &[FrameRef] {
        self.catalog.frames()
    }

    pub(crate) fn source(&self, frame: &FrameRef) -> Option<Source> {
        self.catalog.source(frame)
    }

    /// Where shipping of an output goes on, and the time of the archive's last piece.
    pub(crate) fn shipped(&self, source: Source) -> (u64, Millis) {
        self.catalog.shipped(source)
    }

    /// Gives descriptor and memory back; the next read opens the file again.
    pub(crate) fn rest(&mut self) {
        self.file = None;
        self.window = Window::default();
    }

    async fn file(&mut self) -> Result<Reader, StoreError> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => {
                let file = match &self.live {
                    Some((live, grant)) => Reader::from_live(LiveReader::new(
                        Arc::clone(live),
                        *grant,
                        self.store.clone(),
                        self.name.clone(),
                    )),
                    None => self.store.open(&self.name).await?,
                };
                Ok(self.file.insert(file).clone())
            }
        }
    }

    /// Head and payload of the `n`th frame.
    async fn bytes_of(&mut self, n: usize, frame: &FrameRef) -> Result<Bytes, StoreError> {
        let want = size_of(frame);
        let skip = frame.offset.checked_sub(self.window.offset).and_then(|skip| usize::try_from(skip).ok());
        if let Some(skip) = skip.filter(|skip| skip + want <= self.window.bytes.len()) {
            return Ok(self.window.bytes.slice(skip..skip + want));
        }
        let file = self.file().await?;
        let there = self.window.read_ahead(frame.offset, want).await?;
        let bytes = match there {
            Some(bytes) => bytes,
            None => file.read_at(frame.offset, want.max(AHEAD)).await?,
        };
        let end = frame.offset + bytes.len() as u64;
        let beyond = |next: &&FrameRef| next.offset + size_of(next) as u64 > end;
        let next = self.catalog.frames().iter().skip(n + 1).find(beyond).map(|next| (next.offset, size_of(next)));
        self.window.go_to(&file, (frame.offset, bytes.clone()), next);
        Ok(bytes.slice(..want.min(bytes.len())))
    }
}

/// Bytes of head and payload.
const fn size_of(frame: &FrameRef) -> usize {
    HEAD + frame.len as usize
}

impl Window {
    /// What was read ahead from `offset` on, if that was and is enough.
    async fn read_ahead(&mut self, offset: u64, want: usize) -> Result<Option<Bytes>, StoreError> {
        let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.offset() == offset) else { return Ok(None) };
        let bytes = ahead.answer().await;
        self.ahead = None;
        Ok(bytes?.filter(|bytes| bytes.len() >= want))
    }

    /// Puts this part in the place of the last one, whose memory takes the next one where a reader goes on in order.
    fn go_to(&mut self, file: &Reader, (offset, bytes): (u64, Bytes), next: Option<(u64, usize)>) {
        let in_order = self.next == Some(offset);
        let last = std::mem::replace(&mut self.bytes, bytes);
        (self.offset, self.next, self.ahead) = (offset, next.map(|(offset, _)| offset), None);
        if let Some((offset, size)) = next.filter(|_| in_order) {
            // Still in use somewhere: then it takes new memory.
            let spare = last.try_into_mut().unwrap_or_default();
            self.ahead = file.ahead(offset, size.max(AHEAD), spare);
        }
    }
}

/// The piece that `bytes` are, unless something in them is not what was written.
fn understand(frame: &FrameRef, source: Source, bytes: &Bytes) -> Option<LogItem> {
    let head = Head::decode(bytes, frame.offset).filter(|head| head.len == frame.len)?;
    let payload = bytes.slice(HEAD..);
    if payload.len() != frame.len as usize || crc32c::crc32c(&payload) != head.sum {
        return None;
    }
    match head.body {
        Body::Data(_) => Some(LogItem::Chunk { source, at: frame.at, pos: frame.pos, bytes: payload }),
        Body::Gap(_) => {
            let Dropped { bytes, why } = serde_json::from_slice(&payload).ok()?;
            Some(LogItem::Gap(Gap { source: Some(source), at: frame.at, bytes, why, offset: frame.offset }))
        }
        Body::Index => None,
    }
}

fn damaged(frame: &FrameRef, source: Option<Source>) -> LogItem {
    let why = format!("the archive is damaged at byte {}", frame.offset);
    LogItem::Gap(Gap { source, at: frame.at, bytes: u64::from(frame.len), why, offset: frame.offset })
}
