//! What a user can do with runs, as functions and values: submit, follow, stop, resume, find, look.
//!
//! Enters: a plan, a query, a directory of runs. Leaves: ids, streams of facts, views, errors that say what to do.
//! Never: a word printed, a decision about tasks, a terminal.

mod attach;
mod read;

pub use attach::{Ear, Heard, Mouth, Say, attach};
pub use read::{MAX_JOB_FILE, ReadError, read_job};
