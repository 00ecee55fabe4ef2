//! The journal, as the one who writes it has it.

use dybox_journal::encode_into;
use dybox_model::Fact;
use dybox_store::{Appender, StoreError};
use tokio::sync::watch;

/// An open journal. What it has taken is durable.
#[derive(Debug)]
pub(crate) struct Book {
    /// Nothing after [`Book::close`]: what comes then is not written.
    appender: Option<Appender>,
    /// The same bytes in a file of this machine, where the journal itself can't be read while it is open.
    mirror: Option<Appender>,
    durable: watch::Sender<u64>,
}

impl Book {
    pub(crate) fn new(appender: Appender) -> Self {
        let durable = watch::Sender::new(appender.len());
        Self { appender: Some(appender), mirror: None, durable }
    }

    /// With a mirror that holds what the journal holds.
    pub(crate) fn mirrored(appender: Appender, mirror: Appender) -> Self {
        Self { mirror: Some(mirror), ..Self::new(appender) }
    }

    /// Writes a batch and syncs it once.
    pub(crate) async fn write(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        let Some(appender) = self.appender.as_mut().filter(|_| !facts.is_empty()) else { return Ok(()) };
        let mut frames = Vec::with_capacity(facts.len() * 192);
        for fact in facts {
            encode_into(fact, &mut frames);
        }
        appender.write_synced(&frames).await?;
        if let Some(mirror) = &mut self.mirror {
            mirror.write(&frames).await?;
        }
        self.durable.send_replace(appender.len());
        Ok(())
    }

    /// Tells how many bytes are durable, as they grow.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Where the journal can't be read while it is open: hands it out to be closed. What still comes is not written.
    pub(crate) fn close(&mut self) -> Option<Appender> {
        self.mirror.as_ref()?;
        self.appender.take()
    }
}
