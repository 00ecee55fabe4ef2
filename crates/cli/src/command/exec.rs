//! `dybox exec`.

use std::io;
use std::os::fd::AsFd;

use dybox_client::{Ear, Heard, Line, Say};
use dybox_journal::Live;
use dybox_model::{AttemptId, Exec, ExitCode, GrantId, TaskId, Visit, Want};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::look::{Looked, look};
use super::shell::session::{changed, code, listen};
use super::shell::streams::{file, read_stdin, speak, write};
use super::shell::terminal::{Raw, is_there, size};
use super::shell::variables;
use super::target::Target;
use super::{Context, Outcome};
use crate::report::state::{stage_word, task_word};
use crate::report::{Failure, codes};

/// After so many interrupts the command is left; it ends with its line.
const FORCE: u32 = 3;

/// Runs a command beside a running task, in its container.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command has the task's user, variables and limits; what it uses counts as the task's. It ends with the container, and when this line is cut. The journal says who was there (`dybox status RUN/STAGE/N`), without arguments and variables.\n\nExit codes: the command's own; 126 when it can't be run, 127 when there is none; 8 when the task does not run.\n\nExamples:\n  dybox exec @latest/train/0 -- ps aux\n  dybox exec -it nightly/join sh"
)]
pub(crate) struct Args {
    /// RUN/STAGE/N; the task's number may be left out where one task runs
    #[arg(value_name = "RUN/STAGE/N")]
    pub target: Target,
    /// Feed this process's stdin to the command
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Set a variable; without a value it is taken from here
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Working directory [default: the task's]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Runs one command beside a task.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    if args.tty && args.interactive && !is_there() {
        let failure = Failure::new(ExitCode::Usage, "stdin is no terminal");
        return Err(failure.next("leave out -t to feed a file or a pipe"));
    }
    let looked = look(context, &args.target).await?;
    let (attempt, live) = running(&looked, "run a command in")?;
    let env = variables(&args.env, |key| std::env::var(key).ok()).into_iter().collect();
    let exec =
        Exec { argv: args.command.clone(), stdin: args.interactive, tty: args.tty, env, workdir: args.workdir.clone() };
    let line = open(context, &looked, (live.grant, attempt), Want::Exec(exec)).await?;
    carry(context, line, args).await
}

/// Opens the line to a visitor of a task that runs.
pub(super) async fn open(
    context: &Context,
    looked: &Looked,
    at: (GrantId, AttemptId),
    want: Want,
) -> Result<Line, Failure> {
    let by = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| looked.info.user.clone());
    let run = &looked.info.run;
    context.client()?.visit(run, at, &Visit { by, want }).await.map_err(|error| {
        let failure = Failure::coded(codes::NOT_RUNNING, format!("{} can't be reached", at.1));
        let next = format!("look with `dybox status {run}/{}/{}`", looked.name(at.1.task.stage), at.1.task.index);
        failure.source(error).next(next)
    })
}

/// The attempt that is meant: one whose container runs.
pub(super) fn running<'a>(looked: &'a Looked, what_for: &str) -> Result<(AttemptId, &'a Live), Failure> {
    let view = &looked.standing.view;
    let meant = |attempt: &AttemptId| {
        looked.stage.is_none_or(|stage| stage == attempt.task.stage)
            && looked.task.is_none_or(|index| index == attempt.task.index)
    };
    let live = view.subs.values().flat_map(|run| &run.live).filter(|(attempt, _)| meant(attempt));
    let runs: Vec<_> = live.filter(|(_, live)| live.runs.is_some()).collect();
    match runs[..] {
        [(&attempt, live)] => Ok((attempt, live)),
        [] => Err(not_running(looked, what_for)),
        [(first, _), ..] => {
            let name = |task: TaskId| format!("{}/{}/{}", looked.info.run.short(), looked.name(task.stage), task.index);
            let what = format!("{} tasks run, and one is needed to {what_for}", runs.len());
            Err(Failure::coded(codes::BAD_TARGET, what).next(format!("name one, like {}", name(first.task))))
        }
    }
}

