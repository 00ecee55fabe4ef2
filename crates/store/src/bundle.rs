//! What a client hands to a master and a master to a proxy on the cluster: one secret each of their launch contexts.
//!
//! A small file costs HDFS half a second, so what a start waits for travels with the start. Both are JSON, compressed;
//! who decodes one bounds what it may grow to. Nothing here shows a secret in its `Debug` text.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};

use dybox_model::{GrantId, Resources, RunId, SessionSpec, SubDagId};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{HdfsConf, Private, RunInfo, StoreError};

/// Alias of the master's secret in the launch context.
pub const BUNDLE_ALIAS: &str = "dybox.bundle";
/// Alias of the proxy's secret in the launch context.
pub const GRANT_BUNDLE_ALIAS: &str = "dybox.grant";
/// Alias of a session's secret in its master's launch context.
pub const SESSION_ALIAS: &str = "dybox.session";
/// Alias of the agent's secret in the launch context of a session's grant.
pub const AGENT_ALIAS: &str = "dybox.agent";
/// In [`Bundle::extra`]: what had ended without success runs again, once for each value; `true` = once for each
/// application.
pub const REOPEN: &str = "reopen";
/// In [`Bundle::extra`]: the queue that the user chose for what names none.
pub const QUEUE: &str = "queue";
/// In [`GrantBundle::extra`]: the images that the run's plan names, as a JSON list.
pub const IMAGES: &str = "images";
/// Version of both encodings.
pub const BUNDLE_VERSION: u32 = 1;
/// Compressed bytes of a bundle beyond which its plan must go into HDFS instead: a ResourceManager keeps the whole
/// launch context in its state store, where 1 MB is the end.
pub const MAX_PLAN_BYTES: usize = 100 << 10;

/// Bytes that a bundle may unfold to.
const MAX_UNFOLDED: u64 = 64 << 20;

/// One part's identity: pem texts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The certificate of the run's authority.
    pub ca: String,
    /// This part's certificate.
    pub cert: String,
    /// The key of that certificate.
    pub key: String,
}

/// The identities of a run, made by its client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTls {
    /// Of the master.
    pub master: Tls,
    /// Of the proxies.
    pub proxy: Tls,
    /// Of clients.
    pub client: Tls,
}

/// Where the `dybox` binary lies in HDFS, as a launch context must name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// Its whole address.
    pub url: String,
    /// Its bytes.
    pub len: u64,
    /// When it was changed, in milliseconds: YARN compares it exactly.
    pub mtime_ms: u64,
    /// Whether everybody may read it, so that nodes may share it between users.
    pub public: bool,
}

/// How masters ask the state servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterAccess {
    /// `host:port` of each.
    pub servers: Vec<String>,
    /// What they are shown; without a certificate where everybody may read.
    pub identity: Tls,
}

/// How the masters of a run start, as its client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterStart {
    /// What each asks for.
    pub size: Resources,
    /// Variables of each, and of its proxies.
    pub env: BTreeMap<String, String>,
}

/// All that a master needs to start.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`BUNDLE_VERSION`] of who wrote it.
    pub version: u32,
    /// Where the run's files are kept.
    pub store: HdfsConf,
    /// Who submitted what; `run.json` once the master runs.
    pub info: RunInfo,
    /// The plan as JSON; nothing where it was too long and `plan.json` was put into HDFS before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The job file's text.
    pub job: String,
    /// 64 hex digits that sign the labels of the run's containers.
    pub secret: String,
    /// The run's identities.
    pub tls: RunTls,
    /// Which sub-DAG this master runs.
    pub subdag: SubDagId,
    /// The binary for the proxies and for later masters.
    pub binary: Binary,
    /// What the master's own YARN container has room for beside the master: for the one task of a small job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Resources>,
    /// How the masters of later sub-DAGs start; nothing in what an older client wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masters: Option<MasterStart>,
    /// Who knows which engines work; nothing where no state server is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster: Option<RosterAccess>,
    /// Values of secrets, and logins.
    #[serde(default, skip_serializing_if = "Private::is_empty")]
    pub private: Private,
    /// For additions that this version does not know yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, String>,
}

