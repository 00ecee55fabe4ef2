//! Why a master can't go on. Failures of tasks are not among these.

use std::path::PathBuf;

use dybox_local::LocalError;
use dybox_model::ExitCode;
use dybox_store::StoreError;
use dybox_wire::WireError;
use thiserror::Error;

/// A failure of the master itself.
#[derive(Debug, Error)]
pub enum MasterError {
    /// Another master holds the sub-DAG.
    #[error("another master holds sub-DAG {subdag}: {holder}")]
    Held {
        /// Which sub-DAG.
        subdag: u32,
        /// What the holder wrote ("pid 12").
        holder: String,
    },
    /// `--run-dir` is none.
    #[error("{0} is no run's directory")]
    NoRun(PathBuf),
    /// What the client wrote can't be read.
    #[error("{what} can't be understood")]
    Unreadable {
        /// Which file.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The plan has no such sub-DAG.
    #[error("the plan has no sub-DAG {0}")]
    NoSubDag(u32),
    /// Bytes of the journal are not what was written.
    #[error("the journal {journal} is damaged at byte {offset}")]
    Damaged {
        /// The file.
        journal: String,
        /// Where.
        offset: usize,
    },
    /// A newer DYbox wrote the journal.
    #[error("the journal {journal} was written by a newer DYbox (version {version}): {why}")]
    Foreign {
        /// The file.
        journal: String,
        /// Of the record.
        version: u8,
        /// What the parser said.
        why: String,
    },
    /// The journal can't be written: what can't be recorded was stopped.
    #[error("the journal could not be written; the tasks were told to stop")]
    Unrecorded(#[source] StoreError),
    /// The store failed before anything was started.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master's socket.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The machine's budget.
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl MasterError {
    /// The next step.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Held { .. } => "follow it with `dybox watch RUN`, or stop it with `dybox stop RUN`".to_owned(),
            Self::NoRun(_) | Self::NoSubDag(_) => "list the runs with `dybox ps`".to_owned(),
            Self::Unreadable { .. } | Self::Damaged { .. } => {
                "submit the job again; what was written before that place is still read by `dybox status`".to_owned()
            }
            Self::Foreign { .. } => "use the dybox that wrote it, or a newer one".to_owned(),
            Self::Unrecorded(error) => format!("{}; then `dybox resume RUN`", error.advice()),
            Self::Store(error) => error.advice().to_owned(),
            Self::Wire(error) => error.advice().to_owned(),
            Self::Local(error) => error.advice().to_owned(),
        }
    }

    /// What the process returns.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Held { .. } => ExitCode::Conflict,
            Self::NoRun(_) | Self::NoSubDag(_) => ExitCode::NotFound,
            Self::Unreadable { .. } | Self::Damaged { .. } | Self::Foreign { .. } => ExitCode::Invalid,
            Self::Unrecorded(_) | Self::Store(_) | Self::Wire(_) | Self::Local(_) => ExitCode::Unreachable,
        }
    }
}
