//! One file a command. Each is `async fn run(context, args) -> Outcome`.

mod answers;
pub(crate) mod bring_image;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod context;
pub(crate) mod cp;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod foreground;
pub(crate) mod gc;
pub(crate) mod graph;
pub(crate) mod image_id;
pub(crate) mod import;
pub(crate) mod job;
pub(crate) mod logins;
pub(crate) mod logs;
pub(crate) mod look;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod part;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod preflight;
pub(crate) mod prune;
pub(crate) mod ps;
mod published;
pub(crate) mod rerun;
pub(crate) mod rest;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod servers;
pub(crate) mod session;
pub(crate) mod shell;
pub(crate) mod state_server;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod submitted;
pub(crate) mod sweep_home;
pub(crate) mod target;
pub(crate) mod top;
pub(crate) mod tries;
pub(crate) mod watch;
pub(crate) mod why;

pub(crate) use context::Context;

use dybox_model::ExitCode;

use crate::args::{Args, Command, Part};
use crate::report::{Failure, Screen};

/// How a command ended: its exit code (mostly of [`ExitCode`]; `shell` returns the container's own), or what went wrong.
pub(crate) type Outcome = Result<u8, Failure>;

/// Does what the command line says and returns the exit code. All errors are printed here.
pub(crate) fn run(args: Args) -> u8 {
    let debug = args.global.debug;
    match args.command {
        Command::Part(part) => run_part(part, debug),
        command => match Context::open(&args.global) {
            Ok(context) => finish(&context.screen, on_runtime(&context, command)),
            Err(failure) => finish(&Screen::detect(None, debug), Err(failure)),
        },
    }
}

/// Does what a part is for.
pub(crate) fn run_part(part: Part, debug: bool) -> u8 {
    let outcome = match part {
        Part::Master(args) => part::master(args),
        Part::Proxy(args) => part::proxy(args),
        Part::SweepHome(args) => sweep_home::run(&args),
        Part::BringImage(args) => bring_image::run(&args),
        Part::ImageId(args) => image_id::run(&args),
    };
    finish(&Screen::plain(debug), outcome)
}

fn finish(screen: &Screen, outcome: Outcome) -> u8 {
    outcome.unwrap_or_else(|failure| {
        screen.failure(&failure);
        failure.exit as u8
    })
}

/// One thread is enough for every command, and starts at once.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(ExitCode::Internal, "the event loop can't be started").source(e))
}

fn on_runtime(context: &Context, command: Command) -> Outcome {
    let runtime = runtime()?;
    let outcome = runtime.block_on(dispatch(context, command)).map_err(|failure| context.located(failure));
    // A read that hangs on a dead file system must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(context, args).await,
        Command::Shell(args) => shell::run(context, *args).await,
        Command::Stop(args) => stop::run(context, args).await,
        Command::Resume(args) => resume::run(context, args).await,
        Command::Rerun(args) => rerun::run(context, &args).await,
        Command::Watch(args) => watch::run(context, &args).await,
        Command::Session(args) => session::run(context, &args).await,
        Command::Check(args) => check::run(context, &args).await,
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Graph(args) => graph::run(context, &args).await,
        Command::Ps(args) => ps::run(context, &args).await,
        Command::Status(args) => status::run(context, &args).await,
        Command::Exec(args) => exec::run(context, &args).await,
        Command::Cp(args) => cp::run(context, &args).await,
        Command::Top(args) => top::run(context, &args).await,
        Command::Logs(args) => logs::run(context, &args).await,
        Command::Why(args) => why::run(context, &args).await,
        Command::Prune(args) => prune::run(context, &args).await,
        Command::Gc(args) => gc::run(context, &args).await,
        Command::Nodes(args) => nodes::run(context, &args).await,
        Command::StateServer(args) => state_server::run(context, &args).await,
        Command::Node(args) => node::run(context, &args).await,
        Command::Import(args) => import::run(context, &args),
        Command::Schema(args) => schema::run(context, &args),
        Command::Completions(args) => completions::run(context, &args),
        Command::Docs(args) => docs::run(context, &args),
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Explain(args) => explain::run(context, &args),
        Command::Part(_) => Ok(ExitCode::Internal as u8),
    }
}
