//! What can go wrong with a run as a whole, and what to do about it.

use std::io;

use dybox_model::{ExitCode, RunId, SubDagId};
use dybox_store::StoreError;
use dybox_wire::WireError;
use dybox_yarn::{Kind, YarnError};
use thiserror::Error;

/// An operation on a run that failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// YARN failed, or said no.
    #[error(transparent)]
    Yarn(#[from] YarnError),
    /// No run fits the query.
    #[error("there is no run {query:?}")]
    NotFound {
        /// What was asked for.
        query: String,
    },
    /// Several runs fit the query.
    #[error("{query:?} fits {} runs", runs.len())]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// The runs, newest first.
        runs: Vec<RunId>,
    },
    /// A live master holds a sub-DAG of the run.
    #[error("the run is held by {}", holder(.by.as_deref()))]
    Held {
        /// The run.
        run: RunId,
        /// Which sub-DAG.
        subdag: SubDagId,
        /// Who holds it ("pid 17", "application_1_0001"), where that is known.
        by: Option<String>,
    },
    /// The request id was used for another job.
    #[error("the request id {request:?} was used for another job, or for other values of its params")]
    RequestTaken {
        /// The request id.
        request: String,
        /// The run that it made.
        run: RunId,
    },
    /// No master of the run ever ran: nothing of it is in the store, its plan neither.
    #[error("no master of the run ever ran, so its plan is not in the store")]
    NeverBegan,
    /// A file of the run makes no sense.
    #[error("{what} of the run is damaged: {why}")]
    Damaged {
        /// Which file ("the plan", "the journal of sub-DAG 0").
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A process can't be started.
    #[error("the master can't be started")]
    Spawn {
        /// Why.
        source: io::Error,
    },
    /// A master does not answer.
    #[error("the master of sub-DAG {} does not answer", subdag.0)]
    Unheard {
        /// Whose master.
        subdag: SubDagId,
        /// Why.
        source: WireError,
    },
    /// No session of this name lives.
    #[error("there is no session {name:?}")]
    NoSession {
        /// The name.
        name: String,
    },
    /// A session of this name lives.
    #[error("session {name:?} is there already ({application})")]
    SessionTaken {
        /// The name.
        name: String,
        /// Its application.
        application: String,
    },
    /// A session does not answer, or does not take the run.
    #[error("session {name:?} did not take the run")]
    NotTaken {
        /// The name.
        name: String,
        /// Why.
        source: WireError,
    },
    /// A session went silent while it was handed a run.
    #[error("session {name:?} does not answer any more, and may have taken run {run}")]
    Unsure {
        /// The name.
        name: String,
        /// The run.
        run: RunId,
        /// Why.
        source: WireError,
    },
    /// One machine has no sessions.
    #[error("sessions are on a YARN cluster alone")]
    NoSessions,
    /// Another submission of the same request id takes too long.
    #[error("another submission with the request id {request:?} is under way")]
    Busy {
        /// The request id.
        request: String,
    },
    /// The value of a secret can't be read.
    #[error("the secret {name:?} can't be read: {from}: {why}")]
    Secret {
        /// The secret.
        name: String,
        /// Where its value is.
        from: String,
        /// Why.
        why: String,
    },
    /// The system refused something.
    #[error("can't {what}")]
    System {
        /// What, as an infinitive.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl ClientError {
    /// What the command line returns for it.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::NotFound { .. } | Self::Ambiguous { .. } | Self::NeverBegan | Self::NoSession { .. } => {
                ExitCode::NotFound
            }
            Self::Held { .. } | Self::RequestTaken { .. } | Self::Busy { .. } | Self::SessionTaken { .. } => {
                ExitCode::Conflict
            }
            Self::NoSessions => ExitCode::Usage,
            Self::Secret { .. } => ExitCode::Invalid,
            Self::Yarn(error) => match error.kind() {
                Kind::Unreachable | Kind::NotReady => ExitCode::Unreachable,
                Kind::Denied | Kind::Refused => ExitCode::Refused,
                Kind::Invalid => ExitCode::Invalid,
                Kind::Gone => ExitCode::NotFound,
            },
            Self::Store(_)
            | Self::Damaged { .. }
            | Self::Unheard { .. }
            | Self::NotTaken { .. }
            | Self::Unsure { .. } => ExitCode::Unreachable,
            Self::Spawn { .. } | Self::System { .. } => ExitCode::Internal,
        }
    }

    /// The error and its cause in one line.
    #[must_use]
    pub fn text(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// One concrete next step.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Store(error) => error.advice().to_owned(),
            Self::Yarn(error) => error.advice().to_owned(),
            Self::NotFound { .. } => "list the runs with `dybox ps --all`".to_owned(),
            Self::Ambiguous { runs, .. } => {
                let ids: Vec<_> = runs.iter().take(5).map(RunId::as_str).collect();
                format!("write more of the id: {}", ids.join(", "))
            }
            Self::Held { run, .. } => format!("it goes on: look at it with `dybox status {run}`"),
            Self::RequestTaken { run, .. } => {
                format!("use another request id, or look at that run with `dybox status {run}`")
            }
            Self::NeverBegan => "run the job file again with `dybox run`".to_owned(),
            Self::Damaged { .. } => "restore the run's directory from a backup, or submit the job again".to_owned(),
            Self::Spawn { .. } => "check that this program still exists and may be run".to_owned(),
            Self::Unheard { source, .. } => source.advice().to_owned(),
            Self::NoSession { name } => format!("list them with `dybox session ls`, or `dybox session start {name}`"),
            Self::SessionTaken { name, .. } => format!("use it with `dybox run --session {name}`, or stop it first"),
            Self::NotTaken { name, .. } => {
                format!(
                    "look at it with `dybox session ls`; without `--session {name}` the run has its own application"
                )
            }
            Self::Unsure { run, .. } => format!(
                "before you submit again: `dybox session ls` tells when it answers, and then `dybox status {run}` whether it has the run"
            ),
            Self::Secret { .. } => {
                "set the variable, or put the file there: secrets are read when a run is submitted and when it goes on"
                    .to_owned()
            }
            Self::NoSessions => "use --yarn, or leave --session away: one machine needs no session".to_owned(),
            Self::Busy { .. } => "wait for it, then submit again: the answer will be its run".to_owned(),
            Self::System { .. } => "look at the system's log; `dybox doctor` checks the rest".to_owned(),
        }
    }
}

fn holder(by: Option<&str>) -> String {
    by.map_or_else(|| "a live master".to_owned(), |by| format!("a live master ({by})"))
}
