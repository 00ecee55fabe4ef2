//! Lines of payloads as a person or a program wants them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dybox_job::Plan;
use dybox_model::{AttemptId, Millis, StageId, format_bytes};
use dybox_store::archive::{Gap, Source, Stream};
use dybox_store::logs::{Block, BlockItem, Line, LineEnd, LineItem};
use memchr::{memchr, memrchr};
use serde_json::{Value, json};

use super::grep::{Grep, every};
use super::{Args, LastLines};
use crate::command::look::Looked;
use crate::conf::Format;
use crate::report::safe::{is_plain, safe, safe_into};
use crate::report::time::rfc3339;
use crate::report::{ANSWER_VERSION, Answer, Failure, Paint, Screen};

/// Bytes that are gathered before they are written.
const GATHER: usize = 256 << 10;
/// Bytes of lines that are looked at together: what is odd in one of them costs these their fast way.
const PART: usize = 64 << 10;
/// Most time that they wait.
const PATIENCE: Duration = Duration::from_millis(50);
/// Colours that tell tasks apart.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 96];

/// Where lines go.
pub(super) struct Printer {
    screen: Screen,
    format: Format,
    raw: bool,
    timestamps: bool,
    prefix: bool,
    run: String,
    names: Vec<String>,
    /// What begins each line of one output at one time.
    lead: (Option<(Source, Millis)>, Vec<u8>),
    /// A line that is made safe.
    shown: String,
    out: Vec<u8>,
    items: Vec<Value>,
    written: Instant,
}

impl Printer {
    pub(super) fn new(screen: Screen, args: &Args, looked: &Looked, format: Format) -> Self {
        Self {
            screen,
            format,
            raw: args.raw,
            timestamps: args.timestamps,
            prefix: args.prefixed(looked),
            run: looked.info.run.to_string(),
            names: looked.plan.stages.iter().map(|stage| stage.name.clone()).collect(),
            lead: (None, Vec::new()),
            shown: String::new(),
            out: Vec::new(),
            items: Vec::new(),
            written: Instant::now(),
        }
    }

    /// Whether it is of a stage whose name is not known: a hook may have added it since.
    pub(super) fn is_new(&self, item: &BlockItem) -> bool {
        let source = match item {
            BlockItem::Block(block) => &block.source,
            BlockItem::Line(line) => &line.source,
            BlockItem::Gap(_) => return false,
        };
        self.names.get(source.attempt.task.stage.0 as usize).is_none_or(String::is_empty)
    }

    /// Takes in the names of all stages.
    pub(super) fn learn(&mut self, plan: &Plan) {
        self.names = plan.stages.iter().map(|stage| stage.name.clone()).collect();
    }

    /// Prints a line or a gap, sooner or later.
    pub(super) fn item(&mut self, item: LineItem) -> Result<(), Failure> {
        match (self.format, item) {
            (Format::Table, LineItem::Line(line)) => self.text(&line),
            (Format::Table, LineItem::Gap(gap)) => self.gap(&gap)?,
            (Format::Json | Format::Yaml, item) => {
                let item = self.json(&item);
                self.items.push(item);
            }
            (_, item) => {
                let mut item = self.json(&item);
                item["version"] = json!(ANSWER_VERSION);
                self.out.extend_from_slice(item.to_string().as_bytes());
                self.out.push(b'\n');
            }
        }
        self.flush_in_time()
    }

    /// Prints the lines of a block that match, sooner or later.
    pub(super) fn block(&mut self, block: &Block, mut grep: Option<&mut Grep>) -> Result<(), Failure> {
        if self.format != Format::Table {
            return one_by_one(block, grep, |line| self.item(LineItem::Line(line)));
        }
        self.lead_with(block.source, block.at);
        for part in parts(&block.text) {
            let plain = self.raw || is_plain(part);
            match grep.as_deref_mut() {
                // It is written as it is; nothing is copied.
                None if plain && self.lead.1.is_empty() => {
                    self.flush()?;
                    self.screen.bytes(part)?;
                }
                None => every(part, &mut |line| self.line(line, plain)),
                Some(grep) => {
                    let as_shown = if self.raw { is_plain(part) } else { plain };
                    grep.find(part, as_shown, &mut |line| self.line(line, plain));
                }
            }
            self.flush_in_time()?;
        }
        Ok(())
    }

    fn flush_in_time(&mut self) -> Result<(), Failure> {
        if self.out.len() >= GATHER || self.written.elapsed() >= PATIENCE { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.written = Instant::now();
        if self.out.is_empty() {
            return Ok(());
        }
        let result = self.screen.bytes(&self.out);
        self.out.clear();
        result
    }

    /// The end: writes the one document of `-o json` and `-o yaml`.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.flush()?;
        if !matches!(self.format, Format::Json | Format::Yaml) {
            return Ok(());
        }
        let items = std::mem::take(&mut self.items);
        self.screen.answer(self.format, &Answer { kind: "lines", items, ..Answer::default() })
    }

    fn text(&mut self, line: &Line) {
        self.lead_with(line.source, line.at);
        self.line(&line.text, self.raw);
        // Without a newline of its own a raw line stays open where nothing marks lines anyway.
        if self.raw && self.lead.1.is_empty() && line.end != LineEnd::Newline {
            self.out.pop();
        }
    }

    /// A line and its newline; `plain`: it is shown as it is.
    fn line(&mut self, line: &[u8], plain: bool) {
        self.out.extend_from_slice(&self.lead.1);
        if plain {
            self.out.extend_from_slice(line);
        } else {
            self.shown.clear();
            safe_into(line, &mut self.shown);
            self.out.extend_from_slice(self.shown.as_bytes());
        }
        self.out.push(b'\n');
    }

