//! A job file as it is written: keys in order, comments where they belong.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// A text, quoted where it must be.
    Text(String),
    /// A number, a size or a truth value: never quoted.
    Plain(String),
    /// A list.
    List(Vec<Out>),
    /// A mapping on one line.
    Flow(Vec<(String, Out)>),
    /// A mapping.
    Map(Mapping),
}

/// Keys and comments, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Note(String),
    Entry(String, Out),
}

/// Columns of a comment.
const WIDTH: usize = 110;

impl Out {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn plain(text: impl ToString) -> Self {
        Self::Plain(text.to_string())
    }

    pub(super) fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::List(texts.into_iter().map(|text| Self::Text(text.into())).collect())
    }

    fn is_many_lines(&self) -> bool {
        match self {
            Self::Text(text) => as_block(text),
            Self::Plain(_) => false,
            Self::List(items) => items.iter().any(Self::is_many_lines),
            Self::Flow(entries) => entries.iter().any(|(_, value)| value.is_many_lines()),
            Self::Map(_) => true,
        }
    }

    /// On one line.
    fn inline(&self) -> String {
        match self {
            Self::Text(text) => scalar(text, true),
            Self::Plain(text) => text.clone(),
            Self::List(items) => format!("[{}]", items.iter().map(Self::inline).collect::<Vec<_>>().join(", ")),
            Self::Flow(entries) => {
                let inner: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{}: {}", key_text(key), value.inline())).collect();
                if inner.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", inner.join(", ")) }
            }
            Self::Map(_) => String::new(),
        }
    }

    /// What follows a key or a dash, with a line end.
    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Text(text) if as_block(text) => block(out, text, &indent),
            Self::Text(text) => out.push_str(&format!(" {}\n", scalar(text, false))),
            Self::Map(map) if map.lines.is_empty() => out.push_str(" {}\n"),
            Self::Map(map) => {
                out.push('\n');
                map.write(out, depth);
            }
            Self::List(items) if self.is_many_lines() || self.inline().len() > WIDTH - 20 => {
                out.push('\n');
                for item in items {
                    out.push_str(&format!("{indent}-"));
                    item.write(out, depth + 1);
                }
            }
            other => out.push_str(&format!(" {}\n", other.inline())),
        }
    }
}

impl Mapping {
    /// Adds a key.
    pub(super) fn put(&mut self, key: impl Into<String>, value: Out) {
        self.lines.push(Line::Entry(key.into(), value));
    }

    /// Adds a text, where there is one.
    pub(super) fn put_text(&mut self, key: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.put(key, Out::text(value));
        }
    }

    /// Adds a comment.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Note(text.into()));
    }

    /// Adds everything of another mapping.
    pub(super) fn extend(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    pub(super) fn has(&self, wanted: &str) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Entry(key, _) if key == wanted))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.lines.iter().any(|line| matches!(line, Line::Entry(..)))
    }

    /// How many comments there are, in mappings of it too.
    pub(super) fn notes(&self) -> usize {
        let of = |line: &Line| match line {
            Line::Note(_) => 1,
            Line::Entry(_, Out::Map(map)) => map.notes(),
            Line::Entry(..) => 0,
        };
        self.lines.iter().map(of).sum()
    }

    /// The whole as text.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        for line in &self.lines {
            match line {
                Line::Note(text) => out.push_str(&comment(text, depth)),
                Line::Entry(key, value) => {
                    out.push_str(&format!("{indent}{}:", key_text(key)));
                    value.write(out, depth + 1);
                }
            }
        }
        if self.is_empty() && depth > 0 {
            out.push_str(&format!("{indent}{{}}\n"));
        }
    }
}

/// A comment, in lines of a readable length; nothing in it can end it.
pub(super) fn comment(text: &str, depth: usize) -> String {
    let lead = format!("{}# ", "  ".repeat(depth));
    let mut out = String::new();
    for line in text.lines() {
        let line: String = line.chars().map(|c| if crate::diagnostic::is_hidden(c) { ' ' } else { c }).collect();
        let mut row = String::new();
        for word in line.split(' ') {
            // What is indented is a piece of a job file: it stays as it is.
            if !row.is_empty() && !line.starts_with(' ') && lead.len() + row.len() + word.len() >= WIDTH {
                out.push_str(&format!("{lead}{}\n", row.trim_end()));
                row = "  ".to_owned();
            }
            row.push_str(word);
            row.push(' ');
        }
        out.push_str(format!("{lead}{}", row.trim_end()).trim_end());
        out.push('\n');
    }
    out
}

/// Whether a text of several lines can stand as a block, as it is.
fn as_block(text: &str) -> bool {
    let bad = |c: char| crate::diagnostic::is_hidden(c) && c != '\n' && c != '\t';
    text.contains('\n') && !text.contains(bad) && !text.starts_with([' ', '\t', '\n']) && !text.ends_with("\n\n")
}

fn block(out: &mut String, text: &str, indent: &str) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in text.trim_end_matches('\n').split('\n') {
        match line.is_empty() {
            true => out.push('\n'),
            false => out.push_str(&format!("{indent}{line}\n")),
        }
    }
}

/// A key: words like `on` are texts to our reader, and no other one reads job files.
fn key_text(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain && !key.starts_with(|c: char| c.is_ascii_digit() || c == '-') { key.to_owned() } else { scalar(key, true) }
}

/// A text on one line. Inside of brackets fewer texts may stand without quotes.
fn scalar(text: &str, in_brackets: bool) -> String {
    const TAKEN: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "none-of-these"];
    let flag = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphabetic());
    let begins = flag || text.starts_with(['/', '_', '.']);
    let extra = if in_brackets { " _-./@+=%$" } else { " _-./@+=%$,;()\"'" };
    let opens = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    let inner = |c: char| c.is_ascii_alphanumeric() || extra.contains(c) || (c == ':' && !in_brackets);
    let number = text.parse::<f64>().is_ok() || text.starts_with('.');
    let plain = begins && !opens && !number && text.chars().all(inner);
    let single = text.contains('"') && !text.contains(['\'', '\\']) && !text.contains(crate::diagnostic::is_hidden);
    if single && !plain {
        return format!("'{text}'");
    }
    if plain && !TAKEN.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if crate::diagnostic::is_hidden(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
