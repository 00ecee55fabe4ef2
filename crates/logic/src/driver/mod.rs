//! The driver machine: which stage of one sub-DAG may start, is skipped, or stops, and when a hook runs.
//!
//! Enters: ends of stages, answers of hooks, wishes to stop. Leaves: facts to write down, stages to start or to look up, hooks to run.
//! Never: a task, a grant, a process, a clock.
//!
//! ```text
//! stage:  waiting ─> running ─> succeeded | failed | lost | stopped      hook:  waiting ─> running ─> decided | failed
//!            └────> skipped | stopped                                              └────> void (an `after` went wrong)
//! ```
//!
//! A hook with an image runs as the one task of a stage; that stage ends when what it said was judged.
//! A hook's decision may add stages; from then on they are as those of the plan.

mod answer;
mod begin;
mod decision;
mod ended;
mod event;
mod explain;
mod graph;
mod grow;
mod look;
mod machine;
mod state;

pub use event::{Effect, Event};
pub use machine::Driver;
