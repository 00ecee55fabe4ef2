//! Which page an address asks for.

use dybox_journal::RunView;

use crate::{About, Session, json, page, stage};

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
    if is_json(target) {
        return Answer { status: 200, kind: JSON, body: json(view, about) };
    }
    let Some(name) = asked(target, "stage") else {
        return Answer { status: 200, kind: HTML, body: page(view, about) };
    };
    let from = asked(target, "from").and_then(|from| from.parse().ok()).unwrap_or(0);
    match stage(view, about, name, from) {
        Some(body) => Answer { status: 200, kind: HTML, body },
        None => Answer::plain(404, "this run has no such stage"),
    }
}

/// Answers a GET of `target` with a session: its page, or `?format=json`.
#[must_use]
pub fn answer_session(target: &str, session: &Session<'_>, about: &About) -> Answer {
    match is_json(target) {
        true => Answer { status: 200, kind: JSON, body: session.json(about) },
        false => Answer { status: 200, kind: HTML, body: session.page(about) },
    }
}

/// Which run of a session an address is about, as its query has it; nothing = the session itself.
#[must_use]
pub fn run_asked(target: &str) -> Option<&str> {
    asked(target, "run")
}

impl Answer {
    /// One line without markup.
    #[must_use]
    pub fn plain(status: u16, line: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: format!("{line}\n") }
    }
}

fn is_json(target: &str) -> bool {
    asked(target, "format") == Some("json") || target.split('?').next().is_some_and(|path| path.ends_with("/json"))
}

fn asked<'a>(target: &'a str, key: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}
