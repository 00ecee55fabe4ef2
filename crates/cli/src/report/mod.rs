//! The only place that prints: data to stdout; progress, hints, warnings and errors to stderr.

mod answer;
pub(crate) mod codes;
mod convert;
mod failure;
mod near;
pub(crate) mod safe;
#[cfg(test)]
pub(crate) mod samples;
mod screen;
pub(crate) mod shapes;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod time;
mod yaml;

pub(crate) use answer::{ANSWER_VERSION, Answer, Output, table_text};
pub(crate) use failure::{Failure, chain};
pub(crate) use near::nearest;
pub(crate) use screen::{NARROW, Paint, Screen};
pub(crate) use yaml::yaml;
