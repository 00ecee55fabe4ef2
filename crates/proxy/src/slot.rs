//! Locks that all proxies of a machine share: a bounded number of starts in flight at the engine, one pull an image.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_store::layout::{Home, Machine};
use dybox_store::{Lock, StoreError};

/// First and longest pause between two looks: a slot that nobody notices is free costs more than a look.
const PAUSES: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(8));

/// The start slots of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    paths: Vec<PathBuf>,
    first: usize,
}

impl Slots {
    /// Two a cpu: more starts in flight make none of them faster, and every single one slower.
    pub(crate) fn of(home: &Home) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let paths = (0..2 * cpus).filter_map(|slot| Some(home.path(&Machine::start_slot(u32::try_from(slot).ok()?))));
        // Neighbours look at different slots first, so that few collide.
        Self { paths: paths.collect(), first: std::process::id() as usize }
    }

    /// Waits until one is free. The lock is the slot; the kernel frees it at any death.
    pub(crate) async fn take(&self) -> Result<Lock, StoreError> {
        let mut pause = PAUSES.0;
        loop {
            for i in 0..self.paths.len() {
                if let Some(lock) = Lock::try_take(&self.paths[(self.first + i) % self.paths.len()])? {
                    return Ok(lock);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// Waits for a lock for as long as it takes; whoever waits is cancelled from outside.
pub(crate) async fn hold(path: &Path) -> Result<Lock, StoreError> {
    let mut pause = PAUSES.0;
    loop {
        if let Some(lock) = Lock::try_take(path)? {
            return Ok(lock);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_starts_than_slots_and_a_free_one_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::of(&Home::new(dir.path()));
        let mut held = Vec::new();
        for _ in 0..slots.paths.len() {
            held.push(slots.take().await.unwrap());
        }
        let short = Duration::from_millis(100);
        assert!(tokio::time::timeout(short, slots.take()).await.is_err());
        held.pop();
        assert!(tokio::time::timeout(Duration::from_secs(5), slots.take()).await.is_ok());
    }
}
