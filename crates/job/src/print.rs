//! A plan as text: what `dybox plan` shows.

use crate::Plan;

/// The plan as plain text.
#[must_use]
pub fn print(_plan: &Plan) -> String {
    String::new()
}
