//! The head of a frame. All numbers are little-endian:
//! magic 4, kind 1, stream 1, zero 2, length 4, lines 4, offset 8, position 8, time 8, stage 4, task 4, attempt 4,
//! checksum of the payload 4, checksum of the head 4.

use dybox_model::{AttemptId, Millis, StageId, TaskId};

use super::item::{Source, Stream};

/// Most bytes of output in one frame.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// Bytes of a head.
pub(crate) const HEAD: usize = 60;

/// First bytes of every head.
pub(crate) const MAGIC: [u8; 4] = [0xd7, b'Y', b'B', 0x01];

const DATA: u8 = 1;
const GAP: u8 = 2;
const INDEX: u8 = 3;

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Output.
    Data(Source),
    /// The record of output that was dropped; `pos` is where the output goes on.
    Gap(Source),
    /// An index of the frames before it.
    Index,
}

/// A head, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) body: Body,
    /// Bytes of payload.
    pub(crate) len: u32,
    /// Newlines in the payload.
    pub(crate) lines: u32,
    /// Where in the archive the head stands.
    pub(crate) offset: u64,
    /// Place in the output.
    pub(crate) pos: u64,
    pub(crate) at: Millis,
    /// Checksum of the payload.
    pub(crate) sum: u32,
}

impl Head {
    /// Where the next frame stands.
    pub(crate) const fn end(&self) -> u64 {
        self.offset + HEAD as u64 + self.len as u64
    }

    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let (kind, source) = match self.body {
            Body::Data(source) => (DATA, Some(source)),
            Body::Gap(source) => (GAP, Some(source)),
            Body::Index => (INDEX, None),
        };
        let stream = match source.map(|source| source.stream) {
            None => 0,
            Some(Stream::Stdout) => 1,
            Some(Stream::Stderr) => 2,
        };
        let attempt =
            source.map_or([0; 3], |Source { attempt, .. }| [attempt.task.stage.0, attempt.task.index, attempt.number]);
        let mut out = [0; HEAD];
        out[..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&[kind, stream]);
        out[8..12].copy_from_slice(&self.len.to_le_bytes());
        out[12..16].copy_from_slice(&self.lines.to_le_bytes());
        out[16..24].copy_from_slice(&self.offset.to_le_bytes());
        out[24..32].copy_from_slice(&self.pos.to_le_bytes());
        out[32..40].copy_from_slice(&self.at.0.to_le_bytes());
        for (place, part) in [40, 44, 48].into_iter().zip(attempt) {
            out[place..place + 4].copy_from_slice(&part.to_le_bytes());
        }
        out[52..56].copy_from_slice(&self.sum.to_le_bytes());
        let sum = crc32c::crc32c(&out[..56]).to_le_bytes();
        out[56..].copy_from_slice(&sum);
        out
    }

    /// The head at the start of `bytes`, which stand at `offset`, if one is there.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Option<Self> {
        let bytes: &[u8; HEAD] = bytes.first_chunk()?;
        if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..56]) != u32_at(bytes, 56) || u64_at(bytes, 16) != offset {
            return None;
        }
        let stream = match bytes[5] {
            2 => Stream::Stderr,
            _ => Stream::Stdout,
        };
        let task = TaskId { stage: StageId(u32_at(bytes, 40)), index: u32_at(bytes, 44) };
        let source = Source { attempt: AttemptId { task, number: u32_at(bytes, 48) }, stream };
        let body = match bytes[4] {
            DATA => Body::Data(source),
            GAP => Body::Gap(source),
            INDEX => Body::Index,
            _ => return None,
        };
        let (len, lines) = (u32_at(bytes, 8), u32_at(bytes, 12));
        let (pos, at, sum) = (u64_at(bytes, 24), Millis(u64_at(bytes, 32)), u32_at(bytes, 52));
        Some(Self { body, len, lines, offset, pos, at, sum })
    }
}

fn u32_at(bytes: &[u8; HEAD], place: usize) -> u32 {
    u32::from_le_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]])
}

fn u64_at(bytes: &[u8; HEAD], place: usize) -> u64 {
    u64::from(u32_at(bytes, place)) | u64::from(u32_at(bytes, place + 4)) << 32
}

/// Newlines in `bytes`.
pub(crate) fn count_lines(bytes: &[u8]) -> u32 {
    u32::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap_or(u32::MAX)
}
