//! The place where runs are applications of a YARN cluster and their files lie in HDFS.

mod ahead;
mod application;
pub(crate) mod binary;
mod facts;
mod find;
mod handing;
mod hooks;
mod journal;
mod live;
mod reach;
mod request;
mod session;
mod submit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dybox_model::{Resources, RunId, SubDagId};
use dybox_store::bundle::{RosterAccess, RunTls};
use dybox_store::{HdfsConf, Store};
use dybox_yarn::{ApplicationId, Launch, ResourceManager};

pub(crate) use ahead::Ahead;
pub use application::{Application, Phase};
pub(crate) use journal::{Seen, Told, closed};
pub use session::Session;

/// What a client must know of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterConf {
    /// Its ResourceManager.
    pub rm: ResourceManager,
    /// The directory in HDFS.
    pub hdfs: HdfsConf,
    /// Who we are there.
    pub user: String,
    /// This program, which is put into HDFS.
    pub binary: PathBuf,
    /// Where a client remembers the program's digest.
    pub cache: Option<PathBuf>,
    /// What each master asks for.
    pub master: Resources,
    /// The queue of jobs that name none.
    pub queue: Option<String>,
    /// The smallest container and the step, where the configuration tells.
    pub minimum: Option<Resources>,
    /// How masters ask the state servers, where there are some.
    pub roster: Option<RosterAccess>,
    /// What every application starts with: tokens.
    pub launch: Launch,
    /// The address of the ResourceManager's pages, `http://host:port`.
    pub pages: Option<String>,
}

/// A cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub conf: Arc<ClusterConf>,
    /// The directory in HDFS.
    pub store: Store,
    /// The run that this process submitted: it knows more of it than has reached HDFS yet.
    pub own: Option<Arc<Own>>,
    /// What was found out before it was needed.
    pub ahead: Option<Ahead>,
}

/// What this process knows of the run that it submitted.
#[derive(Debug)]
pub(crate) struct Own {
    pub run: RunId,
    pub tls: RunTls,
    pub applications: BTreeMap<SubDagId, ApplicationId>,
    /// Whether a session has it; then `applications` are the session's.
    pub in_session: bool,
    /// In a session: where their masters listened when it took them.
    pub listens: BTreeMap<SubDagId, (String, u16)>,
}

impl Cluster {
    /// What this process knows of a run because it submitted it.
    pub(crate) fn own(&self, run: &RunId) -> Option<&Own> {
        self.own.as_deref().filter(|own| own.run == *run)
    }
}
