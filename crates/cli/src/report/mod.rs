//! The only place that prints: data to stdout; progress, hints, warnings and errors to stderr.

pub(crate) mod codes;
mod failure;
mod near;
mod screen;

pub(crate) use failure::Failure;
pub(crate) use near::nearest;
pub(crate) use screen::{Paint, Screen};
