//! Body of the proxy: the process that a grant's containers depend on.
//!
//! Enters: orders of the master over its line, answers of the engine, what init and payload leave in files. Leaves:
//! containers, leases, the archive of the grant's output, ends. Never: two attempts at once, a container that outlives
//! its lease, an end before the output is shipped, a grant's room given back while anything of it lives.
//!
//! [`run`] serves one grant of this machine to its end, [`run_in_grant`] one of a cluster,
//! [`run_agent`] one after another in a grant that a session keeps. [`sweep`] clears up after a proxy that died,
//! [`orphans`] after all that died on this machine; [`bring_image`] brings an image for the node's agent.

mod actor;
mod agent;
mod bring;
mod cgroup;
mod clock;
mod conf;
mod data;
mod engine_watch;
mod error;
mod files;
mod image;
mod inbox;
mod init_binary;
mod lease;
mod leave;
mod line;
mod link;
mod names;
mod node;
pub mod orphans;
mod parked;
mod perform;
mod policy;
mod ports;
mod publish;
mod pulls;
mod relay;
mod remove;
mod result;
mod sandbox;
mod secrets;
mod serve;
mod settle;
mod ship;
mod slot;
mod start;
mod sweep;
mod visit;
mod volumes;
mod watch;

pub use agent::run_agent;
pub use bring::{BringConf, bring_image};
pub use conf::{ClusterConf, Conf, Spot};
pub use error::ProxyError;
pub use init_binary::{init_binary, init_digest};
pub use serve::{run, run_in_grant, sweep};
pub use sweep::{Found, SweepReport};
