//! What later runs may take of a stage that succeeded: what it depended on, and what it came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Millis, Moved, RunId};

/// One thing that a stage depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// What tells it from others, in hex.
    pub sum: String,
    /// The same for a person; empty where it is too long.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// What a stage depends on, by name. Image and inputs are told apart: the one may have several names, the others lie
/// outside of the plan.
pub type Fields = BTreeMap<String, Field>;

/// What lies at a place, as it was seen without being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// The place, as the job file names it.
    pub place: String,
    /// The path in the container that it goes to or comes from; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last of them was written; 0 for what the run itself made, which is told by its content.
    pub newest: Millis,
    /// Over names, sizes and times, or over the sums of the contents; in hex.
    pub sum: String,
}

/// A stage that succeeded, for later runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Success {
    /// Version of the encoding.
    pub version: u32,
    /// The run in which it ran.
    pub run: RunId,
    /// When it ended.
    pub at: Millis,
    /// What it depended on.
    pub fields: Fields,
    /// The id that its image had, or the image itself where it was written with its digest.
    pub image: String,
    /// What its inputs were before its first task began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Print>,
    /// What its outputs outside of the run's own store were when it had ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Print>,
    /// What it put into the run's own store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Moved>,
    /// What each task wrote as its result, as JSON.
    pub results: Vec<Option<String>>,
}

/// What is taken of an earlier success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The run in which it ran.
    pub from: RunId,
    /// What each task wrote as its result, as JSON.
    pub results: Vec<Option<String>>,
    /// What is in this run's own store now.
    pub kept: Vec<Moved>,
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Missed {
    /// The run that came nearest; nothing = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<RunId>,
    /// What differs from it, each in a phrase; without one, why there is none.
    pub changed: Vec<String>,
}

impl Missed {
    /// For a reason that no earlier run has a part in.
    #[must_use]
    pub fn because(why: impl Into<String>) -> Self {
        Self { nearest: None, changed: vec![why.into()] }
    }
}
