//! One sub-DAG's news: from its master while that lives, from its journal when it does not.

mod here;
mod there;

use std::time::Duration;

use dybox_journal::{Decoded, State, decode};
use dybox_model::{Fact, Millis, Note, RunId, SubDagId};
use dybox_store::layout::RunDir;
use dybox_wire::{Watched, Watching};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};

use crate::client::Place;
use crate::{Client, ClientError};

/// Most bytes of a journal that are read at once.
const PIECE: usize = 1 << 20;

/// News of one sub-DAG.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// Something was written down.
    Fact(Fact),
    /// Something had been written down before this process resumed the run.
    Past(Fact),
    /// News that is not written down.
    Note(Note),
    /// Its master died before the end.
    Died {
        /// The last line that it wrote, where there is one.
        last: String,
        /// Whether it was started again.
        again: bool,
    },
    /// On the cluster: nothing happens, and why.
    Waits {
        /// Why, in a sentence.
        why: String,
    },
    /// On the cluster: its application is over without an end in the journal; nothing more comes.
    Gone {
        /// Which; empty where there was none.
        application: String,
        /// Why, in YARN's words.
        why: String,
        /// Whether somebody killed it.
        killed: bool,
        /// When, as far as known.
        at: Millis,
    },
    /// Its journal can't be read on; nothing more comes.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// Which sub-DAGs have ended, told from feed to feed.
pub(crate) type Ends = watch::Sender<Vec<bool>>;

/// What a feed needs to know.
pub(crate) struct Feed {
    pub client: Client,
    pub run: RunId,
    pub subdag: SubDagId,
    /// Sub-DAGs that must have ended before this one is started.
    pub needs: Vec<SubDagId>,
    /// Where in the journal news starts.
    pub from: u64,
    /// Ends before this place are not the end: the run was reopened after them.
    pub past: u64,
    /// Its master, where this process started it.
    pub child: Option<Child>,
    /// Whether to start a master again that dies.
    pub supervise: bool,
    pub out: mpsc::Sender<(SubDagId, Update)>,
}

enum Next {
    /// Look again.
    Again,
    /// The sub-DAG has ended, or nobody listens any more.
    Over,
}

impl Feed {
    /// Tells everything until the sub-DAG has ended.
    pub(crate) async fn run(self, ends: Ends) {
        match self.client.place.clone() {
            Place::Machine(machine) => here::Here { feed: self, machine }.run(ends).await,
            Place::Cluster(cluster) => there::There { feed: self, cluster, former: None }.run(ends).await,
        }
    }

    /// Watches the master to its end, or reads what the journal holds.
    async fn look(&mut self) -> Next {
        if let Ok(master) = self.client.dial(&self.run, self.subdag, Duration::ZERO).await
            && let Ok(watching) = master.watch(self.from, true).await
            && matches!(self.watch(watching).await, Next::Over)
        {
            return Next::Over;
        }
        self.read().await
    }

    async fn watch(&mut self, mut watching: Watching) -> Next {
        while let Ok(Some(watched)) = watching.next().await {
            let next = match watched {
                Watched::Frames(bytes) => self.take(&bytes).await.0,
                Watched::Note(note) => self.send(Update::Note(note)).await,
            };
            if matches!(next, Next::Over) {
                return Next::Over;
            }
        }
        Next::Again
    }

    /// Reads the journal from where it was left.
    async fn read(&mut self) -> Next {
        let name = RunDir::new(&self.run).sub(self.subdag).journal();
        let mut piece = PIECE;
        loop {
            let bytes = match self.client.store().read_from(&name, self.from, piece).await {
                Ok(bytes) => bytes,
                Err(error) if error.is_missing() => return Next::Again,
                Err(error) => return self.unreadable(ClientError::from(error).to_string()).await,
            };
            let (next, consumed) = self.take(&bytes).await;
            if matches!(next, Next::Over) {
                return Next::Over;
            }
            match (bytes.len() == piece, consumed) {
                (false, _) => return Next::Again,
                // One record is longer than the piece.
                (true, 0) => piece *= 4,
                (true, _) => {}
            }
        }
    }

    /// Tells what these bytes of the journal hold, and how many of them were whole records.
    async fn take(&mut self, bytes: &[u8]) -> (Next, usize) {
        let past = usize::try_from(self.past.saturating_sub(self.from)).unwrap_or(usize::MAX).min(bytes.len());
        let before = self.from;
        let mut next = Next::Again;
        // What was there at a resume is told as such; it ends with a whole record.
        for part in [&bytes[..past], &bytes[past..]] {
            if matches!(next, Next::Again) && !part.is_empty() {
                next = self.tell(decode(part)).await;
            }
        }
        (next, usize::try_from(self.from - before).unwrap_or(usize::MAX))
    }

    async fn tell(&mut self, decoded: Decoded) -> Next {
        let at = self.from;
        self.from += decoded.consumed as u64;
        let update = if self.from <= self.past { Update::Past } else { Update::Fact };
        // A reopened run's journal goes on after its end; grants may end after it, too.
        let last = decoded.facts.iter().rfind(|fact| matches!(fact, Fact::Ended { .. } | Fact::Reopened { .. }));
        let ended = self.from > self.past && matches!(last, Some(Fact::Ended { .. }));
        for fact in decoded.facts {
            if matches!(self.send(update(fact)).await, Next::Over) {
                return Next::Over;
            }
        }
        match decoded.state {
            _ if ended => Next::Over,
            State::Clean | State::Torn { .. } => Next::Again,
            State::Broken { offset } => {
                self.unreadable(format!("its journal is damaged at byte {}", at + offset as u64)).await
            }
            State::Foreign { offset, version, why } => {
                let at = at + offset as u64;
                self.unreadable(format!("a newer DYbox wrote its journal (version {version}, byte {at}: {why})")).await
            }
        }
    }

    async fn unreadable(&mut self, why: String) -> Next {
        let _ = self.send(Update::Unreadable { why }).await;
        Next::Over
    }

    async fn send(&mut self, update: Update) -> Next {
        match self.out.send((self.subdag, update)).await {
            Ok(()) => Next::Again,
            Err(_) => Next::Over,
        }
    }
}
