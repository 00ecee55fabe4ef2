//! Serves the journal to watchers: what is there, then what comes, with notes in between.

use std::time::Duration;

use bytes::Bytes;
use dybox_journal::whole;
use dybox_model::Note;
use dybox_store::{Reader, Store};
use dybox_wire::Watched;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Bytes of one message to a watcher, unless a single record is longer.
const PART: usize = 256 << 10;

/// What came of the journal is told at once so many times, and then so often: a run of thousands of tasks writes hundreds of
/// times a second, and who watches it need not be woken for each.
const BURST: u32 = 16;
const PAUSE: Duration = Duration::from_millis(16);

/// When a watcher may be told more.
#[derive(Debug)]
struct Pace {
    /// When all that was told would have been told at one message a pause.
    even: Instant,
}

impl Pace {
    /// The earliest time for the next message.
    fn next(&self) -> Instant {
        self.even.checked_sub(PAUSE * (BURST - 1)).unwrap_or(self.even)
    }

    fn told(&mut self, now: Instant) {
        self.even = self.even.max(now) + PAUSE;
    }
}

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
        let mut pace = Pace { even: Instant::now() };
        loop {
            let (end, before) = (*self.durable.borrow_and_update(), self.from);
            if self.catch_up(&reader, end).await.is_none() {
                return;
            }
            if self.from > before {
                pace.told(Instant::now());
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
            let more = async {
                sleep_until(pace.next()).await;
                self.durable.changed().await
            };
            tokio::select! {
                biased;
                more = more => if more.is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_at_once_and_many_at_a_pace() {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace { even: start }, start);
        let mut times = Vec::new();
        for _ in 0..BURST + 60 {
            now = now.max(pace.next());
            pace.told(now);
            times.push(now - start);
        }
        assert!(times[..BURST as usize].iter().all(Duration::is_zero), "{times:?}");
        assert_eq!(times[BURST as usize + 59], PAUSE * 60);
        // Who has heard nothing for a while is told at once again.
        let later = now + PAUSE * BURST;
        for _ in 0..BURST {
            assert!(pace.next() <= later);
            pace.told(later);
        }
        assert!(pace.next() > later);
    }
}
