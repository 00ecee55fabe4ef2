//! What keeps a writer going through an outage, and what ends it for good.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::layout::SubDir;
use crate::{Store, StoreError, epochs};

/// An answer that comes later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a writer may still write. Asked before it takes its own file back after a failure, and again before it
/// writes there: a newer attempt may have taken the file over meanwhile.
pub trait Fence: fmt::Debug + Send + Sync {
    /// `false` ends the writer for good; an error is asked again.
    fn still_mine(&self) -> Answer<'_, Result<bool, StoreError>>;
}

/// What a writer does while HDFS fails.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Asked before it goes on.
    pub fence: Arc<dyn Fence>,
    /// How long it tries before it gives up.
    pub patience: Duration,
    /// Hears when trouble begins and when it is over.
    pub trouble: mpsc::UnboundedSender<Trouble>,
}

/// Something that a person should hear of: once when it begins, once when it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong, or that it is over, as a sentence.
    pub text: String,
    /// Whether it is over.
    pub over: bool,
}

/// A file that nobody else ever writes: the archive of one grant, whose proxy knows that it lives.
#[derive(Debug, Clone, Copy)]
pub struct OnlyMine;

impl Fence for OnlyMine {
    fn still_mine(&self) -> Answer<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(true) })
    }
}

/// The fence of a master: its epoch is the newest one that was claimed.
#[derive(Debug, Clone)]
pub struct EpochFence {
    /// Where the epochs are.
    pub store: Store,
    /// Of which sub-DAG.
    pub sub: SubDir,
    /// The epoch that this master claimed.
    pub epoch: u32,
}

impl Fence for EpochFence {
    fn still_mine(&self) -> Answer<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(epochs::newest(&self.store, &self.sub).await? <= self.epoch) })
    }
}
