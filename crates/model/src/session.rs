//! A session: a master and grants that stay warm for the runs of one user.

use serde::{Deserialize, Serialize};

use crate::{Millis, Resources, RunId, SubDagId};

/// What a session is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Its name, one at a time for a user.
    pub name: String,
    /// Grants that are there before anybody wants them.
    pub warm: u32,
    /// Grants at most.
    pub most: u32,
    /// How large each is; one that a larger task asks for is larger.
    pub size: Resources,
    /// A grant that nobody used for so long goes back; without any run for so long, all do.
    pub idle: Millis,
    /// Without any run for so long, the session ends.
    pub keep: Millis,
}

/// A session as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// What it was asked to be.
    pub spec: SessionSpec,
    /// When this master of it began.
    pub since: Millis,
    /// Which master of it this is, from 1.
    #[serde(default)]
    pub epoch: u32,
    /// Its grants.
    pub grants: Vec<SessionGrant>,
    /// The sub-DAGs that it has in hand.
    pub runs: Vec<SessionRun>,
    /// Grants that YARN was asked for and has not given.
    pub asked: u32,
    /// What its queue would still give it, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Resources>,
    /// It takes no more runs.
    pub stops: bool,
}

/// One grant of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionGrant {
    /// YARN's id of it.
    pub container: String,
    /// Its machine.
    pub host: String,
    /// How large it is.
    pub size: Resources,
    /// What it does.
    pub state: GrantState,
    /// For which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// What a grant of a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// Its agent has not said a word yet, or none since this master began.
    Starting,
    /// It waits for work.
    Idle,
    /// A run has it.
    Busy,
    /// It goes back to YARN.
    Leaving,
}

impl GrantState {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Leaving => "leaving",
        }
    }
}

/// A sub-DAG in a session's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRun {
    /// Of which run.
    pub run: RunId,
    /// Which.
    pub subdag: SubDagId,
    /// The job's name.
    pub job: String,
    /// When the run was submitted.
    pub submitted: Millis,
    /// What it waits for; empty when it waits for no grant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waits: String,
}
