//! `dybox run`.

use std::time::Duration;

use dybox_client::{Client, Submission, Submitted, Way};
use dybox_job::Plan;
use dybox_model::{ExitCode, Resources};

use super::foreground::Foreground;
use super::job::{self, JobArgs};
use super::preflight::Preflight;
use super::{Context, Outcome};
use crate::conf::{Format, cpus, memory};
use crate::report::Failure;
use crate::report::time::now;

/// Runs a job and follows it to its end.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ctrl-C stops the run, a second one at once. With --detach, or when the terminal closes, it goes on by itself.\n\nExit codes: 0 it succeeded, 1 it failed, 3 the job file is invalid, 5 the engine can't be used, 6 it was stopped,\n9 lost to the platform. `dybox explain 9` tells more.\n\nExamples:\n  dybox run job.yaml\n  dybox run job.yaml -p day=2026-01-31 --detach\n  dybox run job.yaml -o json | jq .state"
)]
pub(crate) struct Args {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Submit, print the id and return
    #[arg(short, long)]
    pub detach: bool,
    /// Follow at most so long (30s, 10m, 2h); the run goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "detach")]
    pub wait: Option<Duration>,
    /// Submitting twice with the same id makes one run
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Most cpus that all runs may use together on this machine
    #[arg(long, value_parser = cpus)]
    pub cpus: Option<u32>,
    /// Most memory that all runs may use together on this machine (like 8GiB)
    #[arg(long, value_parser = memory)]
    pub memory: Option<u64>,
    /// Queue of a cluster; it does nothing on one machine
    #[arg(long)]
    pub queue: Option<String>,
    /// Run on this machine
    #[arg(long, conflicts_with = "yarn", hide = true)]
    pub local: bool,
    /// Run on the YARN cluster
    #[arg(long, hide = true)]
    pub yarn: bool,
    /// Print the id only
    #[arg(short, long)]
    pub quiet: bool,
    /// What to print: table, json (at the end) or jsonl (one document an event)
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "quiet")]
    pub output: Option<Format>,
}

/// Runs a job and follows it to its end.
pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    if args.yarn {
        return Err(
            Failure::new(ExitCode::Usage, "--yarn is not supported yet").next("leave it out to run on this machine")
        );
    }
    if args.queue.is_some() {
        context.screen.hint("note: one machine has no queues; --queue does nothing here");
    }
    let preflight = Preflight::start(context);
    let configured = job::budget(context);
    let budget = Resources {
        cpu_milli: args.cpus.unwrap_or(configured.cpu_milli),
        memory: args.memory.unwrap_or(configured.memory),
    };
    let checked = job::check(context, &args.job, budget)?;
    job::print_problems(&context.screen, &checked.problems);
    let exit = checked.exit();
    let Some(plan) = checked.plan else {
        context.screen.hint("nothing was submitted");
        return Ok(exit as u8);
    };
    let client = context.client()?;
    let submission = Submission {
        job_file: Some(checked.path),
        text: checked.text,
        cwd: std::env::current_dir().unwrap_or_default(),
        request: args.request_id.clone(),
        budget_cpu_milli: args.cpus.or(context.conf.cpus.value),
        budget_memory: args.memory.or(context.conf.memory.value),
        at: now(),
    };
    preflight.passed().await?;
    let submitted = start(&client, &plan, &submission).await?;
    match tell_id(context, &args, &submitted) {
        // Nobody reads the id; the run goes on and is followed as ever.
        Err(failure) if failure.is_quiet() => {}
        told => told?,
    }
    if args.detach {
        return Ok(ExitCode::Ok as u8);
    }
    let foreground = Foreground {
        context,
        run: submitted.info.run.clone(),
        // A run that another process made is not this one's to stop.
        own: !submitted.existed,
        plan,
        client,
        wait: args.wait,
        format: args.output,
        quiet: args.quiet,
    };
    foreground.follow(Way::of(submitted, true)).await
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

/// The first line is the id, then where to look.
fn tell_id(context: &Context, args: &Args, submitted: &Submitted) -> Result<(), Failure> {
    let run = &submitted.info.run;
    let programs = matches!(args.output, Some(Format::Json | Format::Jsonl));
    if programs && args.detach {
        return context.screen.line(&serde_json::json!({ "version": 1, "run": run }).to_string());
    }
    if !programs {
        context.screen.line(run.as_str())?;
    }
    if submitted.existed {
        context.screen.hint("it was submitted before, with the same request id");
    }
    if !args.quiet {
        context.screen.hint(&format!("look: dybox status {0} | dybox logs -f {0} | dybox stop {0}", run.short()));
    }
    Ok(())
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
