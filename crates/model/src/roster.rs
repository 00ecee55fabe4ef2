//! What a node's agent says of its machine, and what the roster makes of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sweep::Sweep;
use crate::{Millis, format_bytes, format_duration};

/// What hardly ever changes; sent when it did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Version of the agent.
    pub agent: String,
    /// YARN's id of the node (`host:port`), where the agent knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yarn: Option<String>,
    /// The engine's version.
    #[serde(default)]
    pub engine: String,
    /// The engine's storage driver.
    #[serde(default)]
    pub storage: String,
    /// 1 or 2; 0 where no engine has told.
    #[serde(default)]
    pub cgroup: u8,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// Images that are there.
    #[serde(default)]
    pub images: Vec<NodeImage>,
    /// Its agent brings images that masters want there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub brings: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A master's wish that an image be on a node before a task needs it there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BringOrder {
    /// The image, as the job file names it.
    pub image: String,
    /// The run, as its master says.
    pub run: String,
}

/// An image that an agent brought because a master wished it, or could not bring.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Arrival {
    /// The image, as the wish names it.
    pub image: String,
    /// How long it took.
    #[serde(default)]
    pub took: Millis,
    /// When, by the agent's clock.
    pub at: Millis,
    /// Why it did not come; empty where it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// An image on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct NodeImage {
    /// Its id (`sha256:...`).
    pub id: String,
    /// Its names, with tag (`busybox:1`) or digest (`busybox@sha256:...`).
    pub names: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// What changes: sent every few seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pulse {
    /// By the agent's own clock, which may be wrong.
    pub at: Millis,
    /// How long the engine took for a sign of life; nothing = none came.
    #[serde(default)]
    pub ping: Option<Millis>,
    /// How long the engine took for a list of its containers; nothing = none came.
    #[serde(default)]
    pub list: Option<Millis>,
    /// What went wrong with the engine, in its or our words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// Containers of DYbox's runs that run on this engine, whichever user's; 0 where it gave no list.
    #[serde(default)]
    pub running: u32,
    /// The disks that tasks need.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// How much the machine's processes waited for it in the last minute.
    #[serde(default, skip_serializing_if = "Pressure::is_none")]
    pub pressure: Pressure,
    /// How the last test container went; nothing = none was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The last sweep; nothing = none yet, or by an agent that does not sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// Images that masters wished for and that came in the last minutes, or did not: the newest few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrivals: Vec<Arrival>,
    /// The drain mark that the agent carries.
    #[serde(default, skip_serializing_if = "Mark::is_none")]
    pub mark: Mark,
}

/// The room in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disk {
    /// What it is for: `engine`, `logs`.
    pub of: String,
    /// The directory.
    pub path: String,
    /// Bytes that can be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Shares of the last minute, in thousandths, as the kernel's pressure files tell them; nothing where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pressure {
    /// Some process waited for a cpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u16>,
    /// All processes that had something to do waited for disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<u16>,
    /// All processes that had something to do waited for memory to be brought back or made free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u16>,
}

impl Pressure {
    /// The kernel tells nothing.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.cpu.is_none() && self.io.is_none() && self.memory.is_none()
    }
}

/// What a machine can have too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scarce {
    /// Cpus.
    Cpu,
    /// Disks that keep up.
    Io,
    /// Memory.
    Memory,
}

/// A container that was started only to see whether that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// When, by the agent's clock.
    pub at: Millis,
    /// Why it failed; empty = it ran.
    pub why: String,
}

/// Whether new tasks are wanted on a node. The greater one counts, wherever it comes from: servers tell agents, and
/// agents tell servers that were away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Mark {
    /// One more with each change.
    pub rev: u64,
    /// No new tasks.
    pub drained: bool,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Who said so.
    #[serde(default)]
    pub by: String,
    /// When, by that server's clock.
    #[serde(default)]
    pub at: Millis,
}

impl Mark {
    /// Nobody ever said anything.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.rev == 0
    }
}

/// What is wrong on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ill")]
pub enum Ill {
    /// The engine gives no sign of life.
    EngineAway {
        /// What it looks like.
        why: String,
    },
    /// The engine gives a sign of life, but no list.
    EngineHangs,
    /// The engine answers late.
    EngineSlow {
        /// The slower of sign of life and list.
        took: Millis,
    },
    /// A disk is all but full.
    DiskFull {
        /// Which.
        disk: Disk,
    },
    /// A disk fills up.
    DiskTight {
        /// Which.
        disk: Disk,
    },
    /// No container can be started.
    NoStart {
        /// The engine's words.
        why: String,
    },
    /// The machine is pressed: what runs there waits for it.
    Pressed {
        /// For what.
        by: Scarce,
        /// For how much of the last minute, in tenths, so that the word stays while the figure moves.
        tenths: u8,
    },
}

