//! The leases: proofs of life that the containers of this proxy watch.
//!
//! A thread of its own writes them, so that no slow engine, store or line can hold one up. When this process dies or
//! is stopped, the counters stand still, and each container's init ends it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use dybox_engine::LEASE_BEAT;

/// Pause between two writes.
const EVERY: Duration = Duration::from_millis(LEASE_BEAT.0);
/// A thread that writes 8 bytes needs no more.
const STACK: usize = 64 << 10;

enum Order {
    Keep(String, File),
    Stop(String),
}

/// The writer of all leases of this process. Dropping it stops all.
#[derive(Debug)]
pub(crate) struct Leases {
    orders: Sender<Order>,
}

impl Leases {
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, given) = channel();
        let thread = std::thread::Builder::new().name("lease".to_owned()).stack_size(STACK);
        thread.spawn(move || write_all(&given))?;
        Ok(Self { orders })
    }

    /// Makes the lease's file, counted once, and keeps it alive under the container's name.
    pub(crate) fn keep(&self, name: &str, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.write_all_at(&1_u64.to_le_bytes(), 0)?;
        self.orders.send(Order::Keep(name.to_owned(), file)).map_err(|_| io::Error::other("the lease's writer ended"))
    }

    /// Lets the lease stand still.
    pub(crate) fn stop(&self, name: &str) {
        // A writer that is gone writes nothing either.
        let _ = self.orders.send(Order::Stop(name.to_owned()));
    }
}

fn write_all(orders: &Receiver<Order>) {
    let mut leases: BTreeMap<String, File> = BTreeMap::new();
    let mut counter = 1_u64;
    let mut next = Instant::now() + EVERY;
    loop {
        let wait =
            if leases.is_empty() { Duration::from_secs(3600) } else { next.saturating_duration_since(Instant::now()) };
        match orders.recv_timeout(wait) {
            Ok(Order::Keep(name, file)) => {
                // The new one may have waited for a start slot: it is counted now, not at the next round.
                next = Instant::now();
                leases.insert(name, file);
            }
            Ok(Order::Stop(name)) => {
                leases.remove(&name);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= next {
            counter += 1;
            for (name, file) in &leases {
                if let Err(error) = file.write_all_at(&counter.to_le_bytes(), 0) {
                    tracing::warn!(container = name, %error, "can't write the lease");
                }
            }
            next = Instant::now() + EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &Path) -> u64 {
        u64::from_le_bytes(std::fs::read(path).unwrap().try_into().unwrap())
    }

    fn eventually(what: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < end, "not within 10 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_lease_counts_until_it_is_stopped_or_its_writer_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let leases = Leases::start().unwrap();
        leases.keep("one", &one).unwrap();
        leases.keep("two", &two).unwrap();
        eventually(|| count(&one) > 2 && count(&two) > 2);
        leases.stop("one");
        let (stood, before) = (count(&one), count(&two));
        eventually(|| count(&two) > before + 1);
        assert!(count(&one) <= stood + 1, "at most the write that was on its way");
        drop(leases);
        let last = count(&two);
        std::thread::sleep(EVERY + Duration::from_millis(500));
        assert!(count(&two) <= last + 1);
    }
}
