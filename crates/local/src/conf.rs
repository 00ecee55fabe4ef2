//! What the manager must know of its run.

use std::path::PathBuf;

use dybox_model::{GrantId, Resources, RunId, SubDagId};

/// Settings of one master's end of the resource manager. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conf {
    /// The run.
    pub run: RunId,
    /// Its directory.
    pub run_dir: PathBuf,
    /// The sub-DAG that asks.
    pub subdag: SubDagId,
    /// The number of the master; part of its grants' ids.
    pub epoch: u32,
    /// What all shares together may hold.
    pub budget: Resources,
    /// The file that is locked while shares are counted.
    pub budget_lock: PathBuf,
    /// The directory of shares.
    pub shares: PathBuf,
    /// The directory in which runs say that they wait for room.
    pub waiting: PathBuf,
    /// The directory of this run's grants.
    pub grants: PathBuf,
    /// The program whose `proxy` subcommand is started.
    pub binary: PathBuf,
}

impl Conf {
    /// The stderr of a grant's proxy.
    pub(crate) fn log(&self, grant: GrantId) -> PathBuf {
        self.grants.join(grant.to_string()).join("proxy.log")
    }

    /// What a sweep of a grant found; outlives the grant's directory.
    pub(crate) fn swept(&self, grant: GrantId) -> PathBuf {
        self.grants.join(format!("{grant}.swept"))
    }
}
