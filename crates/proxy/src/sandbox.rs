//! Networks of attempts: none, the slot's sandbox, or a network of the run.

use std::time::Duration;

use dybox_engine::{Engine, EngineError, Identity, ImageInfo, Joined, Placed, sandbox_options};
use dybox_model::{Network, RunId, TaskSpec};
use dybox_store::layout::{Home, Machine};
use dybox_store::{Lock, StoreError};

use crate::files::Files;
use crate::inbox::Arrived;
use crate::names;
use crate::ports::{Known, Ports};
use crate::remove::remove_proven;
use crate::start::Refused;

/// Making a network takes a second at most.
const NETWORK_LOCK: Duration = Duration::from_secs(30);

/// How the container of `spec` is joined to what it asked for. `sandbox` is the one that the slot had last.
pub(crate) async fn join(
    ports: &Ports,
    known: &Known,
    spec: &TaskSpec,
    image: &ImageInfo,
    sandbox: Option<String>,
) -> Result<Joined, Refused> {
    match &spec.network {
        Network::None => Ok(known.info.no_network()),
        // The ports of a namespace are published when it is made.
        Network::Bridge if !spec.ports.is_empty() => Ok(Joined::Bridge),
        Network::Bridge => Ok(Joined::Sandbox(alive(ports, known, image, sandbox).await?)),
        Network::Named(name) => {
            ensure_network(ports, &known.engine, &spec.run, name).await?;
            Ok(Joined::Network(names::network(&spec.run, name)))
        }
    }
}

/// Makes sure that the network exists. It stays at least for as long as the lock is held.
pub(crate) async fn ensure_network(
    ports: &Ports,
    engine: &Engine,
    run: &RunId,
    name: &str,
) -> Result<Option<Lock>, Refused> {
    let identity = names::network_identity(run, name);
    let lock = lock_network(&ports.places.home, &identity.name).await?;
    engine.ensure_network(&identity.name, &identity.labels(&ports.secret)).await?;
    Ok(lock)
}

/// The engine makes two networks of one name where two ask at once, and removes one that somebody is about to use.
pub(crate) async fn lock_network(home: &Home, name: &str) -> Result<Option<Lock>, StoreError> {
    Lock::acquire(&home.path(&Machine::pull(&format!("network {name}"))), NETWORK_LOCK).await
}

/// A sandbox that runs: the last one, or a new one.
async fn alive(ports: &Ports, known: &Known, image: &ImageInfo, last: Option<String>) -> Result<String, Refused> {
    if let Some(id) = last
        && known.engine.inspect(&id).await?.is_some_and(|seen| seen.running)
    {
        return Ok(id);
    }
    let places = &ports.places;
    let identity = names::sandbox_identity(&places.run_id, places.grant_id);
    remove(ports, &known.engine).await?;
    let files = Files::of_sandbox(places);
    let placed = place(ports, known, &files, &identity)?;
    ports.leases.keep(&identity.name, &files.lease())?;
    let id = known.engine.create(sandbox_options(image, &placed)).await?;
    known.engine.start(&id).await?;
    tracing::info!(container = identity.name, "the sandbox runs");
    ports.arrive(Arrived::Sandbox(id.clone()));
    Ok(id)
}

fn place(ports: &Ports, known: &Known, files: &Files, identity: &Identity) -> Result<Placed, Refused> {
    files.make(None)?;
    files.give("spec", "", 0o644)?;
    Ok(placed(ports, known, files, identity, Joined::Bridge))
}

/// Removes the slot's sandbox, whatever its state.
pub(crate) async fn remove(ports: &Ports, engine: &Engine) -> Result<(), EngineError> {
    let name = names::sandbox(&ports.places.run_id, ports.places.grant_id);
    ports.leases.stop(&name);
    remove_proven(engine, &name, &ports.secret).await
}

/// Where a container of this grant is placed.
pub(crate) fn placed(ports: &Ports, known: &Known, files: &Files, identity: &Identity, network: Joined) -> Placed {
    let [stdout, stderr] = files.output_files();
    let (uid, gid) = ports.places.owner;
    Placed {
        name: identity.name.clone(),
        labels: identity.labels(&ports.secret),
        init: ports.init.to_path_buf(),
        input: files.input.clone(),
        output: files.output.clone(),
        stdout,
        stderr,
        uid,
        gid,
        network,
        machine_cpus: known.info.cpus,
        cgroup_parent: ports.cgroup.parent(&known.info),
    }
}
