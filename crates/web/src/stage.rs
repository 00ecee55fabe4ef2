//! The page of one stage: its tasks.

use askama::Template;
use dybox_journal::RunView;

use crate::About;
use crate::rows::{AttemptRow, StageRow};

/// Tasks of one page.
const PAGE: u32 = 200;

#[derive(Template)]
#[template(path = "stage.html")]
struct StagePage<'a> {
    about: &'a About,
    stage: StageRow,
    tasks: Vec<AttemptRow>,
    from: u32,
    until: u32,
    total: u32,
    before: Option<u32>,
    after: Option<u32>,
}

/// The tasks of a stage, from the `from`th on, as HTML; nothing when there is no stage of this name.
#[must_use]
pub fn stage(view: &RunView, about: &About, name: &str, from: u32) -> Option<String> {
    let (run, stage) = view.stage_named(name)?;
    let total = u32::try_from(stage.tasks.len()).unwrap_or(u32::MAX);
    let until = from.saturating_add(PAGE).min(total);
    let page = StagePage {
        about,
        stage: StageRow::of(view, stage, about.now),
        tasks: (from..until).filter_map(|index| AttemptRow::of_task(run, stage, index, about)).collect(),
        from,
        until,
        total,
        before: (from > 0).then(|| from.saturating_sub(PAGE)),
        after: (until < total).then_some(until),
    };
    Some(page.render().expect("a template writes to a text, which can't fail"))
}
