//! Characters that nobody sees: in names, keys and values that reach a container they are refused.

use crate::diagnostic::is_hidden;
use crate::node::{Node, Value};
use crate::report::Report;
use crate::text::Span;

/// Reports every key and value that holds one. Line ends and tabs are fine in values; `\r` is the reader's matter.
pub(crate) fn report_hidden(report: &mut Report, node: &Node) {
    match &node.value {
        Value::Bad => {}
        Value::Scalar(scalar) => {
            let found = scalar.text.chars().find(|&c| is_hidden(c) && !matches!(c, '\n' | '\t' | '\r'));
            if let Some(c) = found {
                one(report, node.span, "a value", c);
            }
        }
        Value::List(items) => items.iter().for_each(|item| report_hidden(report, item)),
        Value::Map(entries) => {
            for (key, node) in entries {
                if let Some(c) = key.text.chars().find(|&c| is_hidden(c)) {
                    one(report, key.span, "a key", c);
                }
                report_hidden(report, node);
            }
        }
    }
}

fn one(report: &mut Report, span: Span, what: &str, c: char) {
    let written = report.text.slice(span).find(c).map(|at| {
        let start = span.start as usize + at;
        Span::new(start, start + c.len_utf8())
    });
    let name = match c {
        '\0' => " (NUL)",
        '\u{1b}' => " (escape)",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            " (changes the direction of text)"
        }
        _ => "",
    };
    let message = format!("{what} holds the invisible character U+{:04X}{name}", c as u32);
    report.error("E0117", written.unwrap_or(span), message).help("take it out");
}
