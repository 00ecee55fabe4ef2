//! The agent of a node: what its engine, disks and kernel are like, for the state servers.
//!
//! Enters: the engine's answers, the disks' room, marks from state servers. Leaves: reports, to every server, with the
//! same content. Never: a task, a judgement of what it saw (that is the roster's), a wait of one server for another.

mod actor;
mod conf;
mod line;
mod probe;

pub use actor::run;
pub use conf::Conf;
