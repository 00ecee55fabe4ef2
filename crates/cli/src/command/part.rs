//! The long-running parts: `dybox master` and `dybox proxy`, started by DYbox itself.

use std::path::PathBuf;

use dybox_model::{ExitCode, GrantId, SubDagId};

use super::Outcome;
use crate::report::Failure;

fn subdag(text: &str) -> Result<SubDagId, std::num::ParseIntError> {
    text.parse().map(SubDagId)
}

/// The master of one sub-DAG of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct MasterArgs {
    /// Directory of the run.
    #[arg(long)]
    pub run_dir: PathBuf,
    /// Which sub-DAG.
    #[arg(long, value_parser = subdag)]
    pub subdag: SubDagId,
    /// The run had ended: what did not succeed runs again.
    #[arg(long)]
    pub reopen: bool,
    /// Leave the session of the terminal.
    #[arg(long)]
    pub detach: bool,
}

/// The proxy of one grant.
#[derive(Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// Clean up after the proxy of a grant that is dead, and say how its attempts ended.
    #[arg(long)]
    pub sweep: bool,
    /// Directory of the run.
    #[arg(long)]
    pub run_dir: PathBuf,
    /// Which sub-DAG.
    #[arg(long, value_parser = subdag)]
    pub subdag: SubDagId,
    /// Which grant.
    #[arg(long)]
    pub grant: GrantId,
}

/// Runs a master until its sub-DAG has ended.
pub(crate) fn master(args: MasterArgs) -> Outcome {
    if args.detach {
        // Fails only where the process leads a session already, which is what is wanted.
        let _ = nix::unistd::setsid();
    }
    Err(Failure::new(ExitCode::Internal, "not built yet"))
}

/// Runs a proxy until it is told to leave, or a sweep to its end.
pub(crate) fn proxy(_args: ProxyArgs) -> Outcome {
    Err(Failure::new(ExitCode::Internal, "not built yet"))
}
