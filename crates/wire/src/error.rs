//! What can go wrong between two processes of one machine.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A failure of the wire, named by the operation.
#[derive(Debug, Error)]
pub enum WireError {
    /// Nobody listens there (any more).
    #[error("nobody answers on {path}")]
    NobodyThere {
        /// The socket.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// Another live process listens there.
    #[error("another process listens on {path}")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket can't be made or reached.
    #[error("could not {what} {path}")]
    Socket {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process at the other end runs as somebody else.
    #[error("{path} belongs to uid {uid}, which is neither you nor root")]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// Whose process it is.
        uid: u32,
    },
    /// No answer in time.
    #[error("no answer to {what} in time")]
    Late {
        /// The call.
        what: &'static str,
    },
    /// The other end is gone, or refused.
    #[error("{what} ended: {why}")]
    Ended {
        /// The call.
        what: &'static str,
        /// The other end's words.
        why: String,
    },
    /// A message that this version does not understand.
    #[error("a message can't be understood: {why}")]
    Garbled {
        /// What is wrong with it.
        why: String,
    },
}

impl WireError {
    /// What whoever called can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NobodyThere { .. } | Self::Ended { .. } | Self::Late { .. } => {
                "the master is gone or busy: try again, or look at it with `dybox status`"
            }
            Self::InUse { .. } => "a master of this sub-DAG is alive already: follow it with `dybox watch`",
            Self::Socket { .. } => "check the run directory's owner and permissions",
            Self::Stranger { .. } => "check who owns the run directory",
            Self::Garbled { .. } => "use the same version of dybox for client, master and proxy",
        }
    }
}
