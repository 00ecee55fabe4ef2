//! The long-running parts: `dybox master` and `dybox proxy`, started by DYbox itself.

mod on_yarn;

use std::io::Read;
use std::path::PathBuf;

use dybox_model::{ExitCode, GrantId, SubDagId};
use dybox_store::bundle::{AgentBundle, GrantBundle};
use tracing_subscriber::EnvFilter;

use self::on_yarn::Handed;
use super::{Outcome, runtime};
use crate::report::{Failure, Screen};

/// Most bytes of what a master hands over: settings, keys, names.
const HANDED_MOST: u64 = 4 << 20;

fn subdag(text: &str) -> Result<SubDagId, std::num::ParseIntError> {
    text.parse().map(SubDagId)
}

/// The master of one sub-DAG of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct MasterArgs {
    /// As a YARN application's master; what the client hands over is in the container's token file.
    #[arg(long, conflicts_with_all = ["run_dir", "subdag", "reopen", "detach"])]
    pub yarn: bool,
    /// Directory of the run.
    #[arg(long, required_unless_present = "yarn")]
    pub run_dir: Option<PathBuf>,
    /// Which sub-DAG.
    #[arg(long, value_parser = subdag, required_unless_present = "yarn")]
    pub subdag: Option<SubDagId>,
    /// The run had ended: what did not succeed runs again.
    #[arg(long)]
    pub reopen: bool,
    /// Leave the session of the terminal.
    #[arg(long)]
    pub detach: bool,
}

/// The proxy of one grant.
#[derive(Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// In a YARN container; what the master hands over is in the container's token file.
    #[arg(long, conflicts_with_all = ["sweep", "run_dir", "subdag", "grant"])]
    pub yarn: bool,
    /// What the master hands over comes on stdin.
    #[arg(long, requires = "yarn")]
    pub stdin: bool,
    /// Clean up after the proxy of a grant that is dead, and say how its attempts ended.
    #[arg(long)]
    pub sweep: bool,
    /// Directory of the run.
    #[arg(long, required_unless_present = "yarn")]
    pub run_dir: Option<PathBuf>,
    /// Which sub-DAG.
    #[arg(long, value_parser = subdag, required_unless_present = "yarn")]
    pub subdag: Option<SubDagId>,
    /// Which grant.
    #[arg(long, required_unless_present = "yarn")]
    pub grant: Option<GrantId>,
}

/// What a part has to say goes to its stderr, which is a file of the run. `DYBOX_LOG` asks for more.
pub(super) fn log() {
    let filter = EnvFilter::try_from_env("DYBOX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    // Fails only where a subscriber is there already.
    let _ = plain.with_env_filter(filter).try_init();
}

/// Once the system or a person asks this process to end.
pub(super) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Runs a master until its sub-DAG has ended.
pub(crate) fn master(args: MasterArgs) -> Outcome {
    if args.detach {
        // Fails only where the process leads a session already, which is what is wanted.
        let _ = nix::unistd::setsid();
    }
    log();
    let runtime = runtime()?;
    let done = if let (Some(run_dir), Some(subdag)) = (args.run_dir, args.subdag) {
        // Not its path: an upgrade may replace or remove that file, and a run goes on with what it began with.
        let binary = PathBuf::from("/proc/self/exe");
        runtime.block_on(dybox_master::run(dybox_master::Conf { run_dir, subdag, reopen: args.reopen, binary }))
    } else {
        match on_yarn::conf()? {
            Handed::Run(conf) => runtime.block_on(dybox_master::run_on_yarn(*conf)),
            Handed::Session(conf) => runtime.block_on(dybox_master::run_session(*conf)),
        }
    };
    runtime.shutdown_background();
    done.map(|()| ExitCode::Ok as u8).map_err(|e| {
        let next = e.advice();
        Failure::new(e.exit_code(), e.to_string()).next(next).because(e)
    })
}

/// Runs a proxy until it is told to leave, or a sweep to its end.
pub(crate) fn proxy(args: ProxyArgs) -> Outcome {
    log();
    let failed = |e: dybox_proxy::ProxyError| {
        let next = e.advice();
        Failure::new(ExitCode::Unreachable, e.to_string()).next(next).because(e)
    };
    let (Some(run_dir), Some(subdag), Some(grant)) = (args.run_dir, args.subdag, args.grant) else {
        let handed = handed_over(args.stdin)?;
        let spot = dybox_proxy::Spot::from_env().map_err(failed)?;
        match handed {
            InGrant::Grant(bundle) => {
                let conf = dybox_proxy::ClusterConf::new(*bundle, spot).map_err(failed)?;
                dybox_proxy::run_in_grant(conf).map_err(failed)?;
            }
            InGrant::Agent(bundle) => dybox_proxy::run_agent(*bundle, spot).map_err(failed)?,
        }
        return Ok(ExitCode::Ok as u8);
    };
    let conf = dybox_proxy::Conf { run_dir, subdag, grant };
    if args.sweep {
        let report = dybox_proxy::sweep(conf).map_err(failed)?;
        Screen::plain(false).line(&serde_json::to_string(&report)?)?;
    } else {
        dybox_proxy::run(conf).map_err(failed)?;
    }
    Ok(ExitCode::Ok as u8)
}

/// What a process in a grant is to be.
enum InGrant {
    /// The proxy of a run's grant.
    Grant(Box<GrantBundle>),
    /// The agent of a session.
    Agent(Box<AgentBundle>),
}

/// What the master has put into the grant's launch context, or says on stdin to a proxy in its own grant.
fn handed_over(on_stdin: bool) -> Result<InGrant, Failure> {
    let not_understood = |e| on_yarn::failed("what the master handed over can't be understood").because(e);
    let (bytes, agent) = if on_stdin {
        // It lives in the master's own container and must not outlive the master, however that dies.
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(HANDED_MOST).read_to_end(&mut bytes);
        read.map_err(|e| on_yarn::failed("stdin can't be read").because(e))?;
        (bytes, false)
    } else {
        on_yarn::handed_over()?
    };
    Ok(match agent {
        true => InGrant::Agent(Box::new(AgentBundle::decode(&bytes).map_err(not_understood)?)),
        false => InGrant::Grant(Box::new(GrantBundle::decode(&bytes).map_err(not_understood)?)),
    })
}
