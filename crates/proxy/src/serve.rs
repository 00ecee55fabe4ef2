//! The two entry points. Each makes an event loop of its own: call them from plain threads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::EngineConf;
use dybox_store::bundle::IMAGES;
use dybox_store::{Lock, Private, Store};
use dybox_wire::{Address, MasterClient, TlsIdentity};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;

use crate::conf::{ClusterConf, Conf, Places};
use crate::error::ProxyError;
use crate::link::{FarMasters, Masters};
use crate::parked::{Origin, Waiting};
use crate::perform::Performer;
use crate::ports::Ports;
use crate::ship::{Caps, Route, Shipper};
use crate::sweep::SweepReport;
use crate::{actor, engine_watch, leave, link, node, orphans, settle};

/// Whoever looks whether the lock is held may hold it for a moment; a sweep may hold it for longer, and wins.
const OWNER: Duration = Duration::from_secs(2);
/// For threads that write a file.
const BLOCKING: usize = 3;
const STACK: usize = 512 << 10;

/// Serves one grant until its master lets it go, or is gone. Logs to stderr.
///
/// # Errors
/// [`ProxyError`] when it could not begin, or could not clear up: then the grant's share is still there, and a sweep
/// must follow.
pub fn run(conf: Conf) -> Result<(), ProxyError> {
    log_to_stderr();
    let places = Places::of(&conf)?;
    let masters = Masters::Here(places.path(&places.run.sub(places.subdag).root()));
    to_the_end(serve(places, masters, (None, None), None)).map(drop)
}

/// Serves one grant of a cluster until its master lets it go, or is gone for long, or YARN takes the grant back. Logs
/// to stderr.
///
/// # Errors
/// [`ProxyError`] when it could not begin, or could not clear up: then the grant's share is still on this machine, and
/// a sweep must follow.
pub fn run_in_grant(conf: ClusterConf) -> Result<(), ProxyError> {
    log_to_stderr();
    to_the_end(serve_in_grant(conf, None)).map(drop)
}

/// The same in an agent: it gets the container that waits since the run before, and gives the one that is to wait for
/// the next run.
pub(crate) fn run_in_agent(conf: ClusterConf, parked: Waiting) -> Result<Waiting, ProxyError> {
    to_the_end(serve_in_grant(conf, Some(parked)))
}

async fn serve_in_grant(conf: ClusterConf, parked: Option<Waiting>) -> Result<Waiting, ProxyError> {
    let places = Places::in_grant(&conf);
    let bundle = conf.bundle;
    let identity = TlsIdentity { ca: bundle.tls.ca, cert: bundle.tls.cert, key: bundle.tls.key };
    let at = Address::Tcp { host: bundle.host, port: bundle.port, identity: identity.clone() };
    let there = at.clone();
    let early = tokio::spawn(async move { MasterClient::dial_at(&there, Duration::ZERO).await });
    let masters = FarMasters {
        at,
        early: Some(early),
        identity,
        store: conf.store,
        sub: places.run.sub(places.subdag),
        looked: None,
    };
    let share = settle::move_in(&places, &bundle.secret, &bundle.store).await?;
    if let Some(images) = bundle.extra.get(IMAGES)
        && let Err(error) = orphans::write_needed(&places.home, &places.run_id, images)
    {
        tracing::warn!(%error, "can't write down which images the run needs");
    }
    serve(places, Masters::Far(Box::new(masters)), (Some(share), Some(bundle.private)), parked).await
}

fn to_the_end<T>(serving: impl Future<Output = Result<T, ProxyError>>) -> Result<T, ProxyError> {
    let runtime = runtime()?;
    let served = runtime.block_on(serving);
    runtime.shutdown_background();
    if let Err(error) = &served {
        tracing::error!(error = crate::ship::said(error), "the proxy failed");
    }
    served
}

/// Clears up after a proxy that died: ends its containers, ships the rest of its output, finds the ends of its
/// attempts. May be done again at any time. Logs to stderr; the caller prints the report.
///
/// # Errors
/// [`ProxyError::Alive`] where the proxy lives; [`ProxyError::Leftover`] where containers can't be removed.
pub fn sweep(conf: Conf) -> Result<SweepReport, ProxyError> {
    log_to_stderr();
    let places = Places::of(&conf)?;
    let runtime = runtime()?;
    let swept = runtime.block_on(crate::sweep::sweep(places, &EngineConf::default()));
    runtime.shutdown_background();
    swept
}

pub(crate) fn runtime() -> Result<Runtime, ProxyError> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(BLOCKING).thread_stack_size(STACK);
    builder.build().map_err(ProxyError::Runtime)
}

/// `parked`: of an agent's. `share` is the grant's place among those that are alive; `private` came with it.
async fn serve(
    places: Places,
    masters: Masters,
    (share, private): (Option<Lock>, Option<Private>),
    parked: Option<Waiting>,
) -> Result<Waiting, ProxyError> {
    dybox_store::local::make_dir(&places.path(&places.grant.root()))?;
    let owner = Lock::acquire(&places.path(&places.grant.owner()), OWNER).await?;
    let owner = owner.ok_or(ProxyError::Alive { grant: places.grant_id })?;
    tracing::info!(grant = %places.grant_id, pid = std::process::id(), "serving");
    let (tell, mut inbox) = unbounded_channel();
    let line = tokio::spawn(link::keep_line(masters, Arc::new(places.clone()), tell.clone()));
    let ports = Ports::open(places, tell.clone(), private)?;
    if ports.places.far.is_some() {
        tokio::spawn(engine_watch::give_up_without(ports.clone(), false));
        tokio::spawn(node::sweep_dead(ports.clone()));
    }
    let route = Route {
        store: Store::open_dir(ports.places.home.dir()),
        copy: ports.places.far.as_ref().map(|far| far.store.clone()),
        archive: ports.places.run.archive(ports.places.grant_id),
        clock: ports.clock,
        inbox: tell,
        caps: Caps::default(),
    };
    let shipper = Shipper::start(route).map_err(ProxyError::Runtime)?;
    let (places, leases) = (Arc::clone(&ports.places), Arc::clone(&ports.leases));
    let cgroup = Arc::clone(&ports.cgroup);
    let mut performer = Performer::new(ports, shipper);
    performer.parks = parked.is_some();
    performer.parked = parked.flatten().map(|parked| *parked);
    let why = actor::work(&mut performer, &mut inbox).await?;
    let left = leave::leave(performer, why).await;
    line.abort();
    let Some(mut parked) = left? else { return Ok(None) };
    if parked.origin.is_none() {
        let locks = share.into_iter().chain([owner]).collect();
        parked.origin = Some(Origin { places, leases, cgroup, locks });
    }
    Ok(Some(Box::new(parked)))
}

pub(crate) fn log_to_stderr() {
    let format = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_target(false);
    // A log that can't be written (a full disk) must not end what it tells of: the report would panic.
    let format = format.log_internal_errors(false);
    // A test runs several in one process: the first one's stays.
    let _ = format.try_init();
}
