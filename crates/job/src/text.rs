//! The text of a file and the way from a byte of it to a line and a column.

use crate::diagnostic::{Diagnostic, Place, Severity};

/// Largest job file and largest `env_file`, in bytes.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// Characters that a [`Place`] keeps of a line at most.
const MOST_SHOWN: usize = 110;

/// Bytes `start..end` of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// For what no file says.
    pub(crate) const NOWHERE: Self = Self { start: u32::MAX, end: u32::MAX };

    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end.max(start) as u32 }
    }
}

/// A file's text with its name and the places where its lines begin.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    lines: Vec<u32>,
    /// Files that follow the first in this text: where each begins, with its first line and its name.
    more: Vec<(usize, usize, &'a str)>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let starts = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at as u32 + 1);
        Self { name, text, lines: std::iter::once(0).chain(starts).collect(), more: Vec::new() }
    }

    /// Several files as one text: the first one's name, and where each other one begins.
    pub(crate) fn joined(name: &'a str, text: &'a str, more: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let mut joined = Self::new(name, text);
        let lines = &joined.lines;
        let at =
            |(start, name): (usize, &'a str)| (start, lines.partition_point(|&line| (line as usize) < start), name);
        joined.more = more.map(at).collect();
        joined
    }

    /// Where a span lies; it ends with its first line. Nothing for [`Span::NOWHERE`].
    pub(crate) fn place(&self, span: Span) -> Option<Place> {
        if span == Span::NOWHERE {
            return None;
        }
        let start = self.floor(span.start as usize);
        let line = self.lines.partition_point(|&at| at as usize <= start).max(1);
        let from = self.lines[line - 1] as usize;
        let whole = self.text[from..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let end = self.floor(span.end as usize).clamp(start, (from + whole.len()).max(start));
        let column = self.text[from..start].chars().count();
        let first = if column < MOST_SHOWN / 2 { 0 } else { column - MOST_SHOWN / 3 };
        let first = if whole.chars().nth(MOST_SHOWN).is_none() { 0 } else { first };
        let file = self.more.iter().rev().find(|(begin, ..)| *begin <= start);
        let (before, name) = file.map_or((0, self.name), |&(_, before, name)| (before, name));
        Some(Place {
            file: name.to_owned(),
            line: (line - before) as u32,
            column: column as u32 + 1,
            len: self.text[start..end].trim_end().chars().count().max(1) as u32,
            text: whole.chars().skip(first).take(MOST_SHOWN).collect(),
            from: first as u32 + 1,
        })
    }

    /// `file:line` of a span, for notes.
    pub(crate) fn short(&self, span: Span) -> String {
        self.place(span).map_or_else(String::new, |place| format!("{}:{}", place.file, place.line))
    }

    /// The text of a span.
    pub(crate) fn slice(&self, span: Span) -> &'a str {
        let (start, end) = (self.floor(span.start as usize), self.floor(span.end as usize));
        self.text.get(start..end).unwrap_or_default()
    }

    fn floor(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at.min(self.text.len()))
    }
}

/// Takes bytes as text, or says what they are instead. Used for the job file and for each `env_file`.
pub(crate) fn decode<'a>(name: &str, what: &str, bytes: &'a [u8]) -> Result<&'a str, Box<Diagnostic>> {
    let wrong = |code, message: String, help: &str| {
        Box::new(Diagnostic {
            code,
            severity: Severity::Error,
            message,
            place: None,
            label: String::new(),
            notes: Vec::new(),
            help: help.to_owned(),
        })
    };
    if bytes.len() > MOST_BYTES {
        let message = format!("{what} {name} has {} bytes; at most 1MiB (1048576 bytes) is read", bytes.len());
        return Err(wrong("E0105", message, "move data out of it, into files that the stages mount or read"));
    }
    std::str::from_utf8(bytes).map_err(|bad| {
        let at = bad.valid_up_to();
        let before = String::from_utf8_lossy(&bytes[..at]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message =
            format!("{what} {name} is not UTF-8: byte 0x{:02x} at {name}:{line}:{column} (byte {at})", bytes[at]);
        wrong("E0106", message, "save it as UTF-8")
    })
}
