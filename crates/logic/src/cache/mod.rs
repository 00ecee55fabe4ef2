//! Whether a stage may be taken from an earlier success: all that it depends on is the same.
//!
//! Enters: the plan, what is known when the stage begins, and earlier successes. Leaves: those of them that fit, or what
//! differs from the nearest. Never: a look at a store, an engine or a registry.

mod fields;
mod judge;

pub use fields::{Begun, fields, key_of, never};
pub use judge::{Wanted, fitting, nearest, print_of, spoilt};
