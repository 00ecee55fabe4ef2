//! `cluster`: brings a real cluster up on this machine, shows it, takes it down.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use dybox_tests::cluster::{Cluster, Daemon, Options, distributed_shell, keep, node_host, tez};

const USAGE: &str = "usage: cluster up     [--dir D] [--nodes N] [--rms 1|2] [--heartbeat MS] [--version V] [--preemption] [--acls] [--set KEY=VALUE]
       cluster status [--dir D]
       cluster kill|start|restart DAEMON [--dir D]
       cluster activate resourcemanager|resourcemanager-2 [--dir D]
       cluster peer distributedshell COUNT COMMAND [--dir D]
       cluster peer tez single|independent:N|diamonds:N|chain:N COMMAND [--dir D]
       cluster down   [--dir D]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn run(words: &[String]) -> Outcome {
    let (command, rest) = words.split_first().ok_or(USAGE)?;
    if command == "keep" {
        return Ok(keep(Path::new(rest.first().ok_or(USAGE)?))?);
    }
    let (options, free) = parse(rest)?;
    let dir = options.dir.clone().ok_or(USAGE)?;
    match command.as_str() {
        "up" => up(&options),
        "status" => status(&Cluster::open(&dir)?),
        "down" => {
            let start = Instant::now();
            let was = Cluster::take_down(&dir)?;
            say(&if was {
                format!("down in {:.1} s", start.elapsed().as_secs_f64())
            } else {
                "nothing is up".to_owned()
            })
        }
        "activate" => Ok(Cluster::open(&dir)?.activate(free.first().ok_or(USAGE)?.parse()?)?),
        "kill" | "start" | "restart" => {
            let daemon: Daemon = free.first().ok_or(USAGE)?.parse()?;
            let cluster = Cluster::open(&dir)?;
            match command.as_str() {
                "kill" => cluster.kill(daemon),
                "start" => cluster.revive(daemon),
                _ => cluster.restart(daemon),
            }
            Ok(())
        }
        "peer" => peer(&Cluster::open(&dir)?, &free),
        _ => Err(USAGE.into()),
    }
}

/// Runs another client of the cluster and says how long it took, and until when each step.
fn peer(cluster: &Cluster, words: &[String]) -> Outcome {
    let [kind, shape, command] = words else { return Err(USAGE.into()) };
    let run = match kind.as_str() {
        "distributedshell" => distributed_shell(cluster, shape.parse()?, 64, command),
        "tez" => tez(cluster, shape, command),
        _ => return Err(USAGE.into()),
    };
    let mut phases: Vec<_> = run.phases.iter().collect();
    phases.sort_by_key(|(_, at)| **at);
    for (name, at) in phases {
        say(&format!("{:>8.2} s  {name}", at.as_secs_f64()))?;
    }
    say(&format!("{:>8.2} s  the command returns; its master: {} MiB", run.took.as_secs_f64(), run.master_kib / 1024))?;
    if run.worked { Ok(()) } else { Err(format!("it failed:\n{}", run.said).into()) }
}

/// Options, and words that are none. The directory is always set.
fn parse(words: &[String]) -> Outcome<(Options, Vec<String>)> {
    let mut options = Options { dir: Some(default_dir()), ..Options::default() };
    let mut free = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--dir" => options.dir = Some(PathBuf::from(value()?)),
            "--nodes" => options.nodes = value()?.parse()?,
            "--heartbeat" => options.heartbeat_ms = value()?.parse()?,
            "--version" => options.version.clone_from(value()?),
            "--preemption" => options.preemption = true,
            "--acls" => options.acls = true,
            "--rms" => options.rms = value()?.parse()?,
            "--no-engines" => options.engines = false,
            "--set" => {
                let (key, text) = value()?.split_once('=').ok_or("--set takes KEY=VALUE")?;
                options.site.push((key.to_owned(), text.to_owned()));
            }
            other if other.starts_with('-') => return Err(format!("no option {other}\n{USAGE}").into()),
            other => free.push(other.to_owned()),
        }
    }
    Ok((options, free))
}

/// One for each user of this machine, with a short path.
fn default_dir() -> PathBuf {
    PathBuf::from(format!("/tmp/dybox-cluster-{}", nix::unistd::getuid()))
}

fn up(options: &Options) -> Outcome {
    let start = Instant::now();
    let cluster = Cluster::up(options)?;
    let took = start.elapsed().as_secs_f64();
    let dir = cluster.layout().root().to_owned();
    cluster.leave()?;
    say(&format!("up in {took:.1} s"))?;
    status(&Cluster::open(&dir)?)
}

fn status(cluster: &Cluster) -> Outcome {
    say(&format!("Hadoop {} in {}, {} nodes", cluster.version(), cluster.layout().root().display(), cluster.nodes()))?;
    say("")?;
    let mut total = 0;
    for daemon in cluster.daemons() {
        let what = match cluster.process(daemon) {
            Some(process) => {
                total += process.resident_kib();
                format!("pid {:<8} {:>4} MiB", process.pid(), process.resident_kib() / 1024)
            }
            None => "down                 ".to_owned(),
        };
        let at = match daemon {
            Daemon::Engine(number) => format!("unix://{}", cluster.layout().docker(number).display()),
            _ => cluster.page(daemon).map_or_else(String::new, |page| format!("http://{page}")),
        };
        let host = match daemon {
            Daemon::NodeManager(number) => node_host(number),
            _ => String::new(),
        };
        say(format!("{:<16} {what}  {at}  {host}", daemon.to_string()).trim_end())?;
    }
    say(&format!("{:<16} {:>17} MiB", "together", total / 1024))?;
    say("")?;
    say(&format!("logs             {}/*.log", cluster.layout().at("log").display()))?;
    say(&format!("file system      {}", cluster.hdfs()))?;
    say(&format!(
        "with mounts      {} COMMAND: jobs may mount anything, which a cluster refuses without a policy",
        cluster.client().display()
    ))?;
    say("use it           as follows")?;
    for (key, value) in cluster.env() {
        say(&format!("  export {key}={value}"))?;
    }
    Ok(())
}

fn say(line: &str) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
