//! Settings, and what can go wrong at the start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use dybox_wire::WireError;
use thiserror::Error;

/// What a state server is told.
#[derive(Debug, Clone)]
pub struct Conf {
    /// Where its database lies. It must be there.
    pub dir: PathBuf,
    /// The file of its certificate.
    pub identity: PathBuf,
    /// Where it listens for agents, masters and people with certificates.
    pub bind: SocketAddr,
    /// Whether who shows no certificate may ask, too.
    pub open: bool,
    /// Where it shows JSON and metrics to whoever reaches that address; nothing = nowhere.
    pub http: Option<SocketAddr>,
}

/// Why a state server can't start, or an authority can't be made.
#[derive(Debug, Error)]
pub enum StateError {
    /// A file can't be read or written.
    #[error("could not {what} {}", path.display())]
    File {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The port.
    #[error(transparent)]
    Wire(WireError),
    /// A certificate can't be made or used.
    #[error("the certificate can't be made or used: {why}")]
    Certificate {
        /// What is wrong with it.
        why: String,
    },
    /// Pages can't be shown there.
    #[error("could not listen on {bind}")]
    Http {
        /// Where.
        bind: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Another state server uses this directory.
    #[error("another state server uses {}", dir.display())]
    InUse {
        /// Which.
        dir: PathBuf,
    },
}

impl From<WireError> for StateError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Credentials { why } => Self::Certificate { why },
            other => Self::Wire(other),
        }
    }
}

impl StateError {
    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::File { .. } => "make the directory with `dybox state-server init DIR`, and check its owner",
            Self::Wire(error) => error.advice(),
            Self::Certificate { .. } => {
                "name machines by their host names; a damaged file can be removed and made again"
            }
            Self::Http { .. } => "check the host's addresses and free ports",
            Self::InUse { .. } => "stop the other one, or give this one a directory of its own",
        }
    }
}
