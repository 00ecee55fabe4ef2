//! Copies a file of this machine that still grows into the store, lagging behind as little as the store allows.
//!
//! The file on this machine is the spill: while HDFS is down the copy lags, says so once, and catches up afterwards. At
//! its first byte the copy is created, or taken over from a writer that died: what is there already is compared from its
//! end, and what a torn write left is cut off.

mod copy;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::error::Kind;
use crate::{Store, StoreError, Trouble};
use copy::Copy;

/// First and longest pause between two tries while the store fails.
const PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));

/// What is copied where, and how soon.
#[derive(Debug, Clone)]
pub struct UploadConf {
    /// The file of this machine; it may not exist yet. Only grows.
    pub local: PathBuf,
    /// Its copy in the store.
    pub name: String,
    /// Between two looks at the file.
    pub look_every: Duration,
    /// Between two syncs of the copy, while nobody waits for one.
    pub sync_every: Duration,
    /// Bytes of lag that are told as trouble.
    pub bound: u64,
}

impl UploadConf {
    /// The usual pace: looks five times a second, syncs every second and a half, may lag by 64 MiB.
    #[must_use]
    pub fn new(local: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            local: local.into(),
            name: name.into(),
            look_every: Duration::from_millis(200),
            sync_every: Duration::from_millis(1500),
            bound: 64 << 20,
        }
    }
}

/// The handle of a copy under way. Dropped, the copying stops where it is, and the copy stays open.
#[derive(Debug)]
pub struct Uploader {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Lag>,
    conf: UploadConf,
    url: String,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Lag {
    remote: AtomicU64,
    behind: AtomicU64,
}

#[derive(Debug)]
enum Order {
    Flush(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

impl Uploader {
    /// Starts copying. Nobody else may write the copy: its grant's owner lock is held. Troubles are sent to `trouble`
    /// once when they begin and once when they are over.
    #[must_use]
    pub fn start(store: &Store, conf: UploadConf, trouble: mpsc::UnboundedSender<Trouble>) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Lag::default());
        let work = Work {
            copy: Copy::new(store.clone(), conf.local.clone(), conf.name.clone()),
            conf: conf.clone(),
            trouble,
            shared: Arc::clone(&shared),
            waiting: Vec::new(),
            closing: None,
            down: None,
            told_lag: false,
            pause: PAUSES.0,
            synced_at: Instant::now(),
        };
        let url = store.url(&conf.name);
        Self { orders, shared, conf, url, task: tokio::spawn(work.run(inbox)) }
    }

    /// Bytes of the copy that are durable.
    #[must_use]
    pub fn remote_len(&self) -> u64 {
        self.shared.remote.load(Ordering::Acquire)
    }

    /// Bytes that the copy lacks, as of the last look.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.shared.behind.load(Ordering::Acquire)
    }

    /// Whether it lags by more than the bound.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind() > self.conf.bound
    }

    /// Waits until all that is in the file now is durable in the store.
    pub async fn flush(&self, deadline: Duration) -> Result<(), StoreError> {
        self.ask(Order::Flush, "copy to", deadline).await
    }

    /// Like [`Uploader::flush`], closes the copy, and ends. When the deadline passes before, the copy is left open for
    /// who sweeps after us.
    pub async fn close(self, deadline: Duration) -> Result<(), StoreError> {
        self.ask(Order::Close, "close", deadline).await
    }

    async fn ask(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Order,
        operation: &'static str,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let failed = |kind, why: &str| StoreError::of(kind, operation, &self.url, why);
        self.orders.send(order(done)).map_err(|_| failed(Kind::Other, "the copying has ended"))?;
        match timeout(deadline, answer).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(failed(Kind::Other, "the copying has ended")),
            Err(_) => Err(failed(Kind::Unreachable, &format!("not done within {} s", deadline.as_secs()))),
        }
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task of one copy.
struct Work {
    copy: Copy,
    conf: UploadConf,
    trouble: mpsc::UnboundedSender<Trouble>,
    shared: Arc<Lag>,
    /// Who waits until so many bytes are durable.
    waiting: Vec<(u64, oneshot::Sender<Result<(), StoreError>>)>,
    closing: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Since when the store fails.
    down: Option<Instant>,
    told_lag: bool,
    pause: Duration,
    synced_at: Instant,
}

impl Work {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Flush(done)) => self.waiting.push((self.copy.local_len(), done)),
                    Some(Order::Close(done)) => self.closing = Some(done),
                    None => return,
                },
                () = sleep(wait) => {}
            }
            wait = match self.step().await {
                Ok(true) => return,
                Ok(false) => self.conf.look_every,
                Err(error) => self.failed(&error),
            };
        }
    }

    /// Copies what is due; `true` once all is over.
    async fn step(&mut self) -> Result<bool, StoreError> {
        self.waiting.retain(|(_, done)| !done.is_closed());
        loop {
            let local = self.copy.local_len();
            self.note(local);
            let asked = !self.waiting.is_empty() || self.closing.is_some();
            let due = asked || self.down.is_some() || self.synced_at.elapsed() >= self.conf.sync_every;
            if local <= self.copy.durable() || !due {
                break;
            }
            self.copy.push(local).await?;
            self.healed();
        }
        self.note(self.copy.local_len());
        let durable = self.copy.durable();
        for (_, done) in self.waiting.extract_if(.., |(want, _)| *want <= durable) {
            let _ = done.send(Ok(()));
        }
        self.synced_at = if self.synced_at.elapsed() >= self.conf.sync_every { Instant::now() } else { self.synced_at };
        if self.closing.is_none() {
            return Ok(false);
        }
        self.copy.close().await?;
        self.healed();
        if let Some(done) = self.closing.take() {
            // Nobody waits any more where the caller's deadline has passed.
            let _ = done.send(Ok(()));
        }
        Ok(true)
    }

    fn note(&mut self, local: u64) {
        let durable = self.copy.durable();
        let behind = local.saturating_sub(durable);
        self.shared.remote.store(durable, Ordering::Release);
        self.shared.behind.store(behind, Ordering::Release);
        if behind > self.conf.bound && !self.told_lag {
            self.told_lag = true;
            let text = format!("the copy of {} is {} MiB behind", self.conf.local.display(), behind >> 20);
            self.tell(text, false);
        }
    }

    fn failed(&mut self, error: &StoreError) -> Duration {
        if self.down.is_none() {
            self.down = Some(Instant::now());
            let text = format!("{}; {} keeps it until then", error.text(), self.conf.local.display());
            self.tell(text, false);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        pause
    }

    fn healed(&mut self) {
        self.pause = PAUSES.0;
        self.synced_at = Instant::now();
        let caught_up = self.copy.durable() >= self.copy.local_len();
        if (self.down.is_some() || self.told_lag) && caught_up {
            let after = self.down.take().map_or(0, |since| since.elapsed().as_secs());
            self.told_lag = false;
            self.tell(format!("{} caught up after {after} s", self.copy.url()), true);
        }
    }

    fn tell(&self, text: String, over: bool) {
        // Who does not listen needs not hear it.
        let _ = self.trouble.send(Trouble { text, over });
    }
}
