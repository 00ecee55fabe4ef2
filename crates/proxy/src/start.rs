//! From an order and an image to a container that runs.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{Engine, EngineError, Identity, ImageInfo, Kind, LEASE_TTL, Options, argv, init_spec, options};
use dybox_logic::proxy::{Event, LEASE_DEAD};
use dybox_model::{AttemptId, Cause, Exit, Network, TaskSpec};
use dybox_store::StoreError;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::engine_watch::until_it_hangs;
use crate::files::Files;
use crate::names;
use crate::ports::{Known, Ports};
use crate::remove::remove_proven;
use crate::sandbox::{ensure_network, join, placed};
use crate::ship::Shipper;
use crate::watch::{Eyes, watch};
use crate::{data, publish, secrets, volumes};

/// Pause between two tries to learn from the engine that nothing runs.
const AGAIN: Duration = Duration::from_secs(1);
/// An engine that needs longer to remove a container is not waited for.
const REMOVE: Duration = Duration::from_secs(15);

/// An init whose start was answered to nobody shows itself within this, on a busy machine too.
const FIRST_SIGN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Why no container runs.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        Self { cause: error.cause(), text: error.to_string() }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self { cause: Cause::StoreFailed, text: crate::ship::said(&error) }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self { cause: Cause::StoreFailed, text: format!("can't make the files of the attempt: {error}") }
    }
}

/// One order on its way.
pub(crate) struct Job {
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) image: Arc<ImageInfo>,
    /// The sandbox that the slot had last.
    pub(crate) sandbox: Option<String>,
    /// Notified when nobody wants the start any more.
    pub(crate) halt: Arc<Notify>,
    /// Notified when the container should be dead by now.
    pub(crate) kick: Arc<Notify>,
    /// Room for removals that are under way: too many of them hold up the next start.
    pub(crate) backlog: Arc<Semaphore>,
    pub(crate) shipper: Shipper,
}

/// Starts the container and stays with it until it is dead.
pub(crate) async fn run(ports: Ports, job: Job) {
    let attempt = job.spec.attempt;
    match start(&ports, &job).await {
        Ok((container, eyes)) => {
            tracing::info!(%attempt, container, "runs");
            ports.tell(Event::Started { attempt, container });
            watch(ports, eyes).await;
        }
        Err(Refused { cause, text }) => {
            tracing::warn!("not started attempt={attempt}: {} ({}): {text}", cause.info().name, cause.info().code);
            let exit = Exit::not_started(cause, text, ports.clock.now());
            ports.tell(Event::NotStarted { attempt, exit });
        }
    }
}

async fn start(ports: &Ports, job: &Job) -> Result<(String, Eyes), Refused> {
    // The permit is given back at once: only a full backlog is waited for.
    drop(job.backlog.acquire().await);
    let known = ports.engine().await?;
    let files = Files::of(&ports.places, job.spec.attempt);
    let settled = settled(ports, &job.spec)?;
    let spec = &*settled;
    let given = secrets::read(ports, spec).await?;
    lay_out(&files, job, ports.places.shown(&job.spec).as_deref())?;
    let links = secrets::links(spec);
    let identity = names::task_identity(&job.spec, ports.places.grant_id);
    let network = join(ports, &known, &job.spec, &job.image, job.sandbox.clone()).await?;
    let options = options(spec, &job.image, &placed(ports, &known, &files, &identity, network));
    let slot = tokio::select! {
        slot = ports.slots.take() => slot?,
        () = job.halt.notified() => return Err(Refused { cause: Cause::Stopped, text: String::new() }),
    };
    let mut eyes = Eyes::open(job.spec.attempt, &identity.name, files.clone(), Arc::clone(&job.kick));
    eyes.hide(Arc::clone(&given.words));
    ports.leases.keep(&identity.name, &files.lease())?;
    let started = tokio::select! {
        started = create_and_start(ports, &known, (&identity, spec), options.clone(), (&files, &links)) => started,
        error = until_it_hangs(&known.engine) => {
            if ports.places.far.is_some() {
                // Before the next try of this task is given to this proxy.
                ports.tell(Event::EngineLost { why: error.to_string() });
            }
            Err(error)
        }
    };
    let started = match (started, &job.spec.network) {
        // A proxy that left took the network along after we had seen it. Once more, with the network held.
        (Err(error), Network::Named(name)) if error.kind == Kind::NetworkNotFound => {
            match ensure_network(ports, &known.engine, &job.spec.run, name).await {
                Ok(_held) => create_and_start(ports, &known, (&identity, spec), options, (&files, &links)).await,
                Err(_) => Err(error),
            }
        }
        (started, _) => started,
    };
    drop(slot);
    match started {
        Ok(id) => {
            job.shipper.open(job.spec.attempt, &files);
            eyes.on(&id);
            if let Err(error) = secrets::give(&files, &given).await {
                tracing::warn!(container = id, %error, "its init did not take the secrets");
                make_sure(ports, &known.engine, job.spec.attempt, &identity.name).await;
                let text = format!("its init did not take the secrets: {error}");
                return Err(Refused { cause: Cause::EngineFailed, text });
            }
            if job.spec.reuse {
                eyes.listen().await;
            }
            publish::tell(ports, &known.engine, spec, &id).await;
            Ok((id, eyes))
        }
        Err(error) => {
            make_sure(ports, &known.engine, job.spec.attempt, &identity.name).await;
            Err(publish::taken(ports, spec, &error).unwrap_or_else(|| explain(error)))
        }
    }
}

