//! `dybox run`.

use dybox_model::ExitCode;

use super::{Context, Outcome};
use crate::report::Failure;

/// Runs a job and follows it to its end.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs a job and follows it to its end.
pub(crate) async fn run(_context: &Context, _args: Args) -> Outcome {
    Err(Failure::new(ExitCode::Internal, "not built yet"))
}
