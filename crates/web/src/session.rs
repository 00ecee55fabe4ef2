//! The page of a session: what it may have, what it has, and the runs in its hands.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use dybox_model::{
    GrantState, Millis, Resources, RunId, SessionGrant, SessionSpec, SessionView, SubDagId, format_bytes, format_cpus,
    format_duration,
};
use serde_json::{Value, json};

use crate::{About, of_run};

/// Rows of a table that are shown.
const MOST_ROWS: usize = 100;

/// What the page of a session is made of.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// What it says of itself.
    pub view: &'a SessionView,
    /// Runs that have a page here.
    pub linked: &'a BTreeSet<RunId>,
    /// What it had in hand last, newest first; each has a page here.
    pub over: &'a [OverRun],
}

/// A sub-DAG that a session had in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverRun {
    /// Of which run.
    pub run: RunId,
    /// Which.
    pub subdag: SubDagId,
    /// The job's name.
    pub job: String,
    /// How it ended, in a word.
    pub state: &'static str,
    /// When.
    pub ended: Option<Millis>,
}

#[derive(Template)]
#[template(path = "session.html")]
struct SessionPage<'a> {
    about: &'a About,
    state: &'static str,
    master: String,
    counts: String,
    bounds: String,
    waits: String,
    runs: Vec<RunRow>,
    grants: Vec<GrantRow>,
    more_grants: usize,
    over: Vec<RunRow>,
}

struct RunRow {
    run: String,
    job: String,
    part: String,
    state: &'static str,
    link: String,
    when: String,
    grants: usize,
    waits: String,
}

struct GrantRow {
    container: String,
    host: String,
    size: String,
    state: &'static str,
    job: String,
    short: String,
    link: String,
    logs: String,
}

impl Session<'_> {
    /// As HTML.
    #[must_use]
    pub fn page(&self, about: &About) -> String {
        let view = self.view;
        SessionPage {
            about,
            state: state(view),
            master: master(view, about.now),
            counts: counts(view),
            bounds: bounds(&view.spec),
            waits: waits(view),
            runs: self.runs(about.now),
            grants: view.grants.iter().take(MOST_ROWS).map(|grant| self.grant(grant, about)).collect(),
            more_grants: view.grants.len().saturating_sub(MOST_ROWS),
            over: self.over.iter().map(|over| of_over(over, about.now)).collect(),
        }
        .render()
        .expect("a template writes to a text, which can't fail")
    }

    /// As one JSON object. Times are milliseconds since 1970.
    #[must_use]
    pub fn json(&self, about: &About) -> String {
        let view = self.view;
        let spec = &view.spec;
        let size = |size: Resources| json!({ "cpu_milli": size.cpu_milli, "memory": size.memory });
        let grants: Vec<Value> = view.grants.iter().map(|grant| {
            json!({ "container": grant.container, "host": grant.host, "size": size(grant.size), "state": grant.state.word(),
                "run": grant.run, "logs": about.logs(&grant.host, &grant.container) })
        }).collect();
        let runs: Vec<Value> = view
            .runs
            .iter()
            .map(|run| {
                json!({ "run": run.run, "subdag": run.subdag.0, "job": run.job, "submitted": run.submitted.0,
                "waits": run.waits, "page": self.linked.contains(&run.run).then(|| link(&run.run)) })
            })
            .collect();
        let over: Vec<Value> = self
            .over
            .iter()
            .map(|over| {
                json!({ "run": over.run, "subdag": over.subdag.0, "job": over.job, "state": over.state,
                "ended": over.ended.map(|at| at.0), "page": link(&over.run) })
            })
            .collect();
        let told = json!({
            "session": about.session, "user": about.user, "queue": about.queue, "application": about.application,
            "now": about.now.0, "state": state(view), "master": view.epoch, "since": view.since.0,
            "warm": spec.warm, "most": spec.most, "size": size(spec.size), "idle_ms": spec.idle.0, "keep_ms": spec.keep.0,
            "asked": view.asked, "free": view.free.map(size), "grants": grants, "runs": runs, "over": over,
        });
        format!("{told:#}\n")
    }

    fn runs(&self, now: Millis) -> Vec<RunRow> {
        let mut grants: BTreeMap<&RunId, usize> = BTreeMap::new();
        for run in self.view.grants.iter().filter_map(|grant| grant.run.as_ref()) {
            *grants.entry(run).or_default() += 1;
        }
        let row = |run: &dybox_model::SessionRun| RunRow {
            run: run.run.to_string(),
            job: run.job.clone(),
            part: part(run.subdag),
            state: "",
            link: self.link(&run.run),
            when: format_duration(now.since(run.submitted)),
            grants: grants.get(&run.run).copied().unwrap_or_default(),
            waits: run.waits.clone(),
        };
        self.view.runs.iter().take(MOST_ROWS).map(row).collect()
    }

    fn grant(&self, grant: &SessionGrant, about: &About) -> GrantRow {
        let job = grant.run.as_ref().map(|run| {
            let known = self.view.runs.iter().find(|known| known.run == *run);
            known.map_or_else(|| run.to_string(), |known| known.job.clone())
        });
        GrantRow {
            container: grant.container.clone(),
            host: grant.host.clone(),
            size: words(grant.size),
            state: grant.state.word(),
            job: job.unwrap_or_default(),
            short: grant.run.as_ref().map(|run| run.short().to_owned()).unwrap_or_default(),
            link: grant.run.as_ref().map(|run| self.link(run)).unwrap_or_default(),
            logs: about.logs(&grant.host, &grant.container).unwrap_or_default(),
        }
    }

    /// Empty where the run has no page.
    fn link(&self, run: &RunId) -> String {
        if self.linked.contains(run) { link(run) } else { String::new() }
    }
}

