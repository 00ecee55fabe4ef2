//! Why a master can't go on. Failures of tasks are not among these.

use std::path::PathBuf;

use dybox_local::LocalError;
use dybox_model::ExitCode;
use dybox_store::StoreError;
use dybox_wire::WireError;
use dybox_yarn::YarnError;
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
    /// YARN replaced this attempt, or wants it no more.
    #[error("this attempt is over: {why}")]
    Over {
        /// What YARN said.
        why: String,
    },
    /// The page's port.
    #[error("the page can't be served")]
    Page(#[source] std::io::Error),
    /// A claim on a sub-DAG is no claim.
    #[error("a claim on a sub-DAG can't be understood: {0}")]
    BadClaim(String),
    /// YARN.
    #[error(transparent)]
    Yarn(#[from] YarnError),
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
            Self::Over { .. } => {
                "look at the application's page in YARN; `dybox status RUN` tells what became of it".to_owned()
            }
            Self::Page(_) => "look which program takes all ports of the machine".to_owned(),
            Self::BadClaim(_) => "submit the job again".to_owned(),
            Self::Yarn(error) => error.advice().to_owned(),
            Self::Store(error) => error.advice().to_owned(),
            Self::Wire(error) => error.advice().to_owned(),
            Self::Local(error) => error.advice().to_owned(),
        }
    }

    /// Whether another attempt would fail the same way.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NoRun(_)
                | Self::NoSubDag(_)
                | Self::Unreadable { .. }
                | Self::Damaged { .. }
                | Self::Foreign { .. }
                | Self::BadClaim(_)
        )
    }

    /// Whether another master has the sub-DAG.
    pub(crate) fn is_replaced(&self) -> bool {
        match self {
            Self::Over { .. } => true,
            Self::Unrecorded(error) | Self::Store(error) => error.is_fenced(),
            _ => false,
        }
    }

    /// What the process returns.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Held { .. } | Self::Over { .. } => ExitCode::Conflict,
            Self::NoRun(_) | Self::NoSubDag(_) => ExitCode::NotFound,
            Self::Unreadable { .. } | Self::Damaged { .. } | Self::Foreign { .. } | Self::BadClaim(_) => {
                ExitCode::Invalid
            }
            Self::Unrecorded(_) | Self::Store(_) | Self::Wire(_) | Self::Local(_) | Self::Page(_) | Self::Yarn(_) => {
                ExitCode::Unreachable
            }
        }
    }
}
