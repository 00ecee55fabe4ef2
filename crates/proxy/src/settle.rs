//! The scratch directory of this user on a machine of the cluster: how a grant moves in, and out without a trace.
//!
//! It outlives applications, so that what a dead proxy left is found by the next one.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use dybox_model::RunId;
use dybox_store::layout::Machine;
use dybox_store::local::make_dir;
use dybox_store::{HdfsConf, Lock, Store};

use crate::conf::Places;
use crate::error::{ProxyError, file_error};
use crate::files::{absent_is_fine, write_whole};

/// Whoever moves in or out is done in a moment.
const MOVING: Duration = Duration::from_secs(10);
/// A sweep may have taken a share that was about to be locked for one of a dead proxy.
const SHARE: Duration = Duration::from_secs(30);

/// Makes the grant's directory, leaves there what a sweep would need, and takes the share. Until the lock is dropped,
/// or this process dies, the grant counts as alive.
pub(crate) async fn move_in(places: &Places, secret: &str, store: &HdfsConf) -> Result<Lock, ProxyError> {
    let moving = moving(places).await?;
    let (there, secret, store) = (places.clone(), secret.to_owned(), store.clone());
    // The disk is waited for elsewhere: the line to the master is dialled meanwhile.
    let laid_out = tokio::task::spawn_blocking(move || lay_out(&there, &secret, &store)).await;
    laid_out.map_err(|error| ProxyError::Runtime(io::Error::other(error)))??;
    drop(moving);
    let share = Lock::acquire(&places.share(), SHARE).await?;
    share.ok_or(ProxyError::Alive { grant: places.grant_id })
}

/// Makes the grant's directory and what a sweep would need.
fn lay_out(places: &Places, secret: &str, store: &HdfsConf) -> Result<(), ProxyError> {
    make_dir(&places.path(&places.grant.root()))?;
    let give = |path: &Path, text: &[u8]| match fs::read(path) {
        Ok(there) if there == text => Ok(()),
        _ => write_whole(path, text, 0o600),
    };
    let path = places.path(&places.run.secret());
    give(&path, secret.as_bytes()).map_err(file_error("write", &path))?;
    let path = places.path(&store_file(places));
    let text = serde_json::to_vec(store).expect("texts are JSON");
    give(&path, &text).map_err(file_error("write", &path))
}

/// Removes all of the grant, and of its run where nobody else of it is on this machine. The share goes last.
pub(crate) async fn move_out(places: &Places) -> Result<(), ProxyError> {
    let moving = moving(places).await?;
    let archive = places.path(&places.run.archive(places.grant_id));
    absent_is_fine(fs::remove_file(&archive)).map_err(file_error("remove", archive))?;
    let grant = places.path(&places.grant.root());
    // A container that is kept for a look needs what is mounted into it.
    if !has(&grant, |entry| Ok(entry.path().extension().is_some_and(|end| end == "kept")))
        .map_err(file_error("list", &grant))?
    {
        absent_is_fine(fs::remove_dir_all(&grant)).map_err(file_error("remove", grant))?;
    }
    let grants = places.path(&places.run.grants());
    if !has(&grants, |entry| Ok(entry.file_type()?.is_dir())).map_err(file_error("list", grants))? {
        let run = places.path(&places.run.root());
        absent_is_fine(fs::remove_dir_all(&run)).map_err(file_error("remove", run))?;
    }
    drop(moving);
    let share = places.share();
    absent_is_fine(fs::remove_file(&share)).map_err(file_error("remove the share", share))
}

/// Whether ends are left that no master has written down.
pub(crate) fn has_ends(places: &Places) -> bool {
    let grant = places.path(&places.grant.root());
    has(&grant, |entry| Ok(entry.path().extension().is_some_and(|end| end == "exit"))).unwrap_or(true)
}

/// The store that another run's files go to, as one of its proxies has left word.
pub(crate) fn store_of(home: &Places, run: &RunId) -> Option<Store> {
    let there = home.beside(run.clone(), home.grant_id, Store::open_dir(home.home.dir()));
    let text = fs::read(home.path(&store_file(&there))).ok()?;
    Store::hdfs(serde_json::from_slice(&text).ok()?).ok()
}

fn store_file(places: &Places) -> String {
    format!("{}/store.json", places.run.root())
}

pub(crate) async fn moving(places: &Places) -> Result<Option<Lock>, ProxyError> {
    Ok(Lock::acquire(&places.path(&Machine::pull(&format!("run {}", places.run_id))), MOVING).await?)
}

fn has(dir: &Path, wanted: impl Fn(&fs::DirEntry) -> io::Result<bool>) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                if wanted(&entry?)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::{GrantId, SubDagId};
    use dybox_store::layout::{Home, RunDir};

    use super::*;

    fn places(home: &Path, grant: u32) -> Places {
        let run: RunId = "01jd0000000000000000000001".parse().unwrap();
        let grant_id = GrantId::compose(SubDagId(0), 1, grant);
        let names = RunDir::new(&run);
        Places {
            home: Home::new(home),
            grant: names.grant(grant_id),
            run: names,
            run_id: run,
            grant_id,
            subdag: SubDagId(0),
            owner: (0, 0),
            user: String::new(),
            far: None,
        }
    }

    #[tokio::test]
    async fn the_last_of_a_run_leaves_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = HdfsConf { url: "hdfs://nn:1/x".to_owned(), settings: [].into(), user: None };
        let (one, two) = (places(dir.path(), 1), places(dir.path(), 2));
        let share = move_in(&one, "ab", &store).await.unwrap();
        let _other = move_in(&two, "ab", &store).await.unwrap();
        assert!(Lock::is_held(&one.share()).unwrap());
        assert!(store_of(&one, &one.run_id).is_some_and(|store| store.is_remote()));
        move_out(&one).await.unwrap();
        drop(share);
        assert!(!one.share().exists() && !one.path(&one.grant.root()).exists());
        assert_eq!(fs::read_to_string(two.path(&two.run.secret())).unwrap(), "ab", "a neighbour needs it");
        move_out(&two).await.unwrap();
        assert!(!two.path(&two.run.root()).exists());
        move_out(&two).await.unwrap();
    }

    #[tokio::test]
    async fn ends_that_nobody_has_heard_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path(), 1);
        assert!(!has_ends(&places));
        let saved = places.saved("s0-0-1".parse().unwrap());
        fs::create_dir_all(saved.parent().unwrap()).unwrap();
        fs::write(&saved, "{}").unwrap();
        assert!(has_ends(&places));
    }

    #[tokio::test]
    async fn what_a_kept_container_needs_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = HdfsConf { url: "hdfs://nn:1/x".to_owned(), settings: [].into(), user: None };
        let places = places(dir.path(), 1);
        let _share = move_in(&places, "ab", &store).await.unwrap();
        let attempt = "s0-0-1".parse().unwrap();
        fs::create_dir_all(places.path(&places.grant.input(attempt))).unwrap();
        fs::write(places.path(&places.grant.kept(attempt)), "name").unwrap();
        move_out(&places).await.unwrap();
        assert!(places.path(&places.grant.input(attempt)).exists() && !places.share().exists());
    }
}
