//! A run as JSON: the same as its page.

use dybox_journal::{Failure, Run, RunView, Stage};
use dybox_model::{AttemptId, TaskState};
use serde_json::{Value, json};

use crate::About;
use crate::rows::{state_word, task_word};

/// Live attempts that are told; `tasks` has the numbers of all.
const MOST_LIVE: usize = 1_000;

/// The run as one JSON object. Times are milliseconds since 1970.
#[must_use]
pub fn json(view: &RunView, about: &About) -> String {
    let first = view.subs.values().find(|run| run.run.is_some());
    let stages: Vec<Value> = view
        .subs
        .values()
        .flat_map(|run| run.stages.iter().map(move |stage| (run, stage)))
        .map(|(run, stage)| of_stage(view, run, stage, about))
        .collect();
    let subdags: Vec<Value> = view.subs.iter().map(|(id, run)| {
        json!({ "subdag": id.0, "epoch": run.epoch, "state": run.end.as_ref().map_or("running", |end| end.end.word()),
            "why": run.end.as_ref().map(|end| &end.why), "warnings": run.warnings.iter().map(|(text, _)| text).collect::<Vec<_>>() })
    }).collect();
    let live = view.subs.values().flat_map(|run| run.live.keys().map(move |attempt| (run, *attempt)));
    let told = json!({
        "run": first.and_then(|run| run.run.as_ref()).map(ToString::to_string),
        "job": first.map(|run| &run.job),
        "user": about.user,
        "queue": about.queue,
        "application": about.application,
        "now": about.now.0,
        "submitted": first.and_then(|run| run.submitted).map(|at| at.0),
        "ended": view.ended().map(|at| at.0),
        "state": view.state().word(),
        "why": view.why(),
        "subdags": subdags,
        "stages": stages,
        "live": live.take(MOST_LIVE).filter_map(|(run, attempt)| of_live(run, attempt, about)).collect::<Vec<_>>(),
    });
    format!("{told:#}\n")
}

fn of_stage(view: &RunView, run: &Run, stage: &Stage, about: &About) -> Value {
    let named = |id| view.stage(id).map(|(_, stage)| stage.outline.name.clone());
    let counts = stage.counts;
    json!({
        "stage": stage.outline.name,
        "image": stage.outline.image,
        "image_came": view.image_story(stage.outline.id).map(|story| story.words()).unwrap_or_default(),
        "needs": stage.outline.needs.iter().filter_map(|&(id, _)| named(id)).collect::<Vec<_>>(),
        "state": state_word(stage.state),
        "why": stage.why,
        "waits": stage.waits,
        "started": stage.started.map(|at| at.0),
        "ended": stage.ended.map(|at| at.0),
        "attempts": stage.tries,
        "tasks": {
            "total": counts.total(), "waiting": counts.waiting, "starting": counts.starting, "running": counts.running,
            "succeeded": counts.succeeded, "failed": counts.failed, "stopped": counts.stopped, "lost": counts.lost,
        },
        "failures": stage.failures,
        "failed": stage.failed.iter().map(|failure| of_failure(run, (stage, failure), about)).collect::<Vec<_>>(),
    })
}

fn of_failure(run: &Run, (stage, failure): (&Stage, &Failure), about: &About) -> Value {
    let (place, info) = (run.places.get(&failure.grant), failure.exit.cause.map(dybox_model::Cause::info));
    json!({
        "task": failure.attempt.task.index,
        "attempt": failure.attempt.number,
        "host": place.map(|place| &place.host),
        "logs": place.and_then(|place| about.logs_at(place)),
        "cause": info.map(|info| info.name),
        "code": info.map(|info| info.code),
        "why": failure.exit.words(),
        "next": failure.exit.cause.map(|cause| cause.next(stage.outline.hook)),
        "exit": failure.exit.shell_code(),
        "ended": failure.exit.ended.0,
        "again": failure.again,
    })
}

fn of_live(run: &Run, attempt: AttemptId, about: &About) -> Option<Value> {
    let (live, stage) = (run.live.get(&attempt)?, run.stage(attempt.task.stage)?);
    let place = run.places.get(&live.grant);
    let state = if live.runs.is_some() { TaskState::Running } else { TaskState::Starting };
    Some(json!({
        "stage": stage.outline.name,
        "task": attempt.task.index,
        "attempt": attempt.number,
        "state": task_word(state),
        "host": place.map(|place| &place.host),
        "logs": place.and_then(|place| about.logs_at(place)),
        "given": live.given.0,
        "runs": live.runs.map(|at| at.0),
        "cpu_ms": live.used.cpu_ms,
        "memory": live.memory,
    }))
}
