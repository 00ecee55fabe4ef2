//! The output of a whole run: all archives of its `logs` directory, merged by time, as pieces or as lines, from the
//! start or the last lines of it, once or for as long as it grows.

mod cursor;
mod find;
mod lines;
mod live;
mod rest;
mod run_logs;
mod select;
mod tail;
#[cfg(test)]
mod tests;

pub use lines::{Block, BlockItem, LONGEST_LINE, Line, LineEnd, LineItem, Lines};
pub use live::{Grants, Live, LiveGrant, LivePiece};
pub use run_logs::RunLogs;
pub use select::Select;

pub(crate) use live::LiveReader;
