//! Ships what the payload writes into the grant's archive, while it runs.
//!
//! On a cluster the archive lies on this machine, and a copy of it in the store: what has ended is there before its end
//! is told, unless the store is slow; then the copy lags, and catches up.
//!
//! A thread of its own: its reads and writes are large, and must hold up neither the actor nor a lease.

mod tail;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use dybox_logic::proxy::Event;
use dybox_model::{AttemptId, Cause, Note};
use dybox_store::archive::{ArchiveWriter, Stream};
use dybox_store::{Kind, Store, StoreError, Trouble, UploadConf, Uploader};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

pub(crate) use self::tail::{Caps, Tail};
use crate::clock::Clock;
use crate::files::Files;
use crate::inbox::Arrived;

/// Pause between two looks at the files.
const EVERY: Duration = Duration::from_millis(100);
/// Pause between two tries of a store that fails.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a store may fail until its attempt is ended for it, or, where it has ended, until its end says so: not
/// long where the disk is full or read-only, for that mends itself rarely and output is lost meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_FULL: Duration = Duration::from_secs(10);
/// The machine hears of output at most this often.
const SAY_EVERY: Duration = Duration::from_millis(500);
/// What was shipped is made durable at most this often.
const SYNC_EVERY: Duration = Duration::from_secs(2);
/// An end waits so long for its output to be in the copy, and hardly at all while that is known to lag.
const FLUSH: Duration = Duration::from_secs(5);
const FLUSH_LATE: Duration = Duration::from_millis(300);
/// For the end of the copy.
const CLOSE: Duration = Duration::from_secs(15);
/// Its buffers are on the heap.
const STACK: usize = 256 << 10;

enum Order {
    Open(AttemptId, Files),
    Finish(AttemptId, u64),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// The way to the shipping thread.
#[derive(Debug, Clone)]
pub(crate) struct Shipper {
    orders: Sender<Order>,
}

/// Where one grant's output goes.
pub(crate) struct Route {
    pub(crate) store: Store,
    /// The store that gets a copy of the archive.
    pub(crate) copy: Option<Store>,
    /// The archive's name in the store.
    pub(crate) archive: String,
    pub(crate) clock: Clock,
    pub(crate) inbox: UnboundedSender<Arrived>,
    pub(crate) caps: Caps,
}

impl Shipper {
    /// Starts the thread. Must be called on the runtime that drives the store.
    pub(crate) fn start(route: Route) -> io::Result<Self> {
        let (orders, given) = channel();
        let handle = Handle::current();
        let ship = Ship {
            route,
            handle,
            archive: None,
            live: None,
            dirty: false,
            synced: Instant::now(),
            copy: None,
            late: false,
        };
        std::thread::Builder::new().name("ship".to_owned()).stack_size(STACK).spawn(move || ship.run(&given))?;
        Ok(Self { orders })
    }

    /// From now on these files grow.
    pub(crate) fn open(&self, attempt: AttemptId, files: &Files) {
        self.order(Order::Open(attempt, files.clone()));
    }

    /// They grow no more: ship the rest and answer `Drained`. `lost` bytes never reached the files.
    pub(crate) fn finish(&self, attempt: AttemptId, lost: u64) {
        self.order(Order::Finish(attempt, lost));
    }

    /// Writes the index and makes all durable.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (done, closed) = oneshot::channel();
        self.order(Order::Close(done));
        // A thread that is gone has nothing open.
        closed.await.unwrap_or(Ok(()))
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("the shipping thread is gone");
        }
    }
}

struct Live {
    attempt: AttemptId,
    tails: [Tail; 2],
    said: Option<Instant>,
    trouble: Option<Failing>,
    /// Nothing more will be written.
    ended: bool,
}

/// A store that fails.
struct Failing {
    since: Instant,
    text: String,
    patience: Duration,
    /// The machine knows that it lasts.
    told: bool,
}

impl Failing {
    fn of(kind: Kind, text: String, (since, told): (Instant, bool)) -> Self {
        let (text, patience) = match kind {
            Kind::Full => (format!("the disk of the store is full: {text}"), PATIENCE_FULL),
            Kind::Denied => (text, PATIENCE_FULL),
            _ => (text, PATIENCE),
        };
        Self { since, text, patience, told }
    }

