//! The connection to one HDFS: who we are there, how long a call may take, when it is tried again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdfs_native::{Client, ClientBuilder, HdfsError};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::explain::explain;
use crate::StoreError;
use crate::error::Kind;

/// A call that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(20);
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

const FAILOVERS: &str = "dfs.client.failover.max.attempts";
const FAILOVER_PAUSE: &str = "dfs.client.failover.sleep.base.millis";
const SOCKET_TIMEOUT: &str = "dfs.client.socket-timeout";
const AUTHENTICATION: &str = "hadoop.security.authentication";

/// Which HDFS, what is set for it, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HdfsConf {
    /// The store's address: `hdfs://host:port/dir`, or `hdfs://nameservice/dir`.
    pub url: String,
    /// Hadoop settings with substitutions done and values trimmed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The user that we are on a cluster that trusts names; else the login decides. Nothing: `HADOOP_USER_NAME`, then
    /// the user of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl HdfsConf {
    /// As Hadoop's own configuration has it, which the environment names.
    ///
    /// # Errors
    /// There is none, or it can't be understood.
    pub fn of_env() -> Result<Self, dybox_hrpc::ConfError> {
        let settings = dybox_hrpc::Settings::from_env()?.site();
        Ok(Self { url: String::new(), settings, user: None })
    }

    /// The same for a place in HDFS (`hdfs://host/dir/name`, or `hdfs:///dir/name` in the default one), and its name in that
    /// store.
    #[must_use]
    pub fn at(&self, place: &str) -> Option<(Self, String)> {
        let (host, path) = place.strip_prefix("hdfs://")?.split_once('/')?;
        let host = match host {
            "" => {
                let named = self.settings.get("fs.defaultFS").unwrap_or(&self.url);
                named.strip_prefix("hdfs://")?.split('/').next()?
            }
            host => host,
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (first, rest) = parts.split_first().filter(|(_, rest)| !rest.is_empty())?;
        Some((Self { url: format!("hdfs://{host}/{first}"), ..self.clone() }, rest.join("/")))
    }
}

/// One HDFS and a directory in it. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Hdfs {
    shared: Arc<Shared>,
    deadline: Duration,
    patience: Duration,
}

#[derive(Debug)]
struct Shared {
    conf: HdfsConf,
    /// `hdfs://host:port`.
    authority: String,
    /// `/dir`.
    root: String,
    /// Made at the first call, and made anew after one that was given up half-way: what is on that connection then is
    /// unknown. Held for a moment only, never across a wait.
    client: Mutex<Option<Client>>,
}

