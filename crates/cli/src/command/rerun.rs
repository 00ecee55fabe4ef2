//! `dybox rerun`.

use std::time::Duration;

use dybox_client::Submission;
use dybox_client::earlier::{Earlier, following, run_only};
use dybox_job::Plan;
use dybox_model::ExitCode;
use dybox_store::RunInfo;
use dybox_store::layout::RunDir;

use super::foreground::Foreground;
use super::job::{self, JobArgs, Room};
use super::look::find;
use super::preflight::Preflight;
use super::rest::{say, say_params, stages};
use super::run::start;
use super::submitted::{Tells, tell};
use super::target::Target;
use super::{Context, Outcome};
use crate::conf::Format;
use crate::report::time::now;
use crate::report::{Failure, codes};

/// Runs a run's plan again, as a new run: all of it, or a stage and what follows it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Plan and params are those of the earlier run; the job file is not read again, but for --param. With a stage, what does not follow it is taken from that run where it succeeded there, with its results. `resume` goes on with the same run instead.\n\nExit codes: as of `dybox run`.\n\nExamples:\n  dybox rerun @latest\n  dybox rerun nightly join\n  dybox rerun nightly -p day=friday"
)]
pub(crate) struct Args {
    /// RUN or RUN/STAGE; a run by id, its beginning, job name or @latest
    #[arg(value_name = "RUN[/STAGE]")]
    pub target: Target,
    /// The stage from which on it runs again
    #[arg(value_name = "STAGE")]
    pub stage: Option<String>,
    /// Another value of a parameter; may be given many times. The job file is read again for it
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = super::job::param)]
    pub params: Vec<(String, String)>,
    /// Submit, print the id and return
    #[arg(short, long)]
    pub detach: bool,
    /// Follow at most so long (30s, 10m, 2h), then exit with 124; the run goes on
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
    /// How to print: json and yaml at the end, jsonl one document an event [default: table]
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
    let (base, text) = match args.params.is_empty() {
        // Its hooks run again, and add what they find then.
        true => (earlier.plan.ungrown(), None),
        false => match anew(context, args, (&info, &earlier)).await? {
            Anew::Planned(plan, text) => (*plan, Some(text)),
            Anew::Wrong(exit) => return Ok(exit as u8),
        },
    };
    let plan = planned((context, args), base, &earlier, target.stage)?;
    let text = match text {
        Some(text) => text,
        None => client.store().get_opt(&RunDir::new(&info.run).job()).await?.unwrap_or_default().to_vec(),
    };
    let submission = Submission {
        job_file: info.job_file,
        text,
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
    let session = args.session.as_deref();
    tell(context, Tells { detach: args.detach, quiet: args.quiet, output: args.output, session }, &submitted)?;
    if args.detach {
        return Ok(ExitCode::Ok as u8);
    }
    let foreground = Foreground {
        context,
        run: submitted.info.run.clone(),
        own: !submitted.existed && !cluster,
        plan,
        client: client.knowing(&submitted),
        wait: args.wait,
        format: args.output,
        quiet: args.quiet,
    };
    foreground.follow(dybox_client::Way::of(submitted, true)).await
}

/// What the job file comes to with other parameters.
enum Anew {
    Planned(Box<Plan>, Vec<u8>),
    Wrong(ExitCode),
}

/// Reads the job file of that run again, with its parameters and those that are given now, and says what differs.
async fn anew(context: &Context, args: &Args, (info, earlier): (&RunInfo, &Earlier)) -> Result<Anew, Failure> {
    let Some(file) = &info.job_file else {
        let failure = Failure::new(ExitCode::Usage, format!("run {} has no job file: its params stay", info.run));
        return Err(failure.next("leave --param out"));
    };
    let mut params = earlier.plan.params.clone();
    params.extend(args.params.iter().cloned());
    let (file, params, name) = (info.cwd.join(file), params.into_iter().collect(), Some(earlier.plan.name.clone()));
    let wanted = JobArgs { file, params, name, ..JobArgs::default() };
    let room = Room::now(context, None).await?;
    let mut checked = job::check(context, &wanted, &room).await?;
    job::print_problems(&context.screen, &checked.problems);
    let exit = checked.exit();
    let Some(plan) = checked.plan.take() else {
        context.screen.hint("nothing was submitted");
        return Ok(Anew::Wrong(exit));
    };
    if !args.quiet {
        say_params(context, &info.run, (&earlier.plan.params, &plan.params));
        let before = context.client()?.store().get_opt(&RunDir::new(&info.run).job()).await?;
        if before.is_some_and(|before| before != checked.text) {
            context.screen.hint("the job file is another one than then: it is taken as it is now");
        }
    }
    Ok(Anew::Planned(Box::new(plan), checked.text))
}

/// The plan of that run, with what of it is taken from there.
fn planned(
    (context, args): (&Context, &Args),
    mut plan: Plan,
    earlier: &Earlier,
    stage: Option<String>,
) -> Result<Plan, Failure> {
    for stage in &mut plan.stages {
        // A person wants it to run.
        (stage.taken, stage.cache) = (None, false);
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
