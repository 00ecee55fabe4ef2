//! One sweep of one home, for the node's agent: by a process of its own, with the rights of the home's owner.
//!
//! Everything that is to go is seen twice, and is older than a while: who has just begun, and who comes to look after a
//! grant that has just lost its proxy, is never raced with.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dybox_engine::{Engine, EngineConf};
use dybox_model::Millis;
use dybox_model::sweep::{HomeSweep, Stranger, Tally};
use dybox_store::layout::{Home, RunDir};
use tokio::time::sleep;

use super::found::{Fate, Found, Thing, lives};
use super::{dead_grants, grants, ledger, logs, on_engine, remove};
use crate::error::{ProxyError, file_error};
use crate::serve::{log_to_stderr, runtime};
use crate::ship::said;

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(2);

/// What a sweep of a home is told.
#[derive(Debug, Clone)]
pub struct HomeConf {
    /// The home.
    pub home: PathBuf,
    /// Which engine.
    pub engine: EngineConf,
    /// Nothing is removed.
    pub dry_run: bool,
    /// What is younger stays.
    pub least_age: Duration,
    /// Containers that `keep_failed` keeps go after this time.
    pub keep_failed: Duration,
    /// In a home of a cluster's node: scratch of runs that are over goes after this time. Nothing = a home of one
    /// machine, whose runs people still read.
    pub keep_logs: Option<Duration>,
}

/// Sweeps a home. Makes an event loop of its own: call it from a plain thread. Logs to stderr.
///
/// # Errors
/// [`ProxyError`] when it could not look. What could not be removed is in the answer.
pub fn sweep_home(conf: &HomeConf) -> Result<HomeSweep, ProxyError> {
    log_to_stderr();
    let runtime = runtime()?;
    let swept = runtime.block_on(sweep(conf));
    runtime.shutdown_background();
    swept
}

/// What was seen at one look.
#[derive(Default)]
struct Seen {
    doomed: Vec<Found>,
    cgroups: Vec<PathBuf>,
    strangers: Vec<Stranger>,
    kept: u32,
}

async fn sweep(conf: &HomeConf) -> Result<HomeSweep, ProxyError> {
    let engine = Engine::connect(conf.engine.clone()).await?;
    let home = Home::new(&conf.home);
    let mut seen = look(conf, &engine, &home).await?;
    if !seen.doomed.is_empty() || !seen.cgroups.is_empty() {
        sleep(AGAIN).await;
        let first = std::mem::replace(&mut seen, look(conf, &engine, &home).await?);
        seen.doomed.retain(|one| first.doomed.iter().any(|was| (was.thing, &was.id) == (one.thing, &one.id)));
        seen.cgroups.retain(|one| first.cgroups.contains(one));
    }
    let mut report = HomeSweep { unproven: seen.strangers, kept: seen.kept, ..HomeSweep::default() };
    if conf.dry_run {
        seen.doomed.iter_mut().for_each(|one| one.done = true);
        report.removed.cgroups = count(seen.cgroups.len());
    } else {
        for thing in [Thing::Grant, Thing::Container, Thing::Network] {
            clear(conf, &engine, (seen.doomed.as_mut_slice(), thing), &mut report.troubles).await?;
        }
        clear_cgroups(&seen.cgroups, &mut report);
        if let Some(least) = conf.keep_logs {
            let (gone, troubles) = logs::clean(&engine, &home, least).await?;
            report.removed.runs = gone;
            report.troubles.extend(troubles);
        }
    }
    report.removed += tally(&seen.doomed);
    report.images = ledger::images(&engine, &home, !conf.dry_run).await?;
    report.needed = ledger::needed(&engine, &home).await?;
    Ok(report)
}

async fn look(conf: &HomeConf, engine: &Engine, home: &Home) -> Result<Seen, ProxyError> {
    let mut seen = Seen { cgroups: grants::cgroups(home, conf.least_age)?, ..Seen::default() };
    let found = dead_grants(&conf.home)?.into_iter().chain(on_engine(engine, &conf.home).await?);
    for one in found {
        match one.fate {
            Fate::Unproven => {
                seen.strangers.push(Stranger { kind: one.thing.word().to_owned(), id: one.id });
            }
            Fate::Kept if is_kept(conf, home, &one) => seen.kept += 1,
            Fate::Kept | Fate::Remove if is_old(conf, home, &one) => seen.doomed.push(one),
            Fate::Kept | Fate::Remove => {}
        }
    }
    Ok(seen)
}

