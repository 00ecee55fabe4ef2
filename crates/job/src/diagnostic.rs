//! What is wrong, where, why, and what to do next.

use std::fmt::Write as _;

use dybox_model::ExitCode;
use serde::Serialize;
use unicode_width::UnicodeWidthChar as _;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is planned.
    Error,
    /// The plan is made; it may not be what was meant.
    Warning,
}

/// A stretch of one line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters; at least 1.
    pub len: u32,
    /// The line, without its end; of a very long line, the part around the column.
    pub text: String,
    /// Column of the first character of `text`: 1 but for very long lines.
    pub from: u32,
}

/// One problem of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A word of the registry [`crate::CODES`], like `E0312`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; nothing for what does not come from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What the caret points at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Why, and other places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// One next step.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
}

impl Diagnostic {
    /// The exit code of a command that ends because of this: refused by policy or by a queue, or invalid.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        let queue = matches!(self.code, "E0901" | "E0902");
        if queue || self.code.starts_with("E08") { ExitCode::Refused } else { ExitCode::Invalid }
    }

    /// Whether a plan can be made in spite of it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }
}

/// The exit code for a list of problems: invalid where one is, else refused, else success.
#[must_use]
pub fn exit_of(problems: &[Diagnostic]) -> ExitCode {
    let mut exit = ExitCode::Ok;
    for problem in problems.iter().filter(|problem| !problem.is_warning()) {
        match problem.exit() {
            ExitCode::Refused => exit = ExitCode::Refused,
            worse => return worse,
        }
    }
    exit
}

/// Which part of a rendered diagnostic a piece of text is; the caller may paint it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `error[E0312]`
    Error,
    /// `warning[W0402]`
    Warning,
    /// The message after it.
    Message,
    /// Arrow, bars and line numbers.
    Frame,
    /// Caret and label of an error or a warning.
    Caret,
    /// `help:` and `note:`
    Word,
}

/// The diagnostic as plain text, several lines, with a line end after the last.
#[must_use]
pub fn render(problem: &Diagnostic) -> String {
    render_painted(problem, &|_, text| text.to_owned())
}

/// The same, with each part passed through `paint`.
#[must_use]
pub fn render_painted(problem: &Diagnostic, paint: &dyn Fn(Part, &str) -> String) -> String {
    let (word, part) = match problem.severity {
        Severity::Error => ("error", Part::Error),
        Severity::Warning => ("warning", Part::Warning),
    };
    let head = paint(part, &format!("{word}[{}]", problem.code));
    let mut out = format!("{head}: {}\n", paint(Part::Message, &visible(&problem.message)));
    let margin = problem.place.as_ref().map_or(1, |place| place.line.to_string().len());
    if let Some(place) = &problem.place {
        snippet(&mut out, place, &problem.label, paint);
    }
    let bar = format!("{:margin$} {}", "", paint(Part::Frame, "="));
    if problem.place.is_none() && !problem.label.is_empty() {
        let _ = writeln!(out, "{bar} {} {}", paint(Part::Word, "note:"), visible(&problem.label));
    }
    for note in &problem.notes {
        let _ = writeln!(out, "{bar} {} {}", paint(Part::Word, "note:"), visible(note));
    }
    if !problem.help.is_empty() {
        let _ = writeln!(out, "{bar} {} {}", paint(Part::Word, "help:"), visible(&problem.help));
    }
    out
}

fn snippet(out: &mut String, place: &Place, label: &str, paint: &dyn Fn(Part, &str) -> String) {
    let number = place.line.to_string();
    let margin = number.len();
    let cut = Window::around(place);
    let frame = |text: &str| paint(Part::Frame, text);
    let at = format!("{}:{}:{}", visible(&place.file), place.line, place.column);
    let _ = writeln!(out, "{:margin$}{} {at}", "", frame("-->"));
    let _ = writeln!(out, "{:margin$} {}", "", frame("|"));
    let _ = writeln!(out, "{} {}", frame(&format!("{number} |")), cut.line);
    let carets = format!("{} {}", "^".repeat(cut.caret), visible(label));
    let caret = paint(Part::Caret, carets.trim_end());
    let _ = writeln!(out, "{:margin$} {} {:indent$}{caret}", "", frame("|"), "", indent = cut.indent);
}

/// The line as it is shown, and where the caret stands below it, in columns of the terminal.
struct Window {
    line: String,
    indent: usize,
    caret: usize,
}

impl Window {
    fn around(place: &Place) -> Self {
        let chars: Vec<char> = place.text.chars().collect();
        let at = (place.column.saturating_sub(place.from) as usize).min(chars.len());
        let end = at.saturating_add(place.len as usize).min(chars.len());
        let mut line = String::from(if place.from > 1 { "... " } else { "" });
        let lead = line.len();
        let indent = lead + chars[..at].iter().map(|&c| show(c, &mut line)).sum::<usize>();
        let caret = chars[at..end].iter().map(|&c| show(c, &mut line)).sum::<usize>();
        for &c in &chars[end..] {
            show(c, &mut line);
        }
        Self { line: line.trim_end().to_owned(), indent, caret: caret.max(1) }
    }
}

/// Adds a character so that it can do nothing to a terminal; gives the columns that it takes.
fn show(c: char, out: &mut String) -> usize {
    if c == '\t' {
        out.push(' ');
        return 1;
    }
    if is_hidden(c) {
        out.push('\u{fffd}');
        return 1;
    }
    out.push(c);
    c.width().unwrap_or(0)
}

/// Whether a character can't be seen, or changes how others are seen.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text with all that can't be seen replaced.
fn visible(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}
