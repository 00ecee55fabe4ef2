//! YAML text -> tree. The one place that knows the YAML parser.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};

use crate::diagnostic::is_hidden;
use crate::node::{Key, Node, Scalar, Value};
use crate::report::Report;
use crate::text::{Span, Text};

/// Levels of nesting; a job file needs 8.
const DEEPEST: usize = 32;
/// Nodes that all aliases of a file may add.
const MOST_ALIASED: usize = 100_000;

/// Reads one document. What can't be read is reported and left out; nothing comes back when no tree is left.
pub(crate) fn load(report: &mut Report) -> Option<Node> {
    let text = report.text;
    let mut builder = Builder { open: Vec::new(), anchors: BTreeMap::new(), aliased: 0, documents: 0, root: None };
    for next in Parser::new_from_str(text.text) {
        let step = match next {
            Ok((event, span)) => builder.take(event, place_of(&span), tag_of(&span), report),
            Err(error) => {
                syntax(&error, text, report);
                return None;
            }
        };
        if step.is_none() {
            return builder.root;
        }
    }
    if builder.root.as_ref().is_none_or(Node::is_null) {
        report
            .error("E0104", Span::new(0, 0), "the job file is empty")
            .help("start with a name and one stage; jobs/hello.yaml is a small example");
        return None;
    }
    builder.root
}

fn place_of(span: &granit_parser::Span) -> Span {
    let byte = |marker: &granit_parser::Marker| marker.byte_offset().unwrap_or_default();
    Span::new(byte(&span.start), byte(&span.end))
}

fn tag_of(span: &granit_parser::Span) -> Option<Span> {
    span.tag_span().map(|tag| place_of(&tag))
}

enum Frame {
    List { span: Span, anchor: usize, items: Vec<Node> },
    Map { span: Span, anchor: usize, entries: Vec<(Key, Node)>, key: Option<Key> },
}

struct Builder {
    open: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    aliased: usize,
    documents: usize,
    root: Option<Node>,
}

impl Builder {
    /// Takes one event in; nothing means that reading ends here.
    fn take(&mut self, event: Event, span: Span, tag_span: Option<Span>, report: &mut Report) -> Option<()> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    report
                        .error("E0109", span, "a second document begins here; a job file holds one")
                        .help("put the second job into a file of its own");
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let mut plain = style == ScalarStyle::Plain;
                let good = check_tag(tag.as_deref(), "str", tag_span.unwrap_or(span), report, &mut plain);
                let value = match good {
                    true => Value::Scalar(Scalar { text: text.into_owned(), plain }),
                    false => Value::Bad,
                };
                self.put(Node { span, value }, anchor, report);
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", tag_span.unwrap_or(span), report, &mut false);
                self.open.push(Frame::List { span, anchor, items: Vec::new() });
                self.deep(span, report)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", tag_span.unwrap_or(span), report, &mut false);
                self.open.push(Frame::Map { span, anchor, entries: Vec::new(), key: None });
                self.deep(span, report)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(report),
            Event::Alias(anchor) => return self.alias(anchor, span, report),
            _ => {}
        }
        Some(())
    }

    fn deep(&self, span: Span, report: &mut Report) -> Option<()> {
        if self.open.len() <= DEEPEST {
            return Some(());
        }
        report
            .error("E0112", span, format!("nested more than {DEEPEST} levels deep"))
            .help("a job file needs no more than 8 levels; look for brackets that are not closed");
        None
    }

    fn alias(&mut self, anchor: usize, span: Span, report: &mut Report) -> Option<()> {
        let Some(target) = self.anchors.get(&anchor) else {
            report
                .error("E0113", span, "an alias inside of its own anchor never ends")
                .help("write the value out, or put the anchor around less");
            self.put(Node { span, value: Value::Bad }, 0, report);
            return Some(());
        };
        self.aliased += target.size();
        if self.aliased > MOST_ALIASED {
            report
                .error("E0111", span, format!("the aliases of this file stand for more than {MOST_ALIASED} values"))
                .label("too much from here on")
                .help("use fewer aliases of aliases");
            return None;
        }
        if self.open.len() + target.depth() > DEEPEST {
            report
                .error("E0112", span, format!("nested more than {DEEPEST} levels deep"))
                .help("use fewer aliases inside of aliased values");
            return None;
        }
        let node = Node { span, ..target.clone() };
        self.put(node, 0, report);
        Some(())
    }

    fn close(&mut self, report: &mut Report) {
        let (node, anchor) = match self.open.pop() {
            Some(Frame::List { span, anchor, items }) => (Node { span, value: Value::List(items) }, anchor),
            Some(Frame::Map { span, anchor, entries, .. }) => {
                (Node { span, value: Value::Map(tidy(entries, report)) }, anchor)
            }
            None => return,
        };
        self.put(node, anchor, report);
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node, anchor: usize, report: &mut Report) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match (key.take(), node.value) {
                (Some(key), value) => entries.push((key, Node { span: node.span, value })),
                (None, Value::Scalar(scalar)) => *key = Some(Key { text: scalar.text, span: node.span }),
                (None, _) => {
                    report
                        .error("E0202", node.span, "a key must be text")
                        .help("quote a key that begins with [, { or *");
                    *key = Some(Key { text: String::new(), span: node.span });
                }
            },
        }
    }
}

