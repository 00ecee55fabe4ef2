//! The agent of a node: what its engine, disks and kernel are like, and how pressed it is, for the state servers; and the
//! broom for what dead processes of DYbox left there.
//!
//! Enters: the engine's answers, the disks' room, marks and orders from state servers. Leaves: reports, to every server,
//! with the same content; processes that sweep one home each with its owner's rights; images that nobody needs, where
//! the disk is full; images that masters wish for, each pulled by a process of its own. Never: a task, a judgement of what it saw (that is the roster's), a wait of one server for another,
//! the removal of anything that is not proven to be of a run that is over.

mod actor;
mod bring;
mod conf;
mod line;
mod pressure;
mod probe;
mod process;
mod sweep;

pub use actor::run;
pub use conf::{Bringing, Cleaning, Conf, ImageRules};
