//! A real cluster on one machine: Hadoop's own daemons from released jars, and a Docker engine for every node.
//!
//! Enters: [`Options`]. Leaves: configuration for clients, addresses, logs, engines to look at; daemons that a test may
//! kill, stop and start again. Never: a port or directory that two clusters share, anything left once it is down.
//!
//! A `keeper` process is the parent of all daemons; it takes the cluster down when the test process goes away.

mod bring_up;
mod classes;
mod conf;
mod daemon;
mod http;
mod jars;
mod keeper;
mod layout;
mod look;
mod options;
mod pair;
mod peer;
mod process;
mod teardown;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

pub use daemon::Daemon;
pub use http::{Answer, request};
pub use keeper::keep;
pub use layout::{Layout, Ports, node_host};
pub use look::InGrant;
pub use options::{Options, VERSION};
pub use peer::{PeerRun, distributed_shell, tez, tez_session, watch};
pub use process::Process;
pub use teardown::leftovers;

use crate::Engine;

/// Why a cluster can't do what it was asked for.
#[derive(Debug, Clone)]
pub struct Broken(String);

impl Broken {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// Says what was being done when an error came.
trait Context<T> {
    fn doing(self, what: &str) -> Result<T, Broken>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, Broken> {
        self.map_err(|error| Broken(format!("{what}: {error}")))
    }
}

/// A running cluster. Taken down when dropped, unless it was [opened](Cluster::open) or [left alone](Cluster::leave).
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    ports: Ports,
    nodes: usize,
    rms: usize,
    engines: bool,
    version: String,
    jars: PathBuf,
    keeper: Option<Child>,
}

impl Cluster {
    /// Brings a cluster up and waits until all of it works.
    ///
    /// # Errors
    /// When something is missing on this machine, or a daemon does not come up.
    pub fn up(options: &Options) -> Result<Self, Broken> {
        bring_up::bring_up(options)
    }

