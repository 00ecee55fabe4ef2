//! A Makefile in logical lines, each with its place.

use crate::text::Span;

/// One line, what a backslash continues included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// It begins with a tab.
    pub(super) tab: bool,
    pub(super) span: Span,
    /// Number of its first line, from 1.
    pub(super) number: usize,
}

/// Cuts a text into its logical lines. In a recipe a backslash and the line end after it are the shell's and stay.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let mut open = false;
    let mut at = 0;
    for (number, raw) in text.split('\n').enumerate() {
        let start = at;
        at += raw.len() + 1;
        let line = raw.trim_end_matches('\r');
        let goes_on = line.len() - line.trim_end_matches('\\').len();
        let goes_on = goes_on % 2 == 1;
        if let Some(last) = out.last_mut().filter(|_| open) {
            if last.tab {
                last.text.push('\n');
                last.text.push_str(line.strip_prefix('\t').unwrap_or(line));
            } else {
                last.text.truncate(last.text.trim_end_matches('\\').trim_end().len());
                last.text.push(' ');
                last.text.push_str(line.trim_start());
            }
            last.span.end = (start + line.len()) as u32;
        } else {
            let tab = line.starts_with('\t');
            let text = line.strip_prefix('\t').unwrap_or(line).to_owned();
            out.push(Line { text, tab, span: Span::new(start, start + line.len()), number: number + 1 });
        }
        open = goes_on;
    }
    out
}

/// The text before a comment; `\#` is a sign like others.
pub(super) fn without_comment(text: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '#' if escaped => {
                out.pop();
                out.push('#');
            }
            '#' => break,
            c => out.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    out
}
