//! What a shell offers after TAB. The shell runs `dybox` itself for that, with [`VAR`] set: so it knows the runs of the
//! moment and the stages of each, and an update of the program is an update of its completions.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use clap::{Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use dybox_store::RunInfo;

use crate::args::{Args, Global};
use crate::command::{Context, explain, runtime, schema};

/// Set by the shell's function when it asks.
pub(crate) const VAR: &str = "_DYBOX_COMPLETE";
/// Runs that are offered; of more, a person writes the beginning.
const MOST: usize = 100;
/// A person waits with a finger on TAB.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Answers the shell and ends the process, if it is the shell who asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(command).var(VAR).complete();
}

/// The command line, its arguments taught what their values can be.
fn command() -> Command {
    taught(Args::command())
}

fn taught(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let named = |word: &str| arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == word));
        let runs = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.starts_with("RUN")));
        if runs {
            arg.add(ArgValueCompleter::new(targets))
        } else if named("JOB.yaml") {
            arg.add(ArgValueCompleter::new(job_files()))
        } else if named("JOB.yaml|RUN") {
            arg.add(ArgValueCompleter::new(|word: &OsStr| {
                job_files().complete(word).into_iter().chain(targets(word)).collect::<Vec<_>>()
            }))
        } else if named("CODE|FIELD") {
            arg.add(ArgValueCandidates::new(|| words(explain::names())))
        } else if named("WHAT") {
            arg.add(ArgValueCandidates::new(|| words(schema::names())))
        } else {
            arg
        }
    });
    command.mut_subcommands(taught)
}

fn words(words: Vec<String>) -> Vec<CompletionCandidate> {
    words.into_iter().map(CompletionCandidate::new).collect()
}

fn job_files() -> PathCompleter {
    PathCompleter::any().filter(|path| {
        let ending = path.extension().and_then(OsStr::to_str);
        path.is_dir() || matches!(ending, Some("yaml" | "yml" | "json"))
    })
}

/// Runs, or the stages of one. Where they can't be read in time nothing is offered: nobody reads an error there.
fn targets(word: &OsStr) -> Vec<CompletionCandidate> {
    word.to_str().and_then(found).unwrap_or_default()
}

fn found(word: &str) -> Option<Vec<CompletionCandidate>> {
    let given = |flag: &str| std::env::args().any(|arg| arg == flag);
    let local = given("--local");
    let global = Global { local, yarn: given("--yarn") && !local, ..Global::default() };
    let context = Context::open(&global).ok()?;
    let client = context.client().ok()?;
    let runtime = runtime().ok()?;
    let found = runtime.block_on(async {
        let look = async {
            match word.split_once('/') {
                None => Some(runs(word, &client.runs().await.ok()?.list)),
                Some((run, stage)) => {
                    let info = client.find(run).await.ok()?;
                    let plan = client.plan(&info.run).await.ok()?;
                    let fits = plan.stages.iter().filter(|known| known.name.starts_with(stage));
                    Some(fits.map(|known| CompletionCandidate::new(format!("{run}/{}", known.name))).collect())
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.ok().flatten()
    });
    runtime.shutdown_background();
    found
}

/// Ids, newest first, with what they are; the names of jobs; `@latest`.
fn runs(word: &str, runs: &[RunInfo]) -> Vec<CompletionCandidate> {
    let ids = runs.iter().take(MOST).map(|info| (info.run.to_string(), info.job.clone()));
    let mut seen = BTreeSet::new();
    let jobs = runs.iter().filter(|info| seen.insert(info.job.clone())).take(MOST);
    let jobs = jobs.map(|info| (info.job.clone(), "the newest run of this job".to_owned()));
    let latest = [("@latest".to_owned(), "the newest run".to_owned())];
    let all = latest.into_iter().chain(jobs).chain(ids).filter(|(name, _)| name.starts_with(word));
    all.enumerate()
        .map(|(at, (name, help))| CompletionCandidate::new(name).help(Some(help.into())).display_order(Some(at)))
        .collect()
}
