//! The news of a sub-DAG whose master is a process of this machine: it may be started again when it dies.

use std::time::Duration;

use dybox_store::layout::SubDir;
use tokio::time::{Instant, sleep};

use super::{Ends, Feed, Next, Update};
use crate::machine::{Machine, last_line};

/// Pauses between two looks for a master: short at first, since one that starts takes some milliseconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// How long a master that somebody else starts may take to appear.
const GRACE: Duration = Duration::from_secs(3);
/// How often a client starts a master again that died.
const STARTS_AGAIN: u32 = 2;

/// A feed of this machine.
pub(super) struct Here {
    pub feed: Feed,
    pub machine: Machine,
}

impl Here {
    /// Tells everything until the sub-DAG has ended.
    pub(super) async fn run(mut self, ends: Ends) {
        let mut heard = ends.subscribe();
        let mut alive = Instant::now();
        let mut pause = PAUSES.0;
        let mut deaths = 0;
        loop {
            let before = self.feed.from;
            if matches!(self.feed.look().await, Next::Over) {
                break;
            }
            if self.feed.from != before {
                pause = PAUSES.0;
            }
            let ready =
                self.feed.needs.iter().all(|need| heard.borrow_and_update().get(need.0 as usize) == Some(&true));
            if !ready || self.lives() {
                alive = Instant::now();
            } else if self.died_here() || alive.elapsed() > GRACE {
                deaths += 1;
                if matches!(self.mourn(deaths).await, Next::Over) {
                    break;
                }
                alive = Instant::now();
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        ends.send_modify(|ends| ends[self.feed.subdag.0 as usize] = true);
    }

    /// Whether its master lives, as far as this process can see.
    fn lives(&mut self) -> bool {
        // Asking for the lock could refuse it to a master that is about to take it: so only once the child is gone.
        let child_lives = self.feed.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        child_lives || self.machine.is_held(&self.feed.run, self.feed.subdag).unwrap_or(true)
    }

    /// Whether this process saw its master die, so that no grace is due.
    fn died_here(&mut self) -> bool {
        self.feed.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))))
    }

    async fn mourn(&mut self, deaths: u32) -> Next {
        let feed = &mut self.feed;
        let log = self.machine.sub_path(&feed.run, feed.subdag, SubDir::log);
        let last = last_line(&log).unwrap_or_default();
        let again = feed.supervise && deaths <= STARTS_AGAIN;
        if again {
            // The run was reopened and this sub-DAG has not been yet.
            let reopen = feed.past > 0 && feed.from <= feed.past;
            feed.child = self.machine.start_master(&feed.run, feed.subdag, reopen).ok();
        }
        match feed.send(Update::Died { last, again }).await {
            Next::Again if again => Next::Again,
            _ => Next::Over,
        }
    }
}
