//! What a parameter may be: its type, its choices, and how a text becomes a value of it.

use dybox_model::ValueKind;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::values::shown;

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ParamRule {
    /// Its type.
    #[serde(default)]
    pub kind: ValueKind,
    /// The only values that it may have; empty = any of its type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Json>,
}

/// The words of the types that a parameter may have, in the order of [`ValueKind::ALL`]: all but `any`.
pub(crate) const WORDS: &[&str] = ValueKind::WORDS.split_at(ValueKind::Any as usize).0;

impl ParamRule {
    /// What it takes, as a sentence has it.
    #[must_use]
    pub const fn takes(&self) -> &'static str {
        match self.kind {
            ValueKind::List => "a list, like [1, 2]",
            ValueKind::Map => "a mapping, like {\"a\": 1}",
            kind => kind.words(),
        }
    }

    /// A text of the command line as a value of its type; nothing where it is none.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Json> {
        match self.kind {
            ValueKind::String => Some(Json::String(text.to_owned())),
            ValueKind::Int => text.parse::<i64>().ok().map(Json::from),
            ValueKind::Float => self.take(Json::from(text.parse::<f64>().ok()?)),
            ValueKind::Bool | ValueKind::List | ValueKind::Map | ValueKind::Any => {
                self.take(serde_json::from_str(text).ok()?)
            }
        }
    }

    /// A value as one of its type; nothing where it is of another.
    #[must_use]
    pub fn take(&self, json: Json) -> Option<Json> {
        match (self.kind, json) {
            (ValueKind::String, Json::String(text)) => Some(Json::String(text)),
            (ValueKind::Int, json) if json.is_i64() => Some(json),
            (ValueKind::Float, json) if json.is_number() => {
                json.as_f64().filter(|float| float.is_finite()).map(Json::from)
            }
            (ValueKind::Bool, json) if json.is_boolean() => Some(json),
            (ValueKind::List, json) if json.is_array() => Some(json),
            (ValueKind::Map, json) if json.is_object() => Some(json),
            _ => None,
        }
    }

    /// Whether this value may be given, as the text that the plan keeps.
    ///
    /// # Errors
    /// What it takes instead, as the end of a sentence.
    pub fn check(&self, json: Json) -> Result<String, String> {
        let json = self.take(json).ok_or_else(|| format!("takes {}", self.takes()))?;
        if !self.choices.is_empty() && !self.choices.contains(&json) {
            let choices: Vec<String> = self.choices.iter().map(shown).collect();
            return Err(format!("is one of {}", choices.join(", ")));
        }
        Ok(shown(&json))
    }
}
