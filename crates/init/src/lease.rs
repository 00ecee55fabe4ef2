//! The lease: a counter that must move. A counter and not a time of writing, so that jumps of the clock do nothing.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// How often the counter is looked at.
pub(crate) const LOOK_MS: u64 = 500;

/// Milliseconds since the machine's boot, with the time that it slept.
pub(crate) fn boot_ms() -> u64 {
    millis(ClockId::CLOCK_BOOTTIME)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    millis(ClockId::CLOCK_REALTIME)
}

fn millis(clock: ClockId) -> u64 {
    let now = clock_gettime(clock).map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Locks the lease's file until the value is dropped, or this process is dead in whatever way. Taken before the spec is
/// read: whoever takes the spec away and then finds no lock knows, without any engine, that nothing runs or will run.
pub(crate) fn hold(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    let (kind, from) = (libc::F_RDLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
    let whole = libc::flock { l_type: kind, l_whence: from, l_start: 0, l_len: 0, l_pid: 0 };
    // Without it only this proof is missing, and the lease itself is waited for.
    fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)).ok()?;
    Some(file)
}

/// Watches the counter.
pub(crate) struct Lease {
    path: PathBuf,
    ttl_ms: u64,
    last: Option<[u8; 8]>,
    moved_at: u64,
    looked_at: u64,
}

impl Lease {
    pub(crate) fn new(path: PathBuf, ttl_ms: u64, now: u64) -> Self {
        Self { path, ttl_ms, last: None, moved_at: now, looked_at: 0 }
    }

    /// Whether the counter has stood still for too long. Looks at the file at most every [`LOOK_MS`].
    pub(crate) fn over(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.looked_at) >= LOOK_MS {
            self.looked_at = now;
            let read = std::fs::read(&self.path).ok().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            self.see(read, now);
        }
        now.saturating_sub(self.moved_at) >= self.ttl_ms
    }

    fn see(&mut self, counter: Option<[u8; 8]>, now: u64) {
        if counter.is_some() && counter != self.last {
            self.last = counter;
            self.moved_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_moves_keeps_the_lease_and_one_that_stands_still_ends_it() {
        let mut lease = Lease::new("/nowhere".into(), 15_000, 100);
        let count = |n: u64| Some(n.to_le_bytes());
        for (now, counter) in [(1_000, count(1)), (9_000, count(2)), (20_000, count(2)), (23_999, count(2))] {
            lease.see(counter, now);
        }
        assert!(!lease.over(23_999));
        assert!(lease.over(24_000));
        lease.see(count(3), 24_001);
        assert!(!lease.over(24_002));
    }

    #[test]
    fn a_file_that_is_not_there_or_torn_does_not_count_as_movement() {
        let mut lease = Lease::new("/nowhere".into(), 1_000, 0);
        lease.see(Some(7u64.to_le_bytes()), 10);
        lease.see(None, 900);
        assert!(lease.over(1_010));
    }
}