impl Ill {
    /// Its name, without numbers: two of the same name are the same trouble.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::EngineAway { .. } => "engine_away",
            Self::EngineHangs => "engine_hangs",
            Self::EngineSlow { .. } => "engine_slow",
            Self::DiskFull { .. } => "disk_full",
            Self::DiskTight { .. } => "disk_tight",
            Self::NoStart { .. } => "no_start",
            Self::Pressed { by: Scarce::Cpu, .. } => "cpu_pressed",
            Self::Pressed { by: Scarce::Io, .. } => "io_pressed",
            Self::Pressed { by: Scarce::Memory, .. } => "memory_pressed",
        }
    }

    /// Whether no task can run with it.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::EngineSlow { .. } | Self::DiskTight { .. } | Self::Pressed { .. })
    }
}

impl fmt::Display for Ill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = |disk: &Disk| {
            let percent = disk.free.saturating_mul(100) / disk.total.max(1);
            format!("{} has {} ({percent} %) free for {}", disk.path, format_bytes(disk.free), disk.of)
        };
        match self {
            Self::EngineAway { why } if why.is_empty() => out.write_str("the engine does not answer"),
            Self::EngineAway { why } => write!(out, "the engine does not answer: {why}"),
            Self::EngineHangs => out.write_str("the engine gives a sign of life, but no list of its containers"),
            Self::EngineSlow { took } => write!(out, "the engine took {} for an answer", format_duration(*took)),
            Self::DiskFull { disk } | Self::DiskTight { disk } => out.write_str(&room(disk)),
            Self::NoStart { why } => write!(out, "a test container could not be started: {why}"),
            Self::Pressed { by, tenths } => {
                let waited = match by {
                    Scarce::Cpu => "cpus are short: processes waited for one",
                    Scarce::Io => "the disks do not keep up: everything waited for them",
                    Scarce::Memory => "memory is short: everything waited for it",
                };
                match tenths {
                    0 => write!(out, "{waited} for some of the last minute"),
                    _ => write!(out, "{waited} for {tenths}0 % of the last minute or more"),
                }
            }
        }
    }
}

/// Whether tasks can run on a node; from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// They can.
    Healthy,
    /// They can, and it is better elsewhere.
    Degraded,
    /// They can't.
    Unusable,
    /// Its agent is silent.
    #[default]
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unusable => "unusable",
            Self::Unknown => "unknown",
        })
    }
}

/// A change of a node, by the server's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChange {
    /// When.
    pub at: Millis,
    /// What it is since then: a [`Health`], `drained` or `undrained`.
    pub to: String,
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// A line of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeView {
    /// The machine, as its agent's certificate names it.
    pub host: String,
    /// Whether tasks can run there.
    pub health: Health,
    /// What is wrong; empty where it is healthy.
    pub ills: Vec<Ill>,
    /// Since when it is so, by the server's clock.
    pub since: Millis,
    /// How far its clock is ahead of the server's, in milliseconds.
    pub clock_ahead: i64,
    /// Whether new tasks are wanted there.
    pub mark: Mark,
    /// The last that was heard.
    pub pulse: Pulse,
    /// The same; without images where the question was not for this node alone.
    pub facts: NodeFacts,
    /// How many images are there.
    pub images: u32,
    /// Which of the images that were asked about are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub present: Vec<String>,
    /// Its changes, oldest first; only where the question was for this node alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<NodeChange>,
    /// How long ago the last report came. Last, for all before it is the same until something happens.
    pub silent: Millis,
}

impl NodeView {
    /// Why no new task is wanted there; nothing where there is no reason, or nobody knows.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        if self.mark.drained {
            let by = format!("drained by {}", self.mark.by);
            return Some(if self.mark.why.is_empty() { by } else { format!("{by}: {}", self.mark.why) });
        }
        (self.health == Health::Unusable).then(|| words(&self.ills))
    }
}

/// All of them in one phrase.
#[must_use]
pub fn words(ills: &[Ill]) -> String {
    ills.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What a state server says about the nodes and itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RosterView {
    /// The nodes, by name.
    pub nodes: Vec<NodeView>,
    /// What is wrong with the server itself; empty where nothing is.
    #[serde(default)]
    pub troubles: Vec<String>,
}
