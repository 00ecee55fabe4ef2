//! Pieces of output become lines, byte for byte.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use dybox_model::Millis;

use crate::archive::{Gap, LogItem, Source};

/// Longer lines come in parts, so that one endless line can't take all memory.
pub const LONGEST_LINE: usize = 16 << 20;

/// All unfinished lines together; beyond this the longest comes in parts early.
const MOST_HELD: usize = 64 << 20;

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// With a newline.
    Newline,
    /// It goes on in the next line of this source: it is too long to hold.
    Cut,
    /// Without a newline: the output ends here, or a gap follows, or it was flushed.
    Open,
}

/// One line, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub source: Source,
    /// When its first byte was taken.
    pub at: Millis,
    /// Place of its first byte in the output.
    pub pos: u64,
    /// Its bytes, as the payload wrote them.
    pub text: Bytes,
    /// How it ends.
    pub end: LineEnd,
}

/// What comes out of [`Lines`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineItem {
    /// A line.
    Line(Line),
    /// Output that is not there.
    Gap(Gap),
}

/// Cuts pieces into lines. Lines of one source come in order; of several, by when they were complete.
#[derive(Debug, Default)]
pub struct Lines {
    open: BTreeMap<Source, Part>,
    held: usize,
}

/// The beginning of a line.
#[derive(Debug)]
struct Part {
    at: Millis,
    pos: u64,
    text: Vec<u8>,
}

impl Lines {
    /// With no line begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a piece in; lines that are complete now go to `out`.
    pub fn push(&mut self, item: LogItem, out: &mut VecDeque<LineItem>) {
        match item {
            LogItem::Chunk { source, at, pos, bytes } => self.chunk(source, (at, pos), bytes, out),
            LogItem::Gap(gap) => {
                match gap.source {
                    Some(source) => self.flush_one(source, LineEnd::Open, out),
                    None => self.flush(out),
                }
                out.push_back(LineItem::Gap(gap));
            }
        }
    }

    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Gives out the beginnings of lines as they are: at the end, or when a prompt should be seen.
    pub fn flush(&mut self, out: &mut VecDeque<LineItem>) {
        while let Some((&source, _)) = self.open.first_key_value() {
            self.flush_one(source, LineEnd::Open, out);
        }
    }

    fn chunk(&mut self, source: Source, (at, pos): (Millis, u64), bytes: Bytes, out: &mut VecDeque<LineItem>) {
        // A line that does not go on where it stopped (`since`, lost frames) is two.
        if self.open.get(&source).is_some_and(|part| part.pos + part.text.len() as u64 != pos) {
            self.flush_one(source, LineEnd::Open, out);
        }
        let mut begin = 0;
        while let Some(newline) = find_newline(&bytes[begin..]) {
            let line = bytes.slice(begin..begin + newline);
            let start = pos + begin as u64;
            begin += newline + 1;
            let whole = match self.take(source) {
                None => Line { source, at, pos: start, text: line, end: LineEnd::Newline },
                Some(mut part) => {
                    part.text.extend_from_slice(&line);
                    Line { source, at: part.at, pos: part.pos, text: part.text.into(), end: LineEnd::Newline }
                }
            };
            out.push_back(LineItem::Line(whole));
        }
        if begin < bytes.len() {
            self.hold(source, (at, pos + begin as u64), &bytes[begin..], out);
        }
    }

    fn hold(&mut self, source: Source, (at, pos): (Millis, u64), bytes: &[u8], out: &mut VecDeque<LineItem>) {
        let part = self.open.entry(source).or_insert_with(|| Part { at, pos, text: Vec::new() });
        part.text.extend_from_slice(bytes);
        self.held += bytes.len();
        if part.text.len() > LONGEST_LINE {
            self.flush_one(source, LineEnd::Cut, out);
        }
        if self.held > MOST_HELD {
            let longest = self.open.iter().max_by_key(|(_, part)| part.text.len()).map(|(&source, _)| source);
            if let Some(longest) = longest {
                self.flush_one(longest, LineEnd::Cut, out);
            }
        }
    }

    fn take(&mut self, source: Source) -> Option<Part> {
        let part = self.open.remove(&source)?;
        self.held -= part.text.len();
        Some(part)
    }

    fn flush_one(&mut self, source: Source, end: LineEnd, out: &mut VecDeque<LineItem>) {
        if let Some(part) = self.take(source) {
            let Part { at, pos, text } = part;
            out.push_back(LineItem::Line(Line { source, at, pos, text: text.into(), end }));
        }
    }
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}
