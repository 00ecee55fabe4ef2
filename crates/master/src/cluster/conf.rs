//! What an ApplicationMaster knows when it starts.

use std::path::PathBuf;

use dybox_store::bundle::{Bundle, SessionBundle};
use dybox_yarn::{ContainerId, Credentials, Token, kind};

/// What the master of a sub-DAG knows when it starts.
pub type YarnConf = AmConf<Bundle>;
/// What the master of a session knows when it starts.
pub type SessionConf = AmConf<SessionBundle>;

/// The environment of a YARN container, read and understood.
#[derive(Debug, Clone)]
pub struct AmConf<B> {
    /// What the client handed over.
    pub bundle: B,
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

impl<B> AmConf<B> {
    /// The same with another bundle.
    pub fn with<C>(self, bundle: C) -> AmConf<C> {
        let Self { credentials, token, container, host, page, work_dir, program, .. } = self;
        AmConf { bundle, credentials, token, container, host, page, work_dir, program }
    }

    /// Tokens that a proxy needs too: none of those that speak for this master.
    pub(crate) fn for_proxies(&self) -> Credentials {
        self.tokens(|kind| kind == kind::HDFS)
    }

    /// Tokens that the next sub-DAGs' masters need: not what YARN gives each master itself.
    pub(crate) fn for_masters(&self) -> Credentials {
        self.tokens(|kind| ![kind::AM_RM, kind::NODE_MANAGER, kind::CONTAINER].contains(&kind))
    }

    fn tokens(&self, wanted: impl Fn(&str) -> bool) -> Credentials {
        let tokens = self.credentials.tokens.iter().filter(|token| wanted(&token.kind)).cloned().collect();
        Credentials { tokens, ..Credentials::default() }
    }
}
