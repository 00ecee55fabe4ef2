//! The index at the end of a closed archive: a frame that lists the frames before it. A long archive has several, each
//! naming the one before, so that a writer need not keep millions of entries. Its last 16 bytes are its own offset and
//! a magic word: the end of the file leads to it.

use dybox_model::{AttemptId, Millis, StageId, TaskId};

use super::catalog::{Catalog, FrameKind, FrameRef};
use super::item::{Source, Stream};

/// Last bytes of a closed archive.
const END: [u8; 8] = *b"DYBOXIDX";
/// Bytes of offset and magic word.
pub(crate) const FOOTER: usize = 16;
/// Says that no index comes before.
pub(crate) const NONE_BEFORE: u64 = u64::MAX;

/// The payload of an index that stands at `offset`.
pub(crate) fn encode(catalog: &Catalog, offset: u64, before: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + catalog.sources().len() * 13 + catalog.frames().len() * 37);
    out.extend(before.to_le_bytes());
    out.extend(count(catalog.sources().len()));
    for Source { attempt, stream } in catalog.sources() {
        for part in [attempt.task.stage.0, attempt.task.index, attempt.number] {
            out.extend(part.to_le_bytes());
        }
        out.push(u8::from(*stream == Stream::Stderr));
    }
    out.extend(count(catalog.frames().len()));
    for frame in catalog.frames() {
        out.push(match frame.kind {
            FrameKind::Data => 0,
            FrameKind::Gap => 1,
            FrameKind::Damage => 2,
        });
        out.extend(frame.source.to_le_bytes());
        out.extend(frame.len.to_le_bytes());
        out.extend(frame.lines.to_le_bytes());
        for part in [frame.offset, frame.pos, frame.at.0] {
            out.extend(part.to_le_bytes());
        }
    }
    out.extend(offset.to_le_bytes());
    out.extend(END);
    out
}

fn count(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("an index is written long before it has 2^32 entries").to_le_bytes()
}

/// Where the last index stands, if `footer` ends a closed archive.
pub(crate) fn footer(footer: &[u8]) -> Option<u64> {
    let (offset, end) = footer.split_first_chunk::<8>()?;
    (end == END).then(|| u64::from_le_bytes(*offset))
}

/// Adds the frames that an index lists to `catalog`, and says where the index before it stands.
pub(crate) fn decode(payload: &[u8], catalog: &mut Catalog) -> Option<u64> {
    let mut rest = payload;
    let before = u64::from_le_bytes(take(&mut rest)?);
    let mut sources = Vec::new();
    for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
        let mut part = || take(&mut rest).map(u32::from_le_bytes);
        let task = TaskId { stage: StageId(part()?), index: part()? };
        let attempt = AttemptId { task, number: part()? };
        let stream = if take::<1>(&mut rest)? == [1] { Stream::Stderr } else { Stream::Stdout };
        sources.push(catalog.intern(Source { attempt, stream }));
    }
    for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
        let kind = match take::<1>(&mut rest)? {
            [0] => FrameKind::Data,
            [1] => FrameKind::Gap,
            _ => FrameKind::Damage,
        };
        let mut part = || take(&mut rest).map(u32::from_le_bytes);
        let (source, len, lines) = (part()?, part()?, part()?);
        let mut part = || take(&mut rest).map(u64::from_le_bytes);
        let (offset, pos, at) = (part()?, part()?, Millis(part()?));
        // Damage has no source.
        let source = sources.get(source as usize).copied().unwrap_or(u32::MAX);
        catalog.push(FrameRef { offset, pos, at, len, lines, source, kind });
    }
    Some(before)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*part)
}
