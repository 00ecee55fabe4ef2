//! The proxy's machine: what happens to the one attempt in a grant's hands, to those that wait behind it, and to the ends that the master has not
//! written down yet.
//!
//! Enters: orders of the master, answers of the engine, what init and the log files show, time. Leaves: what to fetch,
//! start, signal, drain, save, report and remove. Never: two attempts at once, an end that is reported before the
//! container is known dead and its logs are drained, or a second end of one attempt.

mod ending;
mod event;
mod idle;
mod machine;
mod put;
mod report;
mod stronger;
mod warm;
mod work;

pub use ending::Ending;
pub use event::{Effect, Event, Signal};
pub use machine::{LEASE_DEAD, LOST_AFTER, LOST_AFTER_FAR, Proxy};

#[cfg(test)]
mod tests;
