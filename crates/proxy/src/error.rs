//! What ends a proxy, or a sweep, without its work done.

use std::io;
use std::path::PathBuf;

use dybox_engine::EngineError;
use dybox_store::StoreError;
use thiserror::Error;

/// A proxy or a sweep that could not do its work. Failures of attempts are no errors but ends.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The directory is none of a run.
    #[error("{} is no run's directory", path.display())]
    NotARun {
        /// What was given.
        path: PathBuf,
    },
    /// A variable that every YARN container has is missing.
    #[error("this is no YARN container: {variable} is not set")]
    NotAGrant {
        /// The variable.
        variable: &'static str,
    },
    /// Somebody else holds the grant.
    #[error("the proxy of {grant} is alive")]
    Alive {
        /// The grant.
        grant: dybox_model::GrantId,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A file of the run could not be used.
    #[error("can't {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The engine failed, and nothing works without it.
    #[error("the engine failed")]
    Engine(#[from] EngineError),
    /// Containers are left that could not be removed.
    #[error("{left} containers of {grant} could not be removed")]
    Leftover {
        /// The grant.
        grant: dybox_model::GrantId,
        /// How many.
        left: usize,
    },
    /// A sweep takes too long.
    #[error("the sweep of {grant} is not done after {secs} s")]
    Slow {
        /// The grant.
        grant: dybox_model::GrantId,
        /// How long it had.
        secs: u64,
    },
    /// The home is none, or not this process's to sweep.
    #[error("{} can't be swept: {why}", path.display())]
    NotAHome {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The runtime could not be made.
    #[error("can't start the event loop")]
    Runtime(#[source] io::Error),
}

impl ProxyError {
    /// What to do next, as an imperative sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotARun { .. } => "Give the directory of a run: `dybox status RUN` shows it.",
            Self::NotAGrant { .. } => "Leave this to DYbox: `dybox run --yarn` starts proxies where they belong.",
            Self::Alive { .. } => "Stop the run first: `dybox stop RUN`.",
            Self::Store(error) => error.advice(),
            Self::File { .. } => "Check the directory's permissions and free room.",
            Self::Engine(error) => error.advice(),
            Self::Leftover { .. } => "Look at them with `docker ps -a`, then run `dybox gc`.",
            Self::Slow { .. } => "Look whether the Docker engine answers (`docker ps`), then try again.",
            Self::NotAHome { .. } => "Name a home of DYbox, and run the agent as root.",
            Self::Runtime(_) => "Check the limits of this user (`ulimit -a`).",
        }
    }
}

/// For `map_err`: names what was tried with which file.
pub(crate) fn file_error(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ProxyError {
    let path = path.into();
    move |source| ProxyError::File { what, path, source }
}