    /// A cluster for one test.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        Self::up(options).unwrap_or_else(|error| panic!("no cluster: {error}"))
    }

    /// One cluster for all tests of a program, or the one that `DYBOX_CLUSTER_DIR` names. Faults are not for this one.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn shared() -> &'static Self {
        Self::shared_as(&Options::default())
    }

    /// The same with these options; the first caller's are taken.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn shared_as(options: &Options) -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os("DYBOX_CLUSTER_DIR") {
            Some(dir) => Self::open(Path::new(&dir)).unwrap_or_else(|error| panic!("no cluster: {error}")),
            None => Self::start(options),
        })
    }

    /// A cluster that somebody else has brought up.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(dir: &Path) -> Result<Self, Broken> {
        let layout = Layout::new(dir);
        let text = std::fs::read_to_string(layout.at("cluster.json"))
            .map_err(|_| Broken::new(format!("no cluster is up in {}", dir.display())))?;
        if teardown::is_dead(dir) {
            return Err(Broken::new(format!("the cluster in {} has lost its keeper: take it down", dir.display())));
        }
        let about: serde_json::Value = serde_json::from_str(&text).doing("reading cluster.json")?;
        let nodes = about["nodes"].as_u64().and_then(|nodes| usize::try_from(nodes).ok()).unwrap_or_default();
        let rms = if about["rms"] == 2 { 2 } else { 1 };
        let version = about["version"].as_str().unwrap_or_default().to_owned();
        let engines = about["engines"].as_bool().unwrap_or_default();
        let jars = PathBuf::from(about["jars"].as_str().unwrap_or_default());
        let ports = Ports::read(&layout)?;
        Ok(Self { layout, ports, nodes, rms, engines, version, jars, keeper: None })
    }

    /// Lets the cluster outlive this process; [`Cluster::open`] and [`Cluster::down`] find it again.
    ///
    /// # Errors
    /// When its keeper does not answer.
    pub fn leave(mut self) -> Result<(), Broken> {
        keeper::say(&self.layout, "alone", Duration::from_secs(5))?;
        self.keeper = None;
        Ok(())
    }

    /// Takes it down, and waits until nothing is left.
    ///
    /// # Errors
    /// When something stays.
    pub fn down(mut self) -> Result<(), Broken> {
        self.end()
    }

    /// Takes down what is in `dir`, whatever state it is in. Gives whether there was anything.
    ///
    /// # Errors
    /// When something stays.
    pub fn take_down(dir: &Path) -> Result<bool, Broken> {
        let layout = Layout::new(dir);
        if !layout.lock().exists() {
            return Ok(false);
        }
        let told = keeper::say(&layout, "end", Duration::from_secs(90));
        if told.is_err() && teardown::is_dead(dir) {
            teardown::teardown(&layout)?;
        } else {
            told?;
        }
        Ok(true)
    }

    fn end(&mut self) -> Result<(), Broken> {
        let Some(mut keeper) = self.keeper.take() else { return Self::take_down(self.layout.root()).map(|_| ()) };
        let told = keeper::say(&self.layout, "end", Duration::from_secs(90));
        if told.is_err() {
            let _ = keeper.kill();
        }
        let _ = keeper.wait();
        if told.is_err() { teardown::teardown(&self.layout) } else { Ok(()) }
    }

    /// Where everything of it lies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// At which ports it listens.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// How many nodes it has.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Release of Hadoop that it runs.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where the jars lie that it runs from.
    #[must_use]
    pub fn jars(&self) -> &Path {
        &self.jars
    }

    /// Configuration for clients.
    #[must_use]
    pub fn conf_dir(&self) -> PathBuf {
        self.layout.conf("client")
    }

    /// What a client's environment needs.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        vec![("HADOOP_CONF_DIR".to_owned(), self.conf_dir().to_string_lossy().into_owned())]
    }

    /// A program that runs its arguments as a command of a client whose administrator lets jobs mount anything.
    #[must_use]
    pub fn client(&self) -> PathBuf {
        self.layout.at("client")
    }

    /// URL of the file system.
    #[must_use]
    pub fn hdfs(&self) -> String {
        format!("hdfs://127.0.0.1:{}", self.ports.of("nn.rpc"))
    }

    /// All its daemons.
    #[must_use]
    pub fn daemons(&self) -> Vec<Daemon> {
        Daemon::all(self.nodes, self.engines, self.rms)
    }

    /// Engine of node `number` (from 1).
    #[must_use]
    pub fn engine(&self, number: usize) -> Engine {
        Engine::at(&self.layout.docker(number))
    }

    /// The process of a daemon, if it lives.
    #[must_use]
    pub fn process(&self, daemon: Daemon) -> Option<Process> {
        Process::read(&self.layout.pid(&daemon.to_string())).filter(|process| process.lives())
    }

    /// Sends a signal to a daemon (STOP and CONT make it hang and go on).
    ///
    /// # Panics
    /// When it is down.
    pub fn signal(&self, daemon: Daemon, signal: Signal) {
        self.process(daemon).unwrap_or_else(|| panic!("{daemon} is down")).signal(signal);
    }

    /// Kills a daemon with SIGKILL and waits until it is gone; what it started lives on.
    ///
    /// # Panics
    /// When it does not go.
    pub fn kill(&self, daemon: Daemon) {
        let Some(process) = self.process(daemon) else { return };
        process.signal(Signal::SIGKILL);
        let containerd = match daemon {
            Daemon::Engine(number) => self.containerd(number),
            _ => None,
        };
        crate::eventually("a killed daemon is gone", Duration::from_secs(10), || {
            (!process.lives() && containerd.is_none_or(|process| !process.lives())).then_some(())
        });
    }

    /// An engine's containerd dies with it.
    fn containerd(&self, number: usize) -> Option<Process> {
        let path = self.layout.at(&format!("node-{number}/exec/containerd/containerd.pid"));
        std::fs::read_to_string(path).ok()?.trim().parse().ok().map(Process::of)
    }

    /// Starts a daemon that is down. Does not wait until it works, see [`Cluster::until_ready`].
    ///
    /// # Panics
    /// When the keeper can't start it.
    pub fn revive(&self, daemon: Daemon) {
        keeper::say(&self.layout, &format!("start {daemon}"), Duration::from_secs(10))
            .unwrap_or_else(|error| panic!("starting {daemon}: {error}"));
    }

    /// Kills a daemon, starts it again, waits until all of the cluster works.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart(&self, daemon: Daemon) {
        self.kill(daemon);
        self.revive(daemon);
        self.until_ready();
    }

    /// Waits until all of the cluster works, at most a minute.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_ready(&self) {
        let ready = bring_up::until_ready(self, Instant::now() + Duration::from_secs(60));
        ready.unwrap_or_else(|error| panic!("{error}"));
    }

    /// What a daemon has written.
    #[must_use]
    pub fn log(&self, daemon: Daemon) -> String {
        std::fs::read_to_string(self.layout.log(&daemon.to_string())).unwrap_or_default()
    }

    /// Address of the page of a daemon.
    #[must_use]
    pub fn page(&self, daemon: Daemon) -> Option<String> {
        let at = |host: &str, service| Some(format!("{host}:{}", self.ports.of(service)));
        match daemon {
            Daemon::NameNode => at("127.0.0.1", "nn.http"),
            Daemon::DataNode => at("127.0.0.1", "dn.http"),
            Daemon::ResourceManager => at("127.0.0.1", "rm.http"),
            Daemon::SecondResourceManager => at(pair::SECOND, "rm.http"),
            Daemon::NodeManager(number) => at(&node_host(number), "nm.http"),
            Daemon::Engine(_) => None,
        }
    }

    /// What a daemon's page answers to GET `path`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, daemon: Daemon, path: &str) -> Result<Answer, Broken> {
        request("GET", &self.page(daemon).ok_or_else(|| Broken::new("an engine has no page"))?, path)
    }

    /// The ResourceManager's REST answer, for example to `/ws/v1/cluster/apps`.
    ///
    /// # Errors
    /// When there is none.
    pub fn rest(&self, path: &str) -> Result<serde_json::Value, Broken> {
        self.get(self.active(), path)?.json()
    }

    /// The command of a Java program of Hadoop as a client would run it: class and arguments.
    ///
    /// # Panics
    /// When there is no Java.
    #[must_use]
    pub fn java(&self, words: &[&str]) -> std::process::Command {
        bring_up::java_client(self, words).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.keeper.is_none() {
            return;
        }
        if std::thread::panicking() {
            self.keep_logs();
        }
        let _ = self.end();
    }
}

impl Cluster {
    /// A failed test's logs stay, beside where the cluster was.
    fn keep_logs(&self) {
        let name = format!("{}-logs", self.layout.root().to_string_lossy().replace("dyc-", "dybox-cluster-"));
        let _ = std::process::Command::new("cp").arg("-r").arg(self.layout.at("log")).arg(&name).status();
    }
}
