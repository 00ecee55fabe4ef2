//! Lines of payloads as a person or a program wants them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dybox_model::{AttemptId, StageId, format_bytes};
use dybox_store::archive::{Gap, Stream};
use dybox_store::logs::{Line, LineEnd, LineItem};
use regex::bytes::Regex;
use serde_json::{Value, json};

use super::{Args, LastLines};
use crate::command::look::Looked;
use crate::conf::Format;
use crate::report::safe::safe;
use crate::report::time::rfc3339;
use crate::report::{ANSWER_VERSION, Answer, Failure, Paint, Screen};

/// Bytes that are gathered before they are written.
const GATHER: usize = 64 << 10;
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
            out: Vec::new(),
            items: Vec::new(),
            written: Instant::now(),
        }
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
        if self.timestamps {
            let time = self.screen.paint(Paint::Dim, &rfc3339(line.at));
            self.out.extend_from_slice(format!("{time} ").as_bytes());
        }
        if self.prefix {
            let prefix = self.prefix_of(line.source.attempt, line.source.stream);
            self.out.extend_from_slice(prefix.as_bytes());
        }
        if self.raw {
            self.out.extend_from_slice(&line.text);
        } else {
            self.out.extend_from_slice(safe(&line.text).as_bytes());
        }
        // Without a newline of its own a raw line stays open where nothing marks lines anyway.
        let exact = self.raw && !self.prefix && !self.timestamps;
        if line.end == LineEnd::Newline || !exact {
            self.out.push(b'\n');
        }
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

/// Prints what is ready and matches, or keeps it where only the last lines are wanted.
pub(super) fn drain(
    ready: &mut VecDeque<LineItem>,
    printer: &mut Printer,
    pattern: Option<&Regex>,
    mut last: Option<&mut LastLines>,
) -> Result<(), Failure> {
    while let Some(item) = ready.pop_front() {
        if let (Some(pattern), LineItem::Line(line)) = (pattern, &item)
            && !pattern.is_match(safe(&line.text).as_bytes())
        {
            continue;
        }
        match &mut last {
            Some(last) => last.push(item),
            None => printer.item(item)?,
        }
    }
    Ok(())
}
