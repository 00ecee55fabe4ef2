//! One moment of a run, as the live tree shows it.

use dybox_job::Plan;
use dybox_journal::{Run, RunState, RunView, Stage, StageState};
use dybox_model::{AttemptId, Millis, Need, RunId, StageEnd, StageId, TaskId, Usage};

use super::line::shown;
use crate::report::state::{taken_words, waits_words};

/// Ports of a stage that its line has room for.
const PORTS: usize = 4;

/// Everything that the tree shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Picture {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// When it was submitted; nothing before that is known.
    pub since: Option<Millis>,
    /// How it ended.
    pub end: Option<StageEnd>,
    /// What the whole run does now, where that is more than running ("stopping").
    pub word: Option<String>,
    /// Stages, in the order of the file.
    pub stages: Vec<StageRow>,
    /// Images on their way.
    pub pulls: Vec<Pull>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A stage's line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StageRow {
    /// Its name.
    pub name: String,
    /// Its tasks, by state.
    pub tasks: Counts,
    /// When it started and when it ended.
    pub from: Option<Millis>,
    /// When it ended.
    pub to: Option<Millis>,
    /// How it ended.
    pub end: Option<StageEnd>,
    /// Why it waits, or why it ended so.
    pub why: String,
    /// What the task nearest to its limit uses of memory now, and that limit, in bytes.
    pub memory: Option<(u64, u64)>,
}

/// Tasks by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// All.
    pub all: u32,
    /// Given to a proxy, not running yet.
    pub starting: u32,
    /// Running.
    pub running: u32,
    /// Succeeded.
    pub done: u32,
    /// Failed or lost.
    pub failed: u32,
    /// Stopped.
    pub stopped: u32,
}

impl Counts {
    /// Those that have not been given to a proxy.
    pub(crate) fn waiting(&self) -> u32 {
        self.all.saturating_sub(self.starting + self.running + self.done + self.failed + self.stopped)
    }
}

/// An image on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pull {
    /// Its name.
    pub image: String,
    /// Bytes here.
    pub have: u64,
    /// Bytes in all, 0 where that is not known.
    pub total: u64,
}

impl Picture {
    /// A run as its journals and notes show it; what is not known yet is as planned.
    pub(crate) fn of(run: &RunId, plan: &Plan, view: &RunView) -> Self {
        let submitted = view.subs.values().filter_map(|sub| sub.submitted).min();
        let stages = plan.numbered().map(|(id, planned)| match view.stage(id) {
            Some((run, stage)) => StageRow { memory: memory(run, stage), ..seen(stage, plan, view) },
            None => planned_row(planned, plan, view),
        });
        let pulls = view.subs.values().flat_map(|sub| &sub.pulls);
        let pulls = pulls.map(|(image, pull)| Pull { image: image.clone(), have: pull.have, total: pull.total });
        let warnings = view.subs.values().flat_map(|sub| &sub.warnings).map(|(text, _)| text.clone());
        let stopping = view.subs.values().any(|sub| sub.stop.is_some() && sub.end.is_none());
        Self {
            job: plan.name.clone(),
            run: run.to_string(),
            since: submitted,
            end: end_of(view.state()),
            word: stopping.then(|| "stopping".to_owned()),
            stages: stages.collect(),
            pulls: pulls.collect(),
            warnings: warnings.collect(),
        }
    }
}

fn seen(stage: &Stage, plan: &Plan, view: &RunView) -> StageRow {
    let counts = &stage.counts;
    let tasks = Counts {
        all: counts.total(),
        starting: counts.starting,
        running: counts.running,
        done: counts.succeeded,
        failed: counts.failed + counts.lost,
        stopped: counts.stopped,
    };
    let end = match stage.state {
        StageState::Ended(end) => Some(end),
        StageState::Waiting | StageState::Running => None,
    };
    let why = match (end, stage.started) {
        (Some(_), _) if stage.why.is_empty() => taken_words(stage).unwrap_or_default(),
        (Some(_), _) => stage.why.clone(),
        // The last reason that was told is stale once all its tasks have been given away.
        (None, Some(_)) if counts.waiting == 0 => ports(stage, view),
        (None, Some(_)) => waits_words(stage),
        (None, None) if stage.waits.is_empty() => waits_for(&stage.outline.needs, plan, view),
        (None, None) => stage.waits.clone(),
    };
    StageRow { name: stage.outline.name.clone(), tasks, from: stage.started, to: stage.ended, end, why, memory: None }
}

