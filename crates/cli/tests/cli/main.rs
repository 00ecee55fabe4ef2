//! The binary as a user meets it: help, configuration, exit codes, and reading commands over runs written by hand.
//! Runs on a real engine are in the workspace's own tests.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod completions;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod home;
#[cfg(test)]
mod import;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod shape;
