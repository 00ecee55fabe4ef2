//! `dybox node`: the agent of this machine.

use std::path::PathBuf;
use std::time::Duration;

use dybox_model::ExitCode;

use super::run::duration;
use super::{Context, Outcome, part, servers};
use crate::report::{Failure, codes};

/// Reports this machine's engine and disks to the state servers, and cleans up after the dead
#[derive(Debug, clap::Args)]
#[command(
    after_help = "One on each machine, as a service that may use the engine. It reports to every server that the setting `state_servers` names.\n\nTold where homes lie, it removes what runs that are over left there and on the engine, where a run of a home proves it; the rest is counted and stays. As root it sweeps each home with the rights of its owner, as another user only homes of its own.\n\nExamples:\n  dybox node --identity /etc/dybox/node-worker1.pem --logs /var/log/hadoop-yarn\n  dybox node --identity node.pem --local-dir /data1/yarn --local-dir /data2/yarn\n  dybox node --identity node.pem --host worker1 --canary busybox:1\n  dybox node --identity node.pem --sweep-home /home/ann/.local/share/dybox"
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
    /// An image that is there, whose command ends at once: started at first, and when the engine is suspect
    /// [default: none]
    #[arg(long, value_name = "IMAGE")]
    pub canary: Option<String>,
    /// The same in any case after this time: an engine whose images are damaged answers every question well
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub canary_every: Duration,
    /// Where the kernel's pressure files are
    #[arg(long, value_name = "DIR", default_value = "/proc/pressure")]
    pub pressure_dir: PathBuf,
    /// Seconds between two reports; a server takes who is silent for 15 s for lost
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u64).range(1..=5))]
    pub interval: u64,
    /// What is cleaned up.
    #[command(flatten)]
    pub cleaning: Cleaning,
    /// What is brought.
    #[command(flatten)]
    pub bringing: Bringing,
}

/// Which images are brought.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images in advance")]
pub(crate) struct Bringing {
    /// Images that masters wish for and that are brought at the same time; 0 = none
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = clap::value_parser!(u8).range(0..=16))]
    pub bring: u8,
    /// Where the agent notes what it brought, so that it may go again when the disk is full
    #[arg(long, value_name = "DIR", default_value = "/var/lib/dybox")]
    pub lib_dir: PathBuf,
}

/// What is cleaned up, and when.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cleaning up")]
pub(crate) struct Cleaning {
    /// A directory of yarn.nodemanager.local-dirs: homes of its users are swept
    #[arg(long, value_name = "DIR")]
    pub local_dir: Vec<PathBuf>,
    /// A home (DYBOX_HOME) of a user of this machine: swept, but its runs stay for people to read
    #[arg(long, value_name = "DIR")]
    pub sweep_home: Vec<PathBuf>,
    /// Between two sweeps
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sweep_every: Duration,
    /// What is younger is not swept: somebody may be about to use it, or to look after it
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub sweep_min_age: Duration,
    /// Containers that `keep_failed` keeps go after this time
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub keep_failed_for: Duration,
    /// Below --local-dir: scratch of runs that are over goes after this time, once its output is in the store
    #[arg(long, value_name = "DURATION", default_value = "168h", value_parser = duration)]
    pub keep_logs_for: Duration,
    /// Where more percent of the engine's disk are used, images that DYbox brought go
    #[arg(long, value_name = "PERCENT", default_value = "85", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub image_high: u8,
    /// Until no more percent are
    #[arg(long, value_name = "PERCENT", default_value = "75", value_parser = clap::value_parser!(u8).range(0..=99))]
    pub image_low: u8,
    /// Images that were used within this time stay
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub image_min_age: Duration,
    /// For locks that all users of the machine share; where it is another, proxies need the same in $DYBOX_RUN_DIR
    #[arg(long, value_name = "DIR", default_value = "/run/dybox")]
    pub run_dir: PathBuf,
}

impl Cleaning {
    fn conf(&self) -> Result<dybox_node::Cleaning, Failure> {
        if self.image_low >= self.image_high {
            let (low, high) = (self.image_low, self.image_high);
            return Err(Failure::coded(
                codes::CONF_VALUE,
                format!("--image-low {low} is not below --image-high {high}"),
            )
            .next("give --image-low a smaller number: images go until so many percent of the disk are used"));
        }
        let relative = self.local_dir.iter().chain(&self.sweep_home).find(|dir| !dir.is_absolute());
        if let Some(dir) = relative {
            return Err(Failure::coded(codes::CONF_VALUE, format!("{} is no absolute path", dir.display()))
                .next("name directories from the root: sweeps run elsewhere"));
        }
        Ok(dybox_node::Cleaning {
            local_dirs: self.local_dir.clone(),
            homes: self.sweep_home.clone(),
            // Not its path: an upgrade may replace or remove that file, and the agent goes on with what it began with.
            program: PathBuf::from("/proc/self/exe"),
            run_dir: self.run_dir.clone(),
            every: self.sweep_every,
            least_age: self.sweep_min_age,
            keep_failed: self.keep_failed_for,
            keep_logs: self.keep_logs_for,
            images: dybox_node::ImageRules {
                high: self.image_high,
                low: self.image_low,
                least_age: self.image_min_age,
            },
        })
    }
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
    let lib_dir = &args.bringing.lib_dir;
    if !lib_dir.is_absolute() {
        return Err(Failure::coded(codes::CONF_VALUE, format!("{} is no absolute path", lib_dir.display()))
            .next("name --lib-dir from the root: pulls and sweeps run elsewhere"));
    }
    let conf = dybox_node::Conf {
        host,
        servers,
        identity: servers::identity(path)?,
        engine: context.engine_conf(),
        yarn: args.yarn_id.clone(),
        logs: args.logs.clone(),
        canary: args.canary.clone(),
        canary_every: args.canary_every,
        pressure: args.pressure_dir.clone(),
        interval: Duration::from_secs(args.interval),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cleaning: args.cleaning.conf()?,
        bringing: dybox_node::Bringing {
            home: lib_dir.clone(),
            at_once: args.bringing.bring.into(),
            policy: context.conf.policy.clone(),
        },
    };
    part::log();
    dybox_node::run(conf, part::told_to_end()).await;
    Ok(ExitCode::Ok as u8)
}
