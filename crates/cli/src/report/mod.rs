//! The only place that prints: data to stdout; progress, hints, warnings and errors to stderr.

mod answer;
pub(crate) mod codes;
mod failure;
mod near;
mod screen;
pub(crate) mod time;

pub(crate) use answer::{Answer, Output, table_text};
pub(crate) use failure::Failure;
pub(crate) use near::nearest;
pub(crate) use screen::{Paint, Screen};
