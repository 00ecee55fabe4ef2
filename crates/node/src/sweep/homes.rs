//! Where homes lie, and the process that sweeps one.
//!
//! It is a process of its own since the agent may be root: in it the home's owner acts, and what a user has put into a
//! home, or hangs in it, is nobody else's trouble.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dybox_model::sweep::HomeSweep;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::conf::{Cleaning, Conf};
use crate::process::answer;

/// Homes that are swept at the same time.
const AT_ONCE: usize = 2;
/// For one home: a few dead grants on an engine that hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// Of an answer.
const ANSWER_MOST: u64 = 16 << 20;

/// A home on this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    /// In a user's directory that the NodeManager made.
    pub(super) nested: bool,
}

/// All of them.
pub(super) fn places(conf: &Cleaning) -> Vec<Place> {
    let of = |dir: &PathBuf| {
        let users = std::fs::read_dir(dir.join("usercache")).into_iter().flatten().flatten();
        users.map(|user| user.path().join("dybox")).collect::<Vec<_>>()
    };
    let nested = conf.local_dirs.iter().flat_map(of).map(|dir| Place { dir, nested: true });
    let own = conf.homes.iter().map(|dir| Place { dir: dir.clone(), nested: false });
    // A user who has run nothing here has none.
    let mut all: Vec<_> = nested.chain(own).filter(|place| place.dir.symlink_metadata().is_ok()).collect();
    all.sort();
    all.dedup();
    all
}

/// Sweeps them, a few at a time.
pub(super) async fn sweep(conf: &Conf, places: Vec<Place>, dry_run: bool) -> Vec<(PathBuf, Result<HomeSweep, String>)> {
    let (mut waiting, mut found) = (places.into_iter(), Vec::new());
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(place) = waiting.next()
        {
            let command = command(conf, &place, dry_run);
            running.spawn(async move { (place.dir, answer(command, "its sweep", (LIMIT, ANSWER_MOST)).await) });
        }
        match running.join_next().await {
            None => return found,
            Some(Ok(one)) => found.push(one),
            Some(Err(error)) => found.push((PathBuf::new(), Err(error.to_string()))),
        }
    }
}

fn command(conf: &Conf, place: &Place, dry_run: bool) -> Command {
    let Cleaning { program, least_age, keep_failed, keep_logs, .. } = &conf.cleaning;
    let secs = |time: &Duration| time.as_secs().to_string();
    let mut command = Command::new(program);
    command.arg0("dybox").arg("sweep-home");
    command.args(["--least-age", &secs(least_age), "--keep-failed", &secs(keep_failed)]);
    if place.nested {
        command.args(["--nested", "--keep-logs", &secs(keep_logs)]);
    }
    if dry_run {
        command.arg("--dry-run");
    }
    command.arg("--").arg(&place.dir);
    command.envs(conf.engine.host.as_ref().map(|host| ("DOCKER_HOST", host)));
    // Not the agent's place, which the owner of the home may not enter.
    command.current_dir(Path::new("/"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::tests::cleaning;

    #[test]
    fn homes_are_found_in_users_directories_and_where_they_were_named() {
        let dir = tempfile::tempdir().unwrap();
        for home in ["l1/usercache/ann/dybox", "l1/usercache/bob/appcache", "l2/usercache/ann/dybox", "own"] {
            std::fs::create_dir_all(dir.path().join(home)).unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let conf = Cleaning {
            local_dirs: vec![at("l1"), at("l2"), at("l2"), at("not-there")],
            homes: vec![at("own"), at("not-there")],
            ..cleaning(dir.path())
        };
        let place = |name: &str, nested| Place { dir: at(name), nested };
        let wanted =
            [place("l1/usercache/ann/dybox", true), place("l2/usercache/ann/dybox", true), place("own", false)];
        assert_eq!(places(&conf), wanted);
    }
}
