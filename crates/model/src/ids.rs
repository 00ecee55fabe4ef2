//! Ids. Every one is a type of its own, so that two of them can't be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A stage of the plan: its place in `Plan::stages`. The same number in every sub-DAG of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(pub u32);

/// A hook of the plan: its place in `Plan::hooks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HookId(pub u32);

/// A sub-DAG of the plan: its place in `Plan::subdags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubDagId(pub u32);

/// One of a stage's copies. `index` counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The stage that the task belongs to.
    pub stage: StageId,
    /// From 0 to the stage's parallelism - 1.
    pub index: u32,
}

/// One numbered try of a task. `number` counts from 1 and never repeats within a run, not even after `resume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task that is tried.
    pub task: TaskId,
    /// From 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    /// `s3-0-1`: stage 3, task 0, attempt 1. Used in names of containers, directories and archive entries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}-{}-{}", self.task.stage.0, self.task.index, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "attempt id", text: text.to_owned() };
        let mut parts = text.strip_prefix('s').ok_or_else(bad)?.split('-').map(|part| part.parse::<u32>().ok());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(stage)), Some(Some(index)), Some(Some(number)), None) => {
                Ok(Self { task: TaskId { stage: StageId(stage), index }, number })
            }
            _ => Err(bad()),
        }
    }
}

/// A grant: room on one machine that the resource manager gave us (a YARN container, or a share of the local budget).
/// Unique within a run: the sub-DAG in bits 48-63, the master's epoch in bits 32-47, a counter below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(pub u64);

impl GrantId {
    /// Composes the id of the `counter`th grant that the master of `epoch` got for `subdag`.
    #[must_use]
    pub const fn compose(subdag: SubDagId, epoch: u32, counter: u32) -> Self {
        Self(((subdag.0 as u64 & 0xffff) << 48) | ((epoch as u64 & 0xffff) << 32) | counter as u64)
    }

    /// The sub-DAG whose master got it.
    #[must_use]
    pub const fn subdag(self) -> SubDagId {
        SubDagId((self.0 >> 48) as u32)
    }
}

impl fmt::Display for GrantId {
    /// `g0-1-12`: sub-DAG 0, epoch 1, twelfth grant. Also the name of its directory and archive.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}-{}-{}", self.subdag().0, self.0 >> 32 & 0xffff, self.0 & 0xffff_ffff)
    }
}

impl FromStr for GrantId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "grant id", text: text.to_owned() };
        let mut parts = text.strip_prefix('g').ok_or_else(bad)?.split('-').map(|part| part.parse::<u32>().ok());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(subdag)), Some(Some(epoch)), Some(Some(counter)), None)
                if subdag < 1 << 16 && epoch < 1 << 16 =>
            {
                Ok(Self::compose(SubDagId(subdag), epoch, counter))
            }
            _ => Err(bad()),
        }
    }
}

/// A run: a ULID in lower case (26 characters, sortable by time of submission).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last 8 characters: enough to tell containers and networks of one machine apart in their names.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[18..]
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let fits = text.len() == 26 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if fits { Ok(Self(text.to_owned())) } else { Err(BadId { what: "run id", text: text.to_owned() }) }
    }
}

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no {what}")]
pub struct BadId {
    /// Which kind of id was expected.
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_own_text() {
        let attempt = AttemptId { task: TaskId { stage: StageId(3), index: 14 }, number: 2 };
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
        let grant = GrantId::compose(SubDagId(2), 7, 99);
        assert_eq!((grant.to_string().as_str(), grant.subdag()), ("g2-7-99", SubDagId(2)));
        assert_eq!(grant.to_string().parse(), Ok(grant));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "s1-2", "s1-2-3-4", "x1-2-3", "s1--3"] {
            assert!(text.parse::<AttemptId>().is_err(), "{text}");
        }
        for text in ["", "g1-2", "g70000-1-1", "../../etc"] {
            assert!(text.parse::<GrantId>().is_err(), "{text}");
        }
        assert!("01J0/../etc/passwd00000000".parse::<RunId>().is_err());
    }
}
