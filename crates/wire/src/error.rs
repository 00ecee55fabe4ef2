//! What can go wrong between two processes.

use std::io;
use std::net::SocketAddr;
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
    /// Nobody listens on that port, or the network does not lead there.
    #[error("nobody answers at {address}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The system's word for it.
        source: io::Error,
    },
    /// Somebody is there, but it is no master of this run, or takes us for a stranger.
    #[error("{address} is no master of this run: {why}")]
    Untrusted {
        /// Host and port.
        address: String,
        /// What the handshake showed.
        why: String,
    },
    /// Somebody is there, but it is no state server of our authority, or takes us for a stranger.
    #[error("{address} is no state server that we know: {why}")]
    Stray {
        /// Host and port.
        address: String,
        /// What the handshake showed.
        why: String,
    },
    /// A port can't be listened on.
    #[error("could not listen on {bind}")]
    Port {
        /// Where.
        bind: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The run's certificates can't be made or used.
    #[error("the run's certificates can't be used: {why}")]
    Credentials {
        /// What is wrong with them.
        why: String,
    },
    /// This end's certificate does not allow the call.
    #[error("{what} is not allowed: {why}")]
    Denied {
        /// The call.
        what: &'static str,
        /// The other end's words.
        why: String,
    },
    /// The call was understood and can't be done.
    #[error("{what} was refused: {why}")]
    Refused {
        /// The call.
        what: &'static str,
        /// The other end's words.
        why: String,
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
            Self::Unreachable { .. } => {
                "look at the run with `dybox status`, and whether the host can be reached from here"
            }
            Self::Untrusted { .. } => "the master's address is an old one or another run's: look with `dybox status`",
            Self::Stray { .. } => {
                "use a certificate that the same `dybox state-server init` made as the server's, and check the address"
            }
            Self::Port { .. } => "check the host's addresses and free ports",
            Self::Credentials { .. } => "check the run's directory: its credentials may be damaged",
            Self::Denied { .. } => "use the run's credentials of the right role",
            Self::Refused { .. } => "look at the run with `dybox status`",
            Self::InUse { .. } => "a master of this sub-DAG is alive already: follow it with `dybox watch`",
            Self::Socket { .. } => "check the run directory's owner and permissions",
            Self::Stranger { .. } => "check who owns the run directory",
            Self::Garbled { .. } => "use the same version of dybox for client, master and proxy",
        }
    }
}