    fn lasts(&self) -> bool {
        self.since.elapsed() >= self.patience
    }
}

struct Ship {
    route: Route,
    handle: Handle,
    archive: Option<ArchiveWriter>,
    live: Option<Live>,
    dirty: bool,
    synced: Instant,
    /// Started with the first output.
    copy: Option<Uploader>,
    /// The copy is known to lag.
    late: bool,
}

impl Ship {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let wait = match &self.live {
                Some(Live { trouble: Some(_), .. }) => AGAIN,
                Some(_) => EVERY,
                None if self.dirty => SYNC_EVERY.saturating_sub(self.synced.elapsed()),
                None => Duration::from_secs(3600),
            };
            match orders.recv_timeout(wait) {
                Ok(Order::Open(attempt, files)) => self.open(attempt, &files),
                Ok(Order::Finish(attempt, lost)) => self.finish(attempt, lost),
                Ok(Order::Close(done)) => {
                    let closed = self.close();
                    let _ = done.send(closed);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.pump();
                    self.start_copy();
                    self.sync_now_and_then();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn open(&mut self, attempt: AttemptId, files: &Files) {
        if self.live.as_ref().is_some_and(|live| live.attempt == attempt) {
            return;
        }
        let tail = |stream, path| Tail::open(stream, path, self.route.caps);
        match (tail(Stream::Stdout, &files.stdout), tail(Stream::Stderr, &files.stderr)) {
            (Ok(out), Ok(err)) => {
                self.live = Some(Live { attempt, tails: [out, err], said: None, trouble: None, ended: false });
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%attempt, %error, "can't open the payload's output");
            }
        }
    }

    /// Ships what is there now; what fails is tried again later.
    fn pump(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        match self.ship(&mut live) {
            Ok(()) => live.trouble = None,
            Err(error) => {
                let before = live.trouble.take();
                let known = before.as_ref().map_or((Instant::now(), false), |trouble| (trouble.since, trouble.told));
                let trouble = live.trouble.insert(Failing::of(error.kind(), said(&error), known));
                self.tell_of(trouble, live.attempt, before.is_none());
                // What a failed write left is found out by reading the archive again.
                self.archive = None;
            }
        }
        self.live = Some(live);
    }

    fn tell_of(&self, trouble: &mut Failing, attempt: AttemptId, new: bool) {
        if new {
            tracing::warn!(%attempt, error = trouble.text, "can't ship");
            let text = format!("the output of {attempt} waits: {}", trouble.text);
            let _ = self.route.inbox.send(Arrived::Note(Note::Warns { text, cause: Some(Cause::StoreFailed) }));
        }
        if trouble.lasts() && !std::mem::replace(&mut trouble.told, true) {
            let text = trouble.text.clone();
            let _ = self.route.inbox.send(Arrived::Event(Event::StoreFails { attempt, text }));
        }
    }

    fn ship(&mut self, live: &mut Live) -> Result<(), StoreError> {
        loop {
            let mut moved = false;
            for tail in &mut live.tails {
                if !tail.wants(live.ended) {
                    continue;
                }
                let archive = writer(&mut self.archive, &self.handle, &self.route)?;
                self.dirty = true;
                let whose = (live.attempt, self.route.clock.now());
                self.handle.block_on(tail.ship(archive, whose, live.ended))?;
                moved = true;
            }
            if !moved {
                return Ok(());
            }
            // A busy payload is heard of while it is busy, too.
            if live.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                live.said = Some(Instant::now());
                let _ = self.route.inbox.send(Arrived::Event(Event::Wrote(live.attempt)));
            }
        }
    }

