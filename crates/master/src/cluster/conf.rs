//! What an ApplicationMaster knows when it starts.

use std::path::PathBuf;

use dybox_store::bundle::Bundle;
use dybox_yarn::{ContainerId, Credentials, Token, kind};

/// The environment of a YARN container, read and understood.
#[derive(Debug, Clone)]
pub struct YarnConf {
    /// What the client handed over.
    pub bundle: Bundle,
    /// All of the credentials file.
    pub credentials: Credentials,
    /// Of it, what lets this attempt talk to the ResourceManager.
    pub token: Token,
    /// The own YARN container (`CONTAINER_ID`).
    pub container: ContainerId,
    /// The machine, as others reach it (`NM_HOST`).
    pub host: String,
    /// Where that machine's NodeManager shows its pages (`NM_HOST:NM_HTTP_PORT`), where it says so.
    pub page: Option<String>,
    /// The directory that this attempt may fill.
    pub work_dir: PathBuf,
    /// This program's own file.
    pub program: PathBuf,
}

impl YarnConf {
    /// Tokens that a proxy needs too: none of those that speak for this master.
    pub(crate) fn for_proxies(&self) -> Credentials {
        for_proxies(&self.credentials)
    }

    /// Tokens that the next sub-DAGs' masters need: not what YARN gives each master itself.
    pub(crate) fn for_masters(&self) -> Credentials {
        let given = [kind::AM_RM, kind::NODE_MANAGER, kind::CONTAINER];
        let theirs = |token: &&Token| !given.contains(&token.kind.as_str());
        let tokens = self.credentials.tokens.iter().filter(theirs).cloned().collect();
        Credentials { tokens, ..Credentials::default() }
    }
}

/// Tokens of a master's that its proxies need too.
pub(crate) fn for_proxies(credentials: &Credentials) -> Credentials {
    let theirs = |token: &&Token| token.kind == kind::HDFS;
    let tokens = credentials.tokens.iter().filter(theirs).cloned().collect();
    Credentials { tokens, ..Credentials::default() }
}
