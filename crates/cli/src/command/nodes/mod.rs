//! `dybox nodes`: which machines' engines can run tasks, as the state servers know it.

mod show;

use clap::Subcommand;
use dybox_model::ExitCode;
use dybox_model::roster::RosterView;

use super::servers::{Servers, user};
use super::{Context, Outcome};
use crate::conf::Format;
use crate::report::{Failure, Output, codes};

/// Shows the machines whose engines run tasks, and drains them
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The state servers are those of the setting `state_servers`; any of them answers.\n\nExamples:\n  dybox nodes\n  dybox nodes worker7             with its images and history\n  dybox nodes drain worker7 --why 'new disk'\n  dybox nodes undrain worker7"
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub order: Option<Order>,
    /// One machine, with all that is known of it
    pub host: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Orders to the roster.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// No new tasks on a machine; those that run there end as they would
    Drain {
        /// Which machine
        host: String,
        /// Why, for others to read
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        why: String,
    },
    /// New tasks again
    Undrain {
        /// Which machine
        host: String,
    },
}

/// Shows or orders.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let servers = Servers::needed(context)?;
    match &args.order {
        Some(Order::Drain { host, why }) => mark(context, &servers, (host, true), why).await,
        Some(Order::Undrain { host }) => mark(context, &servers, (host, false), "").await,
        None => look(context, &servers, args).await,
    }
}

async fn look(context: &Context, servers: &Servers, args: &Args) -> Outcome {
    let (server, RosterView { nodes, troubles }) = servers.nodes(args.host.as_deref()).await?;
    for trouble in &troubles {
        context.screen.warn(&format!("{server}: {trouble}"));
    }
    if let Some(host) = &args.host
        && nodes.is_empty()
    {
        return Err(Failure::coded(codes::NO_NODE, format!("no agent of {host:?} has ever reported")));
    }
    let format = args.output.format(&context.conf);
    context.screen.answer(format, &show::answer(&context.screen, &server, &nodes, args.host.is_some()))?;
    if nodes.is_empty() && format == Format::Table {
        context.screen.hint("no agent has reported yet: start `dybox node` on each machine");
    }
    Ok(ExitCode::Ok as u8)
}

async fn mark(context: &Context, servers: &Servers, (host, drained): (&str, bool), why: &str) -> Outcome {
    let done = servers.mark(host, drained, why, &user()).await;
    let failed: Vec<_> = done.iter().filter_map(|done| done.as_ref().err().cloned()).collect();
    if failed.len() == done.len() {
        return Err(Failure::coded(codes::STATE_SERVER, "no state server took it").why(failed.join("; ")));
    }
    for why in failed {
        context.screen.warn(&format!("{why} (it hears of it from the machine's agent)"));
    }
    let word =
        if drained { "drained: masters that know the roster start no new tasks there" } else { "not drained any more" };
    context.screen.hint(&format!("{host} is {word}"));
    Ok(ExitCode::Ok as u8)
}
