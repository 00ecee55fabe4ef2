//! The binary as a user meets it: help, configuration, exit codes, and reading commands over runs written by hand.
//! Runs on a real engine are in the workspace's own tests.

mod home;
mod logs;
mod reading;
mod shape;
