//! Which grant this process serves, and where everything of it lies.

use std::path::PathBuf;
use std::sync::Arc;

use dybox_model::{AttemptId, GrantId, RunId, SubDagId, TaskSpec};
use dybox_store::bundle::GrantBundle;
use dybox_store::layout::{GrantDir, Home, Machine, RunDir};
use dybox_store::{HdfsConf, Store};

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

/// What YARN tells every process in a container of its (a grant of the cluster).
#[derive(Debug, Clone)]
pub struct Spot {
    /// YARN's id of the grant.
    pub container: String,
    /// This machine, as YARN calls it.
    pub host: String,
    /// A directory of this user on this machine, which outlives the application.
    pub user_dir: PathBuf,
    /// The grant's log directory, which the NodeManager's page shows.
    pub log_dir: PathBuf,
}

impl Spot {
    /// What the NodeManager put into the environment.
    ///
    /// # Errors
    /// [`ProxyError::NotAGrant`] outside a YARN container.
    pub fn from_env() -> Result<Self, ProxyError> {
        let var = |name: &'static str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.ok_or(ProxyError::NotAGrant { variable: name })
        };
        // Where there are several disks, all proxies of a node must choose the same one for what they share.
        let first = |name| {
            let dir = var(name)?.split(',').next().map(|dir| dir.trim().to_owned());
            dir.filter(|dir| dir.starts_with('/')).map(PathBuf::from).ok_or(ProxyError::NotAGrant { variable: name })
        };
        Ok(Self {
            container: var("CONTAINER_ID")?,
            host: var("NM_HOST")?,
            user_dir: first("LOCAL_USER_DIRS")?,
            log_dir: first("LOG_DIRS")?,
        })
    }
}

/// What a proxy in a YARN container is told.
#[derive(Debug, Clone)]
pub struct ClusterConf {
    /// What its master handed over.
    pub bundle: GrantBundle,
    /// Where it is.
    pub spot: Spot,
    /// Before the names of output in the log directory, which runs of a session share.
    pub shown_as: String,
    /// Where the run's files are kept.
    pub store: Store,
}

impl ClusterConf {
    /// For a proxy that has this spot for itself.
    ///
    /// # Errors
    /// [`ProxyError::Store`] where the store's address is no good.
    pub fn new(bundle: GrantBundle, spot: Spot) -> Result<Self, ProxyError> {
        let store = Store::hdfs(bundle.store.clone())?;
        Ok(Self { bundle, spot, shown_as: String::new(), store })
    }
}

/// What lies elsewhere than in the home, in a grant of the cluster.
#[derive(Debug)]
pub(crate) struct Far {
    /// YARN's id of the grant.
    pub(crate) container: String,
    pub(crate) host: String,
    /// For the payloads' output, and how names there begin; nothing for a grant that is swept.
    pub(crate) shown: Option<(PathBuf, String)>,
    /// Where archives go.
    pub(crate) store: Store,
    /// How HDFS is reached; nothing for a grant that is swept.
    pub(crate) hdfs: Option<HdfsConf>,
}

/// Where everything of one grant lies.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) home: Home,
    pub(crate) run: RunDir,
    pub(crate) run_id: RunId,
    pub(crate) grant: GrantDir,
    pub(crate) grant_id: GrantId,
    pub(crate) subdag: SubDagId,
    /// Whom payloads run as, unless they say otherwise.
    pub(crate) owner: (u32, u32),
    /// The submitter's name; may be empty.
    pub(crate) user: String,
    pub(crate) far: Option<Arc<Far>>,
}

impl Places {
    pub(crate) fn of(conf: &Conf) -> Result<Self, ProxyError> {
        let not_a_run = || ProxyError::NotARun { path: conf.run_dir.clone() };
        let (home, run) = Home::of_run_dir(&conf.run_dir).ok_or_else(not_a_run)?;
        let name = conf.run_dir.file_name().and_then(|name| name.to_str()).ok_or_else(not_a_run)?;
        let run_id = name.parse().map_err(|_| not_a_run())?;
        let grant = run.grant(conf.grant);
        let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let user = user.map(|user| user.name).unwrap_or_default();
        Ok(Self { home, run, run_id, grant, grant_id: conf.grant, subdag: conf.subdag, owner, user, far: None })
    }

    pub(crate) fn in_grant(conf: &ClusterConf) -> Self {
        let bundle = &conf.bundle;
        let run = RunDir::new(&bundle.run);
        let far = Far {
            container: conf.spot.container.clone(),
            host: conf.spot.host.clone(),
            shown: Some((conf.spot.log_dir.clone(), conf.shown_as.clone())),
            store: conf.store.clone(),
            hdfs: Some(bundle.store.clone()),
        };
        Self {
            home: Home::new(conf.spot.user_dir.join("dybox")),
            grant: run.grant(bundle.grant),
            run,
            run_id: bundle.run.clone(),
            grant_id: bundle.grant,
            subdag: bundle.subdag,
            owner: (bundle.uid, bundle.gid),
            user: bundle.user.clone(),
            far: Some(Arc::new(far)),
        }
    }

    /// Those of another grant, whose proxy was on this machine too.
    pub(crate) fn beside(&self, run_id: RunId, grant_id: GrantId, store: Store) -> Self {
        let run = RunDir::new(&run_id);
        let host = self.far.as_ref().map(|far| far.host.clone()).unwrap_or_default();
        let far = Far { container: String::new(), host, shown: None, store, hdfs: None };
        Self {
            home: self.home.clone(),
            grant: run.grant(grant_id),
            run,
            run_id,
            grant_id,
            subdag: self.subdag,
            owner: self.owner,
            user: self.user.clone(),
            far: Some(Arc::new(far)),
        }
    }

    /// The path on this machine of a name of the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// Where an end is kept until the master has written it down.
    pub(crate) fn saved(&self, attempt: AttemptId) -> PathBuf {
        self.path(&format!("{}.exit", self.grant.attempt(attempt)))
    }

    /// The share of the machine's budget; its file is the room.
    pub(crate) fn share(&self) -> PathBuf {
        self.path(&Machine::share(&self.run_id, self.grant_id))
    }

    /// Where the output of an attempt lies for the NodeManager to show it, without the stream's name at its end.
    pub(crate) fn shown(&self, spec: &TaskSpec) -> Option<PathBuf> {
        let AttemptId { task, number } = spec.attempt;
        let (dir, begin) = self.far.as_ref()?.shown.as_ref()?;
        Some(dir.join(format!("{begin}{}-{}-{number}", spec.stage, task.index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_yarn_the_variable_that_is_missing_is_named() {
        // The variables of a grant are no part of a test's environment.
        let text = ProxyError::NotAGrant { variable: "LOG_DIRS" }.to_string();
        assert!(text.contains("LOG_DIRS"), "{text}");
    }
}
