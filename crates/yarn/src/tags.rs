//! How the applications of runs are found: their type and tags.

use dybox_model::{RunId, SubDagId};

/// The type of DYbox's applications.
pub const KIND: &str = "DYBOX";
const RUN: &str = "dybox-run:";
const SUBDAG: &str = "dybox-sub:";
const SESSION: &str = "dybox-session:";

/// The tag of a session.
#[must_use]
pub fn session_tag(name: &str) -> String {
    format!("{SESSION}{name}")
}

/// The session's name, where tags say that an application is one.
#[must_use]
pub fn session_named(tags: &[String]) -> Option<&str> {
    tags.iter().find_map(|tag| tag.strip_prefix(SESSION))
}

/// The tags of the application of one sub-DAG.
#[must_use]
pub fn tags(run: &RunId, subdag: SubDagId) -> Vec<String> {
    vec![run_tag(run), format!("{SUBDAG}{}", subdag.0)]
}

/// The tag that all applications of a run bear.
#[must_use]
pub fn run_tag(run: &RunId) -> String {
    format!("{RUN}{run}")
}

/// What tags say: the run, where they name one, and the sub-DAG, the first one where they name none.
#[must_use]
pub fn tagged(tags: &[String]) -> (Option<RunId>, SubDagId) {
    let after = |tag: &str| tags.iter().find_map(|given| given.strip_prefix(tag));
    let run = after(RUN).and_then(|run| run.parse().ok());
    (run, SubDagId(after(SUBDAG).and_then(|subdag| subdag.parse().ok()).unwrap_or(0)))
}