/// All that a proxy needs to start.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantBundle {
    /// [`BUNDLE_VERSION`] of who wrote it.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The sub-DAG whose master this proxy serves.
    pub subdag: SubDagId,
    /// The grant.
    pub grant: GrantId,
    /// Its size, as YARN granted it.
    pub size: Resources,
    /// Where the run's files are kept.
    pub store: HdfsConf,
    /// 64 hex digits that sign the labels of the run's containers.
    pub secret: String,
    /// The proxy's identity.
    pub tls: Tls,
    /// Where the master listens: its host.
    pub host: String,
    /// Where the master listens: its port.
    pub port: u16,
    /// The submitter's user id.
    pub uid: u32,
    /// The submitter's group id.
    pub gid: u32,
    /// The submitter's name.
    pub user: String,
    /// Values of secrets that the sub-DAG takes, and logins.
    #[serde(default, skip_serializing_if = "Private::is_empty")]
    pub private: Private,
    /// For additions that this version does not know yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, String>,
}

/// All that the master of a session needs to start.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionBundle {
    /// [`BUNDLE_VERSION`] of who wrote it.
    pub version: u32,
    /// What it is to be.
    pub spec: SessionSpec,
    /// Where files are kept.
    pub store: HdfsConf,
    /// The session's identities.
    pub tls: RunTls,
    /// The binary for the agents.
    pub binary: Binary,
    /// Variables that they get, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whose it is.
    pub user: String,
}

/// All that the agent in a grant of a session needs to start.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentBundle {
    /// [`BUNDLE_VERSION`] of who wrote it.
    pub version: u32,
    /// The session's application.
    pub application: String,
    /// Where files are kept.
    pub store: HdfsConf,
    /// The agent's identity.
    pub tls: Tls,
    /// Where the session's master listens: its host.
    pub host: String,
    /// And its port.
    pub port: u16,
}

impl SessionBundle {
    /// Bytes for the launch context.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`SessionBundle::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes, SESSION_ALIAS, |bundle: &Self| bundle.version)
    }
}

impl AgentBundle {
    /// Bytes for the launch context.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`AgentBundle::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes, AGENT_ALIAS, |bundle: &Self| bundle.version)
    }
}

impl fmt::Debug for SessionBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBundle")
            .field("spec", &self.spec)
            .field("store", &self.store.url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AgentBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBundle").field("application", &self.application).finish_non_exhaustive()
    }
}

impl Bundle {
    /// The variables that the client hands on to whatever runs for it.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        self.masters.as_ref().map(|masters| masters.env.clone()).unwrap_or_default()
    }

    /// Bytes for the launch context.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Bundle::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes, BUNDLE_ALIAS, |bundle: &Self| bundle.version)
    }
}

impl GrantBundle {
    /// Bytes for the launch context.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`GrantBundle::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes, GRANT_BUNDLE_ALIAS, |bundle: &Self| bundle.version)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("run", &self.info.run)
            .field("subdag", &self.subdag)
            .field("store", &self.store.url)
            .field("plan", &self.plan.as_ref().map(String::len))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GrantBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantBundle")
            .field("run", &self.run)
            .field("grant", &self.grant)
            .field("size", &self.size)
            .field("master", &format_args!("{}:{}", self.host, self.port))
            .finish_non_exhaustive()
    }
}

fn encode(bundle: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_vec(bundle).expect("texts and numbers are JSON");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&text).and_then(|()| zlib.finish()).expect("writing to memory does not fail")
}

fn decode<T: DeserializeOwned>(bytes: &[u8], alias: &str, version: impl Fn(&T) -> u32) -> Result<T, StoreError> {
    // The text of a parser's error may show what it stumbled over: here that could be a secret.
    let failed = |why: &str| StoreError::damaged("understand the secret", alias, why);
    let mut text = Vec::new();
    let read = ZlibDecoder::new(bytes).take(MAX_UNFOLDED + 1).read_to_end(&mut text);
    read.map_err(|_| failed("it is cut or not compressed"))?;
    if text.len() as u64 > MAX_UNFOLDED {
        return Err(failed("it unfolds to more than 64 MiB"));
    }
    let bundle: T = serde_json::from_slice(&text)
        .map_err(|e| failed(&format!("something is missing or new at line {}, column {}", e.line(), e.column())))?;
    match version(&bundle) {
        BUNDLE_VERSION => Ok(bundle),
        other => Err(failed(&format!("it is of version {other}, and this dybox knows {BUNDLE_VERSION} alone"))),
    }
}

#[cfg(test)]
mod tests;
