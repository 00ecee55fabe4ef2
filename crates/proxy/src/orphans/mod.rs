//! What lies on this machine of runs of a home whose proxies are dead: found, judged by proof, removed. For a person
//! (`dybox gc`) and for the node's agent alike.
//!
//! A label proves nothing by itself, for an image can carry any. What is not proven by the secret of a run of this home
//! is told and never touched; what is proven goes only where nobody holds the locks of its grant.

mod found;
mod grants;
mod home;
mod ledger;
mod logs;

pub use found::{Fate, Found, Thing};
pub use home::{HomeConf, owner_of, sweep_home};

pub(crate) use ledger::{note_pulled, note_used, write_needed};

use std::path::Path;

use dybox_engine::{Engine, EngineConf};
use dybox_model::RunId;
use dybox_store::layout::{Home, RUNS, RunDir, VOLUMES};

use crate::error::{ProxyError, file_error};
use found::Known;

/// Grants whose proxy is dead, whose share of the machine still counts. Needs no engine.
///
/// # Errors
/// [`ProxyError::Store`], [`ProxyError::File`].
pub fn dead_grants(home: &Path) -> Result<Vec<Found>, ProxyError> {
    grants::dead(&Home::new(home))
}

/// Volumes of runs that nobody drives any more, and those that outlive runs, which stay. Needs no engine.
///
/// # Errors
/// [`ProxyError::Store`], [`ProxyError::File`].
pub fn volumes(home: &Path) -> Result<Vec<Found>, ProxyError> {
    let home = Home::new(home);
    let mut all = Vec::new();
    for run in found::names(&home, RUNS)?.iter().filter_map(|name| name.parse::<RunId>().ok()) {
        let dir = RunDir::new(&run).volumes();
        let names = found::names(&home, &dir)?;
        if names.is_empty() || found::driven(&home, &run)? {
            continue;
        }
        all.extend(names.into_iter().map(|name| {
            let found = Found { run: Some(run.clone()), ..Found::new(Thing::Volume, format!("{dir}/{name}"), name) };
            found.with(Fate::Remove, "it goes with its run, which nobody drives")
        }));
    }
    for name in found::names(&home, VOLUMES)? {
        let found = Found::new(Thing::Volume, format!("{VOLUMES}/{name}"), name);
        all.push(found.with(Fate::Kept, "it outlives runs; remove its directory where nobody needs it"));
    }
    Ok(all)
}

/// Containers and networks that say they are DYbox's, but for those whose grant or run lives.
///
/// # Errors
/// [`ProxyError`] where the engine or a file of the home does not answer.
pub async fn on_engine(engine: &Engine, home: &Path) -> Result<Vec<Found>, ProxyError> {
    let mut known = Known::of(&Home::new(home));
    let mut found = Vec::new();
    for container in engine.list(None).await? {
        found.extend(known.container(container)?);
    }
    for network in engine.list_networks(None).await? {
        found.extend(known.network(network)?);
    }
    Ok(found)
}

/// Removes one thing, whatever its fate is said to be. A grant is swept as by its own master: what it left ends, its
/// last output and its ends are kept. Whether it is gone now.
///
/// # Errors
/// [`ProxyError`] where it can't be removed.
pub async fn remove(engine: &EngineConf, home: &Path, one: &Found) -> Result<bool, ProxyError> {
    let (at, home) = (engine, Home::new(home));
    match one.thing {
        Thing::Grant => match (&one.run, one.grant) {
            (Some(run), Some(grant)) => grants::clear(at, &home, (run, grant)).await,
            _ => Ok(false),
        },
        Thing::Container => {
            Engine::connect(at.clone()).await?.remove(&one.id).await?;
            Ok(true)
        }
        Thing::Volume if one.fate == Fate::Kept => Ok(false),
        Thing::Volume => {
            let path = home.path(&one.id);
            std::fs::remove_dir_all(&path).map_err(file_error("remove", path))?;
            Ok(true)
        }
        Thing::Network => {
            let engine = Engine::connect(at.clone()).await?;
            // Without the lock, somebody who has just found it would lose it before it is used.
            let _lock = crate::sandbox::lock_network(&home, &one.name).await?;
            Ok(engine.remove_network(&one.id).await?)
        }
    }
}
