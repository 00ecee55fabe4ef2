//! The state server: which machines' engines can run tasks, for masters and people.
//!
//! Enters: agents' reports, over lines of their own; questions and orders to drain, over gRPC; all with certificates of
//! one authority. Leaves: the roster (its pages as JSON), metrics, marks for agents to carry; a small database of drains
//! and histories. Never: a task, a grant, an order to an engine; a decision outside `logic::roster`; a failure of its
//! database that ends it.

mod actor;
mod answer;
mod authority;
mod conf;
mod count;
mod http;
mod keep;

pub use actor::{Running, start};
pub use authority::init;
pub use conf::{Conf, StateError};
