//! Finding what a person points at, and reading how it stands.

use dybox_client::{Client, Phase, Standing, grown};
use dybox_job::Plan;
use dybox_journal::{Stage, StageState};
use dybox_model::{Fact, HookId, RunId, StageEnd, StageId, SubDagId};
use dybox_store::RunInfo;
use dybox_store::layout::RunDir;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Context;
use super::target::Target;
use crate::report::{Failure, codes, nearest};

/// A run with its plan and how it stands now.
#[derive(Debug)]
pub(crate) struct Looked {
    /// Who submitted what.
    pub info: RunInfo,
    /// The plan, with what hooks have added.
    pub plan: Plan,
    /// What its journals say.
    pub standing: Standing,
    /// The stage that was pointed at.
    pub stage: Option<StageId>,
    /// The task that was pointed at.
    pub task: Option<u32>,
}

impl Looked {
    /// What is known of a stage; nothing while its sub-DAG has not been submitted.
    pub(crate) fn seen(&self, stage: StageId) -> Option<&Stage> {
        self.standing.view.stage(stage).map(|(_, stage)| stage)
    }

    /// Whether it is over, and no master of it ever wrote its plan down: there is nothing to go on with.
    pub(crate) fn never_began(&self) -> bool {
        self.plan.stages.is_empty() && (self.standing.is_lost() || self.standing.view.ended().is_some())
    }

    /// The name of a stage.
    pub(crate) fn name(&self, stage: StageId) -> &str {
        self.plan.stages.get(stage.0 as usize).map_or("?", |stage| &stage.name)
    }

    /// Whether the application of its sub-DAG was killed, or lost its masters, before that ended: it does not go on.
    pub(crate) fn is_dead(&self, stage: StageId) -> bool {
        let Some(subdag) = self.plan.stages.get(stage.0 as usize).map(|stage| stage.subdag) else { return false };
        let open = self.standing.view.subs.get(&subdag).is_none_or(|sub| sub.end.is_none());
        let application = self.standing.applications.get(&subdag);
        open && application.is_some_and(|one| matches!(one.phase, Phase::Killed | Phase::Failed))
    }

    /// The stage that was asked about; else those that failed, or, while nothing failed, those that are not over; at most
    /// so many.
    pub(crate) fn to_explain(&self, most: usize) -> Vec<StageId> {
        if self.stage.is_some() {
            return self.shown();
        }
        let state = |id: &StageId| self.seen(*id).map_or(StageState::Waiting, |stage| stage.state);
        let bad = |id: &StageId| {
            matches!(state(id), StageState::Ended(StageEnd::Failed | StageEnd::Lost))
                || self.seen(*id).is_some_and(|stage| stage.counts.failed + stage.counts.lost > 0)
        };
        let mut ids: Vec<_> = self.shown().into_iter().filter(bad).collect();
        if ids.is_empty() && !self.standing.view.state().is_over() {
            ids = self.shown().into_iter().filter(|id| !matches!(state(id), StageState::Ended(_))).collect();
        }
        ids.truncate(most);
        ids
    }

    /// What a hook is called: after which stages, and the stage that it runs as.
    pub(crate) fn hook(&self, hook: HookId) -> String {
        let after = self.plan.hooks.get(hook.0 as usize).map(|hook| &hook.after);
        let names: Vec<_> = after.into_iter().flatten().map(|&stage| self.name(stage)).collect();
        let stage = self.plan.stage_of_hook(hook).map(|stage| format!(", stage {}", self.name(stage)));
        format!("hook after {}{}", names.join(", "), stage.unwrap_or_default())
    }

    /// Stages to show: the one that was pointed at, or all.
    pub(crate) fn shown(&self) -> Vec<StageId> {
        match self.stage {
            Some(stage) => vec![stage],
            None => self.plan.numbered().map(|(id, _)| id).collect(),
        }
    }
}

/// How large a plan is, read without keeping it.
#[derive(Debug, Default, Deserialize)]
struct Size {
    stages: Vec<IgnoredAny>,
    subdags: Vec<IgnoredAny>,
}

/// Number of stages and of sub-DAGs of a run.
pub(crate) async fn size(client: &Client, run: &RunId) -> Result<(u32, u32), Failure> {
    let Some(text) = client.store().get_opt(&RunDir::new(run).plan()).await? else {
        let plan = client.plan(run).await?;
        return Ok((0, u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX)));
    };
    let size: Size = serde_json::from_slice(&text)
        .map_err(|e| Failure::coded(codes::RUN_DAMAGED, format!("the plan of run {run} is damaged")).source(e))?;
    let count = |list: &Vec<IgnoredAny>| u32::try_from(list.len()).unwrap_or(u32::MAX);
    Ok((count(&size.stages), count(&size.subdags)))
}

