//! The daemons of a cluster, and how each is started.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::classes::Classes;
use super::layout::{Layout, node_host};
use super::{Broken, Context, Options};

/// A daemon of the cluster. Nodes count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Daemon {
    /// HDFS's names.
    NameNode,
    /// HDFS's blocks.
    DataNode,
    /// YARN's scheduler.
    ResourceManager,
    /// The second one, where there are two.
    SecondResourceManager,
    /// YARN on node N.
    NodeManager(usize),
    /// The Docker engine of node N.
    Engine(usize),
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameNode => f.write_str("namenode"),
            Self::DataNode => f.write_str("datanode"),
            Self::ResourceManager => f.write_str("resourcemanager"),
            Self::SecondResourceManager => f.write_str("resourcemanager-2"),
            Self::NodeManager(number) => write!(f, "node-{number}"),
            Self::Engine(number) => write!(f, "engine-{number}"),
        }
    }
}

impl FromStr for Daemon {
    type Err = Broken;

    fn from_str(text: &str) -> Result<Self, Broken> {
        let unknown = || {
            Broken::new(format!(
                "no daemon is called {text}: namenode, datanode, resourcemanager, resourcemanager-2, node-N, engine-N"
            ))
        };
        match text.rsplit_once('-') {
            None => match text {
                "namenode" => Ok(Self::NameNode),
                "datanode" => Ok(Self::DataNode),
                "resourcemanager" => Ok(Self::ResourceManager),
                _ => Err(unknown()),
            },
            Some((kind, number)) => match (kind, number.parse()) {
                ("node", Ok(number)) => Ok(Self::NodeManager(number)),
                ("resourcemanager", Ok(2)) => Ok(Self::SecondResourceManager),
                ("engine", Ok(number)) => Ok(Self::Engine(number)),
                _ => Err(unknown()),
            },
        }
    }
}

impl Daemon {
    /// All daemons of a cluster.
    #[must_use]
    pub fn all(nodes: usize, engines: bool, rms: usize) -> Vec<Self> {
        let mut all = vec![Self::NameNode, Self::DataNode, Self::ResourceManager];
        all.extend((rms > 1).then_some(Self::SecondResourceManager));
        all.extend((1..=nodes).map(Self::NodeManager));
        all.extend((1..=nodes).filter(|_| engines).map(Self::Engine));
        all
    }

    /// Class and heap of a daemon that is a JVM.
    fn java(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NameNode => Some(("org.apache.hadoop.hdfs.server.namenode.NameNode", "192m")),
            Self::DataNode => Some(("org.apache.hadoop.hdfs.server.datanode.DataNode", "192m")),
            Self::ResourceManager | Self::SecondResourceManager => {
                Some(("org.apache.hadoop.yarn.server.resourcemanager.ResourceManager", "256m"))
            }
            Self::NodeManager(_) => Some(("org.apache.hadoop.yarn.server.nodemanager.NodeManager", "256m")),
            Self::Engine(_) => None,
        }
    }
}

/// How daemons are started on this machine.
pub(super) struct Starts<'a> {
    pub(super) layout: &'a Layout,
    pub(super) options: &'a Options,
    pub(super) jars: &'a Path,
    pub(super) java: PathBuf,
    pub(super) classes: Classes,
}

impl Starts<'_> {
    /// Writes `daemons.json`: what the keeper starts, by name.
    pub(super) fn write(&self) -> Result<(), Broken> {
        let mut all = serde_json::Map::new();
        for daemon in Daemon::all(self.options.nodes, self.options.engines, self.options.rms) {
            all.insert(daemon.to_string(), self.start_of(daemon));
        }
        std::fs::write(self.layout.at("daemons.json"), Value::Object(all).to_string()).doing("writing daemons.json")
    }

    /// The command line of a Java program with a daemon's configuration.
    pub(super) fn java_line(&self, conf: &str, heap: &str, words: &[&str]) -> Vec<String> {
        let tmp = self.layout.text(&format!("tmp/{conf}"));
        let mut line = vec![self.java.to_string_lossy().into_owned()];
        line.extend(
            [
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
                "-XX:-UsePerfData",
                &format!("-Djava.io.tmpdir={tmp}"),
                "--add-opens",
                "java.base/java.lang=ALL-UNNAMED",
                "--add-opens",
                "java.base/java.util=ALL-UNNAMED",
                &format!("-Xmx{heap}"),
            ]
            .map(str::to_owned),
        );
        line.extend(words.iter().map(|&word| word.to_owned()));
        line
    }

    /// The environment of everything that belongs to the cluster; teardown knows its processes by the first entry.
    pub(super) fn env(&self, conf: &str) -> BTreeMap<String, String> {
        let home =
            self.java.parent().and_then(Path::parent).map_or_else(String::new, |home| home.display().to_string());
        [
            ("DYBOX_CLUSTER", self.layout.root().display().to_string()),
            ("HADOOP_CONF_DIR", self.layout.conf(conf).display().to_string()),
            ("JAVA_HOME", home),
            ("CLASSPATH", self.classpath(conf)),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("HOME", self.layout.text("tmp")),
            ("USER", super::conf::whoami()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Jars in a fixed order and before all else, so that archives of their classes fit every cluster.
    fn classpath(&self, conf: &str) -> String {
        let entries = std::fs::read_dir(self.jars).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries.map(|entry| entry.path().display().to_string()).collect();
        all.sort_unstable();
        all.extend([self.layout.conf(conf).display().to_string(), self.layout.text("stub")]);
        all.join(":")
    }

    fn start_of(&self, daemon: Daemon) -> Value {
        let name = daemon.to_string();
        let mut env = self.env(&name);
        let (line, clear) = match daemon {
            Daemon::Engine(number) => (self.engine_line(number), self.stale_pids(number)),
            _ => {
                let (class, heap) = daemon.java().expect("all others are JVMs");
                let flag = self.classes.flag(self.layout, daemon);
                let words: Vec<_> = flag.as_deref().into_iter().chain([class]).collect();
                let mut line = self.java_line(&name, heap, &words);
                if matches!(daemon, Daemon::NodeManager(_)) {
                    // What it starts asks the policy of its node.
                    line.insert(0, self.layout.text("node"));
                }
                (line, Vec::new())
            }
        };
        if let Daemon::NodeManager(number) = daemon {
            if self.options.engines {
                env.insert("DOCKER_HOST".into(), format!("unix://{}", self.layout.docker(number).display()));
            }
            env.insert("HOSTNAME".into(), node_host(number));
        }
        json!({ "line": line, "env": env, "clear": clear, "log": self.layout.log(&name) })
    }

    /// A network namespace of its own, for its own bridge: without one DYbox (rightly) makes containers the costly way.
    fn engine_line(&self, number: usize) -> Vec<String> {
        let at = |name: &str| self.layout.text(&format!("node-{number}/{name}"));
        [
            "unshare",
            "--net",
            "dockerd",
            "--data-root",
            &at("docker"),
            "--exec-root",
            &at("exec"),
            "--pidfile",
            &at("docker.pid"),
            "-H",
            &format!("unix://{}", at("docker.sock")),
            "--iptables=false",
            "--cgroup-parent",
            &format!("/{}", self.layout.cgroup()),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// What a killed dockerd leaves, for which the next one would wait.
    fn stale_pids(&self, number: usize) -> Vec<String> {
        ["docker.pid", "exec/containerd/containerd.pid"]
            .iter()
            .map(|name| self.layout.text(&format!("node-{number}/{name}")))
            .collect()
    }
}
