//! `dybox stop`.

use dybox_model::ExitCode;

use super::{Context, Outcome};
use crate::report::Failure;

/// Stops a run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Stops a run.
pub(crate) async fn run(_context: &Context, _args: Args) -> Outcome {
    Err(Failure::new(ExitCode::Internal, "not built yet"))
}
