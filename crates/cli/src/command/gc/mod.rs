//! `dybox gc`: what is left on the engine and in the budget of runs that are over, and its removal.
//!
//! A label proves nothing by itself, for an image can carry any. What is not proven by the secret of a run of this home
//! is reported and never touched.

mod found;
mod shares;

use dybox_engine::Engine;
use dybox_model::ExitCode;
use serde_json::json;

use super::{Context, Outcome};
use crate::report::{Answer, Failure, Output, table_text};
use found::{Fate, Found, Known};

/// Removes what runs that are over left on the engine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It looks at the engine of this machine alone. On a YARN cluster nothing is to be done: what a dead proxy\nleft on a node is removed by the next proxy of that user there.\n\nOnly what is proven to be of a run of this home is removed; the rest is shown.\n\nExamples:\n  dybox gc --dry-run\n  dybox gc --kept       also containers that `keep_failed` kept for a look"
)]
pub(crate) struct Args {
    /// Show what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Also remove containers that `keep_failed` kept
    #[arg(long)]
    pub kept: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Looks, removes and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let engine = Engine::connect(context.engine_conf()).await?;
    let client = context.machine()?;
    let mut found = shares::dead(client.store(), context.conf.docker_host.value.as_deref(), args.dry_run).await?;
    let mut known = Known::new(&client, context.home());
    for container in engine.list(None).await? {
        found.extend(known.container(container).await?);
    }
    for network in engine.list_networks(None).await? {
        found.extend(known.network(network).await?);
    }
    let mut failed = 0;
    if !args.dry_run {
        for one in &mut found {
            failed += u32::from(remove(context, &engine, one, args.kept).await.is_err());
        }
    }
    print(context, args, &found)?;
    if context.is_cluster().unwrap_or(false) && !args.output.quiet {
        context.screen.hint("this was the engine of this machine; on the cluster's nodes proxies remove what is left");
    }
    Ok(if failed > 0 { ExitCode::Unreachable } else { ExitCode::Ok } as u8)
}

/// Removes one thing where that is its fate.
async fn remove(context: &Context, engine: &Engine, one: &mut Found, kept: bool) -> Result<(), Failure> {
    let doomed = one.fate == Fate::Remove || kept && one.fate == Fate::Kept;
    if !doomed || one.done {
        return Ok(());
    }
    let gone = match one.kind {
        "container" => engine.remove(&one.id).await,
        "network" => engine.remove_network(&one.id).await,
        _ => return Ok(()),
    };
    match gone {
        Ok(_) => {
            one.done = true;
            Ok(())
        }
        Err(e) => {
            context.screen.warn(&format!("{} {} could not be removed: {e}", one.kind, one.name));
            Err(e.into())
        }
    }
}

fn print(context: &Context, args: &Args, found: &[Found]) -> Result<(), Failure> {
    let screen = &context.screen;
    let mut table = screen.table(&["KIND", "NAME", "RUN", "WHAT", "WHY"]);
    for one in found {
        let run = one.run.as_ref().map(ToString::to_string).unwrap_or_default();
        table.add_row([one.kind.to_owned(), one.name.clone(), run, one.word().to_owned(), one.why.clone()]);
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
                json!({ "kind": one.kind, "id": one.id, "name": one.name, "run": one.run, "fate": one.fate.word(),
                        "removed": one.done, "why": one.why })
            })
            .collect(),
        names: found.iter().map(|one| one.name.clone()).collect(),
        text,
        ..Answer::default()
    };
    screen.answer(args.output.format(&context.conf), &answer)?;
    if found.iter().any(|one| one.fate == Fate::Kept && !one.done) {
        screen.hint("containers that were kept for a look go with: dybox gc --kept");
    }
    Ok(())
}
