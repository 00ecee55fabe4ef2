//! What the templates show, as texts.

use dybox_journal::{Counts, Failure, Run, RunView, Stage, StageState, Where};
use dybox_model::{AttemptId, Millis, StageEnd, TaskState, format_bytes, format_duration};

use crate::About;

/// One stage as a row.
pub(crate) struct StageRow {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) needs: String,
    pub(crate) state: &'static str,
    pub(crate) counts: String,
    /// Hundredths of its tasks that succeeded, and that ended otherwise.
    pub(crate) done: u64,
    pub(crate) bad: u64,
    pub(crate) took: String,
    pub(crate) why: String,
    /// How its image came; empty where it was there.
    pub(crate) came: String,
}

/// One attempt as a row.
pub(crate) struct AttemptRow {
    pub(crate) stage: String,
    pub(crate) task: u32,
    pub(crate) attempt: u32,
    pub(crate) state: &'static str,
    pub(crate) host: String,
    /// The NodeManager's page of its logs; empty where none is known.
    pub(crate) logs: String,
    /// Where its ports are reached, one a line, while it runs: `port 80 at n1:32768`.
    pub(crate) ports: Vec<String>,
    pub(crate) took: String,
    pub(crate) memory: String,
    pub(crate) why: String,
    pub(crate) next: String,
}

impl StageRow {
    pub(crate) fn of(view: &RunView, stage: &Stage, now: Millis) -> Self {
        let Counts { succeeded, .. } = stage.counts;
        let total = u64::from(stage.counts.total()).max(1);
        let bad = stage.counts.ended() - succeeded;
        let named = |id| view.stage(id).map_or("?", |(_, stage)| stage.outline.name.as_str());
        let needs: Vec<&str> = stage.outline.needs.iter().map(|&(id, _)| named(id)).collect();
        Self {
            name: stage.outline.name.clone(),
            image: stage.outline.image.clone(),
            needs: needs.join(", "),
            state: state_word(stage.state),
            counts: counts_words(stage.counts),
            done: u64::from(succeeded) * 100 / total,
            bad: u64::from(bad) * 100 / total,
            took: stage.wall(now).map(format_duration).unwrap_or_default(),
            why: if stage.why.is_empty() { stage.waits.clone() } else { stage.why.clone() },
            came: view.image_story(stage.outline.id).map(|story| story.words()).unwrap_or_default(),
        }
    }
}

/// A stage's state as a word; `stopped` and the like for one that ended.
pub(crate) const fn state_word(state: StageState) -> &'static str {
    match state {
        StageState::Waiting => "waiting",
        StageState::Running => "running",
        StageState::Ended(StageEnd::Succeeded) => "succeeded",
        StageState::Ended(StageEnd::Failed) => "failed",
        StageState::Ended(StageEnd::Skipped) => "skipped",
        StageState::Ended(StageEnd::Stopped) => "stopped",
        StageState::Ended(StageEnd::Lost) => "lost",
    }
}

/// A task's state as a word.
pub(crate) const fn task_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "waiting",
        TaskState::Starting => "starting",
        TaskState::Running => "running",
        TaskState::Succeeded => "succeeded",
        TaskState::Failed => "failed",
        TaskState::Stopped => "stopped",
        TaskState::Lost => "lost",
    }
}

/// `3 of 8 succeeded, 2 running`.
pub(crate) fn counts_words(counts: Counts) -> String {
    let rest = [
        (counts.running, "running"),
        (counts.starting, "starting"),
        (counts.waiting, "waiting"),
        (counts.failed, "failed"),
        (counts.stopped, "stopped"),
        (counts.lost, "lost"),
    ];
    let mut words = vec![format!("{} of {} succeeded", counts.succeeded, counts.total())];
    words.extend(rest.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
    words.join(", ")
}

impl AttemptRow {
    /// Of a task that is as `run` says.
    pub(crate) fn of_task(run: &Run, stage: &Stage, index: u32, about: &About) -> Option<Self> {
        let task = stage.tasks.get(index as usize)?;
        let id = dybox_model::TaskId { stage: stage.outline.id, index };
        let mut row = Self::new(&stage.outline.name, AttemptId { task: id, number: task.attempt });
        row.state = task_word(task.state);
        row.put(run.place_of(id), about);
        if let Some((_, live)) = run.live_of(id) {
            row.took = format_duration(about.now.since(live.runs.unwrap_or(live.given)));
            row.memory = if live.memory > 0 { format_bytes(live.memory) } else { String::new() };
            row.ports = live.ports.iter().map(ToString::to_string).collect();
        }
        if let Some(failure) = stage.failed.iter().rev().find(|failure| failure.attempt.task == id) {
            if failure.attempt.number == task.attempt {
                row.tell(stage, failure);
            } else {
                row.why = format!("try {}: {}", failure.attempt.number, failure.exit.words());
            }
        }
        Some(row)
    }

    /// Of an attempt that failed.
    pub(crate) fn of_failure(run: &Run, stage: &Stage, failure: &Failure, about: &About) -> Self {
        let mut row = Self::new(&stage.outline.name, failure.attempt);
        row.state = if failure.again { "tried again" } else { "failed" };
        row.put(run.places.get(&failure.grant), about);
        let exit = &failure.exit;
        row.took = exit.started.map(|at| format_duration(exit.ended.since(at))).unwrap_or_default();
        row.memory = if exit.used.memory > 0 { format_bytes(exit.used.memory) } else { String::new() };
        row.tell(stage, failure);
        row
    }

    fn new(stage: &str, attempt: AttemptId) -> Self {
        Self {
            stage: stage.to_owned(),
            task: attempt.task.index,
            attempt: attempt.number,
            state: "",
            host: String::new(),
            logs: String::new(),
            ports: Vec::new(),
            took: String::new(),
            memory: String::new(),
            why: String::new(),
            next: String::new(),
        }
    }

    fn put(&mut self, place: Option<&Where>, about: &About) {
        if let Some(place) = place {
            self.host.clone_from(&place.host);
            self.logs = about.logs_at(place).unwrap_or_default();
        }
    }

    fn tell(&mut self, stage: &Stage, failure: &Failure) {
        self.why = failure.exit.words();
        self.next = failure.exit.cause.map_or("", |cause| cause.next(stage.outline.hook)).to_owned();
    }
}
