//! What a user can do with runs, as functions and values: submit, follow, stop, resume, find, look.
//!
//! Enters: a plan, a query, a directory of runs. Leaves: ids, streams of facts, views, errors that say what to do.
//! Never: a word printed, a decision about tasks, a terminal.

mod attach;
mod client;
mod cluster;
pub mod earlier;
mod error;
mod feed;
mod folded;
mod follow;
mod machine;
mod profiles;
pub mod prune;
mod read;
mod resume;
mod secrets;
mod state;
mod stop;
mod submit;
pub mod untar;
mod world;

pub use attach::{Ear, Heard, Line, Mouth, Say};
pub use client::Client;
pub use cluster::{Application, ClusterConf, Phase, Session};
pub use error::ClientError;
pub use feed::Update;
pub use follow::{Follow, Way};
pub use read::{MAX_JOB_FILE, ReadError, read_job};
pub use resume::Resumed;
pub use state::{Standing, grown};
pub use stop::Stopped;
pub use submit::{Submission, Submitted};
pub use world::Here;
