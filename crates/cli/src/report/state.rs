//! States as words and colours.

use dybox_journal::{Counts, Stage, StageState};
use dybox_model::{Owner, StageEnd, TaskState};
use serde_json::{Value, json};

use super::Paint;
use crate::live::shown;

/// The word for where a stage stands; `waiting` where nothing is known of it.
pub(crate) fn stage_word(stage: Option<&Stage>) -> &'static str {
    match stage.map(|stage| stage.state) {
        None | Some(StageState::Waiting) => "waiting",
        Some(StageState::Running) => "running",
        Some(StageState::Ended(end)) => end.word(),
    }
}

/// The word for where a task stands.
pub(crate) const fn task_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "waiting",
        TaskState::Starting => "starting",
        TaskState::Running => "running",
        TaskState::Succeeded => StageEnd::Succeeded.word(),
        TaskState::Failed => StageEnd::Failed.word(),
        TaskState::Stopped => StageEnd::Stopped.word(),
        TaskState::Lost => StageEnd::Lost.word(),
    }
}

/// The colour of a state.
pub(crate) fn state_paint(word: &str) -> Paint {
    match word {
        "succeeded" => Paint::Good,
        "failed" | "lost" => Paint::Bad,
        "running" | "starting" => Paint::Busy,
        "stopped" => Paint::Warn,
        _ => Paint::Dim,
    }
}

/// Why a stage waits: as its master says, and what failed before a further try.
pub(crate) fn waits_words(seen: &Stage) -> String {
    let waits = seen.waits.as_str();
    let Some(failure) = seen.tried_again() else { return waits.to_owned() };
    let lead = if waits.is_empty() { "tried again" } else { waits };
    let code = failure.exit.cause.map(|cause| format!("{} ", cause.info().code)).unwrap_or_default();
    format!("{lead}: {code}{}", shown(&failure.exit.words()))
}

/// What a person should know of a stage although it succeeded.
pub(crate) fn odd_words(seen: &Stage) -> Option<String> {
    let (attempt, text) = seen.odd.as_ref()?;
    let of = if seen.tasks.len() > 1 { format!("task {} ", attempt.task.index) } else { String::new() };
    Some(format!("{of}{}", shown(text)))
}

/// Where a stage that did not run was taken from.
pub(crate) fn taken_words(seen: &Stage) -> Option<String> {
    Some(match seen.taken.as_ref()? {
        Some(run) if seen.cached => format!("cached from {run}"),
        Some(run) => format!("from {run}"),
        None => "left out".to_owned(),
    })
}

/// Where a stage came from that did not run, why it ran although the cache was asked, and what is odd about its success.
pub(crate) fn cache_words(planned: Option<&dybox_job::Stage>, seen: Option<&Stage>) -> Vec<String> {
    let added = planned.is_some_and(|stage| stage.added.is_some());
    let added = added.then(|| "a hook added it while the run was under way".to_owned());
    let odd = seen.and_then(odd_words);
    added.into_iter().chain(seen.map(cached_words).unwrap_or_default()).chain(odd).collect()
}

fn cached_words(seen: &Stage) -> Vec<String> {
    if let Some(words) = taken_words(seen) {
        return vec![format!("it did not run: {words}")];
    }
    let Some(missed) = &seen.missed else { return Vec::new() };
    match &missed.nearest {
        Some(run) => {
            let changed = missed.changed.iter().map(|one| shown(one));
            std::iter::once(format!("not from the cache; other than in run {run}:")).chain(changed).collect()
        }
        None => vec![format!("not from the cache: {}", shown(&missed.changed.join(", ")))],
    }
}

pub(crate) const fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::User => "the user (the job or the image)",
        Owner::Cluster => "the platform (machine, engine, registry)",
        Owner::Dybox => "DYbox itself",
    }
}

/// Whose problem it is, in a word for a table.
pub(crate) const fn owner_word(owner: Owner) -> &'static str {
    match owner {
        Owner::User => "user",
        Owner::Cluster => "platform",
        Owner::Dybox => "dybox",
    }
}

/// Tasks by state, for JSON.
pub(crate) fn counts_json(counts: &Counts) -> Value {
    json!({
        "total": counts.total(), "waiting": counts.waiting, "starting": counts.starting, "running": counts.running,
        "succeeded": counts.succeeded, "failed": counts.failed, "stopped": counts.stopped, "lost": counts.lost,
    })
}
