//! Where tasks may run, and what that makes of an ask.

use serde::{Deserialize, Serialize};

use crate::{Resources, StageId};

/// Over what the tasks of a stage are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Machines.
    Host,
    /// Racks.
    Rack,
}

/// `placement:` of a stage. Names are hosts and racks as the ResourceManager reports them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Keep its tasks apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Most of its tasks at a time on one machine. Nothing = one where they are spread over machines, else any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_host: Option<u32>,
    /// Never beside tasks of these stages: on one machine, or in one rack where its own tasks are spread over racks.
    /// All of them are in the sub-DAG of the stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart_from: Vec<StageId>,
    /// Not on these hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<String>,
    /// On these hosts alone; empty = on any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// In these racks alone; empty = in any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub racks: Vec<String>,
    /// Whether a task rather waits than runs elsewhere (true, as `hard` is by default), or the wish may be left aside.
    #[serde(default = "yes")]
    pub hard: bool,
}

const fn yes() -> bool {
    true
}

impl Placement {
    /// Whether it asks for nothing at all.
    #[must_use]
    pub const fn is_anywhere(&self) -> bool {
        let pinned = !self.avoid.is_empty() || !self.nodes.is_empty() || !self.racks.is_empty();
        !pinned && self.spread.is_none() && self.max_per_host.is_none() && self.apart_from.is_empty()
    }

    /// Most of its tasks at a time on one machine; nothing = any number.
    #[must_use]
    pub fn most_on_host(&self) -> Option<u32> {
        self.max_per_host.or(self.spread.map(|_| 1))
    }

    /// Within what it keeps away from other stages.
    #[must_use]
    pub fn apart_within(&self) -> Spread {
        self.spread.unwrap_or(Spread::Host)
    }
}

/// The most that a priority can be.
pub const HIGHEST_PRIORITY: i32 = 100;

/// What one ask to the resource manager says: each distinct wish is an ask of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Wish {
    /// How large.
    pub size: Resources,
    /// On one of these hosts; empty = on any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Or in one of these racks; with `hosts` empty too: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub racks: Vec<String>,
    /// Whether elsewhere will do too, when the places above are full.
    #[serde(default)]
    pub relaxed: bool,
    /// Where room is short, the asks of a run with more of it come first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

impl Wish {
    /// So much, anywhere.
    #[must_use]
    pub const fn anywhere(size: Resources) -> Self {
        Self { size, hosts: Vec::new(), racks: Vec::new(), relaxed: false, priority: 0 }
    }
}

/// A machine of the cluster, as the ResourceManager reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the ResourceManager.
    pub host: String,
    /// Its rack (`/default-rack`).
    pub rack: String,
    /// Its node labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// All that YARN may give on it.
    pub capacity: Resources,
    /// What is given.
    pub used: Resources,
    /// Whether it takes containers now.
    pub usable: bool,
}