/// Nothing before the first look at a task that runs.
fn memory(run: &Run, stage: &Stage) -> Option<(u64, u64)> {
    let id = stage.outline.id;
    let first = AttemptId { task: TaskId { stage: id, index: 0 }, number: 0 };
    let live = run.live.range(first..).take_while(|(attempt, _)| attempt.task.stage == id);
    let live = live.filter(|(_, live)| live.now.working_set > 0);
    let limit = |now: &Usage| if now.limit > 0 { now.limit } else { stage.outline.ask.memory };
    let used = live.map(|(_, live)| (live.now.working_set, limit(&live.now).max(1)));
    used.max_by_key(|(used, limit)| used.saturating_mul(1000) / limit)
}

/// Where its running tasks are reached.
fn ports(stage: &Stage, view: &RunView) -> String {
    let id = stage.outline.id;
    let all = view.stage(id).into_iter().flat_map(|(run, _)| run.published(id));
    all.take(PORTS).map(|(_, port)| shown(&port.to_string())).collect::<Vec<_>>().join(", ")
}

fn planned_row(planned: &dybox_job::Stage, plan: &Plan, view: &RunView) -> StageRow {
    let tasks = Counts { all: planned.tasks, ..Counts::default() };
    let why = waits_for(&planned.needs, plan, view);
    StageRow { name: planned.name.clone(), tasks, why, ..StageRow::default() }
}

/// `needs a, b`: those that have not ended.
fn waits_for(needs: &[(StageId, Need)], plan: &Plan, view: &RunView) -> String {
    let open = |id: StageId| view.stage(id).is_none_or(|(_, stage)| !matches!(stage.state, StageState::Ended(_)));
    let open = needs.iter().filter(|(id, _)| open(*id)).filter_map(|(id, _)| plan.stages.get(id.0 as usize));
    let names: Vec<_> = open.map(|stage| stage.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("needs {}", names.join(", ")) }
}

const fn end_of(state: RunState) -> Option<StageEnd> {
    match state {
        RunState::Submitted | RunState::Running => None,
        RunState::Succeeded => Some(StageEnd::Succeeded),
        RunState::Failed => Some(StageEnd::Failed),
        RunState::Stopped => Some(StageEnd::Stopped),
        RunState::Lost => Some(StageEnd::Lost),
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::{Cause, Exit, Fact, GrantId, Note, SubDagId, TaskId};

    use super::*;
    use crate::report::samples::outline;

    #[test]
    fn a_reason_to_wait_is_gone_when_nothing_waits() {
        let (sub, stage) = (SubDagId(0), StageId(0));
        let outline = outline(0, "a", 1);
        let run: RunId = "01jd0000000000000000000000".parse().unwrap();
        let plan: Plan = serde_json::from_value(serde_json::json!({
            "version": 1, "name": "n", "tags": [], "params": {}, "fail_fast": false, "stages": [], "hooks": [],
            "subdags": [],
        }))
        .unwrap();
        let mut view = RunView::new(1);
        let at = Millis(1000);
        view.apply(sub, &Fact::Submitted { run, job: "n".into(), subdag: sub, at, stages: vec![outline] });
        view.apply(sub, &Fact::StageStarted { stage, tasks: 1, at });
        view.note(sub, &Note::Waits { stage, why: "no room".into() });
        let why = |view: &RunView| seen(view.stage(stage).unwrap().1, &plan, view).why;
        assert_eq!(why(&view), "no room");
        let attempt = AttemptId { task: TaskId { stage, index: 0 }, number: 1 };
        view.apply(sub, &Fact::AttemptStarted { attempt, grant: GrantId::compose(sub, 1, 1), at });
        assert_eq!(why(&view), "");
        // What has failed is told with the pause before it is tried again.
        let exit = Exit::not_started(Cause::RegistryDown, "no such host", at);
        view.apply(sub, &Fact::AttemptEnded { attempt, exit, again: true });
        view.note(sub, &Note::Waits { stage, why: "pause of 1.0s before try 2 of 9".into() });
        assert_eq!(why(&view), "pause of 1.0s before try 2 of 9: C2002 the registry can't be reached: no such host");
        let attempt = AttemptId { number: 2, ..attempt };
        view.apply(sub, &Fact::AttemptStarted { attempt, grant: GrantId::compose(sub, 1, 2), at });
        assert_eq!(why(&view), "");
    }
}
