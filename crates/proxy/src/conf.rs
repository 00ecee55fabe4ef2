//! Which grant this process serves.

use std::path::PathBuf;

use dybox_model::{GrantId, SubDagId};
use dybox_store::layout::{GrantDir, Home, Machine, RunDir};

use crate::ProxyError;

/// What the command line of the hidden subcommand says.
#[derive(Debug, Clone)]
pub struct Conf {
    /// `--run-dir`: the run's directory in a store of this machine.
    pub run_dir: PathBuf,
    /// `--subdag`: whose master gives the work.
    pub subdag: SubDagId,
    /// `--grant`: whose room it is.
    pub grant: GrantId,
}

/// Where everything of one grant lies.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) home: Home,
    pub(crate) run: RunDir,
    pub(crate) run_id: dybox_model::RunId,
    pub(crate) grant: GrantDir,
    pub(crate) grant_id: GrantId,
    pub(crate) subdag: SubDagId,
}

impl Places {
    pub(crate) fn of(conf: &Conf) -> Result<Self, ProxyError> {
        let not_a_run = || ProxyError::NotARun { path: conf.run_dir.clone() };
        let (home, run) = Home::of_run_dir(&conf.run_dir).ok_or_else(not_a_run)?;
        let name = conf.run_dir.file_name().and_then(|name| name.to_str()).ok_or_else(not_a_run)?;
        let run_id = name.parse().map_err(|_| not_a_run())?;
        let grant = run.grant(conf.grant);
        Ok(Self { home, run, run_id, grant, grant_id: conf.grant, subdag: conf.subdag })
    }

    /// The path on this machine of a name of the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// Where an end is kept until the master has written it down.
    pub(crate) fn saved(&self, attempt: dybox_model::AttemptId) -> PathBuf {
        self.path(&format!("{}.exit", self.grant.attempt(attempt)))
    }

    /// The share of the machine's budget; its file is the room.
    pub(crate) fn share(&self) -> PathBuf {
        self.path(&Machine::share(&self.run_id, self.grant_id))
    }
}
