//! `dybox ps`: the runs of this home, newest first.

use dybox_client::{Application, Client, Standing};
use dybox_journal::{HookState, StageState};
use dybox_model::{ExitCode, Millis};
use dybox_store::RunInfo;
use serde_json::{Value, json};

use super::{Context, Outcome, look};
use crate::conf::Format;
use crate::report::state::{counts_json, state_paint};
use crate::report::time::{ago, now, rfc3339, seconds, span_or_dash};
use crate::report::{Answer, Failure, Output, Screen, table_text};

/// Runs that are shown without `--all`.
const SHOWN: usize = 20;

/// Lists runs, newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dybox ps                      the newest 20\n  dybox ps --all --state failed\n  dybox ps -q --limit 1         the id of the newest"
)]
pub(crate) struct Args {
    /// Every run
    #[arg(short, long)]
    pub all: bool,
    /// At most so many runs [default: 20]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "all")]
    pub limit: Option<usize>,
    /// Only runs in this state
    #[arg(long, value_parser = ["submitted", "running", "succeeded", "failed", "stopped", "lost"], value_name = "STATE")]
    pub state: Option<String>,
    /// Only runs of jobs with this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only runs with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// One run with how it stands.
#[derive(Debug)]
struct Row {
    info: RunInfo,
    stages: u32,
    standing: Standing,
}

/// Lists and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let client = context.client()?;
    let runs = client.runs().await?;
    for (run, error) in &runs.damaged {
        context.screen.warn(&format!("run {run} can't be shown: {error}"));
    }
    let most = if args.all { usize::MAX } else { args.limit.unwrap_or(SHOWN) };
    let mut rows = Vec::new();
    let mut more = 0;
    for info in runs.list.into_iter().filter(|info| args.fits(info)) {
        if rows.len() == most {
            more += 1;
            continue;
        }
        match row(&client, info.clone()).await {
            Ok(row) if args.state.as_ref().is_none_or(|state| state == row.standing.word()) => rows.push(row),
            Ok(_) => {}
            Err(failure) => context.screen.warn(&format!("run {} can't be shown: {}", info.run, failure.what)),
        }
    }
    if let Some(unknown) = &runs.short {
        context.screen.warn(&format!("{unknown}; a run that was just submitted may be missing"));
    }
    let format = args.output.format(&context.conf);
    context.screen.answer(format, &answer(&context.screen, &rows, now()))?;
    if rows.is_empty() && format == Format::Table {
        let none = if args.state.is_some() || args.name.is_some() || args.tag.is_some() {
            "no such run"
        } else {
            "no run yet"
        };
        context.screen.hint(&format!("{none}; `dybox run JOB.yaml` makes one"));
    }
    if more > 0 && args.limit.is_none() && format == Format::Table {
        context.screen.hint(&format!("{more} older runs are not shown: dybox ps --all"));
    }
    Ok(ExitCode::Ok as u8)
}

impl Args {
    fn fits(&self, info: &RunInfo) -> bool {
        self.name.as_ref().is_none_or(|name| *name == info.job)
            && self.tag.as_ref().is_none_or(|tag| info.tags.contains(tag))
    }
}

async fn row(client: &Client, info: RunInfo) -> Result<Row, Failure> {
    let (stages, subdags) = look::size(client, &info.run).await?;
    let standing = client.standing(&info.run, subdags).await?;
    let added = standing.view.subs.values().flat_map(|run| run.hooks.values()).map(|hook| match hook {
        HookState::Decided { decision, .. } if stages > 0 => decision.add.len(),
        _ => 0,
    });
    let stages = stages.saturating_add(u32::try_from(added.sum::<usize>()).unwrap_or(u32::MAX));
    Ok(Row { info, stages, standing })
}

impl Row {
    fn ended_stages(&self) -> usize {
        let stages = self.standing.view.stages();
        stages.iter().filter(|stage| matches!(stage.state, StageState::Ended(_))).count()
    }

    /// From the submission to the end; to now while it goes on; unknown when it was lost.
    fn wall(&self, now: Millis) -> Option<Millis> {
        match self.standing.view.ended() {
            Some(ended) => Some(ended.since(self.info.submitted)),
            None if self.standing.is_lost() => None,
            None => Some(now.since(self.info.submitted)),
        }
    }

    fn json(&self, now: Millis) -> Value {
        let mut item = run_json(&self.info, &self.standing);
        item["stages"] = json!({ "total": self.stages, "ended": self.ended_stages() });
        item["tasks"] = counts_json(&self.standing.view.counts());
        item["seconds"] = json!(self.wall(now).map(seconds));
        item
    }
}

/// `n/m`; nothing while its master has not written the plan down.
fn share(ended: usize, total: usize) -> String {
    if total == 0 { "-".to_owned() } else { format!("{ended}/{total}") }
}

/// What is said about a run in every JSON answer.
pub(crate) fn run_json(info: &RunInfo, standing: &Standing) -> Value {
    let word = standing.word();
    let resumable = standing.is_lost() || matches!(word, "failed" | "stopped");
    json!({
        "run": info.run, "job": info.job, "tags": info.tags, "state": word, "resumable": resumable,
        "why": standing.view.why(), "submitted": rfc3339(info.submitted), "ended": standing.view.ended().map(rfc3339),
        "user": info.user, "uid": info.uid, "job_file": info.job_file, "unknown": standing.unknown,
        "applications": standing.applications.values().map(application_json).collect::<Vec<_>>(),
    })
}

fn application_json(application: &Application) -> Value {
    json!({
        "application": application.id, "subdag": application.subdag.0, "state": application.state,
        "queue": application.queue, "host": application.master.as_ref().map(|(host, _)| host),
        "port": application.master.as_ref().map(|(_, port)| port), "attempt": application.attempt,
        "page": application.page, "diagnostics": application.diagnostics,
    })
}

fn answer(screen: &Screen, rows: &[Row], now: Millis) -> Answer {
    // Queues are of the cluster alone.
    let far = rows.iter().any(|row| !row.standing.applications.is_empty());
    let mut head = vec!["RUN", "JOB", "STATE", "STAGES", "TASKS", "SUBMITTED", "TIME"];
    head.extend(far.then_some("QUEUE"));
    // Of two numbers a narrow terminal shows one.
    head.retain(|name| !screen.is_narrow() || *name != "STAGES");
    let mut table = screen.table(&head);
    for row in rows {
        let word = row.standing.word();
        let state = if word == "lost" && row.standing.is_lost() { "lost (resume)" } else { word };
        let counts = row.standing.view.counts();
        let mut cells = vec![
            // A part of an id that is cut in two can't be copied; its end is found as well.
            if screen.is_narrow() { row.info.run.short().to_owned() } else { row.info.run.to_string() },
            row.info.job.clone(),
            screen.paint(state_paint(word), state),
            share(row.ended_stages(), row.stages as usize),
            share(counts.succeeded as usize, counts.total() as usize),
            ago(now, row.info.submitted),
            span_or_dash(row.wall(now)),
        ];
        let mut queues: Vec<_> = row.standing.applications.values().map(|one| one.queue.as_str()).collect();
        queues.dedup();
        cells.extend(far.then(|| queues.join(", ")));
        if screen.is_narrow() {
            cells.remove(3);
        }
        table.add_row(cells);
    }
    Answer {
        kind: "runs",
        items: rows.iter().map(|row| row.json(now)).collect(),
        names: rows.iter().map(|row| row.info.run.to_string()).collect(),
        text: table_text(table, &[]),
        ..Answer::default()
    }
}
