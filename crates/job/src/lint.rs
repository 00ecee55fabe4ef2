//! What may not be meant, though it can be done.

use crate::{Diagnostic, Plan};

/// Warnings about a plan on one machine.
#[must_use]
pub fn lint(_plan: &Plan) -> Vec<Diagnostic> {
    Vec::new()
}
