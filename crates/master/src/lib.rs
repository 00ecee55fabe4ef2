//! The body of a master: one process that gets one sub-DAG done.
//!
//! Enters: the run's directory (plan, journal), calls of proxies and clients, events of the resource manager and of
//! hooks. Leaves: journal records, written and synced before the effects that follow them; orders to proxies; frames
//! and notes for watchers; at the end the next sub-DAGs' masters. Never: a container, a decision (those are the
//! machines' of `logic`), an effect whose record is not durable.

mod actor;
mod adds;
mod awaited;
mod book;
mod cache;
mod cluster;
mod conf;
mod error;
mod event;
mod fill;
mod inbox;
mod links;
mod live;
mod machine;
mod mind;
mod names;
mod next;
mod perform;
mod policy;
mod recover;
mod rm;
mod roster;
mod session;
mod spec;
mod take;
mod watch;
mod world;

pub use cluster::{AmConf, SessionConf, YarnConf, run_on_yarn};
pub use conf::Conf;
pub use error::MasterError;
pub use machine::run;
pub use session::run_session;
