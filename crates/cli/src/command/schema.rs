//! `dybox schema`: JSON Schemas of what programs and editors read and write.

use dybox_model::ExitCode;

use super::{Context, Outcome};
use crate::report::shapes::{SHAPES, schema};
use crate::report::{Failure, codes, nearest};

/// Prints the JSON Schema of the job file, or of what a command prints with -o json
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An editor completes and checks a job file by it:\n  dybox schema > ~/dybox.schema.json\n  # yaml-language-server: $schema=/home/ann/dybox.schema.json       (first line of the job file)\n\nExamples:\n  dybox schema                 the job file\n  dybox schema status          what `dybox status -o json` prints\n  dybox schema --list          every name there is"
)]
pub(crate) struct Args {
    /// `job`, or a reading command: ps, status, status-task, ...
    #[arg(value_name = "WHAT", default_value = "job")]
    pub what: String,
    /// List the names instead
    #[arg(long)]
    pub list: bool,
}

/// Prints.
pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    if args.list {
        context.screen.out(&names().iter().map(|name| format!("{name}\n")).collect::<String>())?;
        return Ok(ExitCode::Ok as u8);
    }
    let found = match args.what.as_str() {
        "job" => Some(dybox_job::schema()),
        what => SHAPES.iter().find(|shape| shape.id() == what).map(schema),
    };
    let Some(found) = found else { return Err(unknown(&args.what)) };
    context.screen.line(&format!("{found:#}"))?;
    Ok(ExitCode::Ok as u8)
}

/// Every name of a schema.
pub(crate) fn names() -> Vec<String> {
    std::iter::once("job".to_owned()).chain(SHAPES.iter().map(|shape| shape.id())).collect()
}

fn unknown(what: &str) -> Failure {
    let failure = Failure::coded(codes::NO_TOPIC, format!("there is no schema of {what:?}"));
    let names = names();
    match nearest(what, names.iter().map(String::as_str)) {
        Some(near) => failure.next(format!("did you mean {near:?}?")),
        None => failure.next("`dybox schema --list` lists what there is"),
    }
}
