//! `dybox stop`.

use std::io::{BufRead, IsTerminal};

use dybox_client::{Follow, Stopped, Way};
use dybox_model::ExitCode;

use super::look::find;
use super::{Context, Outcome};
use crate::report::Failure;
use crate::report::time::now;

/// Stops a run: its tasks get TERM, some time to end, then KILL.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The time between TERM and KILL is the stage's `stop_grace`. What succeeded stays: `dybox resume` goes on from there.\n\nExamples:\n  dybox stop @latest\n  dybox stop nightly --now --yes"
)]
pub(crate) struct Args {
    /// Id, beginning of an id, name of the job, or @latest
    #[arg(value_name = "RUN")]
    pub run: String,
    /// KILL at once, without TERM and time to end
    #[arg(long)]
    pub now: bool,
    /// Stop without a question first; it asks on a terminal only
    #[arg(short, long)]
    pub yes: bool,
    /// Return as soon as the run knows of it, before everything has ended
    #[arg(long)]
    pub no_wait: bool,
    /// Print the id only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Stops a run.
pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let info = find(context, &args.run).await?;
    let (screen, run) = (&context.screen, &info.run);
    let plan = client.plan(run).await?;
    let subdags = u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX);
    let standing = client.standing(run, subdags).await?;
    if standing.view.state().is_over() || standing.is_killed() {
        screen.hint(&format!("run {run} has ended already: it {}", standing.word()));
        return Ok(ExitCode::Ok as u8);
    }
    if !args.yes && !args.quiet && std::io::stdin().is_terminal() && !agreed(context, &info.job, run.as_str()) {
        screen.hint("nothing was stopped");
        return Ok(ExitCode::Ok as u8);
    }
    let stopped = client.stop(run, &format!("asked by {}", info.user), args.now, now()).await?;
    screen.line(run.as_str())?;
    if let Some((subdag, error)) = stopped.deaf.first() {
        let what = format!("the master of sub-DAG {} does not answer", subdag.0);
        let next = format!("it stops when it sees the mark; look with `dybox status {run}`");
        return Err(Failure::new(ExitCode::Unreachable, what).why(error.to_string()).next(next));
    }
    if !args.no_wait {
        ended(client.follow(run, &plan, Way::default()), &stopped).await;
    }
    let alone = stopped.told.is_empty();
    let mine = alone || (!stopped.killed.is_empty() && !args.no_wait);
    if mine {
        let logins = super::logins::of(context, &plan).await?;
        if client.end_stopped(run, logins, now()).await? && !args.quiet {
            screen.hint("what runs after everything runs now");
        }
    }
    for application in stopped.killed.iter().filter(|_| !args.quiet) {
        screen.hint(&format!("{application} was killed: its master did not run or did not answer"));
    }
    if stopped.told.is_empty() && !stopped.killed.is_empty() {
        return Ok(ExitCode::Ok as u8);
    }
    if stopped.told.is_empty() {
        screen.hint(&format!(
            "nobody drives run {run}: its containers end by themselves within 20 s, and it is marked as stopped"
        ));
        return Ok(ExitCode::Ok as u8);
    }
    if !args.quiet {
        screen.hint(if args.no_wait { "stopping" } else { "stopped" });
    }
    Ok(ExitCode::Ok as u8)
}

/// Waits until every sub-DAG that was told has ended.
async fn ended(mut follow: Follow, stopped: &Stopped) {
    let over = |follow: &Follow| {
        stopped.told.iter().all(|subdag| {
            let ended = follow.view().subs.get(subdag).is_some_and(|sub| sub.end.is_some());
            ended || follow.given_up().contains(subdag)
        })
    };
    while !over(&follow) && follow.next().await.is_some() {}
}

fn agreed(context: &Context, job: &str, run: &str) -> bool {
    context.screen.hint(&format!("stop {job} {run}? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
