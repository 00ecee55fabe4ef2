//! `dybox state-server`: knows which engines can run tasks. `dybox state-server init`: makes its authority.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use dybox_model::ExitCode;
use dybox_state::{Conf, StateError};

use super::{Context, Outcome, part};
use crate::report::Failure;

/// Serves the roster: which machines' engines can run tasks
#[derive(Debug, clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Start two or more on different machines with the same certificates: every agent reports to all, and anyone may ask any of them. Runs go on without it.\n\nExamples:\n  dybox state-server init /etc/dybox/roster --node worker1 --node worker2\n  dybox state-server --dir /etc/dybox/roster\n  dybox state-server --dir /etc/dybox/roster --http 127.0.0.1:7312"
)]
pub(crate) struct Args {
    /// What else to do.
    #[command(subcommand)]
    pub order: Option<Order>,
    /// Directory of its database, and of its certificate (server.pem)
    #[arg(long, value_name = "DIR", required = true)]
    pub dir: Option<PathBuf>,
    /// Its certificate, where it lies elsewhere (a secret of a job, say) [default: server.pem in --dir]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Where to listen for agents, masters and people with certificates
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:7311")]
    pub bind: SocketAddr,
    /// Let everybody ask, with ca.pem alone; reports and drains need a certificate anyway
    #[arg(long)]
    pub open: bool,
    /// Show /nodes (JSON) and /metrics there over plain HTTP, to whoever reaches the address
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
}

/// What is done once.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// Makes the authority and what is missing of its certificates
    Init {
        /// Where to
        dir: PathBuf,
        /// A machine whose agent gets a certificate; its name as YARN has it
        #[arg(long, value_name = "HOST")]
        node: Vec<String>,
    },
}

fn failed(error: StateError) -> Failure {
    let next = error.advice();
    Failure::new(ExitCode::Unreachable, error.to_string()).next(next).because(error)
}

/// Serves until it is told to end.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    if let Some(Order::Init { dir, node }) = &args.order {
        let made = dybox_state::init(dir, node).map_err(failed)?;
        for path in &made {
            context.screen.line(&path.display().to_string())?;
        }
        if made.is_empty() {
            context.screen.hint("everything is there already");
        } else {
            context.screen.hint(
                "server.pem belongs on the servers, node-HOST.pem on that machine, master.pem to users (reader.pem to those for whose runs agents shall bring no images), operator.pem to who drains; keep ca.key where nobody reads it",
            );
        }
        return Ok(ExitCode::Ok as u8);
    }
    part::log();
    let dir = args.dir.clone().unwrap_or_default();
    let identity = args.identity.clone().unwrap_or_else(|| dir.join("server.pem"));
    let conf = Conf { dir, identity, bind: args.bind, open: args.open, http: args.http };
    let running = dybox_state::start(&conf).await.map_err(failed)?;
    for trouble in &running.troubles {
        context.screen.warn(trouble);
    }
    let pages = running.http_port.map(|port| format!(", pages on port {port}")).unwrap_or_default();
    context.screen.line(&format!("state server on port {}{pages}", running.port))?;
    running.until(part::told_to_end()).await;
    Ok(ExitCode::Ok as u8)
}
