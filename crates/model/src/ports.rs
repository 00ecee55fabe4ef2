//! Ports of a task that others can reach: as they are asked for, and as the engine has published them.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The first port that every user of a machine may listen on; those before it are for its administrator.
pub const FIRST_FREE_PORT: u16 = 1024;

/// What is spoken at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The word for it, as engines write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Ports in a row, both ends included; 0 is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last; not before the first.
    pub last: u16,
}

impl PortRange {
    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// `80` or `9000-9002`.
    ///
    /// # Errors
    /// What is wrong with the text, as a lower-case fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(0) => Err("there is no port 0".to_owned()),
            // `+80` is a number for Rust alone.
            Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err(format!("{text:?} is no port: ports are numbers from 1 to 65535")),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: port(first)?, last: port(last)? };
        if range.first > range.last {
            return Err(format!("{text} goes backwards"));
        }
        Ok(range)
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// What the two have in common.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// A port of a task that is to be reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// In the container.
    pub container: u16,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Protocol,
    /// The address of the machine; nothing = its loopback on one machine, all of them on a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Which port of the machine, one of these; nothing = any that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<PortRange>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.address.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{}", self.container)?;
        if self.protocol == Protocol::Tcp { Ok(()) } else { write!(f, "/{}", self.protocol.word()) }
    }
}

/// A port that can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Published {
    /// In the container.
    pub container: u16,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Protocol,
    /// Where it is reached: an address, or on a cluster the machine's name.
    pub host: String,
    /// The port there.
    pub port: u16,
}

impl Published {
    /// `127.0.0.1:32768`, as clients take it.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == Protocol::Tcp { "" } else { "/udp" };
        write!(f, "port {}{protocol} at {}", self.container, self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(PortRange::parse("80"), Ok(PortRange::one(80)));
        assert_eq!(
            PortRange::parse("9000-9002").map(|range| (range.count(), range.to_string())),
            Ok((3, "9000-9002".into()))
        );
        for bad in ["", "0", "65536", "-1", "+80", "80-", "9-8", "1-2-3", "http", " 80"] {
            assert!(PortRange::parse(bad).is_err(), "{bad:?}");
        }
        let range = PortRange { first: 10, last: 20 };
        assert!(range.has(PortRange::one(20)) && !range.has(PortRange { first: 20, last: 21 }));
        assert_eq!(range.and(PortRange { first: 15, last: 99 }), Some(PortRange { first: 15, last: 20 }));
        assert_eq!(range.and(PortRange::one(21)), None);
    }

    #[test]
    fn a_port_is_written_as_it_is_in_a_job_file() {
        let port = |address: Option<&str>, host| Port {
            container: 80,
            protocol: Protocol::Udp,
            address: address.map(|address| address.parse().unwrap()),
            host,
        };
        assert_eq!(port(None, None).to_string(), "80/udp");
        assert_eq!(port(None, Some(PortRange::one(8080))).to_string(), "8080:80/udp");
        assert_eq!(port(Some("127.0.0.1"), None).to_string(), "127.0.0.1::80/udp");
        assert_eq!(port(Some("::1"), Some(PortRange::one(1))).to_string(), "[::1]:1:80/udp");
        let reached = Published { container: 80, protocol: Protocol::Tcp, host: "::1".to_owned(), port: 9 };
        assert_eq!(reached.to_string(), "port 80 at [::1]:9");
    }
}
