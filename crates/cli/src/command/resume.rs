//! `dybox resume`.

use std::time::Duration;

use dybox_client::ClientError;
use dybox_model::ExitCode;

use super::foreground::Foreground;
use super::look::find;
use super::preflight::Preflight;
use super::{Context, Outcome};
use crate::conf::Format;

/// Goes on with a run: what finished stays, the rest runs again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The job file is not read again: the run goes on with what was submitted. On the cluster it goes on in an application of its own, also where a session had it, unless --session names one.\n\nExit codes: as of `dybox run`; 8 when the run goes on already.\n\nExamples:\n  dybox resume @latest\n  dybox resume nightly --detach\n  dybox resume nightly --session etl"
)]
pub(crate) struct Args {
    /// Id, beginning of an id, name of the job, or @latest
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Start it and return
    #[arg(short, long)]
    pub detach: bool,
    /// Hand it to this session of yours on the cluster (`dybox session`)
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Follow at most so long (30s, 10m, 2h), then exit with 124; the run goes on
    #[arg(long, value_name = "DURATION", value_parser = super::run::duration, conflicts_with = "detach")]
    pub wait: Option<Duration>,
    /// Print the id only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print: json and yaml at the end, jsonl one document an event [default: table]
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "quiet")]
    pub output: Option<Format>,
}

/// Goes on with a run: what finished stays, the rest runs again.
pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    if !args.quiet {
        context.say_place()?;
    }
    if args.session.is_some() && !context.is_cluster()? {
        return Err(ClientError::NoSessions.into());
    }
    let preflight = Preflight::start(context)?;
    let client = context.client()?;
    let info = find(context, &args.run).await?;
    let plan = client.plan(&info.run).await?;
    preflight.passed().await?;
    let logins = super::logins::of(context, &plan).await?;
    let resumed = client.resume(&info.run, &plan, (args.session.as_deref(), logins)).await?;
    let programs = args.output.is_some_and(Format::is_for_programs);
    if !programs {
        context.screen.line(info.run.as_str())?;
    }
    if resumed.is_nothing() {
        context.screen.hint(&format!("run {} has succeeded: there is nothing to resume", info.run));
        return Ok(ExitCode::Ok as u8);
    }
    if let Some(session) = args.session.filter(|_| !programs && !args.quiet) {
        context.screen.hint(&format!("in session {session}"));
    }
    if args.detach {
        return Ok(ExitCode::Ok as u8);
    }
    let foreground = Foreground {
        context,
        client,
        run: info.run,
        plan,
        own: !context.is_cluster()?,
        wait: args.wait,
        format: args.output,
        quiet: args.quiet,
    };
    foreground.follow(resumed.way).await
}
