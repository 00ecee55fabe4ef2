//! Settings.

use std::path::PathBuf;
use std::time::Duration;

use dybox_engine::EngineConf;
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
    /// Between two reports.
    pub interval: Duration,
    /// The agent's version.
    pub version: String,
}
