//! The types that a job file gives values: of parameters (`params:`) and of results (`results:`).

use serde::{Deserialize, Serialize};

/// The type of a parameter, of a result, or of an entry of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// Text.
    #[default]
    String,
    /// A whole number of 64 bits.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A list of anything.
    List,
    /// A mapping of texts to anything.
    Map,
    /// Anything but null. No parameter has this type.
    Any,
}

impl ValueKind {
    /// The words of a job file, in this order.
    pub const WORDS: [&'static str; 7] = ["string", "int", "float", "bool", "list", "map", "any"];
    /// The types, in the same order.
    pub const ALL: [Self; 7] = [Self::String, Self::Int, Self::Float, Self::Bool, Self::List, Self::Map, Self::Any];

    /// As a sentence has it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Map => "a mapping",
            Self::Any => "a value",
        }
    }
}