/// Applies merge keys and reports keys that are there twice.
fn tidy(entries: Vec<(Key, Node)>, report: &mut Report) -> Vec<(Key, Node)> {
    let (merges, mut entries): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key.text == "<<");
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| (&entries[a].0.text, a).cmp(&(&entries[b].0.text, b)));
    let mut twice: Vec<usize> = Vec::new();
    for pair in order.windows(2) {
        let (first, second) = (&entries[pair[0]].0, &entries[pair[1]].0);
        if first.text == second.text {
            twice.push(pair[1]);
            if report.is_full() {
                report.error("E0110", second.span, "");
                continue;
            }
            let note = format!("it is first given at {}", report.text.short(first.span));
            let message = format!("the key {:?} is given twice", second.text);
            report.error("E0110", second.span, message).note(note).help("keep one of them");
        }
    }
    let twice: BTreeSet<usize> = twice.into_iter().collect();
    let mut at = 0..;
    entries.retain(|_| at.next().is_some_and(|at| !twice.contains(&at)));
    for (key, node) in merges {
        let sources = match node.value {
            Value::List(items) => items,
            value => vec![Node { span: node.span, value }],
        };
        for source in sources {
            match source.value {
                Value::Map(more) => merge(&mut entries, more),
                Value::Bad => {}
                _ => {
                    report.error("E0202", key.span, "<< takes a mapping, or a list of them").help("write <<: *anchor");
                }
            }
        }
    }
    entries
}

fn merge(entries: &mut Vec<(Key, Node)>, more: Vec<(Key, Node)>) {
    for (key, node) in more {
        if entries.iter().all(|(known, _)| known.text != key.text) {
            entries.push((key, node));
        }
    }
}

/// Refuses tags that ask for more than data; `!!str` turns typing by look off.
fn check_tag(tag: Option<&Tag>, own: &str, span: Span, report: &mut Report, plain: &mut bool) -> bool {
    let Some(tag) = tag else { return true };
    match tag.core_suffix() {
        Some("str") if own == "str" => *plain = false,
        Some("int" | "float" | "bool" | "null") if own == "str" => *plain = true,
        Some(suffix) if suffix == own => {}
        None if tag.original() == "!" => *plain = false,
        _ => {
            report
                .error("E0114", span, format!("the tag {} is no plain data", tag.original()))
                .help("take the tag away; a job file holds text, numbers, lists and mappings");
            return false;
        }
    }
    true
}

fn syntax(error: &ScanError, text: &Text, report: &mut Report) {
    let at = error.marker().byte_offset().unwrap_or_default();
    let span = Span::new(at, at + 1);
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            let line = text.text[..text.text.floor_char_boundary(at)].rfind('\n').map_or(0, |end| end + 1);
            let tab = text.text[line..].find('\t').map_or(at, |offset| line + offset);
            report.error("E0107", Span::new(tab, tab + 1), "a tab can't indent YAML").help("use spaces");
        }
        ErrorKind::RecursionLimitExceeded => {
            report
                .error("E0112", span, format!("nested more than {DEEPEST} levels deep"))
                .help("a job file needs no more than 8 levels; look for brackets that are not closed");
        }
        ErrorKind::UnknownAnchor => {
            report
                .error("E0116", span, "this alias has no anchor before it")
                .help("quote a text that begins with *, or define the anchor first");
        }
        kind => match unclosed(kind, text) {
            Some((open, at)) => {
                report
                    .error("E0108", Span::new(at, at + 1), format!("this {open} is never closed"))
                    .help(format!("add the missing {}", closing(open)));
            }
            None => {
                let message = format!("this is no YAML: {}", error.info());
                report.error("E0115", span, message).help("look at this line and the one before it");
            }
        },
    }
    let hidden = text.text.char_indices().find(|&(_, c)| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t'));
    if let Some((at, c)) = hidden {
        let message = format!("the invisible character U+{:04X} is in this file", c as u32);
        report.error("E0117", Span::new(at, at + c.len_utf8()), message).help("take it out");
    }
}

/// The bracket or quote that was open at the end of the text, where the error says that one was.
fn unclosed(kind: &ErrorKind, text: &Text) -> Option<(char, usize)> {
    let ended = matches!(
        kind,
        ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::UnclosedQuotedScalar
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::MismatchedFlowCollectionEnd { .. }
            | ErrorKind::InvalidFlowScalarIndent
            | ErrorKind::InvalidQuotedScalarIndent
    );
    if !ended { None } else { last_open(text.text) }
}

const fn closing(open: char) -> char {
    match open {
        '[' => ']',
        '{' => '}',
        other => other,
    }
}

/// A light scan for the innermost bracket or quote that is still open where the text ends or where one is closed
/// that was not opened.
fn last_open(text: &str) -> Option<(char, usize)> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut before = ' ';
    let mut comment = false;
    for (at, c) in text.char_indices() {
        let quote = open.last().filter(|(open, _)| matches!(open, '"' | '\'')).map(|&(open, _)| open);
        match (quote, c) {
            _ if comment => comment = c != '\n',
            (Some(quote), _) if c == quote && before != '\\' => drop(open.pop()),
            (Some(_), _) => {}
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '"' | '\'') if matches!(before, ' ' | '[' | '{' | ',' | '\n') => open.push((c, at)),
            (None, '[' | '{') if !open.is_empty() || before.is_whitespace() => open.push((c, at)),
            (None, ']' | '}') => match open.last() {
                Some(&(last, _)) if closing(last) == c => drop(open.pop()),
                Some(&last) => return Some(last),
                None => {}
            },
            _ => {}
        }
        before = c;
    }
    open.last().copied()
}