/// Finds the run that is meant.
pub(crate) async fn find(context: &Context, query: &str) -> Result<RunInfo, Failure> {
    let client = context.client()?;
    match client.find(query).await {
        Ok(info) => Ok(info),
        Err(dybox_client::ClientError::NotFound { .. }) => Err(not_found(&client, query).await),
        Err(e) => Err(e.into()),
    }
}

async fn not_found(client: &Client, query: &str) -> Failure {
    let failure = Failure::coded(codes::NO_RUN, format!("there is no run {query:?}"));
    let Ok(runs) = client.runs().await else { return failure };
    if runs.list.is_empty() {
        let place = if client.cluster().is_some() { "by you on this cluster" } else { "from this home" };
        return failure.next(format!("nothing was run yet {place}: `dybox run JOB.yaml`"));
    }
    let known = runs.list.iter().flat_map(|info| [info.job.as_str(), info.run.as_str(), info.run.short()]);
    match nearest(query, known) {
        Some(near) => failure.next(format!("did you mean {near:?}?")),
        None if client.cluster().is_some() => {
            failure.next("list the runs with `dybox ps --all`; runs of this machine with `dybox ps --all --local`")
        }
        None => failure,
    }
}

/// Finds what is meant and reads how it stands.
pub(crate) async fn look(context: &Context, target: &Target) -> Result<Looked, Failure> {
    let client = context.client()?;
    let info = find(context, &target.run).await?;
    let plan = client.plan(&info.run).await?;
    let subdags = u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX);
    let standing = client.standing(&info.run, subdags).await?;
    for (subdag, damage) in &standing.damaged {
        context.screen.warn(&format!("the journal of sub-DAG {} is {damage}: what follows it is not shown", subdag.0));
    }
    for unknown in &standing.unknown {
        context.screen.warn(&format!("{unknown}; this is what was last known"));
    }
    let plan = grown(&plan, &standing.view);
    let mut looked = Looked { info, plan, standing, stage: None, task: None };
    if let Some(name) = &target.stage {
        looked.stage = Some(stage_named(&looked, name)?);
        looked.task = target.task;
        check_task(&looked)?;
    }
    Ok(looked)
}

fn stage_named(looked: &Looked, name: &str) -> Result<StageId, Failure> {
    if let Some((id, _)) = looked.plan.numbered().find(|(_, stage)| stage.name == name) {
        return Ok(id);
    }
    let names = || looked.plan.numbered().map(|(_, stage)| stage.name.as_str());
    let run = &looked.info.run;
    let failure = Failure::coded(codes::NO_STAGE, format!("run {run} has no stage {name:?}"));
    Err(match nearest(name, names()) {
        Some(near) => failure.next(format!("did you mean {near:?}?")),
        None if looked.plan.stages.is_empty() => failure.next(format!("no master of it has begun: dybox status {run}")),
        None if looked.plan.stages.len() <= 20 => {
            failure.next(format!("its stages are {}", names().collect::<Vec<_>>().join(", ")))
        }
        None => failure.next(format!("list them with `dybox status {run}`")),
    })
}

fn check_task(looked: &Looked) -> Result<(), Failure> {
    let (Some(stage), Some(task)) = (looked.stage, looked.task) else { return Ok(()) };
    let planned = looked.plan.stages.get(stage.0 as usize).map_or(0, |stage| stage.tasks);
    let tasks = looked.seen(stage).map_or(planned, |seen| seen.counts.total());
    if task < tasks {
        return Ok(());
    }
    let name = looked.name(stage);
    let next = match tasks {
        0 => "it has no tasks".to_owned(),
        1 => format!("its one task is {name}/0"),
        _ => format!("its tasks are {name}/0 to {name}/{}", tasks - 1),
    };
    Err(Failure::coded(codes::NO_TASK, format!("stage {name:?} has no task {task}")).next(next))
}

/// All facts of a sub-DAG that can be read.
pub(crate) async fn facts(client: &Client, run: &RunId, subdag: SubDagId) -> Result<Vec<Fact>, Failure> {
    Ok(client.facts_of(run, subdag).await?)
}
