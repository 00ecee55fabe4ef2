//! `dybox session`.

use std::time::Duration;

use dybox_client::{Application, Client, Session};
use dybox_model::{ExitCode, GrantState, Millis, Resources, SessionGrant, SessionSpec, format_bytes, format_duration};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::run::duration;
use super::submitted::page;
use super::{Context, Outcome};
use crate::conf::{cpus, memory};
use crate::report::time::{ago, now, rfc3339};
use crate::report::{Answer, Failure, Output, Screen, table_text};

/// For a session's master and its first grants to be there.
const READY: Duration = Duration::from_secs(120);
/// For a session to end; its runs' tasks have their grace.
const GONE: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Sessions on the cluster: a master and grants that stay warm for your runs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A run in a session starts without a new YARN application and in grants that are there already. It is a run as any other: the same journal, logs, status, stop and resume.\n\nExamples:\n  dybox session start etl --grants 4 --memory 2GiB\n  dybox run --session etl job.yaml\n  dybox session ls\n  dybox session stop etl"
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

/// What can be done with sessions.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Starts a session, and waits until its grants are there
    Start(Start),
    /// Lists your sessions with their grants and runs
    Ls(List),
    /// Ends a session: its runs end as by `dybox stop`, its grants go back
    Stop(Stop),
}