fn of_over(over: &OverRun, now: Millis) -> RunRow {
    RunRow {
        run: over.run.to_string(),
        job: over.job.clone(),
        part: part(over.subdag),
        state: over.state,
        link: link(&over.run),
        when: over.ended.map(|at| format_duration(now.since(at))).unwrap_or_default(),
        grants: 0,
        waits: String::new(),
    }
}

fn link(run: &RunId) -> String {
    of_run(run).trim_end_matches('&').to_owned()
}

/// Most runs have one sub-DAG alone, which needs no name.
fn part(subdag: SubDagId) -> String {
    if subdag.0 == 0 { String::new() } else { format!("sub-DAG {}", subdag.0) }
}

const fn state(view: &SessionView) -> &'static str {
    if view.stops { "stopping" } else { "ready" }
}

fn words(size: Resources) -> String {
    let cpus = format_cpus(size.cpu_milli);
    let cpu = if cpus == "1" { "cpu" } else { "cpus" };
    format!("{cpus} {cpu}, {}", format_bytes(size.memory))
}

fn master(view: &SessionView, now: Millis) -> String {
    let span = format_duration(now.since(view.since));
    match view.epoch {
        0 | 1 => format!("up for {span}"),
        epoch => format!("its master number {epoch} up for {span}"),
    }
}

/// `3 of at most 4 grants: 2 busy, 1 idle`.
fn counts(view: &SessionView) -> String {
    use GrantState as S;
    let count = |state| view.grants.iter().filter(|grant| grant.state == state).count();
    let each = [S::Busy, S::Idle, S::Starting, S::Leaving].map(|state| (count(state), state.word()));
    let each: Vec<_> = each.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let head = format!("{} of at most {} grants", view.grants.len(), view.spec.most);
    if each.is_empty() { head } else { format!("{head}: {}", each.join(", ")) }
}

fn bounds(spec: &SessionSpec) -> String {
    format!(
        "{} {} kept ready, each of {}; one beyond them goes back after {} without work, and the session ends after {} without a run",
        spec.warm,
        if spec.warm == 1 { "grant is" } else { "grants are" },
        words(spec.size),
        format_duration(spec.idle),
        format_duration(spec.keep),
    )
}

/// What YARN was asked for and has not given; empty when that is nothing.
fn waits(view: &SessionView) -> String {
    let head = match view.asked {
        0 => return String::new(),
        1 => "it waits for 1 more grant of YARN".to_owned(),
        asked => format!("it waits for {asked} more grants of YARN"),
    };
    match view.free {
        Some(free) => format!("{head}, whose queue has {} left for it", words(free)),
        None => head,
    }
}
