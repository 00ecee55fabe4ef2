//! What agents clean up: the order, what a home's sweep found, and what a node's agent tells of it.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// A person's order to sweep now. Two servers may both bring it; it counts once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepOrder {
    /// Its name; the answer has the same.
    pub id: String,
    /// Nothing is removed: what would go is told.
    #[serde(default)]
    pub dry_run: bool,
    /// Who wants it.
    #[serde(default)]
    pub by: String,
}

/// How many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Containers.
    pub containers: u32,
    /// Networks.
    pub networks: u32,
    /// Grants whose proxy was dead.
    pub grants: u32,
    /// Cgroups of grants.
    pub cgroups: u32,
    /// Directories of runs.
    pub runs: u32,
}

impl Tally {
    /// Each with its name.
    #[must_use]
    pub const fn parts(&self) -> [(&'static str, u32); 5] {
        let Self { containers, networks, grants, cgroups, runs } = *self;
        [("containers", containers), ("networks", networks), ("grants", grants), ("cgroups", cgroups), ("runs", runs)]
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// In a phrase, as `3 containers, 1 grant`; `nothing` where it is nothing.
    #[must_use]
    pub fn words(&self) -> String {
        let some = self.parts().into_iter().filter(|(_, count)| *count > 0);
        let part = |(what, count): (&str, u32)| match count {
            1 => format!("1 {}", what.trim_end_matches('s')),
            _ => format!("{count} {what}"),
        };
        let text = some.map(part).collect::<Vec<_>>().join(", ");
        if text.is_empty() { "nothing".to_owned() } else { text }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.containers = self.containers.saturating_add(other.containers);
        self.networks = self.networks.saturating_add(other.networks);
        self.grants = self.grants.saturating_add(other.grants);
        self.cgroups = self.cgroups.saturating_add(other.cgroups);
        self.runs = self.runs.saturating_add(other.runs);
    }
}

/// What the last sweep of a node did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sweep {
    /// One more with each sweep of the agent's life.
    pub number: u64,
    /// When it was done, by the agent's clock.
    pub at: Millis,
    /// How long it took.
    #[serde(default)]
    pub took: Millis,
    /// Nothing was removed: `removed` is what would have gone.
    #[serde(default)]
    pub dry_run: bool,
    /// Homes that were looked at.
    #[serde(default)]
    pub homes: u32,
    /// What went.
    #[serde(default)]
    pub removed: Tally,
    /// What says that it is DYbox's, and no home proves it: left alone.
    #[serde(default)]
    pub unproven: Tally,
    /// Containers that `keep_failed` keeps for a look.
    #[serde(default)]
    pub kept: u32,
    /// Images that went, since the disk was full.
    #[serde(default)]
    pub images: u32,
    /// Their sizes; layers that others share are counted, too.
    #[serde(default)]
    pub bytes: u64,
    /// What could not be done, and why.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// The newest orders that were obeyed, by their ids.
    #[serde(default)]
    pub orders: Vec<String>,
}

/// What the sweep of one home did: one line of JSON, of the process that did it to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HomeSweep {
    /// What went, or would.
    #[serde(default)]
    pub removed: Tally,
    /// What this home does not prove; another home may.
    #[serde(default)]
    pub unproven: Vec<Stranger>,
    /// Containers that `keep_failed` keeps for a look.
    #[serde(default)]
    pub kept: u32,
    /// Cgroups of grants that are gone, for whose removal the home's owner has no right.
    #[serde(default)]
    pub cgroups: Vec<String>,
    /// Images that runs of this home used.
    #[serde(default)]
    pub images: Vec<ImageUse>,
    /// Ids of the images that plans of live runs name.
    #[serde(default)]
    pub needed: Vec<String>,
    /// What could not be done, and why.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// Something on the engine that says that it is DYbox's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stranger {
    /// `container` or `network`.
    pub kind: String,
    /// The engine's id.
    pub id: String,
}

/// An image that runs used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageUse {
    /// Its id (`sha256:...`).
    pub id: String,
    /// The names under which DYbox brought it.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether it was not there before DYbox brought it.
    #[serde(default)]
    pub brought: bool,
    /// When it was used last, by the machine's clock.
    #[serde(default)]
    pub used: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_told_without_what_is_not_there() {
        let mut all = Tally { containers: 3, grants: 1, ..Tally::default() };
        all += Tally { containers: 1, ..Tally::default() };
        assert_eq!((all.words().as_str(), Tally::default().words().as_str()), ("4 containers, 1 grant", "nothing"));
    }
}
