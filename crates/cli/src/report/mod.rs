//! The only place that prints: data to stdout; progress, hints, warnings and errors to stderr.

mod failure;
mod screen;

pub(crate) use failure::Failure;
pub(crate) use screen::{Paint, Screen};
