//! Pages of a run and of a session, as HTML and JSON.
//!
//! Enters: a folded run or what a session says of itself, the time, and where YARN shows things. Leaves: text. Never: a file, a clock, a socket, a
//! script or a style from elsewhere, or a link that names a path of DYbox's own: the pages stand behind YARN's proxy,
//! under any prefix, so they link by query alone.

mod about;
mod answer;
mod json;
mod page;
mod rows;
mod session;
mod stage;
#[cfg(test)]
mod tests;

pub use about::{About, of_run};
pub use answer::{Answer, answer, answer_session, run_asked};
pub use json::json;
pub use page::page;
pub use session::{OverRun, Session};
pub use stage::stage;
