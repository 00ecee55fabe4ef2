//! The journal, as the one who writes it has it.

use dybox_journal::encode_into;
use dybox_model::Fact;
use dybox_store::{Appender, StoreError};
use tokio::sync::watch;

/// An open journal. What it has taken is durable.
#[derive(Debug)]
pub(crate) struct Book {
    appender: Appender,
    durable: watch::Sender<u64>,
}

impl Book {
    pub(crate) fn new(appender: Appender) -> Self {
        let durable = watch::Sender::new(appender.len());
        Self { appender, durable }
    }

    /// Writes a batch and syncs it once.
    pub(crate) async fn write(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        if facts.is_empty() {
            return Ok(());
        }
        let mut frames = Vec::with_capacity(facts.len() * 192);
        for fact in facts {
            encode_into(fact, &mut frames);
        }
        self.appender.write_synced(&frames).await?;
        self.durable.send_replace(self.appender.len());
        Ok(())
    }

    /// Tells how many bytes are durable, as they grow.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }
}
