//! `--only`, `--from`, `--cache`, `--no-cache`: which stages of a job run, and where the rest comes from.

use std::collections::{BTreeMap, BTreeSet};

use dybox_client::earlier::{Earlier, Rest, following, run_only, stage_named};
use dybox_job::Plan;
use dybox_model::{ExitCode, RunId, StageId};

use super::Context;
use crate::live::shown;
use crate::report::{Failure, codes, nearest};

/// So many of the last runs of a job are looked into.
const LOOK_BACK: usize = 20;
/// So many names are listed in a message.
const NAMED: usize = 8;

/// What of a job runs.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RestArgs {
    /// Run these stages alone; what they need is taken from the last run in which it succeeded
    #[arg(long, value_name = "STAGE,..", value_delimiter = ',', conflicts_with_all = ["from", "cache"])]
    pub only: Vec<String>,
    /// Run these stages and all that follow them; what they need is taken from the last run in which it succeeded
    #[arg(long, value_name = "STAGE,..", value_delimiter = ',', conflicts_with = "cache")]
    pub from: Vec<String>,
    /// Take each stage from an earlier run where image, command, variables, params, inputs and the results that it reads are the same; as if all said `cache: true`
    #[arg(long)]
    pub cache: bool,
    /// Take no stage from an earlier run, also where the job file says `cache: true`
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
}

impl RestArgs {
    /// Changes the plan accordingly and says so.
    pub(crate) async fn apply(&self, context: &Context, plan: &mut Plan) -> Result<(), Failure> {
        if self.cache || self.no_cache {
            plan.stages.iter_mut().for_each(|stage| stage.cache = self.cache);
        }
        let named = if self.from.is_empty() { &self.only } else { &self.from };
        if named.is_empty() {
            return Ok(());
        }
        let mut runs = stages(plan, named)?;
        if !self.from.is_empty() {
            runs = following(plan, &runs);
        }
        let earlier = earlier(context, &plan.name).await?;
        let rest = run_only(plan, &runs, &earlier);
        if let Some(missing) = rest.missing.first().filter(|_| !self.from.is_empty()) {
            let what = format!("stage {missing:?} has not succeeded in any of the last {LOOK_BACK} runs of this job");
            return Err(Failure::new(ExitCode::Conflict, what)
                .why("what comes before --from is taken from an earlier run, and there is none")
                .next(format!("run the whole job first, or begin earlier: --from {missing}")));
        }
        say(context, &rest);
        for earlier in earlier.iter().filter(|earlier| rest.taken.iter().any(|(_, run)| *run == earlier.run)) {
            say_params(context, &earlier.run, (&earlier.plan.params, &plan.params));
        }
        Ok(())
    }
}

/// The stages of these names.
pub(crate) fn stages(plan: &Plan, names: &[String]) -> Result<BTreeSet<StageId>, Failure> {
    let one = |name: &String| {
        stage_named(plan, name).ok_or_else(|| {
            let failure = Failure::coded(codes::NO_STAGE, format!("the job has no stage {name:?}"));
            match nearest(name, plan.stages.iter().map(|stage| stage.name.as_str())) {
                Some(near) => failure.next(format!("did you mean {near:?}?")),
                None => failure.next("list them with `dybox plan`"),
            }
        })
    };
    names.iter().map(one).collect()
}

/// Says what is taken from where, and what is left out.
pub(crate) fn say(context: &Context, rest: &Rest) {
    let mut by_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, run) in &rest.taken {
        by_run.entry(run.as_str()).or_default().push(name);
    }
    for (run, names) in by_run {
        context.screen.hint(&format!("from run {run}: {}", list(&names)));
    }
    let left: Vec<&str> = rest.left_out.iter().map(String::as_str).collect();
    if !left.is_empty() {
        context.screen.hint(&format!("left out: {}", list(&left)));
    }
    for name in &rest.missing {
        context.screen.warn(&format!("{name} is needed and has not succeeded before: there are no results of it"));
    }
}

/// Says which parameters are others than in a run that something is taken from, or that runs again.
pub(crate) fn say_params(
    context: &Context,
    run: &RunId,
    (was, is): (&BTreeMap<String, String>, &BTreeMap<String, String>),
) {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let word = |params: &BTreeMap<String, String>, name: &String| {
        params.get(name).map_or_else(|| "not there".to_owned(), |text| shown(text))
    };
    let others = names.into_iter().filter(|name| was.get(*name) != is.get(*name));
    let told: Vec<String> =
        others.map(|name| format!("{name} was {}, is {}", word(was, name), word(is, name))).collect();
    if !told.is_empty() {
        context.screen.hint(&format!("other params than in run {run}: {}", told.join("; ")));
    }
}

fn list(names: &[&str]) -> String {
    match names.len() {
        0..=NAMED => names.join(", "),
        all => format!("{} and {} more", names[..NAMED].join(", "), all - NAMED),
    }
}

/// The last runs of a job, the newest first. One that can't be read is passed over.
async fn earlier(context: &Context, job: &str) -> Result<Vec<Earlier>, Failure> {
    let client = context.client()?;
    let runs = client.runs().await?;
    let mut all = Vec::new();
    for info in runs.list.iter().filter(|info| info.job == job).take(LOOK_BACK) {
        match client.earlier(&info.run).await {
            Ok(earlier) => all.push(earlier),
            Err(error) => context.screen.warn(&format!("run {} is passed over: {error}", info.run)),
        }
    }
    Ok(all)
}
