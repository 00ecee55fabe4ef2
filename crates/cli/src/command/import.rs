//! `dybox import`: a job file made from a file of another tool.

use std::io::Read;
use std::path::{Path, PathBuf};

use dybox_job::{Source, Tool, Wanted, exit_of, import};
use dybox_model::ExitCode;

use super::job::print_problems;
use super::{Context, Outcome};
use crate::report::{Failure, codes};

/// Makes a job file from a compose file, an Argo workflow, a Makefile or a Skein specification
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What has no counterpart is a comment at its place, or at the head of the job file.\n\nExamples:\n  dybox import compose compose.yaml\n  dybox import argo workflow.yaml --out job.yaml\n  dybox import make Makefile --target report --image python:3.12\n  kubectl get workflow x -o yaml | dybox import argo -"
)]
pub(crate) struct Args {
    /// The tool whose file it is
    #[arg(value_enum, value_name = "TOOL")]
    pub tool: Kind,
    /// Its file; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write the job file here, instead of to stdout; never over one that is there
    #[arg(long, value_name = "JOB.yaml")]
    pub out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "out")]
    pub force: bool,
    /// The image of stages that the file names none for
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// make: bring over this target and what it needs, instead of the first one; may be given many times. argo: the
    /// template to begin with, instead of the entrypoint
    #[arg(long = "target", value_name = "NAME")]
    pub targets: Vec<String>,
}

/// Tools whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A compose file: services become stages
    Compose,
    /// A Workflow, WorkflowTemplate or CronWorkflow: its steps become stages
    Argo,
    /// A Makefile: targets become stages
    Make,
    /// The specification of a Skein application: services become stages
    Skein,
}

/// Reads, makes, writes.
pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let tool = match args.tool {
        Kind::Compose => Tool::Compose,
        Kind::Argo => Tool::Argo,
        Kind::Make => Tool::Make,
        Kind::Skein => Tool::Skein,
    };
    let bytes = read(&args.file)?;
    let path = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = args.file.display().to_string();
    let wanted = Wanted { image: args.image.clone(), targets: args.targets.clone() };
    let made = match import(tool, &Source { name: &name, bytes: &bytes, dir }, &wanted) {
        Ok(made) => made,
        Err(problems) => {
            print_problems(&context.screen, &problems);
            return Ok(exit_of(&problems) as u8);
        }
    };
    match &args.out {
        None => context.screen.out(&made.text)?,
        Some(out) => {
            write(out, &made.text, args.force)?;
            context.screen.hint(&format!("wrote {}: dybox check {}", out.display(), out.display()));
        }
    }
    if made.notes > 0 {
        let said = if made.notes == 1 {
            "1 comment in it says".to_owned()
        } else {
            format!("{} comments in it say", made.notes)
        };
        context.screen.hint(&format!("{said} what is otherwise than in {name}"));
    }
    for problem in &made.problems {
        context.screen.warn(&format!("check does not take it yet: {} {}", problem.code, problem.message));
    }
    Ok(ExitCode::Ok as u8)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    /// One byte more than is taken: what is longer is told so.
    const MOST: u64 = (1 << 20) + 1;
    let mut bytes = Vec::new();
    let done = if path == Path::new("-") {
        std::io::stdin().lock().take(MOST).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes))
    };
    done.map_err(|e| {
        let failure = Failure::new(ExitCode::Invalid, format!("{} can't be read", path.display())).source(e);
        failure.next("check the path; it is taken from the current directory")
    })?;
    Ok(bytes)
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        let failure = Failure::coded(codes::OVERWRITE, format!("{} is there already", path.display()));
        return Err(failure);
    }
    std::fs::write(path, text).map_err(|e| {
        Failure::new(ExitCode::Invalid, format!("{} can't be written", path.display()))
            .source(e)
            .next("name another file")
    })
}
