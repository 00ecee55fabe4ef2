//! `dybox resume`.

use dybox_model::ExitCode;

use super::{Context, Outcome};
use crate::report::Failure;

/// Goes on with a run: what finished stays, the rest runs again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Goes on with a run: what finished stays, the rest runs again.
pub(crate) async fn run(_context: &Context, _args: Args) -> Outcome {
    Err(Failure::new(ExitCode::Internal, "not built yet"))
}