    fn finish(&mut self, attempt: AttemptId, lost: u64) {
        if let Some(live) = self.live.as_mut().filter(|live| live.attempt == attempt) {
            live.ended = true;
            live.tails.iter_mut().filter(|_| live.trouble.is_some()).for_each(Tail::spare);
        }
        let problem = loop {
            self.pump();
            let Some(live) = self.live.as_mut().filter(|live| live.attempt == attempt) else {
                break Some("the payload's output could not be opened".to_owned());
            };
            match &live.trouble {
                None => break None,
                Some(trouble) if trouble.lasts() => break Some(trouble.text.clone()),
                Some(_) => std::thread::sleep(AGAIN),
            }
        };
        let problem = problem.or_else(|| self.record_lost(lost).err().map(|error| said(&error)));
        self.live = None;
        if let Some(archive) = &mut self.archive {
            archive.forget(attempt);
        }
        self.flush(attempt);
        let _ = self.route.inbox.send(Arrived::Event(Event::Drained { attempt, problem }));
    }

    /// Waits for the copy.
    fn flush(&mut self, attempt: AttemptId) {
        self.start_copy();
        let Some(copy) = &self.copy else { return };
        let flushed = self.handle.block_on(copy.flush(if self.late { FLUSH_LATE } else { FLUSH }));
        if let (Err(error), false) = (&flushed, self.late) {
            let text = format!("the output of {attempt} is not in the store yet: {}", said(error));
            let _ = self.route.inbox.send(Arrived::Note(Note::Warns { text, cause: Some(Cause::StoreFailed) }));
        }
        self.late = flushed.is_err();
    }

    /// Once there is something to copy.
    fn start_copy(&mut self) {
        let (None, Some(store), Some(_)) = (&self.copy, &self.route.copy, &self.archive) else { return };
        let _runtime = self.handle.enter();
        let (trouble, mut troubles) = tokio::sync::mpsc::unbounded_channel::<Trouble>();
        let local = PathBuf::from(self.route.store.url(&self.route.archive));
        self.copy = Some(Uploader::start(store, UploadConf::new(local, &self.route.archive), trouble));
        let inbox = self.route.inbox.clone();
        tokio::spawn(async move {
            while let Some(Trouble { text, over }) = troubles.recv().await {
                tracing::warn!(text, over, "the copy of the archive");
                let cause = (!over).then_some(Cause::StoreFailed);
                let _ = inbox.send(Arrived::Note(Note::Warns { text, cause }));
            }
        });
    }

    /// Says in the archive what its init found no room for.
    fn record_lost(&mut self, lost: u64) -> Result<(), StoreError> {
        let Some(live) = self.live.as_ref().filter(|_| lost > 0) else { return Ok(()) };
        let archive = writer(&mut self.archive, &self.handle, &self.route)?;
        self.dirty = true;
        self.handle.block_on(archive.gap(live.attempt, Stream::Stdout, lost, "the disk had no room for it"))
    }

    fn sync_now_and_then(&mut self) {
        if self.dirty
            && self.synced.elapsed() >= SYNC_EVERY
            && let Some(archive) = &mut self.archive
        {
            self.dirty = false;
            if let Err(error) = self.handle.block_on(archive.sync()) {
                tracing::warn!(error = said(&error), "can't sync the archive");
                self.archive = None;
            }
        }
        if self.synced.elapsed() >= SYNC_EVERY {
            self.synced = Instant::now();
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.live = None;
        let (archive, copy) = (self.archive.take(), self.copy.take());
        let dirty = std::mem::take(&mut self.dirty);
        self.handle.block_on(async move {
            match archive {
                Some(archive) if dirty => archive.close_synced().await?,
                Some(archive) => archive.close().await?,
                None => {}
            }
            match copy {
                Some(copy) => copy.close(CLOSE).await,
                None => Ok(()),
            }
        })
    }
}

/// The archive, opened when the first output comes: most attempts of most jobs write nothing.
fn writer<'a>(
    slot: &'a mut Option<ArchiveWriter>,
    handle: &Handle,
    route: &Route,
) -> Result<&'a mut ArchiveWriter, StoreError> {
    match slot {
        Some(archive) => Ok(archive),
        None => Ok(slot.insert(handle.block_on(ArchiveWriter::open(&route.store, &route.archive))?)),
    }
}

/// An error with its source.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", said(source)),
        None => error.to_string(),
    }
}
