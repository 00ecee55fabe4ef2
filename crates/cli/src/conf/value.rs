//! Texts to values.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Setting;
use super::key::place;
use super::layer::Layer;
use crate::report::{Failure, codes};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, without `NO_COLOR` and `CI`
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What a reading command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// One YAML document: the same as with json
    Yaml,
    /// Ids only, one a line
    Name,
}

/// A setting that may be unset.
#[derive(Debug)]
pub(crate) struct Maybe<T>(Option<Setting<T>>);

impl Format {
    /// Whether a program reads it: the document then stands alone.
    pub(crate) const fn is_for_programs(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl | Self::Yaml)
    }
}

impl<T> Maybe<T> {
    /// The setting, or one that is computed.
    pub(crate) fn or_else(self, default: impl FnOnce() -> Result<T, Failure>) -> Result<Setting<T>, Failure> {
        match self.0 {
            Some(setting) => Ok(setting),
            None => Ok(Setting { value: default()?, from: "default".to_owned() }),
        }
    }

    /// The setting, or the type's default.
    pub(crate) fn or_default(self) -> Setting<T>
    where
        T: Default,
    {
        self.0.unwrap_or_else(|| Setting { value: T::default(), from: "default".to_owned() })
    }

    /// The setting, or none.
    pub(crate) fn optional(self) -> Setting<Option<T>> {
        match self.0 {
            Some(Setting { value, from }) => Setting { value: Some(value), from },
            None => Setting { value: None, from: "default".to_owned() },
        }
    }
}

/// Understands one key of a layer.
pub(crate) fn setting<T>(
    all: &Layer,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Maybe<T>, Failure> {
    let Some((text, from)) = place(name).and_then(|at| all.0[at].as_ref()) else { return Ok(Maybe(None)) };
    match parse(text) {
        Ok(value) => Ok(Maybe(Some(Setting { value, from: from.clone() }))),
        Err(why) => Err(Failure::coded(codes::CONF_VALUE, format!("`{name}` can't be {text:?}")).place(from).why(why)),
    }
}

/// An absolute path; `~/` is the user's home.
pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    let path = match text.strip_prefix("~/") {
        Some(rest) => Path::new(&std::env::var("HOME").map_err(|_| "HOME is not set")?).join(rest),
        None => PathBuf::from(text),
    };
    std::path::absolute(path).map_err(|e| e.to_string())
}

/// A text as it is; who uses it checks it.
pub(crate) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// `true` or `false`.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("it is true or false".to_owned()),
    }
}

/// One of a few words.
pub(crate) fn choice<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, true).map_err(|_| {
        let words: Vec<String> = T::value_variants().iter().map(word_of).collect();
        format!("it is one of {}", words.join(", "))
    })
}

/// The word for a choice.
pub(crate) fn word<T: ValueEnum>(value: T) -> String {
    word_of(&value)
}

fn word_of<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map_or_else(String::new, |word| word.get_name().to_owned())
}

/// `$XDG_DATA_HOME/dybox`, or `~/.local/share/dybox`.
pub(crate) fn default_home(env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    let set = |name: &str| env(name).filter(|text| text.starts_with('/'));
    set("XDG_DATA_HOME")
        .map(|dir| Path::new(&dir).join("dybox"))
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share/dybox")))
        .ok_or_else(|| {
            Failure::coded(codes::CONF_VALUE, "there is no place for runs: neither XDG_DATA_HOME nor HOME is set")
                .next("set DYBOX_HOME to a directory of yours")
        })
}
