//! `dybox plan`: what a run would do, on this machine or on the cluster as it stands now.

mod far;
mod learned;
mod roster;

use std::collections::BTreeMap;

use dybox_engine::Engine;
use dybox_job::Plan;
use dybox_model::{ExitCode, format_bytes, format_cpus};
use serde_json::{Value, json};

use super::job::{JobArgs, Room, budget, check, print_problems};
use super::{Context, Outcome};
use crate::report::{Answer, Output, Screen, table_text};

/// Shows what a run would do: stages, needs, sizes, sub-DAGs, images
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dybox plan job.yaml\n  dybox plan job.yaml -p day=2026-01-31 -o json")]
pub(crate) struct Args {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What the engine knows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Have {
    /// It is here.
    Here { id: String, size: u64, digest: Option<String> },
    /// It would be pulled.
    Absent,
    /// The engine did not say.
    Unknown,
}

/// Plans and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    context.say_place()?;
    let room = Room::now(context, args.job.queue.as_deref()).await?;
    let mut checked = check(context, &args.job, &room).await?;
    // The printed plan says what is of the whole job.
    checked.problems.retain(|problem| problem.place.is_some() || !problem.is_warning());
    print_problems(&context.screen, &checked.problems);
    checked.learn(context).await?;
    let Some(plan) = &checked.plan else { return Ok(checked.exit() as u8) };
    let learned = learned::text(&context.screen, plan, &checked.learned);
    let names = plan.stages.iter().map(|stage| stage.name.clone()).collect();
    let answer = match &room {
        Room::Cluster(cluster, _) => {
            let roster = roster::ask(context, plan, cluster).await;
            let mut item = far::json(plan, cluster)?;
            item["cluster"]["roster"] = roster.json();
            let (far, roster) = (far::text(cluster), roster.text(cluster));
            Answer {
                kind: "plans",
                items: vec![learned::json(item, plan, &checked.learned)],
                names,
                text: format!("{}{far}{roster}{learned}", dybox_job::print_on(plan, cluster)),
                ..Answer::default()
            }
        }
        Room::Machine(_) | Room::Unknown => {
            let (images, engine) = images(context, plan).await;
            let images_text = images_text(&context.screen, &images, engine.as_deref());
            Answer {
                kind: "plans",
                items: vec![learned::json(json(plan, &images)?, plan, &checked.learned)],
                names,
                text: format!("{}{images_text}{}{learned}", dybox_job::print(plan), machine_text(context)),
                ..Answer::default()
            }
        }
    };
    context.screen.answer(args.output.format(&context.conf), &answer)?;
    Ok(ExitCode::Ok as u8)
}

/// Asks the engine about each image; a reason instead where it does not answer.
async fn images(context: &Context, plan: &Plan) -> (BTreeMap<String, Have>, Option<String>) {
    let mut images: BTreeMap<String, Have> = plan
        .stages
        .iter()
        .filter(|stage| !stage.late.image)
        .map(|stage| (stage.image.clone(), Have::Unknown))
        .collect();
    let engine = match Engine::connect(context.engine_conf()).await {
        Ok(engine) => engine,
        Err(e) => return (images, Some(e.to_string())),
    };
    for (name, have) in &mut images {
        *have = match engine.image(name).await {
            Ok(Some(info)) => Have::Here { id: info.id, size: info.size, digest: info.digests.into_iter().next() },
            Ok(None) => Have::Absent,
            Err(e) => return (images, Some(e.to_string())),
        };
    }
    (images, None)
}

fn images_text(screen: &Screen, images: &BTreeMap<String, Have>, silent: Option<&str>) -> String {
    let mut table = screen.table(&["IMAGE", "HERE", "SIZE", "ID"]);
    for (name, have) in images {
        let (here, size, id) = match have {
            Have::Here { id, size, digest } => ("yes", format_bytes(*size), digest.as_ref().unwrap_or(id).clone()),
            Have::Absent => ("no, will be pulled", String::new(), String::new()),
            Have::Unknown => ("unknown", String::new(), String::new()),
        };
        let id = if screen.out_is_terminal { short(&id) } else { id };
        table.add_row([name.clone(), here.to_owned(), size, id]);
    }
    let note = silent.map_or_else(String::new, |why| format!("the engine was not asked: {why}\n"));
    format!("\n{}{note}", table_text(table, &[2]))
}

/// A digest as far as people compare it; whoever needs it whole reads JSON, or a pipe.
fn short(id: &str) -> String {
    let end = id.find("sha256:").map_or(id.len(), |at| (at + "sha256:".len() + 12).min(id.len()));
    id[..end].to_owned()
}

fn machine_text(context: &Context) -> String {
    let room = budget(context);
    let (cpus, memory) = (format_cpus(room.cpu_milli), format_bytes(room.memory));
    format!("\nbudget of this machine: {cpus} cpus, {memory}\n")
}

fn json(plan: &Plan, images: &BTreeMap<String, Have>) -> Result<Value, serde_json::Error> {
    let mut item = serde_json::to_value(plan)?;
    let image = |(name, have): (&String, &Have)| match have {
        Have::Here { id, size, digest } => {
            json!({ "image": name, "here": true, "id": id, "bytes": size, "digest": digest })
        }
        Have::Absent => json!({ "image": name, "here": false }),
        Have::Unknown => json!({ "image": name, "here": null }),
    };
    item["images"] = images.iter().map(image).collect();
    Ok(item)
}
