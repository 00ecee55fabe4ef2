//! The grants of this user on this machine whose proxies are dead: their shares lie there, and nobody holds them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use dybox_engine::EngineConf;
use dybox_model::{AttemptId, Exit, GrantId, RunId};
use dybox_store::layout::Machine;
use dybox_store::{Lock, UploadConf, Uploader};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use crate::conf::Places;
use crate::error::ProxyError;
use crate::inbox::Arrived;
use crate::ports::Ports;
use crate::settle::{move_out, store_of};
use crate::ship::said;
use crate::sweep::{SweepReport, sweep};

/// The first task of this proxy comes first.
const LATER: Duration = Duration::from_millis(700);
/// Somebody else may be at it.
const SWEPT_BY_ANOTHER: Duration = Duration::from_secs(30);
/// For the rest of a dead grant's archive.
const UPLOAD: Duration = Duration::from_secs(60);

/// Sweeps every dead share. What is of this proxy's own sub-DAG is told to the master.
pub(crate) async fn sweep_dead(ports: Ports) {
    sleep(LATER).await;
    let dir = ports.places.path(&Machine::shares());
    let Ok(entries) = fs::read_dir(&dir) else { return };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    for (run, grant) in names.iter().filter_map(|name| share_of(name)) {
        if (&run, grant) == (&ports.places.run_id, ports.places.grant_id) {
            continue;
        }
        let own = run == ports.places.run_id;
        let store =
            if own { ports.places.far.as_ref().map(|far| far.store.clone()) } else { store_of(&ports.places, &run) };
        let Some(store) = store else { continue };
        let places = ports.places.beside(run, grant, store);
        // The lock also keeps others from sweeping it at the same time.
        let Ok(Some(share)) = Lock::try_take(&places.share()) else { continue };
        tracing::info!(run = %places.run_id, %grant, "its proxy is dead: sweeping");
        let of_master = own && grant.subdag() == ports.places.subdag;
        if let Err(error) = clear(&ports, &places, of_master).await {
            tracing::warn!(%grant, error = said(&error), "can't sweep");
        }
        drop(share);
    }
}

/// Sweeps the grant that the master named, and tells it.
pub(crate) async fn sweep_asked(ports: Ports, grant: GrantId) {
    let Some(far) = ports.places.far.clone() else { return };
    let places = ports.places.beside(ports.places.run_id.clone(), grant, far.store.clone());
    let swept = async {
        let share = Lock::acquire(&places.share(), SWEPT_BY_ANOTHER).await?;
        let _share = share.ok_or(ProxyError::Alive { grant })?;
        clear(&ports, &places, true).await
    };
    if let Err(error) = swept.await {
        tracing::warn!(%grant, error = said(&error), "can't sweep what the master named");
    }
}

/// Sweeps one whose share the caller holds, and tells nobody.
pub(crate) async fn clear_quietly(engine: &EngineConf, places: &Places) -> Result<(), ProxyError> {
    sweep(places.clone(), engine).await?;
    upload(places).await?;
    move_out(places).await
}

async fn clear(ports: &Ports, places: &Places, tell: bool) -> Result<(), ProxyError> {
    sweep(places.clone(), &EngineConf::default()).await?;
    if tell {
        // Before the rest of its output is brought to the store: the master waits for this alone.
        ports.arrive(Arrived::Swept(places.grant_id, ends(places)));
    }
    upload(places).await?;
    move_out(places).await
}

/// All ends that sweeps of the grant have found: one that was broken off may have found some of them.
fn ends(places: &Places) -> Vec<(AttemptId, Option<Exit>)> {
    let text = fs::read_to_string(places.path(&places.grant.swept())).unwrap_or_default();
    let reports = text.lines().filter_map(|line| serde_json::from_str::<SweepReport>(line).ok());
    let mut ends: BTreeMap<AttemptId, Option<Exit>> = BTreeMap::new();
    for found in reports.flat_map(|report| report.exits) {
        if let Ok(attempt) = found.attempt.parse() {
            let known = ends.entry(attempt).or_default();
            *known = found.exit.or_else(|| known.take());
        }
    }
    ends.into_iter().collect()
}

/// Brings the rest of the archive to the store. What can't be brought stays, and so does the share.
pub(crate) async fn upload(places: &Places) -> Result<(), ProxyError> {
    let (Some(far), name) = (&places.far, places.run.archive(places.grant_id)) else { return Ok(()) };
    let local = places.path(&name);
    if local.exists() {
        let (trouble, _unheard) = unbounded_channel();
        Uploader::start(&far.store, UploadConf::new(local, name), trouble).close(UPLOAD).await?;
    }
    Ok(())
}

pub(crate) fn share_of(name: &str) -> Option<(RunId, GrantId)> {
    let (run, grant) = name.split_once('.')?;
    Some((run.parse().ok()?, grant.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use dybox_model::SubDagId;

    use super::*;

    #[test]
    fn the_name_of_a_share_tells_run_and_grant() {
        let run: RunId = "01jd0000000000000000000001".parse().unwrap();
        let grant = GrantId(1 << 48 | 3);
        let name = Machine::share(&run, grant);
        let name = name.rsplit('/').next().unwrap();
        assert_eq!(share_of(name), Some((run, grant)));
        assert_eq!((share_of("budget.lock"), grant.subdag()), (None, SubDagId(1)));
    }
}
