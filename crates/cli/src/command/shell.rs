//! `dybox shell`.

use dybox_model::ExitCode;

use super::{Context, Outcome};
use crate::report::Failure;

/// Runs one container, like docker run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs one container, like docker run.
pub(crate) async fn run(_context: &Context, _args: Args) -> Outcome {
    Err(Failure::new(ExitCode::Internal, "not built yet"))
}
