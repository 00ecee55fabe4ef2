//! `dybox node`: the agent of this machine.

use std::path::PathBuf;
use std::time::Duration;

use dybox_model::ExitCode;

use super::{Context, Outcome, part, servers};
use crate::report::{Failure, codes};

/// Reports this machine's engine and disks to the state servers
#[derive(Debug, clap::Args)]
#[command(
    after_help = "One on each machine, as a service that may use the engine. It reports to every server that the setting\n`state_servers` names.\n\nExamples:\n  dybox node --identity /etc/dybox/node-worker1.pem --logs /var/log/hadoop-yarn\n  dybox node --identity node.pem --host worker1 --canary busybox:1"
)]
pub(crate) struct Args {
    /// State servers, host:port, with commas between them [default: the setting state_servers]
    #[arg(long, value_name = "LIST")]
    pub servers: Option<String>,
    /// Its certificate [default: the setting state_identity]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// This machine's name, as its certificate and YARN have it [default: the system's]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// YARN's id of this machine, host:port, for people to read
    #[arg(long, value_name = "ID")]
    pub yarn_id: Option<String>,
    /// A directory of logs whose disk is looked at
    #[arg(long, value_name = "DIR")]
    pub logs: Vec<PathBuf>,
    /// An image that is there, whose command ends at once: started when the engine is suspect [default: none]
    #[arg(long, value_name = "IMAGE")]
    pub canary: Option<String>,
    /// Seconds between two reports; a server takes who is silent for 15 s for lost
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u64).range(1..=5))]
    pub interval: u64,
}

/// Reports until it is told to end.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let text = args.servers.as_ref().or(context.conf.state_servers.value.as_ref());
    let servers = text.map(|text| servers::addresses(text)).filter(|all| !all.is_empty());
    let servers = servers.ok_or_else(|| Failure::coded(codes::NO_SERVERS, "no state server is configured"))?;
    let path = args.identity.as_ref().or(context.conf.state_identity.value.as_ref());
    let path = path.ok_or_else(|| {
        Failure::coded(codes::CONF_VALUE, "the agent has no certificate")
            .next("give --identity FILE: what `dybox state-server init DIR --node HOST` made for this machine")
    })?;
    let host = match &args.host {
        Some(host) => host.clone(),
        None => nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .map_err(|error| Failure::coded(codes::INTERNAL, "this machine's name can't be found").source(error))?,
    };
    let conf = dybox_node::Conf {
        host,
        servers,
        identity: servers::identity(path)?,
        engine: context.engine_conf(),
        yarn: args.yarn_id.clone(),
        logs: args.logs.clone(),
        canary: args.canary.clone(),
        interval: Duration::from_secs(args.interval),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    part::log();
    dybox_node::run(conf, part::told_to_end()).await;
    Ok(ExitCode::Ok as u8)
}
