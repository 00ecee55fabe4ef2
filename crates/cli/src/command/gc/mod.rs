//! `dybox gc`: what is left on the engine and in the budget of runs that are over, and its removal.
//!
//! What is found, proven and removed is decided where the node's agent has it from, too: `dybox_proxy::orphans`.

mod all;

use dybox_engine::Engine;
use dybox_model::ExitCode;
use dybox_proxy::ProxyError;
use dybox_proxy::orphans::{self, Fate, Found, Thing};
use serde_json::json;

use super::{Context, Outcome};
use crate::report::{Answer, Failure, Output, table_text};

/// Removes what runs that are over left on the engine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It looks at the engine of this machine alone. On a YARN cluster nothing is to be done: what a dead proxy left on a node is removed by the next proxy of that user there, or by the agent (`dybox node`). With --all every agent does so now, for all users of its machine.\n\nOnly what is proven to be of a run of this home is removed; the rest is shown.\n\nExamples:\n  dybox gc --dry-run\n  dybox gc --kept       also containers that `keep_failed` kept for a look\n  dybox gc --all        on every machine that the state servers know"
)]
pub(crate) struct Args {
    /// Show what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Also remove containers that `keep_failed` kept
    #[arg(long, conflicts_with = "all")]
    pub kept: bool,
    /// Let the agents of all machines sweep now; takes an operator's certificate
    #[arg(long)]
    pub all: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Looks, removes and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    if args.all {
        return all::run(context, args).await;
    }
    let engine = Engine::connect(context.engine_conf()).await?;
    let mut found = orphans::dead_grants(context.home()).map_err(failed)?;
    let mut failures = 0;
    if !args.dry_run {
        // First: what a dead grant left on the engine goes with it.
        failures += remove(context, args, &mut found).await;
    }
    let mut volumes = orphans::volumes(context.home()).map_err(failed)?;
    if !args.dry_run {
        failures += remove(context, args, &mut volumes).await;
    }
    let mut rest = orphans::on_engine(&engine, context.home()).await.map_err(failed)?;
    if !args.dry_run {
        failures += remove(context, args, &mut rest).await;
    }
    found.extend(rest);
    found.extend(volumes);
    print(context, args, &found)?;
    if context.is_cluster().unwrap_or(false) && !args.output.quiet {
        context.screen.hint("this was the engine of this machine; on the cluster's nodes proxies remove what is left");
    }
    Ok(if failures > 0 { ExitCode::Unreachable } else { ExitCode::Ok } as u8)
}

fn failed(error: ProxyError) -> Failure {
    let next = error.advice();
    match error {
        ProxyError::Engine(error) => error.into(),
        ProxyError::Store(error) => error.into(),
        error => Failure::new(ExitCode::Unreachable, error.to_string()).next(next).because(error),
    }
}

/// Removes everything whose fate that is; how much could not be removed.
async fn remove(context: &Context, args: &Args, all: &mut [Found]) -> u32 {
    let mut failures = 0;
    let doomed = all.iter_mut().filter(|one| one.fate == Fate::Remove || args.kept && one.fate == Fate::Kept);
    for one in doomed {
        match orphans::remove(&context.engine_conf(), context.home(), one).await {
            Ok(gone) => one.done = gone,
            Err(error) => {
                let run = one.run.as_ref().map(|run| format!(" of run {run}")).unwrap_or_default();
                let what = match one.thing {
                    Thing::Grant => format!("grant {}{run} could not be swept", one.name),
                    thing => format!("{} {} could not be removed", thing.word(), one.name),
                };
                context.screen.warn(&format!("{what}: {}", crate::report::chain(&error)));
                failures += 1;
            }
        }
    }
    failures
}

fn print(context: &Context, args: &Args, found: &[Found]) -> Result<(), Failure> {
    let screen = &context.screen;
    let mut table = screen.table(&["KIND", "NAME", "RUN", "WHAT", "WHY"]);
    for one in found {
        let run = one.run.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = one.thing.word().to_owned();
        table.add_row([kind, one.name.clone(), run, one.word().to_owned(), one.why.clone()]);
    }
    let mut text = if found.is_empty() { String::new() } else { table_text(table, &[]) };
    if !found.iter().any(|one| one.done || one.fate == Fate::Remove) {
        text.push_str("nothing to remove\n");
    }
    let answer = Answer {
        kind: "leftovers",
        items: found
            .iter()
            .map(|one| {
                json!({ "kind": one.thing.word(), "id": one.id, "name": one.name, "run": one.run,
                        "fate": one.fate.word(), "removed": one.done, "why": one.why })
            })
            .collect(),
        names: found.iter().map(|one| one.name.clone()).collect(),
        text,
        ..Answer::default()
    };
    screen.answer(args.output.format(&context.conf), &answer)?;
    if found.iter().any(|one| one.thing == Thing::Container && one.fate == Fate::Kept && !one.done) {
        screen.hint("containers that were kept for a look go with: dybox gc --kept");
    }
    Ok(())
}
