//! Pieces of output become lines, byte for byte.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use dybox_model::Millis;
use memchr::{memchr, memchr_iter, memrchr};

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

/// Whole lines of one output, one behind the other, taken at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whose.
    pub source: Source,
    /// When they were taken.
    pub at: Millis,
    /// Place of their first byte in the output.
    pub pos: u64,
    /// The lines, each with its newline; at least one.
    pub text: Bytes,
}

impl Block {
    /// One by one.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        let &Self { source, at, pos, .. } = self;
        let mut begin = 0;
        memchr_iter(b'\n', &self.text).map(move |newline| {
            let (from, text) = (begin, self.text.slice(begin..newline));
            begin = newline + 1;
            Line { source, at, pos: pos + from as u64, text, end: LineEnd::Newline }
        })
    }
}

/// What comes out of [`Lines`] for who takes many lines at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockItem {
    /// Many lines.
    Block(Block),
    /// A line that began in an earlier piece, or has no end.
    Line(Line),
    /// Output that is not there.
    Gap(Gap),
}

impl BlockItem {
    fn one_by_one(self, out: &mut VecDeque<LineItem>) {
        match self {
            Self::Block(block) => out.extend(block.lines().map(LineItem::Line)),
            Self::Line(line) => out.push_back(LineItem::Line(line)),
            Self::Gap(gap) => out.push_back(LineItem::Gap(gap)),
        }
    }
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
        self.cut(item, &mut |item| item.one_by_one(out));
    }

    /// Like [`Lines::push`], with the lines that lie in one piece together: nothing is done for each of them.
    pub fn push_blocks(&mut self, item: LogItem, out: &mut VecDeque<BlockItem>) {
        self.cut(item, &mut |item| out.push_back(item));
    }

    fn cut(&mut self, item: LogItem, out: &mut dyn FnMut(BlockItem)) {
        match item {
            LogItem::Chunk { source, at, pos, bytes } => self.chunk(source, (at, pos), &bytes, out),
            LogItem::Gap(gap) => {
                match gap.source {
                    Some(source) => self.flush_one(source, LineEnd::Open, out),
                    None => self.flush_all(out),
                }
                out(BlockItem::Gap(gap));
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
        self.flush_all(&mut |item| item.one_by_one(out));
    }

    /// Like [`Lines::flush`].
    pub fn flush_blocks(&mut self, out: &mut VecDeque<BlockItem>) {
        self.flush_all(&mut |item| out.push_back(item));
    }

    fn flush_all(&mut self, out: &mut dyn FnMut(BlockItem)) {
        while let Some((&source, _)) = self.open.first_key_value() {
            self.flush_one(source, LineEnd::Open, out);
        }
    }

    fn chunk(&mut self, source: Source, (at, pos): (Millis, u64), bytes: &Bytes, out: &mut dyn FnMut(BlockItem)) {
        // A line that does not go on where it stopped (`since`, lost frames) is two.
        if self.open.get(&source).is_some_and(|part| part.pos + part.text.len() as u64 != pos) {
            self.flush_one(source, LineEnd::Open, out);
        }
        let end = memrchr(b'\n', bytes).map_or(0, |newline| newline + 1);
        let mut begin = 0;
        if end > 0
            && let Some(Part { at, pos, mut text }) = self.take(source)
        {
            let newline = memchr(b'\n', bytes).unwrap_or(end - 1);
            text.extend_from_slice(&bytes[..newline]);
            begin = newline + 1;
            out(BlockItem::Line(Line { source, at, pos, text: text.into(), end: LineEnd::Newline }));
        }
        if begin < end {
            out(BlockItem::Block(Block { source, at, pos: pos + begin as u64, text: bytes.slice(begin..end) }));
        }
        if end < bytes.len() {
            self.hold(source, (at, pos + end as u64), &bytes[end..], out);
        }
    }

    fn hold(&mut self, source: Source, (at, pos): (Millis, u64), bytes: &[u8], out: &mut dyn FnMut(BlockItem)) {
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

    fn flush_one(&mut self, source: Source, end: LineEnd, out: &mut dyn FnMut(BlockItem)) {
        if let Some(part) = self.take(source) {
            let Part { at, pos, text } = part;
            out(BlockItem::Line(Line { source, at, pos, text: text.into(), end }));
        }
    }
}
