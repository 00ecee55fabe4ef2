//! Tokens and secrets as Hadoop hands them to a process.

mod protobuf;
mod vint;
mod writable;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

const MAGIC: &[u8] = b"HDTS";
const WRITABLE: u8 = 0;
const PROTOBUF: u8 = 1;

/// The kinds of tokens that DYbox meets.
pub mod kind {
    /// Lets an ApplicationMaster talk to the ResourceManager's scheduler.
    pub const AM_RM: &str = "YARN_AM_RM_TOKEN";
    /// Lets an ApplicationMaster talk to one NodeManager.
    pub const NODE_MANAGER: &str = "NMToken";
    /// Lets an ApplicationMaster start one YARN container.
    pub const CONTAINER: &str = "ContainerToken";
    /// Lets a process submit applications in its user's name.
    pub const RESOURCE_MANAGER: &str = "RM_DELEGATION_TOKEN";
    /// Lets a process use HDFS in its user's name.
    pub const HDFS: &str = "HDFS_DELEGATION_TOKEN";
}

/// One token. Its password is never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The credentials file's name for it; often empty or the same as the service.
    pub alias: String,
    /// What the server made it of; public.
    pub identifier: Vec<u8>,
    /// The server's proof over the identifier; secret.
    pub password: Vec<u8>,
    /// What it is for, see [`kind`].
    pub kind: String,
    /// Whom it is for: `ip:port`, `ha-hdfs:NAME`, a list, or empty.
    pub service: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("kind", &self.kind).field("service", &self.service).finish_non_exhaustive()
    }
}

/// The content of a credentials file. Neither passwords nor secrets are shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// In the order of the file.
    pub tokens: Vec<Token>,
    /// By alias.
    pub secrets: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets: Vec<_> = self.secrets.keys().collect();
        f.debug_struct("Credentials").field("tokens", &self.tokens).field("secrets", &secrets).finish()
    }
}

/// Bytes that are no credentials file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CredentialsError {
    /// It does not begin with `HDTS`.
    #[error("not a Hadoop credentials file: it does not begin with HDTS")]
    Foreign,
    /// A format that is newer than DYbox.
    #[error("a credentials file of the unknown format {0}")]
    Format(u8),
    /// It ends too early or holds what can't be.
    #[error("the credentials file is cut or damaged at byte {at}: {what}")]
    Damaged {
        /// How far it could be read.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
}

impl CredentialsError {
    /// What whoever gave the file can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        "check HADOOP_TOKEN_FILE_LOCATION, or get new tokens"
    }
}

impl Credentials {
    /// Reads a credentials file of either format.
    pub fn read(bytes: &[u8]) -> Result<Self, CredentialsError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(CredentialsError::Foreign)?;
        match rest.split_first() {
            Some((&WRITABLE, rest)) => writable::read(rest, MAGIC.len() + 1),
            Some((&PROTOBUF, rest)) => protobuf::read(rest, MAGIC.len() + 1),
            Some((&other, _)) => Err(CredentialsError::Format(other)),
            None => Err(CredentialsError::Damaged { at: MAGIC.len(), what: "the format" }),
        }
    }

    /// Writes the format that every Hadoop reads.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(WRITABLE);
        writable::write(self, &mut out);
        out
    }

    /// Writes the newer format.
    #[must_use]
    pub fn write_protobuf(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(PROTOBUF);
        protobuf::write(self, &mut out);
        out
    }

    /// The first token of a kind.
    #[must_use]
    pub fn token(&self, kind: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.kind == kind)
    }

    /// The same without the tokens of a kind: what an ApplicationMaster hands on must not hold its own.
    #[must_use]
    pub fn without(mut self, kind: &str) -> Self {
        self.tokens.retain(|token| token.kind != kind);
        self
    }

    /// Makes HDFS tokens usable for hdfs-native, which looks for the very `host:port` of a URL, while Hadoop writes
    /// `ip:port`: every HDFS token whose service is one of `ips` (with the port of `url`) is there once more under
    /// `url`. Does nothing where such a token is there already.
    #[must_use]
    pub fn for_hdfs_url(mut self, url: &str, ips: &[IpAddr]) -> Self {
        let Some((_, port)) = url.rsplit_once(':') else { return self };
        let services: Vec<_> = ips.iter().map(|ip| format!("{ip}:{port}")).collect();
        let hdfs = |token: &&Token| token.kind == kind::HDFS;
        if self.tokens.iter().filter(hdfs).any(|token| token.service == url) {
            return self;
        }
        let found = self.tokens.iter().filter(hdfs).find(|token| services.contains(&token.service));
        if let Some(token) = found {
            let service = url.to_owned();
            self.tokens.push(Token { alias: service.clone(), service, ..token.clone() });
        }
        self
    }
}

#[cfg(test)]
mod tests;
