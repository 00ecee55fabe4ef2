//! The HDFS that these tests break: one NameNode, one DataNode, nobody else's.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dybox_store::{HdfsConf, Store};
use dybox_tests::cluster::{Cluster, Daemon, Options};
use nix::sys::signal::Signal;

pub(crate) const NN: Daemon = Daemon::NameNode;
pub(crate) const DN: Daemon = Daemon::DataNode;

pub(crate) struct Hadoop(Cluster);

/// The one of this program. Whoever breaks it keeps others off meanwhile.
pub(crate) fn hadoop() -> MutexGuard<'static, Hadoop> {
    static ONE: LazyLock<Mutex<Hadoop>> = LazyLock::new(|| {
        let cluster = match std::env::var_os("DYBOX_CLUSTER_DIR") {
            Some(dir) => Cluster::open(dir.as_ref()).expect("a cluster is up there"),
            None => Cluster::start(&Options { nodes: 1, engines: false, ..Options::default() }),
        };
        Mutex::new(Hadoop(cluster))
    });
    let hadoop = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    hadoop.mend();
    hadoop
}

impl Hadoop {
    pub(crate) fn url(&self) -> String {
        self.0.hdfs()
    }

    /// A store of this user. Waits out a NameNode that has just been started.
    pub(crate) fn store_of(&self, user: &str, dir: &str) -> Store {
        let settings = BTreeMap::from([("fs.defaultFS".to_owned(), self.url())]);
        let url = format!("{}/{}", self.url(), dir.trim_matches('/'));
        Store::hdfs(HdfsConf { url, settings, user: Some(user.to_owned()) }).expect("an address")
    }

    pub(crate) fn kill(&self, daemon: Daemon) {
        self.0.kill(daemon);
    }

    pub(crate) fn start(&self, daemon: Daemon) {
        self.0.revive(daemon);
    }

    pub(crate) fn hang(&self, daemon: Daemon) {
        self.0.signal(daemon, Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&self, daemon: Daemon) {
        self.0.signal(daemon, Signal::SIGCONT);
    }

    pub(crate) fn safe_mode(&self, enter: bool) {
        let verb = if enter { "enter" } else { "leave" };
        let args = ["org.apache.hadoop.hdfs.tools.DFSAdmin", "-safemode", verb];
        let out = self.0.java(&args).output().expect("it works");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Starts what an earlier test left down.
    fn mend(&self) {
        for daemon in [NN, DN] {
            if self.0.process(daemon).is_none() {
                self.0.revive(daemon);
            }
        }
        let store = self.store_of("root", "tmp").with_patience(Duration::from_secs(60));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it works");
        runtime.block_on(store.put("alive", "yes")).expect("HDFS comes back");
    }
}
