//! What is in an archive: its frames in order, from the index or by hopping from head to head.

use std::collections::BTreeMap;

use bytes::Bytes;
use dybox_model::Millis;

use super::frame::{Body, HEAD, Head, MAGIC, MAX_PAYLOAD};
use super::index::{self, FOOTER, NONE_BEFORE};
use super::item::Source;
use crate::{Reader, StoreError};

/// Bytes that are read at once to look for heads.
const LOOK: usize = 64 << 10;

/// What kind of frame it is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Data,
    Gap,
    /// Bytes of the archive without a sound head.
    Damage,
}

/// Where one frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameRef {
    pub(crate) offset: u64,
    pub(crate) pos: u64,
    pub(crate) at: Millis,
    pub(crate) len: u32,
    pub(crate) lines: u32,
    /// Place in [`Catalog::sources`]; beyond its end for damage.
    pub(crate) source: u32,
    pub(crate) kind: FrameKind,
}

/// What an archive holds of one output of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Whose.
    pub source: Source,
    /// Bytes that are there.
    pub bytes: u64,
    /// Newlines that are there.
    pub lines: u64,
    /// Time of the first piece.
    pub first: Millis,
    /// Time of the last piece.
    pub last: Millis,
}

/// All frames that are known.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    sources: Vec<Source>,
    by_source: BTreeMap<Source, u32>,
    frames: Vec<FrameRef>,
    /// Where the frame after the last known one stands.
    pub(crate) end: u64,
    /// Bytes behind `end` that are no whole frame.
    pub(crate) torn: u64,
    /// Where the last index stands, or [`NONE_BEFORE`].
    pub(crate) last_index: Option<u64>,
    /// Whether an index ends the file.
    pub(crate) closed: bool,
}

impl Catalog {
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(crate) fn frames(&self) -> &[FrameRef] {
        &self.frames
    }

    pub(crate) fn source(&self, frame: &FrameRef) -> Option<Source> {
        self.sources.get(frame.source as usize).copied()
    }

    pub(crate) fn intern(&mut self, source: Source) -> u32 {
        *self.by_source.entry(source).or_insert_with(|| {
            self.sources.push(source);
            u32::try_from(self.sources.len() - 1).expect("an archive has fewer than 2^32 attempts")
        })
    }

    pub(crate) fn push(&mut self, frame: FrameRef) {
        self.frames.push(frame);
    }

    /// Forgets frames and sources that an index on the disk holds now.
    pub(crate) fn forget_frames(&mut self) {
        *self = Self { end: self.end, last_index: self.last_index, ..Self::default() };
    }

    pub(crate) fn push_head(&mut self, head: &Head) {
        let (source, kind) = match head.body {
            Body::Data(source) => (self.intern(source), FrameKind::Data),
            Body::Gap(source) => (self.intern(source), FrameKind::Gap),
            Body::Index => {
                self.last_index = Some(head.offset);
                self.end = head.end();
                self.closed = true;
                return;
            }
        };
        let Head { offset, pos, at, len, lines, .. } = *head;
        self.push(FrameRef { offset, pos, at, len, lines, source, kind });
        self.end = head.end();
        self.closed = false;
    }

    /// Where shipping of an output goes on, and the time of the last piece of all.
    pub(crate) fn shipped(&self, wanted: Source) -> (u64, Millis) {
        let last = self.frames.last().map_or(Millis(0), |frame| frame.at);
        let of_it = self.by_source.get(&wanted);
        let frame = of_it.and_then(|place| self.frames.iter().rfind(|frame| frame.source == *place));
        let grown = |frame: &FrameRef| if frame.kind == FrameKind::Data { u64::from(frame.len) } else { 0 };
        (frame.map_or(0, |frame| frame.pos + grown(frame)), last)
    }

