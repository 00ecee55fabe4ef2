//! `dybox status`: one run as a tree, with the state of every stage and of the tasks that matter.

mod attempts;
mod timeline;
mod tree;

use std::collections::BTreeMap;

use dybox_model::{ExitCode, Millis, Note, StageId, TaskId};
use serde_json::{Map, Value, json};

use super::look::{Looked, look};
use super::ps::run_json;
use super::published;
use super::target::Target;
use super::{Context, Outcome};
use crate::report::state::{counts_json, stage_word, task_word};
use crate::report::time::{now, rfc3339, seconds};
use crate::report::{Answer, Failure, Output};

/// So many reasons of a stage are shown.
const SAID: usize = 3;

/// Shows a run as a tree: states, tries, times, causes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dybox status @latest\n  dybox status nightly/join        every task of one stage\n  dybox status 01jd/join/3         every attempt of one task\n  dybox status @latest --timeline\n  dybox status @latest -o json"
)]
pub(crate) struct Args {
    /// RUN, RUN/STAGE or RUN/STAGE/N; a run by id, its beginning, job name or @latest
    #[arg(value_name = "RUN[/STAGE[/N]]", default_value = "@latest")]
    pub target: Target,
    /// Below the tree, each stage as a bar from the submission on, with what was done for its image before it was needed
    #[arg(long)]
    pub timeline: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Looks and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let mut looked = look(context, &args.target).await?;
    hear_why(context, &mut looked).await?;
    let now = now();
    let answer = match (looked.stage, looked.task) {
        (Some(stage), Some(index)) => attempts::answer(context, &looked, TaskId { stage, index }).await?,
        _ => answer(context, &looked, (now, args.timeline)),
    };
    context.screen.answer(args.output.format(&context.conf), &answer)?;
    Ok(ExitCode::Ok as u8)
}

/// What the live masters say of what waits, and of what is fetched and put: no journal holds that.
async fn hear_why(context: &Context, looked: &mut Looked) -> Result<(), Failure> {
    if looked.standing.held.is_empty() {
        return Ok(());
    }
    let subdags = u32::try_from(looked.plan.subdags.len()).unwrap_or(u32::MAX);
    let mut said: BTreeMap<StageId, Vec<String>> = BTreeMap::new();
    for waiting in context.client()?.why(&looked.info.run, subdags).await {
        said.entry(waiting.stage).or_default().push(waiting.why);
    }
    for (stage, all) in said {
        let more = all.len().saturating_sub(SAID);
        let mut why = all[..all.len() - more].join("; ");
        if more > 0 {
            why.push_str(&format!("; and {more} more"));
        }
        if let Some(of) = looked.plan.stages.get(stage.0 as usize) {
            looked.standing.view.note(of.subdag, &Note::Waits { stage, why });
        }
    }
    Ok(())
}

fn answer(context: &Context, looked: &Looked, (now, timeline): (Millis, bool)) -> Answer {
    let shown = looked.shown();
    let mut text = tree::text(&context.screen, looked, now);
    if timeline {
        text.push_str(&timeline::text(&context.screen, looked, now));
    }
    Answer {
        kind: "stages",
        items: shown.iter().map(|&stage| stage_json(looked, stage, now)).collect(),
        names: shown.iter().map(|&stage| format!("{}/{}", looked.info.run, looked.name(stage))).collect(),
        text,
        extra: run_field(looked),
    }
}

fn run_field(looked: &Looked) -> Map<String, Value> {
    let mut extra = Map::new();
    extra.insert("run".to_owned(), run_json(&looked.info, &looked.standing));
    extra
}

fn stage_json(looked: &Looked, id: StageId, now: Millis) -> Value {
    let planned = looked.plan.stages.get(id.0 as usize);
    let seen = looked.seen(id);
    let mut item = json!({
        "stage": looked.name(id), "state": stage_word(seen), "why": seen.map(|stage| &stage.why),
        "waits": seen.map(|stage| &stage.waits),
        "image": planned.map(|stage| &stage.image), "subdag": planned.map(|stage| stage.subdag),
        "needs": planned.map(|stage| stage.needs.iter().map(|(need, _)| looked.name(*need)).collect::<Vec<_>>()),
        "cpus": planned.map(|stage| f64::from(stage.ask.cpu_milli) / 1000.0), "memory": planned.map(|stage| stage.ask.memory),
        "tries": seen.map_or(0, |stage| stage.tries), "failures": seen.map_or(0, |stage| stage.failures),
        "started": seen.and_then(|stage| stage.started).map(rfc3339),
        "ended": seen.and_then(|stage| stage.ended).map(rfc3339),
        "seconds": seen.and_then(|stage| stage.wall(now)).map(seconds),
        "cpu_seconds": seen.map(|stage| seconds(Millis(stage.used.cpu_ms))), "peak_memory": seen.map(|stage| stage.used.memory),
        "needed_memory": seen.map(|stage| stage.used.needed()),
        "cause": seen.and_then(dybox_journal::Stage::cause).map(|cause| cause.info().code),
    });
    let taken = seen.and_then(|stage| stage.taken.as_ref());
    item["taken_from"] = json!(taken.and_then(Option::as_ref));
    item["left_out"] = json!(taken.is_some_and(Option::is_none));
    item["cached"] = json!(seen.is_some_and(|stage| stage.cached));
    item["not_cached"] = json!(seen.and_then(|stage| stage.missed.as_ref()));
    item["ports"] = json!(published::json(looked, id));
    let hook = planned.and_then(|stage| looked.plan.hooks.get(stage.added?.0 as usize));
    item["added_by"] = json!(hook.map(dybox_job::Hook::label));
    let story = looked.standing.view.image_story(id);
    let waited = story.as_ref().filter(|_| seen.is_some_and(|stage| stage.tries > 0));
    item["image_waited_seconds"] = json!(waited.map(|story| seconds(story.waited.map_or(Millis(0), |one| one.took))));
    let ahead = |one: &&dybox_journal::Brought| json!({ "host": one.host, "seconds": seconds(one.took), "at": rfc3339(one.at), "why": one.why });
    item["image_ahead"] = story.iter().flat_map(|story| &story.ahead).map(ahead).collect();
    item["tasks"] =
        seen.map_or_else(|| json!({ "total": planned.map(|stage| stage.tasks) }), |stage| counts_json(&stage.counts));
    if looked.stage.is_some() {
        let places = looked.standing.view.stage(id).map(|(run, _)| &run.places);
        item["list"] = seen.map_or(Value::Null, |stage| {
            let task = |(index, task): (usize, &dybox_journal::Task)| {
                json!({ "task": index, "state": task_word(task.state), "attempt": task.attempt, "code": task.code,
                        "grant": task.grant.map(|grant| grant.to_string()),
                        "host": task.grant.and_then(|grant| places?.get(&grant)).map(|place| &place.host) })
            };
            stage.tasks.iter().enumerate().map(task).collect()
        });
    }
    item
}
