//! JSON values as YAML, in the block style that people know from kubectl. Every text that could be read as something
//! else stands in double quotes, written as in JSON, which YAML takes.

use std::fmt::Write;

use serde_json::Value;

/// Words that a reader of some version of YAML takes for a truth value or for nothing.
const TAKEN: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// A whole document.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => block(value, 0, &mut out),
        flat => {
            out.push_str(&scalar(flat));
            out.push('\n');
        }
    }
    out
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// A map or a list with something in it, whose first line the caller has indented.
fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (at, (key, value)) in fields.iter().enumerate() {
                let lead = if at == 0 { "" } else { &indent };
                out.push_str(&format!("{lead}{}:", text(key)));
                let inner = if value.is_array() { depth } else { depth + 1 };
                inside(value, inner, out);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let lead = if at == 0 { "" } else { &indent };
                out.push_str(&format!("{lead}- "));
                match is_empty(item) {
                    true => out.push_str(&format!("{}\n", scalar(item))),
                    false => block(item, depth + 1, out),
                }
            }
        }
        _ => {}
    }
}

/// What follows a key: on its line, or below.
fn inside(value: &Value, depth: usize, out: &mut String) {
    if is_empty(value) {
        out.push_str(&format!(" {}\n", scalar(value)));
        return;
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    block(value, depth, out);
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        // Empty maps and lists, numbers, truth values and nothing are written as in JSON.
        other => other.to_string(),
    }
}

fn text(string: &str) -> String {
    if is_plain(string) { string.to_owned() } else { quoted(string) }
}

fn is_plain(string: &str) -> bool {
    let begins = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let inner = |c: char| c.is_ascii_alphanumeric() || " _-./@+=,;:()%".contains(c);
    let opens = string.contains(": ") || string.ends_with([':', ' ']);
    begins && !opens && string.chars().all(inner) && !TAKEN.contains(&string.to_ascii_lowercase().as_str())
}

fn quoted(string: &str) -> String {
    let mut out = String::new();
    for c in Value::from(string).to_string().chars() {
        match c {
            // JSON may hold these as they are; in YAML they are line ends, or not to be printed.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a text does not fail");
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_and_lists_are_blocks() {
        let value = json!({
            "version": 1,
            "runs": [
                { "job": "two", "tags": [], "stages": { "ended": 0, "total": 2 }, "list": [[1, 2], ["x", {}]] },
                "alone",
            ],
            "why": null,
        });
        // Keys of a map are sorted or not as serde_json is built: compared as lines.
        let text = yaml(&value);
        for line in ["version: 1", "runs:", "  tags: []", "  stages:", "    total: 2", "- alone", "why: null"] {
            assert!(text.lines().any(|found| found == line), "{line:?} in\n{text}");
        }
        assert!(text.contains("- - 1\n    - 2\n  - - x\n    - {}\n"), "{text}");
        assert_eq!(yaml(&json!({})), "{}\n");
        assert_eq!(yaml(&json!([])), "[]\n");
    }

    #[test]
    fn a_text_that_could_be_something_else_is_quoted() {
        for plain in
            ["two", "/tmp/ub/two.yaml", "root.default", "http://h:1/x", "1 task waits".trim_start_matches("1 ")]
        {
            assert_eq!(text(plain), plain);
        }
        for other in ["", "yes", "Null", "2026-11-21", "1", "-x", "a: b", "a:", "a #b", "*x", "{", "a\nb", "é", "x "] {
            assert_eq!(text(other), serde_json::to_string(other).unwrap());
        }
        assert_eq!(text("a\u{7f}\u{2028}"), "\"a\\u007f\\u2028\"");
    }
}