    /// What is there of each output, in the order of attempts.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut all: Vec<Option<Summary>> = vec![None; self.sources.len()];
        for frame in &self.frames {
            let (Some(source), Some(place)) = (self.source(frame), all.get_mut(frame.source as usize)) else {
                continue;
            };
            let first = Summary { source, bytes: 0, lines: 0, first: frame.at, last: frame.at };
            let sum = place.get_or_insert(first);
            sum.last = frame.at;
            if frame.kind == FrameKind::Data {
                sum.bytes += u64::from(frame.len);
                sum.lines += u64::from(frame.lines);
            }
        }
        let mut all: Vec<_> = all.into_iter().flatten().collect();
        all.sort_by_key(|summary| summary.source);
        all
    }

    /// Everything that is in `file` now: by its index where it has a sound one, else frame by frame.
    pub(crate) async fn load(file: &Reader) -> Result<Self, StoreError> {
        let size = file.size().await?;
        if let Some(catalog) = Self::from_index(file, size).await? {
            return Ok(catalog);
        }
        let mut catalog = Self::default();
        catalog.scan(file, size).await?;
        Ok(catalog)
    }

    async fn from_index(file: &Reader, size: u64) -> Result<Option<Self>, StoreError> {
        let Some(footer_at) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
        let Some(last) = index::footer(&file.read_at(footer_at, FOOTER).await?) else { return Ok(None) };
        let (mut chain, mut at, mut limit) = (Vec::new(), last, size);
        while at != NONE_BEFORE {
            let Some(payload) = read_index(file, at, limit).await? else { return Ok(None) };
            limit = at;
            at = payload.first_chunk().map_or(NONE_BEFORE, |before| u64::from_le_bytes(*before));
            chain.push(payload);
        }
        let mut catalog = Self { end: size, last_index: Some(last), closed: true, ..Self::default() };
        for payload in chain.iter().rev() {
            if index::decode(payload, &mut catalog).is_none() {
                return Ok(None);
            }
        }
        let last = read_head(file, last).await?;
        Ok(last.is_some_and(|head| head.end() == size).then_some(catalog))
    }

    /// Goes on from `end` to `size`; `true` when there was something new.
    pub(crate) async fn scan(&mut self, file: &Reader, size: u64) -> Result<bool, StoreError> {
        let before = self.end;
        self.closed = false;
        let mut look = Look { file, size, at: 0, bytes: Bytes::new() };
        while self.end < size {
            let here = look.from(self.end).await?;
            match Head::decode(here, self.end) {
                Some(head) if head.end() <= size => self.push_head(&head),
                // Its payload is still being written, or was cut.
                Some(_) => break,
                None => {
                    let Some(found) = look.next_head(self.end + 1).await? else { break };
                    self.push_damage(found);
                }
            }
        }
        self.torn = size.saturating_sub(self.end);
        Ok(self.end > before)
    }

    fn push_damage(&mut self, until: u64) {
        let len = u32::try_from(until - self.end).unwrap_or(u32::MAX);
        let at = self.frames.last().map_or(Millis(0), |frame| frame.at);
        let source = u32::MAX;
        self.push(FrameRef { offset: self.end, pos: 0, at, len, lines: 0, source, kind: FrameKind::Damage });
        self.end = until;
    }
}

async fn read_head(file: &Reader, at: u64) -> Result<Option<Head>, StoreError> {
    Ok(Head::decode(&file.read_at(at, HEAD).await?, at))
}

/// The payload of a sound index at `at` that ends no later than `limit`.
async fn read_index(file: &Reader, at: u64, limit: u64) -> Result<Option<Bytes>, StoreError> {
    let head = read_head(file, at).await?;
    let Some(head) = head.filter(|head| head.body == Body::Index && head.end() <= limit) else { return Ok(None) };
    let payload = file.read_at(at + HEAD as u64, head.len as usize).await?;
    Ok((crc32c::crc32c(&payload) == head.sum).then_some(payload))
}

/// A moving look at a part of the file.
struct Look<'a> {
    file: &'a Reader,
    size: u64,
    at: u64,
    bytes: Bytes,
}

impl Look<'_> {
    /// What stands at `at`: a whole head at least, but for the end of the file.
    async fn from(&mut self, at: u64) -> Result<&[u8], StoreError> {
        let have = at >= self.at && (at + HEAD as u64).min(self.size) <= self.at + self.bytes.len() as u64;
        if !have {
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            self.bytes = self.file.read_at(at, LOOK.min(left)).await?;
            self.at = at;
        }
        let skip = usize::try_from(at - self.at).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(&self.bytes[skip..])
    }

    /// The next place from `at` on where a sound head stands.
    async fn next_head(&mut self, mut at: u64) -> Result<Option<u64>, StoreError> {
        while at + HEAD as u64 <= self.size {
            let here = self.from(at).await?;
            if here.len() < HEAD {
                return Ok(None);
            }
            let places = here.len() - HEAD + 1;
            let sound = |&place: &usize| {
                here[place..].starts_with(&MAGIC)
                    && Head::decode(&here[place..], at + place as u64)
                        .is_some_and(|head| head.len as usize <= MAX_PAYLOAD || head.body == Body::Index)
            };
            if let Some(place) = (0..places).find(sound) {
                return Ok(Some(at + place as u64));
            }
            at += places as u64;
        }
        Ok(None)
    }
}
