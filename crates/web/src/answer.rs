//! Which page an address asks for.

use dybox_journal::RunView;

use crate::{About, json, page, stage};

/// What to answer a GET with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub kind: &'static str,
    /// The whole body.
    pub body: String,
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Answers a GET of `target` (path and query, as the request line has them). The path does not matter, whatever
/// proxy stands before it: `?format=json` asks for JSON, `?stage=NAME&from=N` for the tasks of a stage, else the run's page comes.
#[must_use]
pub fn answer(target: &str, view: &RunView, about: &About) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let of = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    if of("format") == Some("json") || path.ends_with("/json") {
        return Answer { status: 200, kind: JSON, body: json(view, about) };
    }
    let Some(name) = of("stage") else {
        return Answer { status: 200, kind: HTML, body: page(view, about) };
    };
    let from = of("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    match stage(view, about, name, from) {
        Some(body) => Answer { status: 200, kind: HTML, body },
        None => Answer { status: 404, kind: "text/plain; charset=utf-8", body: "this run has no such stage\n".into() },
    }
}
