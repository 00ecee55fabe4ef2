//! Serves the journal to watchers: what is there, then what comes, with notes in between.

use bytes::Bytes;
use dybox_journal::whole;
use dybox_model::Note;
use dybox_store::{Reader, Store};
use dybox_wire::Watched;
use tokio::sync::{broadcast, mpsc, watch};

/// Bytes of one message to a watcher, unless a single record is longer.
const PART: usize = 256 << 10;

/// One watcher.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) store: Store,
    pub(crate) journal: String,
    pub(crate) from: u64,
    pub(crate) durable: watch::Receiver<u64>,
    /// Notes of before, said once the journal was.
    pub(crate) first: Vec<Note>,
    pub(crate) notes: Option<broadcast::Receiver<Note>>,
    pub(crate) watcher: mpsc::Sender<Watched>,
}

impl Watch {
    /// Runs until the watcher goes or the master ends; then it has seen all that is durable.
    pub(crate) async fn serve(mut self) {
        let Ok(reader) = self.store.open(&self.journal).await else { return };
        loop {
            let end = *self.durable.borrow_and_update();
            if self.catch_up(&reader, end).await.is_none() {
                return;
            }
            for note in std::mem::take(&mut self.first) {
                if self.watcher.send(Watched::Note(note)).await.is_err() {
                    return;
                }
            }
            let note = async {
                match &mut self.notes {
                    Some(notes) => notes.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                more = self.durable.changed() => if more.is_err() {
                    break;
                },
                note = note => match note {
                    Ok(note) => if self.watcher.send(Watched::Note(note)).await.is_err() {
                        return;
                    },
                    // It was too slow for some notes: no outcome depends on them.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => self.notes = None,
                },
                () = self.watcher.closed() => return,
            }
        }
    }

    /// Sends whole frames up to `end`; nothing when the watcher is gone or the journal can't be read.
    async fn catch_up(&mut self, reader: &Reader, end: u64) -> Option<()> {
        let mut part = PART;
        while self.from < end {
            let left = usize::try_from(end - self.from).unwrap_or(usize::MAX);
            let bytes = reader.read_at(self.from, part.min(left)).await.ok()?;
            let whole = whole(&bytes);
            if whole == 0 {
                // A record longer than this part; or the watcher's place is no start of a record.
                part = part.checked_mul(4).filter(|_| bytes.len() < left)?;
                continue;
            }
            let frames: Bytes = bytes.slice(..whole);
            self.from += whole as u64;
            self.watcher.send(Watched::Frames(frames)).await.ok()?;
        }
        Some(())
    }
}