/// The attempt with what only this machine knows of its volumes, files and ports.
fn settled<'a>(ports: &Ports, spec: &'a TaskSpec) -> Result<Cow<'a, TaskSpec>, Refused> {
    let mut spec = Cow::Borrowed(spec);
    for settle in [volumes::with_paths, data::with_mounts, publish::with_addresses] {
        if let Some(more) = settle(&ports.places, &spec)? {
            spec = Cow::Owned(more);
        }
    }
    Ok(spec)
}

/// Everything that init reads and writes.
fn lay_out(files: &Files, job: &Job, shown: Option<&Path>) -> Result<(), Refused> {
    let words = argv(&job.spec, &job.image)
        .map_err(|cause| Refused { cause, text: format!("{} names neither entrypoint nor command", job.spec.image) })?;
    files.make(shown)?;
    files.give("spec", &init_spec(&job.spec, &job.image, &words, LEASE_TTL), 0o644)?;
    files.give("needs.json", &job.spec.needs, 0o644)?;
    if let Some(script) = &job.spec.script {
        files.give("script", script, 0o755)?;
    }
    Ok(())
}

async fn create_and_start(
    ports: &Ports,
    known: &Known,
    (identity, spec): (&Identity, &TaskSpec),
    options: Options,
    (files, links): (&Files, &[(String, String)]),
) -> Result<String, EngineError> {
    let engine = &known.engine;
    let id = match engine.create(options.clone()).await {
        Err(error) if error.kind == Kind::Conflict => {
            clear_name(engine, identity, &ports.secret).await?;
            engine.create(options).await?
        }
        other => other?,
    };
    if !links.is_empty() {
        engine.link(&id, links).await?;
    }
    let mut others = publish::others(&spec.ports);
    loop {
        match engine.start(&id).await {
            // The answer was lost, and its init is the better witness.
            Err(error) if error.unanswered() && begins(files).await => {
                tracing::warn!(container = id, %error, "it runs all the same");
                return Ok(id);
            }
            // Asked once more, the engine takes the next one.
            Err(error) if others > 0 && publish::is_one_of_many(&spec.ports, &error) => others -= 1,
            other => return other.map(|()| id),
        }
    }
}

/// Whether init shows itself in time; false proves nothing.
async fn begins(files: &Files) -> bool {
    let end = Instant::now() + FIRST_SIGN;
    while !files.begun() && Instant::now() < end {
        sleep(LOOK).await;
    }
    files.begun()
}

/// The name is taken: by a container of this very attempt, whose create was answered to nobody, or by a stranger.
async fn clear_name(engine: &Engine, identity: &Identity, secret: &str) -> Result<(), EngineError> {
    let Some(seen) = engine.inspect(&identity.name).await? else { return Ok(()) };
    if !identity.proven(secret, &seen.labels) {
        let text = "a container of this name exists, and it is not ours";
        return Err(EngineError::new(format!("create container {}", identity.name), Kind::Conflict, text));
    }
    engine.remove(&seen.id).await.map(|_| ())
}

/// Makes sure that nothing of a start that failed runs, now or later: its spec is taken away, so an init that starts
/// late starts nothing; what runs is removed, or, where the engine does not answer or has forgotten it in a crash, ends
/// by its lease.
pub(crate) async fn make_sure(ports: &Ports, engine: &Engine, attempt: AttemptId, name: &str) {
    let files = Files::of(&ports.places, attempt);
    files.revoke();
    ports.leases.stop(name);
    let dead = Instant::now() + Duration::from_millis(LEASE_DEAD.0);
    // A lease that is over late, on a busy machine, is waited for too; whoever gave the order has a limit.
    while Instant::now() < dead || files.alive() {
        match timeout(REMOVE, remove_proven(engine, name, &ports.secret)).await {
            Ok(Ok(())) if !files.alive() => return,
            Ok(Ok(())) => tracing::warn!(container = name, "the engine does not know it, and it runs on"),
            Ok(Err(error)) => tracing::warn!(container = name, %error, "can't remove what may have started"),
            Err(_) => tracing::warn!(container = name, "the engine does not answer"),
        }
        sleep(AGAIN).await;
    }
}

fn explain(error: EngineError) -> Refused {
    // It was there a moment ago: somebody removed it, and the next try brings it again.
    if error.kind == Kind::ImageNotFound {
        return Refused { cause: Cause::EngineFailed, text: error.to_string() };
    }
    error.into()
}
