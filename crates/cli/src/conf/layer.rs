//! One layer of settings: a file, the environment, or the flags, as texts that are not yet understood.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::key::{KEYS, place};
use crate::report::{Failure, codes, nearest};

/// Where a setting came from, in words: `default`, `file:line`, `DYBOX_...`, `--flag`.
pub(crate) type Origin = String;

/// For each key of [`KEYS`] its text and origin, where this layer sets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer(pub [Option<(String, Origin)>; KEYS.len()]);

impl Layer {
    /// Sets a key.
    pub(crate) fn set(&mut self, name: &str, text: impl Into<String>, from: impl Into<Origin>) {
        if let Some(at) = place(name) {
            self.0[at] = Some((text.into(), from.into()));
        }
    }

    /// Lays `over` on top.
    pub(crate) fn cover(&mut self, over: Layer) {
        for (mine, theirs) in self.0.iter_mut().zip(over.0) {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
    }

    /// What the environment sets.
    pub(crate) fn environment(get: impl Fn(&str) -> Option<String>) -> Self {
        let mut layer = Self::default();
        for (slot, key) in layer.0.iter_mut().zip(KEYS) {
            *slot = key
                .env
                .iter()
                .find_map(|&name| get(name).filter(|text| !text.is_empty()).map(|text| (text, format!("${name}"))));
        }
        layer
    }

    /// What a file sets. `path` is for messages only.
    ///
    /// # Errors
    /// The first line that is no TOML, or names an unknown key, or gives a list or table.
    pub(crate) fn file(path: &Path, text: &str) -> Result<Self, Failure> {
        let mut layer = Self::default();
        for (name, value, line) in entries(path, text)? {
            let from = format!("{}:{line}", path.display());
            let Some(at) = place(&name) else {
                return Err(unknown(&name, &from, KEYS.iter().map(|key| key.name)));
            };
            let text = scalar(&value).ok_or_else(|| {
                Failure::coded(codes::CONF_VALUE, format!("`{name}` is one value, not a list or table"))
                    .place(from.clone())
            })?;
            layer.0[at] = Some((text, from));
        }
        Ok(layer)
    }
}

/// The entries of a TOML file: key, value, line.
fn entries(path: &Path, text: &str) -> Result<Vec<(String, toml::Value, usize)>, Failure> {
    let table = DeTable::parse(text).map_err(|e| {
        let (line, column) = line_column(text, e.span().map_or(0, |span| span.start));
        Failure::coded(codes::CONF_SYNTAX, "the configuration file is no TOML")
            .place(format!("{}:{line}:{column}", path.display()))
            .why(e.message().to_owned())
    })?;
    let mut found: Vec<_> = table.into_inner().into_iter().collect();
    found.sort_by_key(|(key, _)| key.span().start);
    Ok(found
        .into_iter()
        .map(|(key, value)| {
            let line = line_column(text, key.span().start).0;
            (key.into_inner().into_owned(), plain(value.into_inner()), line)
        })
        .collect())
}

/// The failure for a key that nobody knows.
pub(crate) fn unknown<'a>(name: &str, from: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    let failure = Failure::coded(codes::CONF_KEY, format!("unknown key {name:?} in the configuration")).place(from);
    match nearest(name, known.iter().copied()) {
        Some(near) => failure.next(format!("did you mean {near:?}?")),
        None => failure.next(format!("the keys are {}", known.join(", "))),
    }
}

/// Reads a file that may be missing.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::coded(codes::CONF_READ, "the configuration file can't be read")
            .place(path.display().to_string())
            .source(e)),
    }
}

fn plain(value: DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            let text = number.as_str().replace('_', "");
            i64::from_str_radix(&text, number.radix()).map_or(toml::Value::String(text), toml::Value::Integer)
        }
        DeValue::Float(number) => {
            let text = number.as_str().replace('_', "");
            text.parse().map_or(toml::Value::String(text.clone()), toml::Value::Float)
        }
        DeValue::Boolean(yes) => toml::Value::Boolean(yes),
        DeValue::Datetime(time) => toml::Value::Datetime(time),
        DeValue::Array(list) => toml::Value::Array(list.into_iter().map(|item| plain(item.into_inner())).collect()),
        DeValue::Table(_) => toml::Value::Table(toml::Table::new()),
    }
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

/// Line and column, from 1, of a byte.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}
