//! What is left in the home of a cluster's node when everybody of a run has gone: scratch, and output that is in the
//! store. In a home of one machine runs are kept for people, and none of this happens.

use std::fs;
use std::time::Duration;

use dybox_engine::Engine;
use dybox_model::{GrantId, RunId, SubDagId};
use dybox_store::layout::{Home, Machine, RUNS, RunDir};

use super::found::{driven, names};
use super::grants::changed;
use crate::conf::{Conf, Places};
use crate::error::{ProxyError, file_error};
use crate::node::{share_of, upload};
use crate::settle::{moving, store_of};

/// What a proxy that died in a write left of the program of inits.
const HALF: &str = ".new";

/// Removes what is older than `least`, after the last output of it has come to the store; how many runs went.
pub(super) async fn clean(engine: &Engine, home: &Home, least: Duration) -> Result<(u32, Vec<String>), ProxyError> {
    let (mut gone, mut troubles) = (0, Vec::new());
    for run in names(home, RUNS)?.iter().filter_map(|name| name.parse::<RunId>().ok()) {
        if !over(home, &run, least)? || !engine.list(Some(run.as_str())).await?.is_empty() {
            continue;
        }
        match clean_run(home, &run, least).await {
            Ok(done) => gone += u32::from(done),
            Err(error) => troubles.push(format!("run {run}: {}", crate::ship::said(&error))),
        }
    }
    let halves = names(home, &Machine::inits())?.into_iter().filter(|name| name.ends_with(HALF));
    for path in halves.map(|name| home.path(&format!("{}/{name}", Machine::inits()))) {
        if !changed(&path, least, 0) {
            // What stays goes the next time.
            let _ = fs::remove_file(path);
        }
    }
    Ok((gone, troubles))
}

/// Whether nobody of a run is here, or about to be swept, and nothing of it was written for so long.
fn over(home: &Home, run: &RunId, least: Duration) -> Result<bool, ProxyError> {
    let shared = names(home, &Machine::shares())?.iter().any(|name| share_of(name).is_some_and(|(of, _)| of == *run));
    Ok(!shared && !driven(home, run)? && !changed(&home.path(&RunDir::new(run).root()), least, 0))
}

async fn clean_run(home: &Home, run: &RunId, least: Duration) -> Result<bool, ProxyError> {
    let dir = RunDir::new(run);
    let run_dir = home.path(&dir.root());
    let places = |grant: GrantId| Places::of(&Conf { run_dir: run_dir.clone(), subdag: grant.subdag(), grant });
    let any = places(GrantId::compose(SubDagId(0), 0, 0))?;
    // Without its address nobody knows whether this is a node's copy or all that there is.
    let Some(store) = store_of(&any, run) else { return Ok(false) };
    for grant in names(home, &dir.logs())?.iter().filter_map(|name| RunDir::grant_of_archive(name)) {
        upload(&places(grant)?.beside(run.clone(), grant, store.clone())).await?;
    }
    let _moving = moving(&any).await?;
    // Somebody may have moved in meanwhile. What the upload wrote is no sign of that: it is beside the run.
    if !over(home, run, least)? {
        return Ok(false);
    }
    fs::remove_dir_all(&run_dir).map_err(file_error("remove", run_dir))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_run_is_over_when_nobody_holds_it_and_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let run: RunId = "01jd0000000000000000000001".parse().unwrap();
        let grant = GrantId::compose(SubDagId(0), 1, 1);
        let old = Duration::from_secs(3600);
        let root = home.path(&RunDir::new(&run).root());
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("secret"), "ab").unwrap();
        assert!(!over(&home, &run, old).unwrap(), "it is new");
        let before = SystemTime::now() - 2 * old;
        for path in [root.join("secret"), root.clone()] {
            File::open(path).unwrap().set_modified(before).unwrap();
        }
        assert!(over(&home, &run, old).unwrap());
        let share = home.path(&Machine::share(&run, grant));
        fs::create_dir_all(share.parent().unwrap()).unwrap();
        fs::write(&share, "").unwrap();
        assert!(!over(&home, &run, old).unwrap(), "a dead grant is swept first");
    }
}