#[derive(Debug, clap::Args)]
struct Start {
    /// Its name: letters, digits, `-` and `_`; one at a time
    name: String,
    /// Grants that are kept ready
    #[arg(long, value_name = "N", default_value_t = 2)]
    grants: u32,
    /// Grants that it may have at most [default: as many as are kept ready]
    #[arg(long, value_name = "N")]
    max: Option<u32>,
    /// Cpus of a grant; a task that asks for more gets a larger one
    #[arg(long, value_parser = cpus, default_value = "1")]
    cpus: u32,
    /// Memory of a grant; a task that asks for more gets a larger one
    #[arg(long, value_parser = memory, default_value = "1GiB", value_name = "SIZE")]
    memory: u64,
    /// A grant beyond the ready ones goes back when it was idle for so long; all do after so long without a run
    #[arg(long, value_parser = duration, default_value = "10m", value_name = "DURATION")]
    idle: Duration,
    /// The session ends after so long without a run
    #[arg(long, value_parser = duration, default_value = "8h", value_name = "DURATION")]
    keep: Duration,
    /// YARN queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Return once YARN has accepted it
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    /// How to print.
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Stop {
    /// Its name
    name: String,
    /// Kill what its runs have at once, without time to end
    #[arg(long)]
    now: bool,
    /// Return as soon as its runs were told
    #[arg(long)]
    no_wait: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let client = context.client()?;
    match &args.what {
        What::Start(args) => start(context, &client, args).await,
        What::Ls(args) => list(context, &client, args).await,
        What::Stop(args) => stop(context, &client, args).await,
    }
}

impl Start {
    fn spec(&self) -> Result<SessionSpec, Failure> {
        let wrong = |what: &str| Err(Failure::new(ExitCode::Usage, what).next("see `dybox session start --help`"));
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 40 || !self.name.chars().all(good) {
            return wrong("a session's name is 1 to 40 lower-case letters, digits, - and _");
        }
        let most = self.max.unwrap_or(self.grants);
        if most == 0 || most < self.grants {
            return wrong("--max must be at least 1 and not below --grants");
        }
        let millis = |span: Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Ok(SessionSpec {
            name: self.name.clone(),
            warm: self.grants,
            most,
            size: Resources { cpu_milli: self.cpus.max(1), memory: self.memory.max(64 << 20) },
            idle: millis(self.idle),
            keep: millis(self.keep),
        })
    }
}

async fn start(context: &Context, client: &Client, args: &Start) -> Outcome {
    let spec = args.spec()?;
    let application = client.start_session(&spec, args.queue.clone()).await?;
    context.screen.line(&spec.name)?;
    context.screen.hint(&format!("page: {}", page(context, &application.id)));
    if args.no_wait {
        return Ok(ExitCode::Ok as u8);
    }
    let until = Instant::now() + READY;
    loop {
        let there = client.sessions().await?.into_iter().find(|session| session.application.id == application.id);
        let Some(there) = there else {
            let what = format!("session {} ended at once", spec.name);
            let next = format!("yarn logs -applicationId {}", application.id);
            return Err(Failure::new(ExitCode::Lost, what).next(next));
        };
        let ready = there.view.as_ref().map_or(0, |view| count(&view.grants, GrantState::Idle));
        if ready >= spec.warm as usize {
            context.screen.hint(&format!("ready: dybox run --session {} job.yaml", spec.name));
            return Ok(ExitCode::Ok as u8);
        }
        if Instant::now() >= until {
            let why =
                if there.view.is_some() { format!("{ready} of {} grants are there", spec.warm) } else { there.silent };
            let what = format!("session {} is not ready yet", spec.name);
            let next = "look at it with `dybox session ls`: it goes on to wait for YARN, and takes runs";
            return Err(Failure::new(ExitCode::TimedOut, what).why(why).next(next));
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn stop(context: &Context, client: &Client, args: &Stop) -> Outcome {
    let (application, told) = client.stop_session(&args.name, "its session was stopped", args.now).await?;
    context.screen.line(&args.name)?;
    if !told {
        context.screen.hint(&format!("{} was killed: its master did not run or did not answer", application.id));
    }
    let until = Instant::now() + GONE;
    while !args.no_wait && !client.is_gone(&application).await? {
        if Instant::now() >= until {
            let what = format!("session {} has not ended yet", args.name);
            return Err(Failure::new(ExitCode::TimedOut, what).next("look at it with `dybox session ls`"));
        }
        sleep(LOOK_AGAIN).await;
    }
    context.screen.hint(if args.no_wait { "stopping" } else { "stopped" });
    Ok(ExitCode::Ok as u8)
}

async fn list(context: &Context, client: &Client, args: &List) -> Outcome {
    let sessions = client.sessions().await?;
    context.screen.answer(args.output.format(&context.conf), &answer(&context.screen, &sessions, now()))?;
    Ok(ExitCode::Ok as u8)
}

fn count(grants: &[SessionGrant], state: GrantState) -> usize {
    grants.iter().filter(|grant| grant.state == state).count()
}

fn json_of(session: &Session) -> Value {
    let Application { id, state, queue, submitted, .. } = &session.application;
    let view = session.view.as_ref();
    json!({
        "session": session.name, "application": id, "state": state, "queue": queue, "submitted": rfc3339(*submitted),
        "silent": session.silent, "spec": view.map(|view| &view.spec), "since": view.map(|view| rfc3339(view.since)),
        "grants": view.map(|view| &view.grants), "runs": view.map(|view| &view.runs),
        "asked": view.map(|view| view.asked), "stops": view.map(|view| view.stops),
    })
}

fn answer(screen: &Screen, sessions: &[Session], now: Millis) -> Answer {
    let mut table =
        screen.table(&["SESSION", "STATE", "GRANTS", "IDLE", "BUSY", "SIZE", "IDLE TIME", "RUNS", "SINCE", "QUEUE"]);
    for Session { name, application, view, silent } in sessions {
        let mut cells = vec![name.clone()];
        match view {
            Some(view) => {
                let state = if view.stops { "stopping" } else { "ready" };
                let grants = format!("{} of {}", view.grants.len(), view.spec.most);
                let size = view.spec.size;
                cells.extend([
                    state.to_owned(),
                    grants,
                    count(&view.grants, GrantState::Idle).to_string(),
                    count(&view.grants, GrantState::Busy).to_string(),
                    format!("{} cpus, {}", dybox_model::format_cpus(size.cpu_milli), format_bytes(size.memory)),
                    format_duration(view.spec.idle),
                    view.runs.len().to_string(),
                ]);
            }
            None => {
                let why = format!("{}: {silent}", application.state.to_lowercase());
                cells.push(why);
                cells.extend(std::iter::repeat_n("-".to_owned(), 6));
            }
        }
        cells.extend([ago(now, application.submitted), application.queue.clone()]);
        table.add_row(cells);
    }
    Answer {
        kind: "sessions",
        items: sessions.iter().map(json_of).collect(),
        names: sessions.iter().map(|session| session.name.clone()).collect(),
        text: table_text(table, &[]),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, grants: u32, max: Option<u32>) -> Start {
        let span = Duration::from_secs(60);
        let (cpus, memory) = (1000, 1 << 30);
        Start { name: name.to_owned(), grants, max, cpus, memory, idle: span, keep: span, queue: None, no_wait: false }
    }

    #[test]
    fn a_session_has_a_plain_name_and_sane_bounds() {
        assert_eq!(args("etl-2", 2, None).spec().unwrap().most, 2);
        assert_eq!(args("etl", 0, Some(3)).spec().unwrap().warm, 0);
        for bad in
            [args("Etl", 1, None), args("", 1, None), args("a:b", 1, None), args("a", 0, None), args("a", 3, Some(2))]
        {
            assert!(bad.spec().is_err(), "{bad:?}");
        }
    }
}
