//! Harness of the tests that run the real binary on a real Docker Engine.
//!
//! Enters: a job file's text. Leaves: what `dybox` printed, what the engine holds, what the payloads wrote. Never: a
//! fixed sleep as proof, a port or a name that two tests share, a process or container that outlives its test.

mod binary;
pub mod cluster;
mod engine;
mod image;
mod payload;
mod registry;
mod roster;
mod wait;
mod workspace;

pub use binary::{Done, Follow, binary};
pub use engine::{Engine, PrivateEngine};
pub use image::own_image;
pub use payload::{LATE, Line, lines_of, overlaps};
pub use registry::{PASSWORD, Registry, USER};
pub use roster::{Part, RosterWorld};
pub use wait::{eventually, pid_alive};
pub use workspace::Workspace;
