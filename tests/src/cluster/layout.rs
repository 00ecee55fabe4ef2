//! Where everything of a cluster lies, and at which ports it listens.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::{Broken, Context};

/// The directory of a cluster.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The cluster's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What lies at `name` in it.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The same as text, for configurations and command lines.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    /// Configuration of a daemon, or of `client`.
    #[must_use]
    pub fn conf(&self, name: &str) -> PathBuf {
        self.at("conf").join(name)
    }

    /// What a daemon wrote to stdout and stderr.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.at("log").join(format!("{name}.log"))
    }

    /// `PID START` of a daemon, START as in /proc/PID/stat.
    #[must_use]
    pub fn pid(&self, name: &str) -> PathBuf {
        self.at("pid").join(name)
    }

    /// Where the keeper listens.
    #[must_use]
    pub fn keeper(&self) -> PathBuf {
        self.at("keeper.sock")
    }

    /// Locked by the keeper as long as it lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.at("lock")
    }

    /// Socket of the engine of node `number` (from 1).
    #[must_use]
    pub fn docker(&self, number: usize) -> PathBuf {
        self.at(&format!("node-{number}/docker.sock"))
    }

    /// The cgroup below which the engines make theirs.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("dybox-cluster{}", self.root.to_string_lossy().replace('/', "-"))
    }
}

/// Ports of a cluster: a block of its own. The first one is held by the keeper, so that no other cluster takes the
/// block; it lies below the range from which the kernel takes ports for clients.
#[derive(Debug, Clone, Copy)]
pub struct Ports(u16);

/// What listens, in the order of the block.
const SERVICES: [&str; 15] = [
    "keeper",
    "nn.rpc",
    "nn.http",
    "dn.data",
    "dn.http",
    "dn.ipc",
    "rm.client",
    "rm.scheduler",
    "rm.tracker",
    "rm.admin",
    "rm.http",
    "nm.rpc",
    "nm.localizer",
    "nm.http",
    "nm.collector",
];

impl Ports {
    const FIRST: u16 = 12_000;
    const BLOCKS: u16 = 1000;

    /// The first port of the block.
    #[must_use]
    pub fn base(self) -> u16 {
        self.0
    }

    /// The port of a service.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn of(self, service: &str) -> u16 {
        let place = SERVICES.iter().position(|&name| name == service).expect("a service of the table");
        self.0 + u16::try_from(place).expect("a small table")
    }

    /// Takes a free block. The listener holds it.
    pub(super) fn take() -> Result<(Self, TcpListener), Broken> {
        let size = u16::try_from(SERVICES.len()).expect("a small table");
        let seed = std::process::id() % u32::from(Self::BLOCKS);
        for step in 0..u32::from(Self::BLOCKS) {
            let block = u16::try_from((seed + step * 7) % u32::from(Self::BLOCKS)).expect("it is below BLOCKS");
            let base = Self::FIRST + block * size;
            let Ok(holder) = TcpListener::bind(("127.0.0.1", base)) else { continue };
            if (base + 1..base + size).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok()) {
                return Ok((Self(base), holder));
            }
        }
        Err(Broken::new("no block of free ports below 32768"))
    }

    pub(super) fn read(layout: &Layout) -> Result<Self, Broken> {
        let text = std::fs::read_to_string(layout.at("ports")).doing("reading the ports")?;
        text.trim().parse().map(Self).map_err(|_| Broken::new("the file `ports` holds no number"))
    }
}

/// Address of node `number` (from 1): loopback has a whole /8.
#[must_use]
pub fn node_host(number: usize) -> String {
    format!("127.0.0.{}", number + 1)
}
