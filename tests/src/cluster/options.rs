//! What a test may choose about its cluster.

use std::path::PathBuf;

/// Release of Hadoop that is used where nothing else is said.
pub const VERSION: &str = "3.4.2";

/// What a test may choose about its cluster; [`Options::default`] suits most.
#[derive(Debug, Clone)]
pub struct Options {
    /// Release of Hadoop; `DYBOX_HADOOP` sets the default.
    pub version: String,
    /// NodeManagers, each with an engine of its own, at most 16.
    pub nodes: usize,
    /// ResourceManagers: one, or two of which one is active (see [`super::Cluster::activate`]).
    pub rms: usize,
    /// Whether each node has an engine.
    pub engines: bool,
    /// How often a NodeManager speaks to the ResourceManager, in ms.
    pub heartbeat_ms: u64,
    /// After how long a silent NodeManager or ApplicationMaster counts as lost, in ms.
    pub expiry_ms: u64,
    /// Memory that a node offers, in MiB.
    pub memory_mib: u64,
    /// Cores that a node offers.
    pub vcores: u64,
    /// Whether the scheduler takes grants away to give each of the queues its half.
    pub preemption: bool,
    /// Whether queues check who submits, with one queue (`closed`) that nobody may use.
    pub acls: bool,
    /// Further settings of all daemons and clients.
    pub site: Vec<(String, String)>,
    /// Its directory, with a short path (sockets lie below it); a fresh one below /tmp otherwise.
    pub dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let version = std::env::var("DYBOX_HADOOP").ok().filter(|version| !version.is_empty());
        Self {
            version: version.unwrap_or_else(|| VERSION.to_owned()),
            nodes: 3,
            rms: 1,
            engines: true,
            heartbeat_ms: 200,
            expiry_ms: 20_000,
            memory_mib: 8192,
            vcores: 16,
            preemption: false,
            acls: false,
            site: Vec::new(),
            dir: None,
        }
    }
}
