//! What is measured of tasks, and what follows from it: how much to ask for, and when a grant is made larger or smaller.
//!
//! Enters: samples, ends, the bounds that the plan sets. Leaves: sizes. Never: a clock, or a decision about a task's fate.

mod fit;
mod gauge;
mod lessons;

pub use fit::{Bounds, Fit, Step};
pub use gauge::Gauge;
pub use lessons::{Lessons, with_margin};
