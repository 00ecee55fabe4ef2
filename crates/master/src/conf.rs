//! Settings of a master.

use std::path::PathBuf;

use dybox_model::SubDagId;

/// Which sub-DAG of which run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conf {
    /// The run's directory: `<home>/runs/<run id>`.
    pub run_dir: PathBuf,
    /// The sub-DAG.
    pub subdag: SubDagId,
    /// The sub-DAG had ended: what did not succeed runs again.
    pub reopen: bool,
    /// The program whose `master` and `proxy` subcommands are started: this one.
    pub binary: PathBuf,
}
