//! What an archive holds, as readers see it.

use std::fmt;

use bytes::Bytes;
use dybox_model::{AttemptId, Millis};
use serde::{Deserialize, Serialize};

/// One of a payload's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whose output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The attempt.
    pub attempt: AttemptId,
    /// Which of its outputs.
    pub stream: Stream,
}

/// Output that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose; nothing where damage hides even that.
    pub source: Option<Source>,
    /// When it was taken, as far as known.
    pub at: Millis,
    /// Bytes of output, or of the archive where the source is unknown.
    pub bytes: u64,
    /// Why, in a phrase.
    pub why: String,
    /// Where in the archive.
    pub offset: u64,
}

/// One piece of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// Output as it came; lines may be cut anywhere.
    Chunk {
        /// Whose.
        source: Source,
        /// When it was taken.
        at: Millis,
        /// Place of its first byte in the output.
        pos: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// Output that is not there.
    Gap(Gap),
}

impl LogItem {
    /// Whose it is.
    #[must_use]
    pub const fn source(&self) -> Option<Source> {
        match self {
            Self::Chunk { source, .. } => Some(*source),
            Self::Gap(gap) => gap.source,
        }
    }
}
