//! A run while it goes on: a tree on a terminal, else one plain line an event on stderr, or records on stdout.

mod draw;
mod line;
mod picture;
mod show;
mod story;
mod tree;

pub(crate) use line::shown;
pub(crate) use show::Show;
