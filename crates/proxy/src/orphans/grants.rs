//! Grants whose proxy is dead: each has a share that nobody holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_engine::EngineConf;
use dybox_model::{GrantId, RunId};
use dybox_store::Lock;
use dybox_store::layout::{Home, Machine, RUNS, RunDir};
use tokio::time::timeout;

use super::found::{Fate, Found, Thing, lives, names};
use crate::cgroup::GrantCgroup;
use crate::conf::{Conf, Places};
use crate::error::{ProxyError, file_error};
use crate::node::{clear_quietly, share_of};
use crate::settle::store_of;
use crate::sweep::{record_all, sweep};

/// A sweep waits out a hanging engine (lease, grace, margin) within this time.
const SWEEP: Duration = Duration::from_secs(120);
/// Deeper, nothing of DYbox's own is written.
const DEEPEST: u32 = 4;

/// All of them.
pub(super) fn dead(home: &Home) -> Result<Vec<Found>, ProxyError> {
    let mut found = Vec::new();
    for name in names(home, &Machine::shares())? {
        let Some((run, grant)) = share_of(&name) else { continue };
        let path = home.path(&Machine::share(&run, grant));
        if !path.exists() || Lock::is_held(&path)? {
            continue;
        }
        found.push(Found {
            run: Some(run),
            grant: Some(grant),
            fate: Fate::Remove,
            why: "its proxy died".to_owned(),
            ..Found::new(Thing::Grant, name, grant.to_string())
        });
    }
    Ok(found)
}

/// Sweeps one of them; false where somebody holds it by now.
pub(super) async fn clear(
    engine: &EngineConf,
    home: &Home,
    (run, grant): (&RunId, GrantId),
) -> Result<bool, ProxyError> {
    let path = home.path(&Machine::share(run, grant));
    let Some(share) = Lock::try_take(&path)? else { return Ok(false) };
    let run_dir = home.path(&RunDir::new(run).root());
    if !run_dir.exists() {
        // Whoever moved out was killed before the share went.
        share.remove()?;
        return Ok(true);
    }
    let places = Places::of(&Conf { run_dir, subdag: grant.subdag(), grant })?;
    let work = async {
        match store_of(&places, run) {
            Some(store) => clear_quietly(engine, &places.beside(run.clone(), grant, store)).await,
            None => {
                let report = sweep(places.clone(), engine).await?;
                // Also where it found nothing: the run's own master looks for this word.
                record_all(&places, &report)
            }
        }
    };
    let done = timeout(SWEEP, work).await;
    done.unwrap_or(Err(ProxyError::Slow { grant, secs: SWEEP.as_secs() }))?;
    drop(share);
    Ok(true)
}

/// Whether nothing was written in a grant's directory for so long. A proxy that serves writes a lease every two
/// seconds; so whoever else looks after a grant whose proxy has just died (its master, a neighbour) comes first.
pub(super) fn quiet_for(home: &Home, run: &RunId, grant: GrantId, least: Duration) -> bool {
    let dir = home.path(&RunDir::new(run).grant(grant).root());
    let share = home.path(&Machine::share(run, grant));
    !touched(&share, least) && !changed(&dir, least, 0)
}

/// Whether a file, or anything below it, was written within this time.
pub(super) fn changed(path: &Path, within: Duration, depth: u32) -> bool {
    if depth > DEEPEST {
        return false;
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    touched(path, within) || below.map(|entry| entry.path()).any(|path| changed(&path, within, depth + 1))
}

/// Whether a file was written within this time, or in the future: clocks jump.
fn touched(path: &Path, within: Duration) -> bool {
    let written = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    written.is_ok_and(|at| at.elapsed().map_or(true, |age| age < within))
}

/// Cgroups that were made for grants of this home that nobody holds, leaf last.
pub(super) fn cgroups(home: &Home, least: Duration) -> Result<Vec<PathBuf>, ProxyError> {
    let mut all = Vec::new();
    for run in names(home, RUNS)?.iter().filter_map(|name| name.parse::<RunId>().ok()) {
        let dir = RunDir::new(&run);
        for grant in names(home, &dir.grants())?.iter().filter_map(|name| name.parse::<GrantId>().ok()) {
            let left = GrantCgroup::left(&home.path(&dir.grant(grant).root()));
            if !left.is_empty() && !lives(home, &run, grant)? && quiet_for(home, &run, grant, least) {
                all.extend(left);
            }
        }
    }
    Ok(all)
}

/// After a kept container of a grant is gone: its mark goes, and in a home of a cluster's node what was kept for it.
pub(super) async fn let_go(home: &Home, one: &Found, far: bool) -> Result<(), ProxyError> {
    let (Some(run), Some(grant), Some(attempt)) = (&one.run, one.grant, one.attempt) else { return Ok(()) };
    let mark = home.path(&RunDir::new(run).grant(grant).kept(attempt));
    crate::files::absent_is_fine(fs::remove_file(&mark)).map_err(file_error("remove", mark))?;
    if far {
        let run_dir = home.path(&RunDir::new(run).root());
        crate::settle::move_out(&Places::of(&Conf { run_dir, subdag: grant.subdag(), grant })?).await?;
    }
    Ok(())
}
