//! `dybox gc --all`: the agents of all machines sweep now, and tell what they did in their next reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dybox_model::roster::NodeView;
use dybox_model::sweep::{Sweep, SweepOrder};
use dybox_model::{ExitCode, format_bytes};
use serde_json::{Map, json};
use tokio::time::{Instant, sleep};

use super::Args;
use crate::command::servers::{Servers, user};
use crate::command::{Context, Outcome};
use crate::report::{Answer, Failure, Paint, codes, table_text};

/// For all agents.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(700);

/// What came of it on one machine.
enum Came {
    Swept(Sweep),
    /// Its agent was told, and has not answered.
    Nothing,
    /// Its agent has no line.
    Silent,
}

/// Orders, waits and prints.
pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let servers = Servers::needed(context)?;
    let order = SweepOrder { id: ulid::Ulid::generate().to_string(), dry_run: args.dry_run, by: user() };
    let (told, troubles) = servers.sweep(&order).await;
    if told.is_none() {
        return Err(Failure::coded(codes::STATE_SERVER, "no state server took the order").why(troubles.join("; ")));
    }
    for trouble in &troubles {
        context.screen.warn(trouble);
    }
    let told = told.unwrap_or_default();
    if told.is_empty() {
        return Err(Failure::coded(codes::NO_NODE, "no agent has a line to a state server")
            .next("start `dybox node` on each machine; `dybox nodes` shows those that report"));
    }
    if !args.output.quiet {
        let count = told.len();
        context.screen.hint(&format!("{count} agent(s) were told; they have {} s", LIMIT.as_secs()));
    }
    let all = wait(&servers, &order.id, told).await;
    print(context, args, &all)
}

/// Until all have answered, or their time is over.
async fn wait(servers: &Servers, order: &str, told: BTreeSet<String>) -> BTreeMap<String, Came> {
    let end = Instant::now() + LIMIT;
    let mut all: BTreeMap<String, Came> = told.into_iter().map(|host| (host, Came::Nothing)).collect();
    loop {
        for NodeView { host, pulse, .. } in servers.all_nodes().await {
            let sweep = pulse.sweep.filter(|sweep| sweep.orders.iter().any(|id| id == order));
            let came = all.entry(host).or_insert(Came::Silent);
            if let Some(sweep) = sweep {
                *came = Came::Swept(sweep);
            }
        }
        let waits = all.values().any(|came| matches!(came, Came::Nothing));
        if !waits || Instant::now() >= end {
            return all;
        }
        sleep(AGAIN).await;
    }
}

fn print(context: &Context, args: &Args, all: &BTreeMap<String, Came>) -> Outcome {
    let screen = &context.screen;
    let gone = if args.dry_run { "WOULD GO" } else { "REMOVED" };
    let mut table = screen.table(&["HOST", gone, "IMAGES", "KEPT", "UNPROVEN", "TROUBLE"]);
    for (host, came) in all {
        let [removed, images, kept, unproven] = cells(came);
        let trouble = trouble(came);
        let trouble = if trouble.is_empty() { trouble } else { screen.paint(Paint::Bad, &trouble) };
        table.add_row([host.clone(), removed, images, kept, unproven, trouble]);
    }
    let items = all.iter().map(|(host, came)| {
        let sweep = if let Came::Swept(sweep) = came { Some(sweep) } else { None };
        json!({ "host": host, "answered": sweep.is_some(), "sweep": sweep, "trouble": trouble(came) })
    });
    let answer = Answer {
        kind: "sweeps",
        items: items.collect(),
        extra: Map::from_iter([("dry_run".to_owned(), json!(args.dry_run))]),
        names: all.keys().cloned().collect(),
        text: table_text(table, &[3]),
    };
    screen.answer(args.output.format(&context.conf), &answer)?;
    // A machine that is away for good must not make every `gc --all` fail.
    let failed = all.values().any(|came| !matches!(came, Came::Silent) && !trouble(came).is_empty());
    Ok(if failed { ExitCode::Unreachable } else { ExitCode::Ok } as u8)
}

fn cells(came: &Came) -> [String; 4] {
    let Came::Swept(sweep) = came else { return ["-", "-", "-", "-"].map(str::to_owned) };
    let images = match sweep.images {
        0 => "0".to_owned(),
        count => format!("{count} ({})", format_bytes(sweep.bytes)),
    };
    [sweep.removed.words(), images, sweep.kept.to_string(), sweep.unproven.words()]
}

fn trouble(came: &Came) -> String {
    match came {
        Came::Swept(sweep) => sweep.troubles.join("; "),
        Came::Nothing => {
            format!("no answer within {} s: still at it, or an agent that does not sweep", LIMIT.as_secs())
        }
        Came::Silent => "its agent is silent: not told".to_owned(),
    }
}
