//! Records of what happened to a sub-DAG, and what they add up to.
//!
//! Enters: facts of `model`, bytes of a journal, notes. Leaves: bytes to append, facts, and [`Run`] and [`RunView`],
//! the state that people and pages look at. Never: a file, a clock, a decision: what follows from the state is
//! `logic`'s to say.

mod bill;
mod fold;
mod images;
mod notes;
mod record;
mod run;
mod stage;
#[cfg(test)]
mod tests;
mod view;

pub use bill::{Bill, Spent};
pub use fold::fold;
pub use images::{Brought, ImageStory};
pub use record::{Decoded, Records, State, VERSION, decode, encode, encode_into, pieces, whole};
pub use run::{Ended, HookState, Live, Pull, Run, StopAsked, Where};
pub use stage::{Counts, Failure, Stage, StageState, Task};
pub use view::{RunState, RunView};
