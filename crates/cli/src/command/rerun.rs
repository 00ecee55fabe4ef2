//! `dybox rerun`.

use std::time::Duration;

use dybox_client::Submission;
use dybox_client::earlier::{Earlier, following, run_only};
use dybox_job::Plan;
use dybox_model::ExitCode;
use dybox_store::layout::RunDir;

use super::foreground::Foreground;
use super::look::find;
use super::preflight::Preflight;
use super::rest::{say, stages};
use super::run::start;
use super::target::Target;
use super::{Context, Outcome};
use crate::conf::Format;
use crate::report::time::now;
use crate::report::{Failure, codes};

/// Runs a run's plan again, as a new run: all of it, or a stage and what follows it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Plan and params are those of the earlier run; the job file is not read again. With a stage, what does not follow it is taken from that run where it succeeded there, with its results. `resume` goes on with the same run instead.\n\nExamples:\n  dybox rerun @latest\n  dybox rerun nightly join"
)]
pub(crate) struct Args {
    /// RUN or RUN/STAGE; a run by id, its beginning, job name or @latest
    #[arg(value_name = "RUN[/STAGE]")]
    pub target: Target,
    /// The stage from which on it runs again
    #[arg(value_name = "STAGE")]
    pub stage: Option<String>,
    /// Submit, print the id and return
    #[arg(short, long)]
    pub detach: bool,
    /// Follow at most so long (30s, 10m, 2h); the run goes on
    #[arg(long, value_name = "DURATION", value_parser = super::run::duration, conflicts_with = "detach")]
    pub wait: Option<Duration>,
    /// Submitting twice with the same id makes one run
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Hand it to this session of yours on the cluster (`dybox session`)
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Print the id only
    #[arg(short, long)]
    pub quiet: bool,
    /// What to print: table, json or yaml (at the end), jsonl (one document an event)
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "quiet")]
    pub output: Option<Format>,
}

/// Submits it and follows it to its end.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let cluster = context.is_cluster()?;
    if !args.quiet {
        context.say_place()?;
    }
    let target = args.target.clone().with(args.stage.as_deref())?;
    if target.task.is_some() {
        return Err(Failure::coded(codes::BAD_TARGET, "a single task can't run again").next("name its stage alone"));
    }
    let preflight = Preflight::start(context)?;
    let client = context.client()?;
    let info = find(context, &target.run).await?;
    let earlier = client.earlier(&info.run).await?;
    let plan = planned(context, args, &earlier, target.stage)?;
    let text = client.store().get_opt(&RunDir::new(&info.run).job()).await?;
    let submission = Submission {
        job_file: info.job_file,
        text: text.unwrap_or_default().to_vec(),
        cwd: info.cwd,
        request: args.request_id.clone(),
        session: args.session.clone(),
        logins: super::logins::of(context, &plan).await?,
        budget_cpu_milli: context.conf.cpus.value,
        budget_memory: context.conf.memory.value,
        at: now(),
    };
    preflight.passed().await?;
    let submitted = start(&client, &plan, &submission).await?;
    let run = submitted.info.run.clone();
    if !args.output.is_some_and(Format::is_for_programs) || args.detach {
        context.screen.line(run.as_str())?;
    }
    if !args.quiet {
        context.screen.hint(&format!("look: dybox status {0} | dybox logs -f {0} | dybox stop {0}", run.short()));
    }
    if args.detach {
        return Ok(ExitCode::Ok as u8);
    }
    let foreground = Foreground {
        context,
        run,
        own: !submitted.existed && !cluster,
        plan,
        client: client.knowing(&submitted),
        wait: args.wait,
        format: args.output,
        quiet: args.quiet,
    };
    foreground.follow(dybox_client::Way::of(submitted, true)).await
}

/// The plan of that run, with what of it is taken from there.
fn planned(context: &Context, args: &Args, earlier: &Earlier, stage: Option<String>) -> Result<Plan, Failure> {
    // Its hooks run again, and add what they find then.
    let mut plan = earlier.plan.ungrown();
    for stage in &mut plan.stages {
        (stage.taken, stage.missed) = (None, None);
    }
    if let Some(stage) = stage {
        let mut runs = following(&plan, &stages(&plan, &[stage])?);
        // What did not succeed then has nothing to be taken.
        runs.extend(
            plan.stages
                .iter()
                .enumerate()
                .filter(|(_, stage)| earlier.stage(&stage.name).is_none())
                .map(|(at, _)| dybox_model::StageId(u32::try_from(at).unwrap_or(u32::MAX))),
        );
        let rest = run_only(&mut plan, &runs, std::slice::from_ref(earlier));
        if !args.quiet {
            say(context, &rest);
        }
    }
    Ok(plan)
}
