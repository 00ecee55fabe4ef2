//! Names of sessions, and of what says which session has a run.

use dybox_model::SubDagId;

use super::{RunDir, SubDir};

/// The directory of all sessions.
pub const SESSIONS: &str = "sessions";

/// On HDFS: the identity with which clients dial a session, [`Tls`](crate::bundle::Tls) as JSON.
#[must_use]
pub fn session_credentials(application: &str) -> String {
    format!("{SESSIONS}/{application}/credentials")
}

impl RunDir {
    /// The directory of the marks of sessions.
    #[must_use]
    pub fn sessions(&self) -> String {
        format!("{}/sessions", self.0)
    }

    /// The mark that a session, an application of YARN, has this sub-DAG in hand: an empty file.
    #[must_use]
    pub fn session(&self, subdag: SubDagId, application: &str) -> String {
        format!("{}/{}.{application}", self.sessions(), subdag.0)
    }

    /// What the name of such a mark says.
    #[must_use]
    pub fn of_session(name: &str) -> Option<(SubDagId, &str)> {
        let (subdag, application) = name.split_once('.')?;
        Some((SubDagId(subdag.parse().ok()?), application))
    }
}

impl SubDir {
    /// A session has names as a sub-DAG does; its journal holds what it was given.
    #[must_use]
    pub fn of_session(application: &str) -> Self {
        Self(format!("{SESSIONS}/{application}"))
    }
}
