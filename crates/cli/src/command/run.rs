//! `dybox run`.

use std::time::Duration;

use dybox_client::{Client, ClientError, Submission, Submitted, Way};
use dybox_job::Plan;
use dybox_model::{ExitCode, Resources};

use super::foreground::Foreground;
use super::job::{self, Checked, JobArgs, Room};
use super::preflight::Preflight;
use super::rest::RestArgs;
use super::submitted::{Tells, tell};
use super::{Context, Outcome};
use crate::conf::{Format, cpus, memory};
use crate::report::Failure;
use crate::report::time::now;

/// Runs a job and follows it to its end.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "On this machine Ctrl-C stops the run, a second one at once. On the cluster it ends the following only; the run goes on, as it does with --detach or when the terminal closes.\n\nExit codes: 0 it succeeded, 1 it failed, 3 the job file is invalid, 4 a policy or queue refuses it, 5 engine or cluster can't be used, 6 it was stopped, 9 lost to the platform, 124 the time of --wait is over and the run goes on, 130 interrupted and it goes on.\n\nExamples:\n  dybox run job.yaml\n  dybox run job.yaml -p day=2026-01-31 --detach\n  dybox run job.yaml -o json | jq .state\n  dybox run --session etl job.yaml"
)]
pub(crate) struct Args {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// What of it runs.
    #[command(flatten)]
    pub rest: RestArgs,
    /// Submit, print the id and return
    #[arg(short, long)]
    pub detach: bool,
    /// Follow at most so long (30s, 10m, 2h), then exit with 124; the run goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "detach")]
    pub wait: Option<Duration>,
    /// Submitting twice with the same id makes one run
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Hand it to this session of yours on the cluster, which has grants ready (`dybox session`)
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Most cpus that all runs may use together on this machine [default: all]
    #[arg(long, value_parser = cpus)]
    pub cpus: Option<u32>,
    /// Most memory that all runs may use together on this machine, like 8GiB [default: all]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<u64>,
    /// Print the id only
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print: json and yaml at the end, jsonl one document an event [default: table]
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "quiet")]
    pub output: Option<Format>,
}

/// Runs a job and follows it to its end.
pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let cluster = context.is_cluster()?;
    if !args.quiet {
        context.say_place()?;
    }
    if args.job.queue.is_some() && !cluster {
        context.screen.hint("note: one machine has no queues; --queue does nothing here");
    }
    if args.session.is_some() && !cluster {
        return Err(ClientError::NoSessions.into());
    }
    let preflight = Preflight::start(context)?;
    let client = context.client()?.dialling(args.session.as_deref());
    let room = room(context, &args).await?;
    let mut checked = job::check(context, &args.job, &room).await?;
    job::print_problems(&context.screen, &checked.problems);
    if checked.learns() {
        checked.learn(context).await?;
    }
    let exit = checked.exit();
    let Some(mut plan) = checked.plan.take() else {
        context.screen.hint("nothing was submitted");
        return Ok(exit as u8);
    };
    args.rest.apply(context, &mut plan).await?;
    let logins = super::logins::of(context, &plan).await?;
    let submission = Submission { logins, ..submission(context, &args, checked) };
    preflight.passed().await?;
    let submitted = start(&client, &plan, &submission).await?;
    let session = args.session.as_deref();
    tell(context, Tells { detach: args.detach, quiet: args.quiet, output: args.output, session }, &submitted)?;
    if args.detach {
        return Ok(ExitCode::Ok as u8);
    }
    let foreground = Foreground {
        context,
        run: submitted.info.run.clone(),
        // A run that another process made is not this one's to stop, nor is one on the cluster.
        own: !submitted.existed && !cluster,
        plan,
        client: client.knowing(&submitted),
        wait: args.wait,
        format: args.output,
        quiet: args.quiet,
    };
    foreground.follow(Way::of(submitted, true)).await
}

/// What is there for the job now.
async fn room(context: &Context, args: &Args) -> Result<Room, Failure> {
    let room = Room::now(context, args.job.queue.as_deref()).await?;
    Ok(match room {
        Room::Machine(configured) => Room::Machine(Resources {
            cpu_milli: args.cpus.unwrap_or(configured.cpu_milli),
            memory: args.memory.unwrap_or(configured.memory),
        }),
        cluster => cluster,
    })
}

fn submission(context: &Context, args: &Args, checked: Checked) -> Submission {
    Submission {
        job_file: Some(checked.path),
        text: checked.text,
        cwd: std::env::current_dir().unwrap_or_default(),
        request: args.request_id.clone(),
        session: args.session.clone(),
        budget_cpu_milli: args.cpus.or(context.conf.cpus.value),
        budget_memory: args.memory.or(context.conf.memory.value),
        at: now(),
        ..Submission::default()
    }
}

/// Makes the run durable and starts its first masters.
pub(crate) async fn start(client: &Client, plan: &Plan, submission: &Submission) -> Result<Submitted, Failure> {
    let mut submitted = client.submit(plan, submission).await?;
    if let Err(error) = client.start(&mut submitted, plan).await {
        let run = &submitted.info.run;
        let what = format!("run {run} is submitted and can't be started");
        return Err(Failure::new(error.exit(), what).next(format!("go on with `dybox resume {run}`")).source(error));
    }
    Ok(submitted)
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write a time like 30s, 10m or 2h".to_owned())?;
    span.try_into().map_err(|_| "a time can't be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(duration("5").is_err() && duration("-5s").is_err());
    }
}
