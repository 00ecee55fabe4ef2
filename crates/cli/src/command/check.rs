//! `dybox check`: all problems of a job file at once.

use dybox_job::Plan;
use dybox_model::ExitCode;
use serde_json::{Value, json};

use super::job::{JobArgs, Room, check, print_problems};
use super::{Context, Outcome};
use crate::conf::Format;
use crate::report::{Answer, Failure, Output};

/// Finds all problems of a job file at once; touches nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 3 when the file is invalid, 4 when a policy refuses it.\n\nExamples:\n  dybox check job.yaml\n  dybox check job.yaml -p day=2026-01-31\n  dybox check job.yaml -o json"
)]
pub(crate) struct Args {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Checks and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let room = room(context, args.job.queue.as_deref()).await?;
    let checked = check(context, &args.job, &room).await?;
    let format = args.output.format(&context.conf);
    if matches!(format, Format::Table | Format::Name) {
        print_problems(&context.screen, &checked.problems);
    }
    let exit = checked.exit();
    let warnings = checked.problems.iter().filter(|problem| problem.is_warning()).count();
    let errors = checked.problems.len() - warnings;
    if errors > 0 && format == Format::Table {
        context.screen.hint(&format!("{}: {errors} {}", args.job.file.display(), plural(errors, "error")));
    } else {
        let mut items: Vec<Value> = Vec::new();
        for problem in &checked.problems {
            items.push(serde_json::to_value(problem)?);
        }
        let text = checked.plan.as_ref().map(|plan| {
            let tasks = plan.counted().words();
            let stages = plan.stages.len();
            let with =
                if warnings > 0 { format!(", {warnings} {}", plural(warnings, "warning")) } else { String::new() };
            let stage_word = plural(stages, "stage");
            format!("{}: ok, {stages} {stage_word}, {tasks}{with}\n", args.job.file.display())
        });
        let names = checked.problems.iter().map(|problem| problem.code.to_owned()).collect();
        let answer = Answer { kind: "problems", items, names, text: text.unwrap_or_default(), ..Answer::default() };
        context.screen.answer(format, &Answer { extra: verdict(exit, checked.plan.as_ref()), ..answer })?;
    }
    Ok(exit as u8)
}

/// A check needs no cluster: one that does not answer is left out, unless `--yarn` asks for it.
async fn room(context: &Context, queue: Option<&str>) -> Result<Room, Failure> {
    context.say_place()?;
    match Room::now(context, queue).await {
        Err(failure) if context.conf.yarn.value != Some(true) => {
            context.screen.warn(&format!("the cluster was not asked: {}", failure.what));
            Ok(Room::Unknown)
        }
        room => room,
    }
}

fn verdict(exit: ExitCode, plan: Option<&Plan>) -> serde_json::Map<String, Value> {
    let tasks = plan.map(tasks_of);
    [("ok".to_owned(), json!(exit == ExitCode::Ok)), ("tasks".to_owned(), json!(tasks))].into_iter().collect()
}

/// How many tasks a plan has: no less than so many, and the stages whose tasks are known later, with the moment.
pub(crate) fn tasks_of(plan: &Plan) -> Value {
    let counted = plan.counted();
    json!({ "least": counted.least, "known": counted.later })
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
