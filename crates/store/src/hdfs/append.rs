//! The end of a file of HDFS that we extend, through outages.
//!
//! A task owns the writer, so that a call whose future is dropped still happens, before the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::line::Line;
use super::link::Hdfs;
use crate::error::Kind;
use crate::{Guard, StoreError};

type Done = oneshot::Sender<Result<(), StoreError>>;

/// The handle of such a task. Dropped, the file stays open for who takes it over.
#[derive(Debug)]
pub(crate) struct HdfsAppender {
    orders: mpsc::UnboundedSender<Order>,
    len: Arc<AtomicU64>,
    url: String,
}

#[derive(Debug)]
enum Order {
    Write { parts: Vec<Bytes>, sync: bool, done: Done },
    Truncate { len: u64, done: Done },
    Close { done: Done },
    Guard(Guard),
    Rest(Duration),
}

impl Hdfs {
    /// Opens or creates a file for appending; with `force` whoever has it open loses it.
    pub(crate) async fn append(&self, name: &str, force: bool) -> Result<HdfsAppender, StoreError> {
        Ok(HdfsAppender::start(Line::open(self, name, force).await?))
    }

    /// Creates a file for appending; nothing where it exists.
    pub(crate) async fn append_new(&self, name: &str) -> Result<Option<HdfsAppender>, StoreError> {
        Ok(Line::create(self, name).await?.map(HdfsAppender::start))
    }
}

impl HdfsAppender {
    /// The end of a file that is ours already.
    pub(super) fn start(line: Line) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (len, url) = (Arc::new(AtomicU64::new(line.len())), line.url());
        tokio::spawn(serve(line, inbox, Arc::clone(&len)));
        Self { orders, len, url }
    }

    pub(crate) fn guard(&self, guard: Guard) {
        // A task that is gone answers the next call.
        let _ = self.orders.send(Order::Guard(guard));
    }

    pub(crate) fn rest_after(&self, idle: Duration) {
        let _ = self.orders.send(Order::Rest(idle));
    }

    pub(crate) async fn write(&mut self, parts: Vec<Bytes>, sync: bool) -> Result<(), StoreError> {
        self.ask(|done| Order::Write { parts, sync, done }).await
    }

    pub(crate) async fn sync(&mut self) -> Result<(), StoreError> {
        self.write(Vec::new(), true).await
    }

    pub(crate) async fn truncate(&mut self, len: u64) -> Result<(), StoreError> {
        self.ask(|done| Order::Truncate { len, done }).await
    }

    pub(crate) async fn close(&mut self) -> Result<(), StoreError> {
        self.ask(|done| Order::Close { done }).await
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    async fn ask(&self, order: impl FnOnce(Done) -> Order) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let gone = || StoreError::of(Kind::Other, "append to", &self.url, "its writer has ended");
        self.orders.send(order(done)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn serve(mut line: Line, mut inbox: mpsc::UnboundedReceiver<Order>, len: Arc<AtomicU64>) {
    let (mut idle, mut rests) = (None, false);
    loop {
        let order = match idle {
            Some(idle) if !rests => match timeout(idle, inbox.recv()).await {
                Ok(order) => order,
                Err(_) => {
                    line.rest().await;
                    rests = true;
                    continue;
                }
            },
            _ => inbox.recv().await,
        };
        let (result, done) = match order {
            None => return,
            Some(Order::Guard(guard)) => {
                line.guard(guard);
                continue;
            }
            Some(Order::Rest(after)) => {
                idle = Some(after);
                continue;
            }
            Some(Order::Write { parts, sync, done }) => (line.write(parts, sync).await, done),
            Some(Order::Truncate { len, done }) => (line.truncate(len).await, done),
            Some(Order::Close { done }) => (line.close().await, done),
        };
        rests = false;
        len.store(line.len(), Ordering::Release);
        // Nobody waits any more where the caller was dropped.
        let _ = done.send(result);
    }
}
