//! `dybox shell`.

pub(in crate::command) mod session;
pub(in crate::command) mod streams;
pub(in crate::command) mod terminal;

use std::collections::BTreeMap;

use dybox_client::{Submission, Way};
use dybox_job::{Plan, ShellJob, shell_plan};
use dybox_model::Attach;

use self::session::{OWN_FAILURE, Session};
use super::job::Room;
use super::preflight::Preflight;
use super::run::start;
use super::{Context, Outcome, job};
use crate::report::Failure;
use crate::report::time::now;

/// Runs one container, like `docker run --rm`; the exit code is the container's own.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: the container's own; 125 when it could not be started, 126 when the command can't be run, 127 when there is none.\n\nExamples:\n  dybox shell --image busybox:1 -- echo hello\n  dybox shell -it --image ubuntu:22.04 -- bash\n  sort < names | dybox shell -i --image busybox:1 -- uniq -c"
)]
pub(crate) struct Args {
    /// The image to run
    #[arg(long)]
    pub image: String,
    /// Feed this process's stdin to the command
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Set a variable; without a value it is taken from here
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// Mount a path of this machine; may be given many times
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub volume: Vec<String>,
    /// Mount a temporary file system there; may be given many times
    #[arg(long, value_name = "TARGET")]
    pub tmpfs: Vec<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// uid, uid:gid or a user of the image [default: you]
    #[arg(short, long)]
    pub user: Option<String>,
    /// Cpus [default: 1]
    #[arg(long)]
    pub cpus: Option<String>,
    /// Memory, with a unit [default: 256MiB]
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Size of /dev/shm, with a unit [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Most processes and threads [default: 512]
    #[arg(long)]
    pub pids: Option<u32>,
    /// none or bridge [default: none; bridge with --publish]
    #[arg(long)]
    pub network: Option<String>,
    /// Publish a port: CONTAINER for a free one of the machine, or HOST:CONTAINER
    #[arg(short, long, value_name = "[[ADDRESS:]HOST:]CONTAINER[/udp]")]
    pub publish: Vec<String>,
    /// Name of the run's job [default: shell]
    #[arg(long)]
    pub name: Option<String>,
    /// missing, always or never [default: missing]
    #[arg(long)]
    pub pull: Option<String>,
    /// Replace the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// YARN queue; one machine has none
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Hand it to this session of yours on the cluster, which has grants ready (`dybox session`)
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Most time that it may run, like 10m
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Time between TERM and KILL when it is stopped [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub stop_grace: Option<String>,
    /// Keep the container when it fails
    #[arg(long)]
    pub keep_failed: bool,
    /// The command and its arguments [default: the image's]
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Runs one container. Whatever goes wrong on this side is 125, as with `docker run`.
pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    match session(context, &args).await {
        Err(failure) if !failure.what.is_empty() => {
            context.screen.failure(&context.located(failure));
            Ok(OWN_FAILURE)
        }
        outcome => outcome,
    }
}

async fn session(context: &Context, args: &Args) -> Outcome {
    if args.tty && args.interactive && !terminal::is_there() {
        let failure = Failure::new(dybox_model::ExitCode::Usage, "stdin is no terminal");
        return Err(failure.next("leave out -t to feed a file or a pipe"));
    }
    if context.screen.err_is_terminal {
        context.say_place()?;
    }
    if args.session.is_some() && !context.is_cluster()? {
        return Err(dybox_client::ClientError::NoSessions.into());
    }
    let preflight = Preflight::start(context)?;
    let room = Room::now(context, args.queue.as_deref()).await?;
    let Some(plan) = plan(context, args, &room).await? else { return Ok(OWN_FAILURE) };
    let client = context.client()?;
    let submission = Submission {
        job_file: None,
        text: Vec::new(),
        cwd: std::env::current_dir().unwrap_or_default(),
        request: None,
        session: args.session.clone(),
        logins: super::logins::of(context, &plan).await?,
        budget_cpu_milli: context.conf.cpus.value,
        budget_memory: context.conf.memory.value,
        at: now(),
    };
    preflight.passed().await?;
    let submitted = start(&client, &plan, &submission).await?;
    let run = submitted.info.run.clone();
    let client = client.knowing(&submitted);
    let session = Session::new(context, client, (run, &plan), attach(args), Way::of(submitted, true));
    session.carry().await
}

/// The plan; nothing when there were problems, which have been printed then.
async fn plan(context: &Context, args: &Args, room: &Room) -> Result<Option<Plan>, Failure> {
    let dir = std::env::current_dir().map_err(|error| {
        Failure::new(dybox_model::ExitCode::Invalid, "the current directory can't be found").source(error)
    })?;
    let here = room.world(context, &dir);
    let shell = ShellJob {
        name: args.name.clone(),
        image: args.image.clone(),
        command: args.command.clone(),
        entrypoint: args.entrypoint.clone().map(|program| vec![program]),
        env: variables(&args.env, |key| std::env::var(key).ok()),
        env_file: args.env_file.clone(),
        cpus: args.cpus.clone(),
        memory: args.memory.clone(),
        shm_size: args.shm_size.clone(),
        pids: args.pids,
        workdir: args.workdir.clone(),
        volumes: args.volume.clone(),
        tmpfs: args.tmpfs.clone(),
        network: args.network.clone(),
        ports: args.publish.clone(),
        user: args.user.clone(),
        pull: args.pull.clone(),
        timeout: args.timeout.clone(),
        stop_grace: args.stop_grace.clone(),
        keep_failed: args.keep_failed,
        attach: Some(attach(args)),
        dir,
    };
    let outcome = shell_plan(&shell, &here);
    let mut problems = outcome.diagnostics;
    // A warning about a job file (an image without a tag) is noise at a prompt.
    problems.retain(|problem| !problem.is_warning());
    job::print_problems(&context.screen, &problems);
    let mut plan = outcome.plan.filter(|_| problems.is_empty());
    if let (Some(plan), Some(queue)) = (&mut plan, &args.queue) {
        job::to_queue(plan, queue);
    }
    Ok(plan)
}

const fn attach(args: &Args) -> Attach {
    Attach { stdin: args.interactive, tty: args.tty }
}

/// `KEY=VALUE`, or `KEY` for the value that it has here; one that has none here is left out, as docker does.
pub(in crate::command) fn variables(
    given: &[String],
    here: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Some((key.to_owned(), value.to_owned())),
        None => here(text).map(|value| (text.clone(), value)),
    };
    given.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_without_a_value_is_taken_from_here() {
        let given = ["A=1=2".to_owned(), "HOME".to_owned(), "NOT_SET".to_owned()];
        let all = variables(&given, |key| (key == "HOME").then(|| "/root".to_owned()));
        let all: Vec<_> = all.into_iter().collect();
        assert_eq!(all, [("A".into(), "1=2".into()), ("HOME".into(), "/root".into())]);
    }
}
