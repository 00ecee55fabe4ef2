//! Reads a job from its tree, one file for each mapping of the page.

mod data;
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
mod policy;
mod ports;
mod profile;
mod results;
mod secrets;
mod stage;
mod top;
mod volumes;
mod words;

pub(crate) use env::of_files as env_of_files;
pub(crate) use mounts::check_targets;
pub(crate) use policy::{asks_for_rights, check as check_policy};
pub(crate) use ports::check as check_ports;
pub(crate) use profile::Shelf;
pub(crate) use secrets::{Declared, fetched as fetched_secrets};
pub(crate) use stage::{body, more};
pub(crate) use top::job;
pub(crate) use volumes::declared as volumes;
