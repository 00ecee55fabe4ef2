//! A container that outlives its run: in a grant that a session keeps, it waits for the same task of another run.
//!
//! On the engine it stays what it is, made by a grant of one run and with that run's proof. So that grant stays alive on
//! this machine for as long as its container does: whoever looks, a sweep or `gc`, finds its share held, and after the
//! death of this process all of it is swept as after any proxy's.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{Engine, EngineConf};
use dybox_model::TaskSpec;
use dybox_store::Lock;
use tokio::time::timeout;

use crate::cgroup::GrantCgroup;
use crate::conf::Places;
use crate::files::Files;
use crate::lease::Leases;
use crate::ports::Ports;
use crate::settle::move_out;
use crate::ship::said;
use crate::watch::Rested;

/// Beside the grant's attempts.
const DIR: &str = "parked";
/// How its files of output are called in the log directory of the grant, between two runs.
const SHOWN: &str = "between-runs";
/// For the engine to remove it. What it does not do in that time is left to a sweep.
const REMOVE: Duration = Duration::from_secs(15);

/// The grant that made the container.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) places: Arc<Places>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) cgroup: Arc<GrantCgroup>,
    /// Its owner and its share.
    pub(crate) locks: Vec<Lock>,
}

/// What goes from one run's proxy to the next.
pub(crate) type Waiting = Option<Box<Parked>>;

/// A container that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    /// Nothing for as long as the proxy of that grant is still there.
    pub(crate) origin: Option<Origin>,
    /// What it was made for.
    pub(crate) made: Arc<TaskSpec>,
    /// The image's id.
    pub(crate) image: String,
    /// The engine's name of it.
    pub(crate) name: String,
    pub(crate) files: Files,
    pub(crate) rested: Rested,
}

impl Parked {
    /// Where the files of a container are for as long as it waits, in the grant that made it.
    pub(crate) fn room(places: &Places) -> Files {
        Files::under(&places.path(&places.grant.root()).join(DIR))
    }

    /// Gives the files of an attempt to nobody. An error: it can't wait.
    pub(crate) fn put_away(
        files: &Files,
        places: &Places,
        log_dir: Option<&std::path::Path>,
    ) -> std::io::Result<Files> {
        let room = Self::room(places);
        files.pass_on(&room, log_dir.map(|dir| dir.join(SHOWN)).as_deref())?;
        Ok(room)
    }

    /// Whether this attempt can go on in it.
    pub(crate) fn suits(&self, spec: &TaskSpec, image: &str) -> bool {
        self.image == image && self.made.is_made_like(spec)
    }

    /// Removes it, and what is left of its grant. `ports`: of whoever ends it, where that has an engine at hand.
    pub(crate) async fn end(self, ports: Option<&Ports>) {
        let known = match ports {
            Some(ports) => ports.engine().await.ok(),
            None => None,
        };
        let engine = match known {
            Some(known) => known.engine.clone(),
            None => match timeout(REMOVE, Engine::connect(EngineConf::default())).await {
                Ok(Ok(engine)) => engine,
                // Its init ends without this process's line; the rest is swept.
                _ => return tracing::warn!(container = self.name, "no engine to remove it"),
            },
        };
        let Self { origin, name, files, rested, .. } = self;
        tracing::info!(container = name, "waits no longer");
        let removed = timeout(REMOVE, engine.remove(&rested.container)).await;
        match removed {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return tracing::warn!(container = name, %error, "can't remove"),
            Err(_) => return tracing::warn!(container = name, "the engine does not remove it"),
        }
        files.output_files().iter().for_each(|file| drop(fs::remove_file(file)));
        if let Err(error) = files.remove_exchange().and_then(|()| files.remove_logs()) {
            tracing::warn!(container = name, %error, "can't remove its files");
        }
        if let Some(origin) = origin {
            origin.leave().await;
        }
    }
}

impl Origin {
    /// Its container is gone: now the grant is.
    pub(crate) async fn leave(self) {
        self.cgroup.clean();
        if let Err(error) = move_out(&self.places).await {
            tracing::warn!(grant = %self.places.grant_id, error = said(&error), "can't move out");
        }
        drop(self.locks);
    }
}