    /// What begins the next lines: the same for all of one output and one time.
    fn lead_with(&mut self, source: Source, at: Millis) {
        if self.lead.0 == Some((source, at)) {
            return;
        }
        let mut lead = String::new();
        if self.timestamps {
            lead = self.screen.paint(Paint::Dim, &rfc3339(at));
            lead.push(' ');
        }
        if self.prefix {
            lead.push_str(&self.prefix_of(source.attempt, source.stream));
        }
        self.lead = (Some((source, at)), lead.into_bytes());
    }

    fn prefix_of(&self, attempt: AttemptId, stream: Stream) -> String {
        let name = self.name(attempt);
        let bar = match stream {
            Stream::Stdout => self.screen.paint(Paint::Dim, "|"),
            Stream::Stderr => self.screen.paint(Paint::Bad, "|"),
        };
        if !self.screen.color_out {
            return format!("{name} {bar} ");
        }
        let color = COLORS[(attempt.task.stage.0 as usize * 7 + attempt.task.index as usize) % COLORS.len()];
        format!("\x1b[{color}m{name}\x1b[0m {bar} ")
    }

    fn name(&self, attempt: AttemptId) -> String {
        let stage = self.stage(attempt.task.stage);
        match attempt.number {
            1 => format!("{stage}/{}", attempt.task.index),
            number => format!("{stage}/{}#{number}", attempt.task.index),
        }
    }

    fn stage(&self, id: StageId) -> &str {
        self.names.get(id.0 as usize).map_or("?", String::as_str)
    }

    /// In raw output a gap must not look like a payload's words, so it goes to stderr.
    fn gap(&mut self, gap: &Gap) -> Result<(), Failure> {
        let name = gap.source.map(|source| format!("{} {}: ", self.name(source.attempt), source.stream));
        let text = format!("{}{}", name.unwrap_or_default(), gap_text(gap));
        if self.raw {
            self.flush()?;
            self.screen.warn(&text);
        } else {
            self.out.extend_from_slice(format!("[dybox: {text}]\n").as_bytes());
        }
        Ok(())
    }

    fn json(&self, item: &LineItem) -> Value {
        let (source, at) = match item {
            LineItem::Line(line) => (Some(line.source), line.at),
            LineItem::Gap(gap) => (gap.source, gap.at),
        };
        let mut item = match item {
            LineItem::Line(line) => {
                let text = if self.raw { String::from_utf8_lossy(&line.text) } else { safe(&line.text) };
                json!({ "text": text, "whole": line.end == LineEnd::Newline })
            }
            LineItem::Gap(gap) => json!({ "missing_bytes": gap.bytes, "why": gap.why }),
        };
        item["at"] = json!(rfc3339(at));
        item["run"] = json!(self.run);
        if let Some(source) = source {
            item["stage"] = json!(self.stage(source.attempt.task.stage));
            item["task"] = json!(source.attempt.task.index);
            item["attempt"] = json!(source.attempt.number);
            item["stream"] = json!(source.stream);
        }
        item
    }
}

/// What is missing, in a sentence without an end.
pub(super) fn gap_text(gap: &Gap) -> String {
    match gap.source {
        Some(_) => format!("{} of output are not here: {}", format_bytes(gap.bytes), gap.why),
        None => format!("{} of an archive can't be read: {}", format_bytes(gap.bytes), gap.why),
    }
}

/// Lines in parts of about the same length.
fn parts(mut lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = match lines.len() {
            0 => return None,
            len if len <= PART => len,
            len => match memrchr(b'\n', &lines[..PART]) {
                Some(newline) => newline + 1,
                None => memchr(b'\n', &lines[PART..]).map_or(len, |newline| PART + newline + 1),
            },
        };
        let (part, rest) = lines.split_at(end);
        lines = rest;
        Some(part)
    })
}

/// Gives `take` the lines of a block that match.
fn one_by_one(
    block: &Block,
    mut grep: Option<&mut Grep>,
    mut take: impl FnMut(Line) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for line in block.lines() {
        if grep.as_mut().is_none_or(|grep| grep.takes(&line.text)) {
            take(line)?;
        }
    }
    Ok(())
}

/// Prints what is ready and matches, or keeps it where only the last lines are wanted.
pub(super) fn drain(
    ready: &mut VecDeque<BlockItem>,
    printer: &mut Printer,
    mut grep: Option<&mut Grep>,
    mut last: Option<&mut LastLines>,
) -> Result<(), Failure> {
    while let Some(item) = ready.pop_front() {
        let item = match item {
            BlockItem::Block(block) => {
                match &mut last {
                    // A copy: the line is kept, and the piece that it lies in need not be.
                    Some(last) => one_by_one(&block, grep.as_deref_mut(), |line| {
                        last.push(LineItem::Line(Line { text: Bytes::copy_from_slice(&line.text), ..line }));
                        Ok(())
                    })?,
                    None => printer.block(&block, grep.as_deref_mut())?,
                }
                continue;
            }
            BlockItem::Line(line) if grep.as_mut().is_some_and(|grep| !grep.takes(&line.text)) => continue,
            BlockItem::Line(line) => LineItem::Line(line),
            BlockItem::Gap(gap) => LineItem::Gap(gap),
        };
        match &mut last {
            Some(last) => last.push(item),
            None => printer.item(item)?,
        }
    }
    Ok(())
}
