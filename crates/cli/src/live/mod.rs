//! A run while it goes on: a tree on a terminal, else one plain line an event. Everything here is drawn on stderr.

mod line;
mod picture;
mod story;
mod tree;

pub(crate) use line::shown;
pub(crate) use story::Story;
