//! `dybox sweep-home`: one sweep of one home, started by the node's agent, which may be root.
//!
//! The process takes on the home's owner before it opens anything there: no file of another owner appears in a user's
//! directory, and nothing that a user puts there is read, followed or waited for with more rights than his own.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use dybox_model::ExitCode;
use dybox_proxy::ProxyError;
use dybox_proxy::orphans::{HomeConf, owner_of, sweep_home};
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist, setgid, setgroups, setuid};

use super::Outcome;
use crate::report::{Failure, Screen};

/// The engine's socket, where nobody named another one.
const SOCKET: &str = "/var/run/docker.sock";

/// One sweep of one home.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The home.
    pub dir: PathBuf,
    /// The home lies in the directory of a user that the NodeManager made.
    #[arg(long)]
    pub nested: bool,
    /// Nothing is removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Seconds: what is younger stays.
    #[arg(long)]
    pub least_age: u64,
    /// Seconds: containers that `keep_failed` keeps go after this time.
    #[arg(long)]
    pub keep_failed: u64,
    /// Seconds: scratch of runs that are over goes after this time.
    #[arg(long)]
    pub keep_logs: Option<u64>,
}

/// Sweeps, and says in one line of JSON what it did. Must be called before any thread is started.
pub(crate) fn run(args: &Args) -> Outcome {
    let failed = |e: ProxyError| {
        let next = e.advice();
        Failure::new(ExitCode::Unreachable, e.to_string()).next(next).because(e)
    };
    let (uid, gid) = owner_of(&args.dir, args.nested).map_err(failed)?;
    become_owner(Uid::from_raw(uid), Gid::from_raw(gid)).map_err(|why| {
        let path = args.dir.clone();
        failed(ProxyError::NotAHome { path, why })
    })?;
    let conf = HomeConf {
        home: args.dir.clone(),
        engine: dybox_engine::EngineConf::default(),
        dry_run: args.dry_run,
        least_age: Duration::from_secs(args.least_age),
        keep_failed: Duration::from_secs(args.keep_failed),
        keep_logs: args.keep_logs.map(Duration::from_secs),
    };
    let report = sweep_home(&conf).map_err(failed)?;
    Screen::plain(false).line(&serde_json::to_string(&report)?)?;
    Ok(ExitCode::Ok as u8)
}

/// Takes on the rights of who owns the home, and of the group that may use the engine.
fn become_owner(uid: Uid, gid: Gid) -> Result<(), String> {
    if geteuid() == uid {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(format!("it belongs to user {uid}, and the agent is neither that user nor root"));
    }
    let said = |what: &str, error: nix::Error| format!("could not {what} of user {uid}: {error}");
    let mut groups = BTreeSet::from([gid.as_raw()]);
    groups.extend(of_engine());
    if let Ok(Some(user)) = User::from_uid(uid)
        && let Ok(name) = CString::new(user.name)
    {
        let all = getgrouplist(&name, user.gid).map_err(|error| said("read the groups", error))?;
        groups.extend(all.into_iter().map(Gid::as_raw));
    }
    let groups: Vec<_> = groups.into_iter().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(|error| said("take on the groups", error))?;
    setgid(gid).map_err(|error| said("take on the group", error))?;
    setuid(uid).map_err(|error| said("take on the rights", error))
}

/// The group of the engine's socket, where that group may use it.
fn of_engine() -> Option<u32> {
    let address = std::env::var("DOCKER_HOST").ok().filter(|text| !text.is_empty());
    let path = match &address {
        Some(address) => address.strip_prefix("unix://")?,
        None => SOCKET,
    };
    let seen = std::fs::metadata(path).ok()?;
    (seen.mode() & 0o060 == 0o060).then(|| seen.gid())
}
