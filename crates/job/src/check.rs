//! The one way from the text of a job file to a plan.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Diagnostic, Plan, World};

/// A job file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The path as the user gave it, for messages.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
    /// Its directory, absolute: `./` in the file starts there.
    pub dir: &'a Path,
}

/// What a submission adds to the file.
#[derive(Debug, Clone, Default)]
pub struct Submit {
    /// `--param k=v`.
    pub params: BTreeMap<String, String>,
    /// `--name`.
    pub name: Option<String>,
}

/// A plan, where there is no error, and everything that is to be said.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Nothing when one of the problems is an error.
    pub plan: Option<Plan>,
    /// All problems, in the order of the file; warnings too.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads, checks and plans a job. All problems are found at once; nothing is touched.
#[must_use]
pub fn check(_source: &Source, _submit: &Submit, _world: &dyn World) -> Outcome {
    Outcome::default()
}
