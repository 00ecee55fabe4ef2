//! The Docker engine of one machine.
//!
//! Enters: task specs, host paths, names, labels. Leaves: requests as values ([`options`]), what was seen
//! ([`Seen`], [`ImageInfo`], [`dybox_model::Usage`]), how an attempt ended ([`exit_of`]), classified errors
//! ([`EngineError`]).
//! Never: a bollard type, a call without a deadline, a payload's output, a decision about retrying.

mod archive;
mod auth;
mod canary;
mod conf;
mod connect;
mod container;
mod convert;
mod error;
mod exit;
mod image;
mod info;
mod network;
mod options;
mod payload;
mod ports;
mod proof;
mod remembered;
#[cfg(test)]
mod testing;
mod usage;
mod verdict;

pub use archive::Archive;
pub use auth::{login_key, login_of, logins};
pub use conf::{Address, EngineConf};
pub use connect::Engine;
pub use container::{KILL, Listed, STOP, STOP_NOW, Seen};
pub use error::{EngineError, Kind, Result};
pub use exit::{Asked, CODE_IDLE, End, exit_of};
pub use image::{ImageInfo, ImageListed};
pub use info::EngineInfo;
pub use network::NetworkSeen;
pub use options::{Joined, Options, Placed, options, sandbox_options};
pub use payload::{LEASE_BEAT, LEASE_TTL, argv, init_next, init_spec, init_visit};
pub use proof::{Identity, LABEL_RUN, Role};
pub use usage::CgroupPaths;
pub use verdict::{StartFailure, Verdict};
