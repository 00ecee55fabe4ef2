//! What a stage says that its tasks write to `$DYBOX_RESULT` (`results:`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ValueKind;

/// A declared result: the same for each task of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Declared {
    /// One value of this type.
    Whole(ResultType),
    /// A mapping that has at least these entries.
    Entries(BTreeMap<String, ResultType>),
}

/// What a result, or an entry of it, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResultType {
    /// Its type.
    pub kind: ValueKind,
    /// It may be missing, or null: a `?` behind the type.
    pub optional: bool,
}

impl ResultType {
    /// `int`, or `int?`; nothing where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (word, optional) = text.strip_suffix('?').map_or((text, false), |word| (word, true));
        let at = ValueKind::WORDS.iter().position(|known| *known == word)?;
        Some(Self { kind: ValueKind::ALL[at], optional })
    }
}

impl fmt::Display for ResultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ValueKind::WORDS[self.kind as usize])?;
        f.write_str(if self.optional { "?" } else { "" })
    }
}

impl TryFrom<String> for ResultType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no type of a result"))
    }
}

impl From<ResultType> for String {
    fn from(of: ResultType) -> Self {
        of.to_string()
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(of) => of.fmt(f),
            Self::Entries(entries) => {
                let all: Vec<String> = entries.iter().map(|(name, of)| format!("{name}: {of}")).collect();
                write!(f, "{{ {} }}", all.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_they_are_read() {
        for word in ValueKind::WORDS {
            for text in [word.to_owned(), format!("{word}?")] {
                let read = ResultType::parse(&text).expect("a type");
                assert_eq!((read.to_string(), read.optional), (text.clone(), text.ends_with('?')));
            }
        }
        for none in ["", "?", "integer", "int??", "Int", " int"] {
            assert_eq!(ResultType::parse(none), None, "{none}");
        }
    }
}
