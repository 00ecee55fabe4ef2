//! The two entry points. Each makes an event loop of its own: call them from plain threads.

use std::io;
use std::time::Duration;

use dybox_store::{Lock, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;

use crate::conf::{Conf, Places};
use crate::error::ProxyError;
use crate::perform::Performer;
use crate::ports::Ports;
use crate::ship::{Caps, Route, Shipper};
use crate::sweep::SweepReport;
use crate::{actor, leave, link};

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
    let runtime = runtime()?;
    let served = runtime.block_on(serve(places));
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
    let swept = runtime.block_on(crate::sweep::sweep(places));
    runtime.shutdown_background();
    swept
}

fn runtime() -> Result<Runtime, ProxyError> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(BLOCKING).thread_stack_size(STACK);
    builder.build().map_err(ProxyError::Runtime)
}

async fn serve(places: Places) -> Result<(), ProxyError> {
    dybox_store::local::make_dir(&places.path(&places.grant.root()))?;
    let owner = Lock::acquire(&places.path(&places.grant.owner()), OWNER).await?;
    let _owner = owner.ok_or(ProxyError::Alive { grant: places.grant_id })?;
    tracing::info!(grant = %places.grant_id, pid = std::process::id(), "serving");
    let (tell, mut inbox) = unbounded_channel();
    let master = places.path(&places.run.sub(places.subdag).root());
    let line = tokio::spawn(link::keep_line(master, tell.clone()));
    let ports = Ports::open(places, tell.clone())?;
    let route = Route {
        store: Store::open_dir(ports.places.home.dir()),
        archive: ports.places.run.archive(ports.places.grant_id),
        clock: ports.clock,
        inbox: tell,
        caps: Caps::default(),
    };
    let shipper = Shipper::start(route).map_err(ProxyError::Runtime)?;
    let mut performer = Performer::new(ports, shipper);
    let why = actor::work(&mut performer, &mut inbox).await?;
    let left = leave::leave(performer, why).await;
    line.abort();
    left
}

fn log_to_stderr() {
    let format = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_target(false);
    // A log that can't be written (a full disk) must not end what it tells of: the report would panic.
    let format = format.log_internal_errors(false);
    // A test runs several in one process: the first one's stays.
    let _ = format.try_init();
}