/// Whether a container that was kept for a look has its time still before it.
fn is_kept(conf: &HomeConf, home: &Home, one: &Found) -> bool {
    let (Some(run), Some(grant), Some(attempt)) = (&one.run, one.grant, one.attempt) else { return true };
    let mark = home.path(&RunDir::new(run).grant(grant).kept(attempt));
    let since = fs::metadata(mark).and_then(|meta| meta.modified());
    since.map_or(true, |at| at.elapsed().is_ok_and(|age| age < conf.keep_failed))
}

/// Whether nobody who has just begun, or has just lost it, can have to do with it.
fn is_old(conf: &HomeConf, home: &Home, one: &Found) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = |made: Millis| now.saturating_sub(Duration::from_millis(made.0));
    let grown = one.made.is_none_or(|made| age(made) >= conf.least_age);
    let quiet = match (&one.run, one.grant) {
        (Some(run), Some(grant)) => grants::quiet_for(home, run, grant, conf.least_age),
        _ => true,
    };
    grown && quiet
}

/// Removes all of one kind. The sweep of a grant takes its containers along.
async fn clear(
    conf: &HomeConf,
    engine: &Engine,
    (doomed, thing): (&mut [Found], Thing),
    troubles: &mut Vec<String>,
) -> Result<(), ProxyError> {
    let home = Home::new(&conf.home);
    let left: BTreeSet<String> = match thing {
        Thing::Container => engine.list(None).await?.into_iter().map(|one| one.id).collect(),
        Thing::Network => engine.list_networks(None).await?.into_iter().map(|one| one.id).collect(),
        Thing::Grant | Thing::Volume => BTreeSet::new(),
    };
    for one in doomed.iter_mut().filter(|one| one.thing == thing) {
        if thing != Thing::Grant && !left.contains(&one.id) {
            one.done = true;
            continue;
        }
        if let (Thing::Container, Some(run), Some(grant)) = (thing, &one.run, one.grant)
            && lives(&home, run, grant)?
        {
            continue;
        }
        let gone = match remove(&conf.engine, &conf.home, one).await {
            Ok(gone) if one.fate == Fate::Kept => {
                grants::let_go(&home, one, conf.keep_logs.is_some()).await.map(|()| gone)
            }
            other => other,
        };
        match gone {
            Ok(gone) => one.done = gone,
            Err(error) => troubles.push(format!("{} {}: {}", thing.word(), one.name, said(&error))),
        }
    }
    Ok(())
}

/// The engine makes them as root: what its owner can't remove is left to the agent.
fn clear_cgroups(all: &[PathBuf], report: &mut HomeSweep) {
    for dir in all {
        let _ = fs::remove_dir(dir);
        if dir.exists() {
            report.cgroups.push(dir.display().to_string());
        } else {
            report.removed.cgroups += 1;
        }
    }
}

fn tally(all: &[Found]) -> Tally {
    let of = |thing| count(all.iter().filter(|one| one.thing == thing && one.done).count());
    Tally {
        containers: of(Thing::Container),
        networks: of(Thing::Network),
        grants: of(Thing::Grant),
        ..Tally::default()
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The owner of a home, as user and group. A link is no home: it would lead who has more rights anywhere. Neither is,
/// where `nested`, what somebody else owns than the directory around it.
///
/// # Errors
/// [`ProxyError::NotAHome`], [`ProxyError::File`].
pub fn owner_of(home: &Path, nested: bool) -> Result<(u32, u32), ProxyError> {
    let seen = fs::symlink_metadata(home).map_err(file_error("look at", home))?;
    let not = |why: &str| ProxyError::NotAHome { path: home.to_owned(), why: why.to_owned() };
    if !seen.is_dir() {
        return Err(not("it is no directory"));
    }
    let above = home.parent().filter(|_| nested).map(fs::metadata).transpose().map_err(file_error("look at", home))?;
    if above.is_some_and(|above| above.uid() != seen.uid()) {
        return Err(not("it belongs to somebody else than the directory that it is in"));
    }
    Ok((seen.uid(), seen.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("dybox");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(owner_of(&link, false).is_err());
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(owner_of(&home, true).unwrap().0, own);
        if own == 0 {
            std::os::unix::fs::chown(&home, Some(4711), None).unwrap();
            assert!(owner_of(&home, true).is_err());
            assert_eq!(owner_of(&home, false).unwrap().0, 4711);
        }
    }
}
