//! `dybox watch`.

use std::time::Duration;

use dybox_client::Way;

use super::foreground::Foreground;
use super::look::find;
use super::{Context, Outcome};
use crate::conf::Format;

/// Follows a run to its end, as `run` does
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Any number of people may watch. Ctrl-C ends the watching only; `dybox stop` ends the run. The exit code is the run's (as of `dybox run`), 124 when the time of --wait is over.\n\nExamples:\n  dybox watch\n  dybox watch nightly --wait 10m"
)]
pub(crate) struct Args {
    /// Id, beginning of an id, name of the job, or @latest
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub run: String,
    /// Watch at most so long (30s, 10m, 2h), then exit with 124
    #[arg(long, value_name = "DURATION", value_parser = super::run::duration)]
    pub wait: Option<Duration>,
    /// Print nothing; the exit code tells
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print: json and yaml at the end, jsonl one document an event [default: table]
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "quiet")]
    pub output: Option<Format>,
}

/// Follows a run.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let client = context.client()?;
    let info = find(context, &args.run).await?;
    let plan = client.plan(&info.run).await?;
    let foreground = Foreground {
        context,
        client,
        run: info.run,
        plan,
        own: false,
        wait: args.wait,
        format: args.output,
        quiet: args.quiet,
    };
    foreground.follow(Way::default()).await
}
