//! The end of a proxy: everything of its grant is gone before the grant's room is given back.

use std::time::Duration;

use dybox_wire::ProxyNews;
use tokio::time::{Instant, sleep, timeout};

use crate::error::ProxyError;
use crate::files::absent_is_fine;
use crate::parked::Parked;
use crate::perform::Performer;
use crate::remove::{clear_directory, remove_all, remove_networks};
use crate::settle::{has_ends, move_out};
use crate::ship::said;

/// Removals that are under way get this long.
const REMOVALS: Duration = Duration::from_secs(30);
/// Until a list of the engine shows nothing of the grant any more.
const LISTED: Duration = Duration::from_secs(60);
/// For the last words to reach the master.
const GOODBYE: Duration = Duration::from_millis(50);

/// Cleans up, gives the room back, says goodbye. What comes back is a container that waits for another run; where it was
/// made by this grant, then the grant is still there for it.
pub(crate) async fn leave(performer: Performer, why: String) -> Result<Option<Parked>, ProxyError> {
    tracing::info!(why, "leaving");
    if performer.ports.places.far.is_some() {
        leave_far(performer, why).await
    } else {
        leave_here(performer, why).await.map(|()| None)
    }
}

/// On a cluster the room is YARN's, which frees it when this process ends; the archive's end takes HDFS half a second,
/// for which the master does not wait.
async fn leave_far(mut performer: Performer, why: String) -> Result<Option<Parked>, ProxyError> {
    let shipper = performer.shipper.clone();
    let closing = tokio::spawn(async move { shipper.close().await });
    clear_engine(&mut performer).await?;
    let parked = performer.parked.take();
    if !is_own(parked.as_ref()) {
        performer.ports.cgroup.clean();
    }
    performer.say(ProxyNews::Leaving { why });
    sleep(GOODBYE).await;
    match closing.await {
        // The next master asks for them, and somebody sweeps.
        Ok(Ok(())) if has_ends(&performer.ports.places) => Ok(given_up(&performer, parked).await),
        Ok(Ok(())) if is_own(parked.as_ref()) => Ok(parked),
        Ok(Ok(())) => move_out(&performer.ports.places).await.map(|()| parked),
        // The share stays: whoever sweeps it brings the rest.
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => Err(ProxyError::Runtime(std::io::Error::other(panic))),
    }
}

fn is_own(parked: Option<&Parked>) -> bool {
    parked.is_some_and(|parked| parked.origin.is_none())
}

/// A grant that is left to a sweep takes its container along; another's may wait on.
async fn given_up(performer: &Performer, parked: Option<Parked>) -> Option<Parked> {
    match parked {
        Some(own) if own.origin.is_none() => {
            own.end(Some(&performer.ports)).await;
            None
        }
        other => other,
    }
}

async fn leave_here(mut performer: Performer, why: String) -> Result<(), ProxyError> {
    let gone = clear_engine(&mut performer).await;
    if let Err(error) = performer.shipper.close().await {
        tracing::warn!(error = said(&error), "can't close the archive");
    }
    gone?;
    clear_disk(&performer);
    let share = performer.ports.places.share();
    // Whoever counts shares counts this one until here: no container of it lives any more.
    absent_is_fine(std::fs::remove_file(&share)).map_err(crate::error::file_error("remove the share", share))?;
    performer.say(ProxyNews::Leaving { why });
    sleep(GOODBYE).await;
    Ok(())
}

async fn clear_engine(performer: &mut Performer) -> Result<(), ProxyError> {
    let end = Instant::now() + REMOVALS;
    while let Ok(Some(_)) = timeout(end - Instant::now(), performer.removals.join_next()).await {}
    let ports = performer.ports.clone();
    if !ports.used_engine() {
        return Ok(());
    }
    let known = ports.engine().await?;
    if performer.sandbox.is_some()
        && let Err(error) = crate::sandbox::remove(&ports, &known.engine).await
    {
        tracing::warn!(%error, "can't remove the sandbox");
    }
    let spared = performer.parked.as_ref().map(|parked| parked.rested.container.as_str());
    let left = remove_all(&known.engine, &ports.places, (&ports.secret, spared), LISTED).await?;
    if left > 0 {
        return Err(ProxyError::Leftover { grant: ports.places.grant_id, left });
    }
    if performer.networks {
        remove_networks(&known.engine, &ports.places, &ports.secret).await?;
    }
    Ok(())
}

fn clear_disk(performer: &Performer) {
    let places = &performer.ports.places;
    let keep = |attempt| performer.keeps.contains(&attempt);
    if let Err(error) = clear_directory(&places.path(&places.grant.root()), keep) {
        tracing::warn!(%error, "can't empty the grant's directory");
    }
}
