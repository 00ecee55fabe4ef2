//! A YAML document as a tree in which everything knows its place.

use std::borrow::Cow;

use crate::text::Span;

/// A value of the document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Reported already; readers pass over it.
    Bad,
}

/// The key of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A scalar as written.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Not quoted and no block: YAML gives it a type by its look.
    pub(crate) plain: bool,
}

/// What a plain scalar is by the core schema of YAML 1.2: `no` and `on` are text there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

impl Scalar {
    pub(crate) fn kind(&self) -> Kind {
        if !self.plain {
            return Kind::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Bool(true),
            "false" | "False" | "FALSE" => Kind::Bool(false),
            text => number(text),
        }
    }
}

fn number(text: &str) -> Kind {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Kind::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Kind::Float(f64::NAN);
    }
    let radix = |prefix: &str, radix| text.strip_prefix(prefix).and_then(|rest| i64::from_str_radix(rest, radix).ok());
    if let Some(int) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Kind::Int(int);
    }
    let starts = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let fits = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !starts || !fits || !digits.contains(|c: char| c.is_ascii_digit()) {
        return Kind::Text;
    }
    match (text.parse(), text.parse()) {
        (Ok(int), _) => Kind::Int(int),
        (_, Ok(float)) => Kind::Float(float),
        _ => Kind::Text,
    }
}

impl Node {
    /// A text that no file holds.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::scalar(text, false)
    }

    /// A scalar that no file holds; `plain` gives it a type by its look.
    pub(crate) fn scalar(text: impl Into<String>, plain: bool) -> Self {
        Self { span: Span::NOWHERE, value: Value::Scalar(Scalar { text: text.into(), plain }) }
    }

    /// A list that no file holds.
    pub(crate) fn list(items: impl IntoIterator<Item = Node>) -> Self {
        Self { span: Span::NOWHERE, value: Value::List(items.into_iter().collect()) }
    }

    /// A mapping that no file holds.
    pub(crate) fn map(entries: impl IntoIterator<Item = (String, Node)>) -> Self {
        let keyed = entries.into_iter().map(|(text, node)| (Key { text, span: Span::NOWHERE }, node));
        Self { span: Span::NOWHERE, value: Value::Map(keyed.collect()) }
    }

    /// How many nodes it is, itself included; what an alias of it costs.
    pub(crate) fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) | Value::Bad => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| 1 + node.size()).sum(),
        }
    }

    /// How many levels it is deep.
    pub(crate) fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) | Value::Bad => 0,
            Value::List(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
        }
    }

    /// What it is, for "expected X, found Y".
    pub(crate) fn found(&self) -> Cow<'static, str> {
        match &self.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
            Value::Bad => "nothing of use".into(),
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Null => "nothing (null)".into(),
                Kind::Bool(_) => format!("the truth value {}", scalar.text).into(),
                Kind::Int(_) | Kind::Float(_) => format!("the number {}", scalar.text).into(),
                Kind::Text if scalar.text.chars().nth(40).is_some() => "a text".into(),
                Kind::Text => format!("the text {:?}", scalar.text).into(),
            },
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.kind() == Kind::Null)
    }
}
