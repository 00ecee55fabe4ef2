//! `dybox graph`: the DAG of a job file or of a run as a picture.

use std::path::{Path, PathBuf};

use dybox_job::{Diagnostic, Picture, dot, mermaid, picture_text, svg};
use dybox_model::{ExitCode, Need};
use serde_json::{Map, Value, json};

use super::job::{JobArgs, Room, budget, check, param, print_problems};
use super::look::look;
use super::target::Target;
use super::{Context, Outcome};
use crate::report::state::{stage_word, state_paint};
use crate::report::{Answer, Failure, Output, Paint, Screen, codes};

/// Draws the DAG of a job file, or of a run with the states of its stages
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dybox graph job.yaml\n  dybox graph @latest                        with states and colours\n  dybox graph job.yaml --format svg > job.svg\n  dybox graph job.yaml --format dot | dot -Tpdf > job.pdf\n  dybox graph job.yaml --format mermaid      for a Markdown page"
)]
pub(crate) struct Args {
    /// A job file, or a run: its id, its beginning, job name or @latest
    #[arg(value_name = "JOB.yaml|RUN")]
    pub target: String,
    /// The kind of picture
    #[arg(long, value_enum, default_value_t = Kind::Text, value_name = "FORMAT", help_heading = "Output")]
    pub format: Kind,
    /// Value of a parameter of the job file; may be given many times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param, help_heading = "Job")]
    pub params: Vec<(String, String)>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Kinds of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// For a terminal
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
    /// For a browser
    Svg,
}

/// Draws and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let mut extra = Map::new();
    let picture = if is_file(&args.target) {
        let job = JobArgs { file: PathBuf::from(&args.target), params: args.params.clone(), ..JobArgs::default() };
        // A picture needs no cluster, and what a cluster would say of sizes is no matter of it.
        let room = if context.is_cluster()? { Room::Unknown } else { Room::Machine(budget(context)) };
        let checked = check(context, &job, &room).await?;
        let errors: Vec<Diagnostic> = checked.problems.iter().filter(|one| !one.is_warning()).cloned().collect();
        print_problems(&context.screen, &errors);
        let Some(plan) = &checked.plan else { return Ok(checked.exit() as u8) };
        extra.insert("run".to_owned(), Value::Null);
        Picture::of(plan)
    } else {
        let (run, picture) = of_run(context, &args.target).await?;
        extra.insert("run".to_owned(), json!(run));
        picture
    };
    extra.insert("job".to_owned(), json!(picture.name));
    let text = drawn(&context.screen, &picture, args.format);
    let names = picture.dots.iter().map(|dot| dot.name.clone()).collect();
    let answer = Answer { kind: "stages", items: items(&picture), names, text, extra };
    context.screen.answer(args.output.format(&context.conf), &answer)?;
    Ok(ExitCode::Ok as u8)
}

/// A word names a file when there is one, or when no run could have that name.
fn is_file(target: &str) -> bool {
    let path = Path::new(target);
    let ending = path.extension().and_then(|ending| ending.to_str());
    path.is_file() || matches!(ending, Some("yaml" | "yml" | "json"))
}

async fn of_run(context: &Context, target: &str) -> Result<(String, Picture), Failure> {
    let bad = |why: String| Failure::coded(codes::BAD_TARGET, format!("{target:?} is no job file and no run")).why(why);
    let target: Target = target.parse().map_err(bad)?;
    if target.stage.is_some() {
        return Err(bad("a picture shows a whole run".to_owned()).next("write RUN alone, or the path of a job file"));
    }
    let looked = look(context, &target).await?;
    let mut picture = Picture::of(&looked.plan);
    for (id, planned) in looked.plan.numbered() {
        let seen = looked.seen(id);
        picture.stands(id, stage_word(seen), seen.map_or(planned.tasks, |stage| stage.counts.total()));
    }
    if picture.dots.is_empty() {
        context.screen.hint("its master has not written its plan down yet");
    }
    Ok((looked.info.run.to_string(), picture))
}

fn drawn(screen: &Screen, picture: &Picture, kind: Kind) -> String {
    match kind {
        Kind::Dot => dot(picture),
        Kind::Mermaid => mermaid(picture),
        Kind::Svg => svg(picture),
        Kind::Text => picture_text(picture, screen.width.into(), &|state, text| match state {
            Some("") => text.to_owned(),
            Some(state) => screen.paint(state_paint(state), text),
            None => screen.paint(Paint::Dim, text),
        }),
    }
}

fn items(picture: &Picture) -> Vec<Value> {
    let end = |need: &Need| match need {
        Need::Succeeded => "succeeded",
        Need::Failed => "failed",
        Need::Finished => "finished",
    };
    let item = |dot: &dybox_job::Dot| {
        let needs = dot.needs.iter().map(|(need, ended)| (picture.dots[*need].name.clone(), json!(end(ended))));
        json!({
            "stage": dot.name, "kind": if dot.tasks.is_some() { "stage" } else { "hook" },
            "tasks": dot.tasks.filter(|_| dot.known.is_none()), "tasks_known": dot.known,
            "state": dot.state, "subdag": dot.subdag, "needs": needs.collect::<Map<_, _>>(),
        })
    };
    picture.dots.iter().map(item).collect()
}
