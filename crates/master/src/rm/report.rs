//! What the ResourceManager is told at the end: how, and the sentence that a person needs.

use dybox_journal::{Records, Run, StageState, fold};
use dybox_model::StageEnd;
use dybox_store::Store;
use dybox_yarn::FinalStatus;

/// Longest text; the ResourceManager cuts at 64 KiB and people sooner.
const LONGEST: usize = 2000;

pub(super) async fn of(store: &Store, journal: &str) -> (FinalStatus, String) {
    match store.get(journal).await {
        Ok(bytes) => told(&fold(Records::new(&bytes))),
        Err(error) => (FinalStatus::Undefined, format!("its journal could not be read: {error}")),
    }
}

/// Of a sub-DAG that has ended.
fn told(run: &Run) -> (FinalStatus, String) {
    let Some(ended) = &run.end else { return (FinalStatus::Undefined, String::new()) };
    let status = match ended.end {
        StageEnd::Succeeded | StageEnd::Skipped => FinalStatus::Succeeded,
        StageEnd::Failed | StageEnd::Lost => FinalStatus::Failed,
        StageEnd::Stopped => FinalStatus::Killed,
    };
    if status == FinalStatus::Succeeded {
        return (status, String::new());
    }
    let mut text = first_failure(run).unwrap_or_else(|| ended.why.clone());
    if text.is_empty() {
        text = ended.end.word().to_owned();
    }
    text.truncate(text.floor_char_boundary(LONGEST));
    if let Some(id) = &run.run {
        let next = if status == FinalStatus::Killed { "dybox resume" } else { "dybox why" };
        text.push_str(&format!(". Next: {next} {id}"));
    }
    (status, text)
}

/// The stage that failed first, and what its task said.
fn first_failure(run: &Run) -> Option<String> {
    let bad =
        |stage: &&dybox_journal::Stage| matches!(stage.state, StageState::Ended(StageEnd::Failed | StageEnd::Lost));
    let stage = run.stages.iter().filter(bad).min_by_key(|stage| stage.ended)?;
    let word = if stage.state == StageState::Ended(StageEnd::Lost) { "was lost" } else { "failed" };
    let why = if stage.why.is_empty() { String::new() } else { format!(": {}", stage.why) };
    Some(format!("stage {} {word}{why}", stage.outline.name))
}
