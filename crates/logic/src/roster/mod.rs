//! The roster: which machines' engines can run tasks, by what their agents say.
//!
//! All times are the server's own: an agent's clock is shown and never believed. A node's health follows what its
//! reports say, but only when several in a row say the same; a new node, and one that was silent, is what its first
//! report says.

mod event;
mod images;
mod judge;
mod machine;
mod node;
#[cfg(test)]
mod tests;

pub use event::{Effect, Event, Question, Refusal, Session};
pub use judge::{Band, Rules, judge};
pub use machine::{Roster, Swept};
pub use node::Brief;
