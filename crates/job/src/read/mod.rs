//! Reads a job from its tree, one file for each mapping of the page.

mod each;
mod env;
mod hook;
mod idle;
mod image;
mod limits;
mod memory;
mod mounts;
mod params;
mod placement;
mod profile;
mod stage;
mod top;
mod words;

pub(crate) use mounts::check_targets;
pub(crate) use profile::Shelf;
pub(crate) use stage::body;
pub(crate) use top::job;