impl Hdfs {
    pub(crate) fn new(conf: HdfsConf) -> Result<Self, StoreError> {
        let wrong = |why: &str| StoreError::of(Kind::Other, "understand the address", &conf.url, why);
        let rest = conf.url.strip_prefix("hdfs://").ok_or_else(|| wrong("it does not begin with hdfs://"))?;
        let (host, root) = rest.split_once('/').ok_or_else(|| wrong("it names no directory"))?;
        let root = root.trim_matches('/');
        if host.is_empty() || root.is_empty() || root.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong("it needs a host and a directory: hdfs://HOST:PORT/DIR"));
        }
        let (authority, root) = (format!("hdfs://{host}"), format!("/{root}"));
        let shared = Shared { conf, authority, root, client: Mutex::new(None) };
        Ok(Self { shared: Arc::new(shared), deadline: DEADLINE, patience: Duration::ZERO })
    }

    pub(crate) fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    pub(crate) fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}{}/{name}", self.shared.authority, self.shared.root)
    }

    /// `hdfs://host:port`, or `hdfs://nameservice`.
    pub(super) fn authority(&self) -> &str {
        &self.shared.authority
    }

    pub(super) fn settings(&self) -> &BTreeMap<String, String> {
        &self.shared.conf.settings
    }

    /// Whom a cluster that trusts names sees.
    pub(super) fn user(&self) -> String {
        let named = || std::env::var("HADOOP_USER_NAME").ok().filter(|name| !name.is_empty());
        let login = || Some(nix::unistd::User::from_uid(nix::unistd::getuid()).ok()??.name);
        self.shared.conf.user.clone().or_else(named).or_else(login).unwrap_or_default()
    }

    /// The path in HDFS.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.shared.root)
    }

    /// The store's own directory.
    pub(super) fn root(&self) -> &str {
        &self.shared.root
    }

    /// Performs a call, again while nobody answers and there is patience.
    pub(super) async fn call<T, F, W>(&self, operation: &'static str, name: &str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Client, String) -> W,
        W: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let end = Instant::now() + self.patience;
        let mut pause = PAUSES.0;
        loop {
            let error = match self.once(operation, name, &work).await {
                Err(error) if error.passes() => error,
                done => return done,
            };
            if Instant::now() + pause > end {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Performs a call once.
    pub(super) async fn once<T, F, W>(&self, operation: &'static str, name: &str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Client, String) -> W,
        W: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let failed = |error| explain(operation, self.url(name), error);
        let client = self.client().map_err(failed)?;
        self.bounded(operation, name, self.deadline, work(client, self.path(name))).await
    }

    /// Performs what is already under way, in a task of its own: a caller that is dropped must not leave half a request
    /// on the connection that all share, and a panic of hdfs-native must not be ours.
    pub(super) async fn bounded<T, W>(
        &self,
        operation: &'static str,
        name: &str,
        deadline: Duration,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let mut task = tokio::spawn(work);
        match timeout(deadline, &mut task).await {
            Ok(Ok(done)) => done.map_err(|error| explain(operation, self.url(name), error)),
            Ok(Err(_)) => {
                self.forget_client();
                Err(StoreError::of(Kind::Other, operation, self.url(name), "hdfs-native failed at an invariant"))
            }
            Err(_) => {
                task.abort();
                self.forget_client();
                Err(self.late(operation, name, deadline))
            }
        }
    }

    pub(super) fn late(&self, operation: &'static str, name: &str, deadline: Duration) -> StoreError {
        let why = format!("no answer within {} s", deadline.as_secs());
        StoreError::of(Kind::Unreachable, operation, self.url(name), why)
    }

    /// The next call connects anew.
    pub(super) fn forget_client(&self) {
        *self.shared.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn client(&self) -> Result<Client, HdfsError> {
        let mut client = self.shared.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*client {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(self.shared.connect()?).clone()),
        }
    }
}

impl Shared {
    /// A client that is not connected yet.
    fn connect(&self) -> Result<Client, HdfsError> {
        let mut settings = self.conf.settings.clone();
        // hdfs-native takes a blank in this list for a part of a name, and loses that NameNode.
        for (_, list) in settings.iter_mut().filter(|(key, _)| key.starts_with("dfs.ha.namenodes.")) {
            list.retain(|c| !c.is_whitespace());
        }
        // Trying again is decided here, where it can be said and bounded; only an HA pair is walked through once.
        let nameservice = self.authority.strip_prefix("hdfs://").unwrap_or_default();
        let namenodes = settings.get(&format!("dfs.ha.namenodes.{nameservice}"));
        let others = namenodes.map_or(0, |list| list.split(',').count());
        settings.insert(FAILOVERS.to_owned(), others.to_string());
        settings.insert(FAILOVER_PAUSE.to_owned(), "100".to_owned());
        settings.entry(SOCKET_TIMEOUT.to_owned()).or_insert_with(|| "15000".to_owned());
        let secure = settings.get(AUTHENTICATION).is_some_and(|way| way != "simple");
        // A directory that is not there: our settings are whole, and files that the environment names must not add to
        // them.
        let mut builder =
            ClientBuilder::new().with_url(&self.authority).with_config(settings).with_config_dir("/nonexistent");
        if let (Some(user), false) = (&self.conf.user, secure) {
            builder = builder.with_user(user);
        }
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<Hdfs, StoreError> {
        Hdfs::new(HdfsConf { url: url.to_owned(), settings: BTreeMap::new(), user: None })
    }

    #[test]
    fn an_address_has_a_host_and_a_directory() {
        let hdfs = at("hdfs://nn:8020/user/ann/.dybox/").unwrap();
        assert_eq!(hdfs.url("runs/x"), "hdfs://nn:8020/user/ann/.dybox/runs/x");
        assert_eq!(hdfs.path("runs/x"), "/user/ann/.dybox/runs/x");
        for url in ["", "/user/ann", "hdfs://nn", "hdfs://nn/", "hdfs:///user", "hdfs://nn/a/../b", "s3://b/c"] {
            assert!(at(url).is_err(), "{url}");
        }
    }
}
