//! Settings.

use std::path::PathBuf;
use std::time::Duration;

use dybox_engine::EngineConf;
use dybox_model::policy::Rules;
use dybox_wire::TlsIdentity;

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct Conf {
    /// The node's name, as its certificate has it, and as the ResourceManager calls the machine.
    pub host: String,
    /// `host:port` of every state server.
    pub servers: Vec<String>,
    /// Its certificate.
    pub identity: TlsIdentity,
    /// Which engine.
    pub engine: EngineConf,
    /// YARN's id of the node, where somebody said it.
    pub yarn: Option<String>,
    /// Directories of logs whose disks are looked at.
    pub logs: Vec<PathBuf>,
    /// An image that is there, whose command ends at once: started where the engine is suspect. Nothing = never.
    pub canary: Option<String>,
    /// Started after this time in any case.
    pub canary_every: Duration,
    /// Where the kernel's pressure files are.
    pub pressure: PathBuf,
    /// Between two reports.
    pub interval: Duration,
    /// The agent's version.
    pub version: String,
    /// What is cleaned up, and when.
    pub cleaning: Cleaning,
    /// What is brought, and how.
    pub bringing: Bringing,
}

/// Which images the agent brings where masters wish it.
#[derive(Debug, Clone)]
pub struct Bringing {
    /// Its own home, where it notes what it brought.
    pub home: PathBuf,
    /// How many at a time; 0 = none at all.
    pub at_once: usize,
    /// This machine's policy.
    pub policy: Option<Rules>,
}

/// What an agent cleans up, and when.
#[derive(Debug, Clone)]
pub struct Cleaning {
    /// `yarn.nodemanager.local-dirs`: homes lie below them, in users' directories.
    pub local_dirs: Vec<PathBuf>,
    /// Homes of users of this machine.
    pub homes: Vec<PathBuf>,
    /// A dybox, which is started for each home with the rights of its owner.
    pub program: PathBuf,
    /// For what all users of the machine share.
    pub run_dir: PathBuf,
    /// Between two sweeps that nobody asked for.
    pub every: Duration,
    /// What is younger stays.
    pub least_age: Duration,
    /// Containers that `keep_failed` keeps go after this time.
    pub keep_failed: Duration,
    /// Scratch of runs that are over goes after this time from homes below `local_dirs`.
    pub keep_logs: Duration,
    /// When images go.
    pub images: ImageRules,
}

/// When images go that DYbox brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRules {
    /// Where more percent of the engine's disk are used, images go.
    pub high: u8,
    /// Until no more percent are.
    pub low: u8,
    /// What was used within this time stays.
    pub least_age: Duration,
}
