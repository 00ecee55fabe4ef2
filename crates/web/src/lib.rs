//! Pages of a run, as HTML and JSON.
//!
//! Enters: a folded run, the time, and where YARN shows things. Leaves: text. Never: a file, a clock, a socket, a
//! script or a style from elsewhere, or a link that names a path of DYbox's own: the pages stand behind YARN's proxy,
//! under any prefix, so they link by query alone.

mod about;
mod answer;
mod json;
mod page;
mod rows;
mod stage;
#[cfg(test)]
mod tests;

pub use about::About;
pub use answer::{Answer, answer};
pub use json::json;
pub use page::page;
pub use stage::stage;
