//! One archive a grant: the output of all its attempts, append-only, readable while it grows.
//!
//! An archive is a row of frames: a head of 60 bytes, then at most 1 MiB of payload. The head says how much of which
//! attempt's stdout or stderr follows, from which byte of that stream on, when it was taken, and where in the archive
//! it stands, and has a checksum of its own. So a reader can hop from head to head, a damaged frame costs that frame
//! alone, and output that happens to look like a frame is never taken for one.
//!
//! A closed archive ends in an index of its frames. Without one (the writer died) readers hop from head to head. A torn
//! frame at the end is left out; damage in the middle shows as a gap.

mod catalog;
mod frame;
mod index;
mod item;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use catalog::Summary;
pub use frame::MAX_PAYLOAD;
pub use item::{Gap, LogItem, Source, Stream};
pub use reader::ArchiveReader;
pub use writer::{ArchiveWriter, Recovered};

pub(crate) use catalog::{Catalog, FrameKind, FrameRef};
pub(crate) use frame::count_lines;
