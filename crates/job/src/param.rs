//! What a parameter may be: its type, its choices, and how a text becomes a value of it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::values::shown;

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ParamRule {
    /// Its type.
    #[serde(default)]
    pub kind: ParamKind,
    /// The only values that it may have; empty = any of its type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Json>,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A list of anything.
    List,
    /// A mapping of texts to anything.
    Map,
}

impl ParamKind {
    /// The words of a job file, in this order.
    pub const WORDS: [&'static str; 6] = ["string", "int", "float", "bool", "list", "map"];
    /// The types, in the same order.
    pub const ALL: [Self; 6] = [Self::String, Self::Int, Self::Float, Self::Bool, Self::List, Self::Map];

    /// As a sentence has it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::List => "a list, like [1, 2]",
            Self::Map => "a mapping, like {\"a\": 1}",
        }
    }

    /// A text of the command line as a value of this type; nothing where it is none.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<Json> {
        match self {
            Self::String => Some(Json::String(text.to_owned())),
            Self::Int => text.parse::<i64>().ok().map(Json::from),
            Self::Float => self.take(Json::from(text.parse::<f64>().ok()?)),
            Self::Bool | Self::List | Self::Map => self.take(serde_json::from_str(text).ok()?),
        }
    }

    /// A value as one of this type; nothing where it is of another.
    #[must_use]
    pub fn take(self, json: Json) -> Option<Json> {
        match (self, json) {
            (Self::String, Json::String(text)) => Some(Json::String(text)),
            (Self::Int, json) if json.is_i64() => Some(json),
            (Self::Float, json) if json.is_number() => json.as_f64().filter(|float| float.is_finite()).map(Json::from),
            (Self::Bool, json) if json.is_boolean() => Some(json),
            (Self::List, json) if json.is_array() => Some(json),
            (Self::Map, json) if json.is_object() => Some(json),
            _ => None,
        }
    }
}

impl ParamRule {
    /// Whether this value may be given, as the text that the plan keeps.
    ///
    /// # Errors
    /// What it takes instead, as the end of a sentence.
    pub fn check(&self, json: Json) -> Result<String, String> {
        let json = self.kind.take(json).ok_or_else(|| format!("takes {}", self.kind.words()))?;
        if !self.choices.is_empty() && !self.choices.contains(&json) {
            let choices: Vec<String> = self.choices.iter().map(shown).collect();
            return Err(format!("is one of {}", choices.join(", ")));
        }
        Ok(shown(&json))
    }
}
