//! Archives that are still written on the cluster: their proxies are asked, through the run's master.
//!
//! An open file of HDFS can't be read, so its writer keeps a copy on its machine and reads it to whoever asks. Once the
//! grant is over the same bytes are in the store.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use dybox_model::GrantId;
use tokio::sync::OnceCell;

use crate::guard::Answer;
use crate::{Reader, Store, StoreError};

/// What a run's masters know of one of its grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveGrant {
    /// The grant.
    pub grant: GrantId,
    /// Whether it is over: no proxy writes its archive any more.
    pub over: bool,
    /// Bytes in its archive, where that is known without asking its proxy.
    pub size: Option<u64>,
}

/// A part of an archive, and how long the archive is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePiece {
    /// What was asked for, as far as it is there.
    pub bytes: Bytes,
    /// Bytes in the archive now.
    pub size: u64,
}

/// Who can be asked for archives of grants that are not over.
pub trait Live: fmt::Debug + Send + Sync {
    /// The grants that are known. One that is not listed is read from the store as far as that goes, and left alone.
    fn grants(&self) -> Answer<'_, Result<Vec<LiveGrant>, StoreError>>;

    /// At most `max` bytes of the archive of `grant` from `offset`; with `max` 0 only how long it is. Nothing where the
    /// grant is over or its proxy is gone: then the store has it, or will.
    fn read(&self, grant: GrantId, offset: u64, max: usize) -> Answer<'_, Result<Option<LivePiece>, StoreError>>;
}

/// What a reader of logs knows of the grants of a run.
#[derive(Debug, Clone, Default)]
pub enum Grants {
    /// Nothing: only what the store gives is read, and no open file is touched. Always so in a directory.
    #[default]
    Unknown,
    /// The run is over: an archive that is still open in HDFS has a dead writer, and is closed to be read.
    AllOver,
    /// These can be asked.
    Live(Arc<dyn Live>),
}

/// A reader of an archive that its proxy reads to us, until the grant is over; from then on of the store's copy.
#[derive(Debug, Clone)]
pub(crate) struct LiveReader {
    live: Arc<dyn Live>,
    grant: GrantId,
    store: Store,
    name: String,
    closed: Arc<OnceCell<Reader>>,
}

impl LiveReader {
    pub(crate) fn new(live: Arc<dyn Live>, grant: GrantId, store: Store, name: String) -> Self {
        Self { live, grant, store, name, closed: Arc::new(OnceCell::new()) }
    }

    pub(crate) async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        if self.closed.get().is_none()
            && let Some(piece) = self.live.read(self.grant, offset, max).await?
        {
            return Ok(piece.bytes);
        }
        match self.closed().await? {
            Some(reader) => Box::pin(reader.read_at(offset, max)).await,
            None => Ok(Bytes::new()),
        }
    }

    pub(crate) async fn size(&self) -> Result<u64, StoreError> {
        if self.closed.get().is_none()
            && let Some(piece) = self.live.read(self.grant, 0, 0).await?
        {
            return Ok(piece.size);
        }
        match self.closed().await? {
            Some(reader) => Box::pin(reader.size()).await,
            None => Ok(0),
        }
    }

    /// The store's copy; nothing where the proxy ended before it wrote any.
    async fn closed(&self) -> Result<Option<&Reader>, StoreError> {
        if let Some(reader) = self.closed.get() {
            return Ok(Some(reader));
        }
        match self.store.open(&self.name).await {
            Ok(reader) => Ok(Some(self.closed.get_or_init(|| async { reader }).await)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
