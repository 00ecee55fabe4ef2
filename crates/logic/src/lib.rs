//! The machines: every decision of a run as a value.
//!
//! Enters: facts of the journal (`apply`) and events (`handle`), with the time as an argument. Leaves: effects, in order,
//! with each `Record` before what it makes durable. Never: a socket, a file, a clock, a thread, a random number, an
//! `.await`; and no state that `apply` can't rebuild, but what the world tells anew after a recovery.

pub mod cache;
pub mod driver;
pub mod master;
mod waiting;

pub use waiting::Waiting;
pub mod proxy;
pub mod result;
pub mod roster;
pub mod usage;
