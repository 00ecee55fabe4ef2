//! Where a master listens.

use std::fmt;
use std::path::PathBuf;

use crate::tls::TlsIdentity;

/// A master's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket of this machine.
    Socket {
        /// Its directory.
        dir: PathBuf,
        /// Its name there.
        name: String,
    },
    /// A port of some machine, with mutual TLS.
    Tcp {
        /// The machine, by name or number.
        host: String,
        /// The port.
        port: u16,
        /// What to show to the master.
        identity: TlsIdentity,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { dir, name } => write!(out, "{}", dir.join(name).display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(out, "{host}:{port}"),
        }
    }
}
