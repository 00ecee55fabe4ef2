//! Whom a client talks to, and as whom.

use std::fmt;

use crate::credentials::Token;

/// One server of a service; a service with high availability has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The configuration's name for it (`rm1`), or the same as host and port.
    pub id: String,
    /// Name or IP address.
    pub host: String,
    /// RPC port.
    pub port: u16,
}

impl Address {
    /// A server that the configuration gives no name of its own.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { id: format!("{host}:{port}"), host, port }
    }

    /// Reads `host:port`, `[v6]:port`, or `host` with the port of the argument.
    #[must_use]
    pub fn read(text: &str, default_port: u16) -> Option<Self> {
        let text = text.trim();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
            Some(_) | None => (text, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty() && port != 0).then(|| Self::new(host, port))
    }

    /// The same server under the configuration's name for it.
    #[must_use]
    pub fn named(self, id: impl Into<String>) -> Self {
        Self { id: id.into(), ..self }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How a client says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By its word alone, on clusters with simple authentication.
    Simple {
        /// The user that the server shall see.
        user: String,
    },
    /// By a token (DIGEST-MD5), which ApplicationMasters and NodeManagers demand on every cluster.
    Token(Token),
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        let read = |text| Address::read(text, 8032).map(|address| address.to_string());
        assert_eq!(read("rm1:1").as_deref(), Some("rm1:1"));
        assert_eq!(read(" rm1 ").as_deref(), Some("rm1:8032"));
        assert_eq!(read("[::1]:9").as_deref(), Some("[::1]:9"));
        assert_eq!(read("::1").as_deref(), Some("[::1]:8032"));
        for wrong in ["", ":1", "rm1:x", "rm1:70000", "rm1:0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
