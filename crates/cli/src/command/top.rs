//! `dybox top`: what the tasks of a run use now.

use std::time::Duration;

use dybox_client::{Client, Follow, Way, grown};
use dybox_job::Plan;
use dybox_journal::{Live, Run, RunView};
use dybox_model::{AttemptId, ExitCode, Millis, RunId, format_bytes, format_cpus, format_duration};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::look::find;
use super::target::Target;
use super::{Context, Outcome};
use crate::conf::Format;
use crate::report::time::{now, seconds};
use crate::report::{Answer, Output, Screen, table_text};

/// How often the table is drawn anew on a terminal.
const EVERY: Duration = Duration::from_secs(2);
/// A single look waits so long for masters to tell what they know; they tell it at once.
const LOOK: Duration = Duration::from_millis(1_500);
/// Home, and nothing behind the cursor.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows what the tasks of a run use now: cpu, memory, io, throttling
#[derive(Debug, clap::Args)]
#[command(
    after_help = "On a terminal the table is drawn anew every 2 s until the run ends; elsewhere, and with -o, it is printed once.\nWORKING is memory without file pages that lie idle; LIMIT the container's limit; GRANT what YARN counts.\n\nExamples:\n  dybox top\n  dybox top nightly/join --once\n  dybox top @latest -o json"
)]
pub(crate) struct Args {
    /// RUN or RUN/STAGE; a run by id, its beginning, job name or @latest
    #[arg(value_name = "RUN[/STAGE]", default_value = "@latest")]
    pub target: Target,
    /// Print once, on a terminal too
    #[arg(long)]
    pub once: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Looks and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let info = find(context, &args.target.run).await?;
    let client = context.client()?;
    let plan = client.plan(&info.run).await?;
    let screen = &context.screen;
    let format = args.output.format(&context.conf);
    let mut follow = watched(&client, &info.run, &plan);
    let live = screen.out_is_terminal && format == Format::Table && !args.once;
    let mut until = Instant::now() + LOOK;
    loop {
        let goes_on = listen(&mut follow, until, live).await;
        let rows = rows(follow.view(), &grown(&plan, follow.view()), args);
        let answer = answer(screen, &rows, &info.run);
        if !live {
            screen.answer(format, &answer)?;
            return Ok(ExitCode::Ok as u8);
        }
        screen.out(&format!("{CLEAR}{}", answer.text))?;
        if !goes_on {
            return Ok(ExitCode::Ok as u8);
        }
        until = Instant::now() + EVERY;
    }
}

fn watched(client: &Client, run: &RunId, plan: &Plan) -> Follow {
    client.follow(run, plan, Way::default())
}

/// Takes news in until a time; a single look ends when all that run were told of. False when nothing more comes.
async fn listen(follow: &mut Follow, until: Instant, live: bool) -> bool {
    loop {
        match timeout_at(until, follow.next()).await {
            Err(_) => return true,
            Ok(None) => return false,
            Ok(Some(_)) if live => {}
            Ok(Some(_)) => {
                let mut all = follow.view().subs.values().flat_map(|run| run.live.values());
                let told = all.clone().any(|live| live.used.samples > 0);
                if told && all.all(|live| live.runs.is_none() || live.used.samples > 0) {
                    return true;
                }
            }
        }
    }
}

/// One task that lives.
struct Row<'a> {
    name: String,
    attempt: AttemptId,
    live: &'a Live,
    run: &'a Run,
}

fn rows<'a>(view: &'a RunView, plan: &Plan, args: &Args) -> Vec<Row<'a>> {
    let of = |(run, (attempt, live)): (&'a Run, (&'a AttemptId, &'a Live))| {
        let stage = plan.stages.get(attempt.task.stage.0 as usize)?;
        let shown = args.target.stage.as_ref().is_none_or(|name| *name == stage.name);
        let shown = shown && args.target.task.is_none_or(|index| index == attempt.task.index);
        let name = format!("{}/{}", stage.name, attempt.task.index);
        shown.then_some(Row { name, attempt: *attempt, live, run })
    };
    let all = view.subs.values().flat_map(|run| run.live.iter().map(move |live| (run, live)));
    let mut rows: Vec<Row<'_>> = all.filter_map(of).collect();
    // Whoever uses most comes first; of equals the first in the file.
    rows.sort_by_key(|row| (std::cmp::Reverse(row.live.now.working_set), row.attempt));
    rows
}

impl Row<'_> {
    fn host(&self) -> &str {
        self.run.places.get(&self.live.grant).map_or("", |place| &place.host)
    }

    fn granted(&self) -> u64 {
        self.run.grants.get(&self.live.grant).map_or(0, |size| size.memory)
    }

    fn cells(&self, now: Millis) -> Vec<String> {
        let used = &self.live.now;
        let bytes = |bytes: u64| if bytes == 0 { "-".to_owned() } else { format_bytes(bytes) };
        let seen = self.live.used.samples > 0;
        vec![
            self.name.clone(),
            self.host().to_owned(),
            if seen { format_cpus(u32::try_from(used.cpu_milli).unwrap_or(u32::MAX)) } else { "-".to_owned() },
            bytes(used.working_set),
            bytes(used.limit),
            bytes(self.granted()),
            bytes(used.cache),
            bytes(self.live.used.memory),
            bytes(used.read_bytes),
            bytes(used.written_bytes),
            if seen { format_duration(Millis(used.throttled_ms)) } else { "-".to_owned() },
            self.live.runs.map_or_else(|| "starts".to_owned(), |from| format_duration(now.since(from))),
        ]
    }

    fn json(&self, now: Millis) -> Value {
        let (used, all) = (&self.live.now, &self.live.used);
        json!({
            "task": self.name, "attempt": self.attempt.number, "grant": self.live.grant.to_string(), "host": self.host(),
            "container": self.live.container, "cpus": used.cpu_milli as f64 / 1000.0, "cpu_ms": all.cpu_ms,
            "memory": used.memory, "working_set": used.working_set, "cache": used.cache, "limit": used.limit,
            "granted": self.granted(), "peak_memory": all.memory, "working_p50": all.working_p50,
            "working_p95": all.working_p95, "read_bytes": used.read_bytes, "written_bytes": used.written_bytes,
            "throttled_ms": used.throttled_ms, "pids": used.pids, "samples": all.samples,
            "seconds": self.live.runs.map(|from| seconds(now.since(from))),
        })
    }
}

fn answer(screen: &Screen, rows: &[Row<'_>], run: &RunId) -> Answer {
    let now = now();
    let head =
        ["TASK", "HOST", "CPU", "WORKING", "LIMIT", "GRANT", "CACHE", "PEAK", "READ", "WRITTEN", "THROTTLED", "FOR"];
    let mut table = screen.table(&head);
    for row in rows {
        table.add_row(row.cells(now));
    }
    let right: Vec<usize> = (2..head.len()).collect();
    let text = match rows.is_empty() {
        true => format!("nothing of {run} runs now\n"),
        false => table_text(table, &right),
    };
    let mut extra = serde_json::Map::new();
    extra.insert("run".to_owned(), json!(run));
    Answer {
        kind: "tasks",
        items: rows.iter().map(|row| row.json(now)).collect(),
        names: rows.iter().map(|row| format!("{run}/{}", row.name)).collect(),
        text,
        extra,
    }
}
