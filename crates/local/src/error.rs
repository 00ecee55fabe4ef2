//! What can go wrong with the machine's budget.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failure of the embedded resource manager.
#[derive(Debug, Error)]
pub enum LocalError {
    /// A file of the budget can't be read or written.
    #[error("could not {what} {path}")]
    File {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody has held the budget's lock for too long.
    #[error("the lock {path} was not free for {secs} s")]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long.
        secs: u64,
    },
    /// A process can't be started.
    #[error("could not start {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A sweep did not do its work.
    #[error("the sweep of {grant} failed: {why}")]
    Sweep {
        /// The grant.
        grant: String,
        /// Its words.
        why: String,
    },
}

impl LocalError {
    /// What the caller can do.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::File { .. } => "check the room and the permissions of DYBOX_HOME",
            Self::Busy { .. } => "a stopped dybox process may hold it: find it with `fuser` on that file",
            Self::Spawn { .. } => "check that the dybox binary is still where the run was submitted from",
            Self::Sweep { .. } => "check the engine with `dybox doctor`; the sweep is tried again",
        }
    }
}

pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::File { what, path, source }
}
