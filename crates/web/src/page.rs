//! The page of a run: its stages, what runs, what failed, why something waits.

use askama::Template;
use dybox_journal::RunView;
use dybox_model::format_duration;

use crate::About;
use crate::rows::{AttemptRow, StageRow, counts_words};

/// Attempts of each table that are shown; a stage's own page has all tasks.
const MOST_ROWS: usize = 100;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    about: &'a About,
    job: String,
    run: String,
    state: &'static str,
    why: String,
    counts: String,
    took: String,
    stages: Vec<StageRow>,
    live: Vec<AttemptRow>,
    more_live: usize,
    failures: Vec<AttemptRow>,
    warnings: Vec<String>,
}

/// The page of a run as HTML.
#[must_use]
pub fn page(view: &RunView, about: &About) -> String {
    let known = || view.subs.values();
    let submitted = known().filter_map(|run| run.submitted).min();
    let end = view.ended().unwrap_or(about.now);
    let all_live: usize = known().map(|run| run.live.len()).sum();
    let live = known().flat_map(|run| run.live.keys().map(move |attempt| (run, attempt.task)));
    let live = live.filter_map(|(run, task)| AttemptRow::of_task(run, run.stage(task.stage)?, task.index, about));
    let failures = known().flat_map(|run| run.stages.iter().map(move |stage| (run, stage))).flat_map(|(run, stage)| {
        stage.failed.iter().map(move |failure| AttemptRow::of_failure(run, stage, failure, about))
    });
    let warnings = known().flat_map(|run| run.warnings.iter().map(|(text, _)| text.clone()));
    RunPage {
        about,
        job: known().map(|run| run.job.clone()).find(|job| !job.is_empty()).unwrap_or_default(),
        run: known().find_map(|run| run.run.as_ref()).map(ToString::to_string).unwrap_or_default(),
        state: view.state().word(),
        why: view.why().to_owned(),
        counts: counts_words(view.counts()),
        took: submitted.map(|at| format_duration(end.since(at))).unwrap_or_default(),
        stages: view.stages().into_iter().map(|stage| StageRow::of(view, stage, about.now)).collect(),
        live: live.take(MOST_ROWS).collect(),
        more_live: all_live.saturating_sub(MOST_ROWS),
        failures: failures.take(MOST_ROWS).collect(),
        warnings: warnings.collect(),
    }
    .render()
    .expect("a template writes to a text, which can't fail")
}