fn not_running(looked: &Looked, what_for: &str) -> Failure {
    let run = &looked.info.run;
    let (what, word) = match looked.stage {
        None => (format!("nothing of run {} runs", run.short()), looked.standing.word()),
        Some(stage) => {
            let seen = looked.seen(stage);
            let task = looked.task.or_else(|| seen.filter(|seen| seen.tasks.len() == 1).map(|_| 0));
            let state = task.and_then(|task| seen?.tasks.get(task as usize)).map(|task| task.state);
            let name = looked.name(stage);
            match (task, state) {
                (Some(task), Some(state)) => (format!("task {name}/{task} does not run"), task_word(state)),
                _ => (format!("no task of stage {name:?} runs"), stage_word(seen)),
            }
        }
    };
    let why = match word {
        "succeeded" | "failed" => format!("it has {word}"),
        _ => format!("it is {word}"),
    };
    let next = format!("there is no container to {what_for} now; look with `dybox status {run}`");
    Failure::coded(codes::NOT_RUNNING, what).why(why).next(next)
}

/// How the command ended.
enum End {
    Code(i32),
    Failed(i32, String),
    /// The line broke.
    Cut,
    /// Our own output can't be written.
    Deaf,
}

async fn carry(context: &Context, line: Line, args: &Args) -> Outcome {
    let (ear, mouth) = line.ends();
    let (say, words) = mpsc::channel(16);
    tokio::spawn(speak(mouth, words));
    let mut raw = None;
    if args.tty {
        raw = Raw::enter();
        if let Some(size) = size() {
            let _ = say.try_send(size);
        }
    }
    if args.interactive {
        tokio::spawn(read_stdin(say.clone()));
    }
    let broken = |error| Failure::new(ExitCode::Internal, "signals can't be handled").source(error);
    let (mut signals, mut resized) = (listen().map_err(broken)?, signal(SignalKind::window_change()).ok());
    let (mut heard, mut interrupts) = (tokio::spawn(hear(ear)), 0);
    let end = loop {
        tokio::select! {
            end = &mut heard => break end.map_or(End::Cut, |end| end.unwrap_or(End::Deaf)),
            Some(number) = signals.recv() => {
                interrupts += u32::from(number == SignalKind::interrupt().as_raw_value());
                if interrupts >= FORCE {
                    // The line goes with this process, and the command with the line.
                    return Ok(ExitCode::Interrupted as u8);
                }
                let _ = say.try_send(Say::Signal(u8::try_from(number).unwrap_or(15)));
            }
            () = changed(&mut resized) => {
                if let (true, Some(size)) = (args.tty, size()) {
                    let _ = say.try_send(size);
                }
            }
        }
    };
    // The terminal is itself again before anything is said on it.
    drop(raw);
    match end {
        End::Code(number) => Ok(code(number)),
        End::Failed(number, why) => {
            context.screen.hint(&format!("dybox: {}", crate::live::shown(&why)));
            Ok(code(number))
        }
        End::Cut => Err(Failure::coded(codes::NOT_RUNNING, "the line to the command was cut")
            .why("the task ended, or its proxy or master did; the command ended with it")
            .next("look with `dybox status`")),
        End::Deaf => Err(Failure::quiet()),
    }
}

async fn hear(mut ear: Ear) -> io::Result<End> {
    let (mut stdout, mut stderr) = (file(io::stdout().as_fd())?, file(io::stderr().as_fd())?);
    loop {
        match ear.hear().await {
            Ok(Heard::Stdout(bytes)) => write(&mut stdout, &bytes).await?,
            Ok(Heard::Stderr(bytes)) => write(&mut stderr, &bytes).await?,
            Ok(Heard::Code(code)) => return Ok(End::Code(code)),
            Ok(Heard::Failed { code, why }) => return Ok(End::Failed(code, why)),
            Ok(Heard::End) | Err(_) => return Ok(End::Cut),
        }
    }
}
