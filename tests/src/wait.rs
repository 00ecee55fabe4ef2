//! Waiting for what must become true.

use std::time::{Duration, Instant};

/// Asks `found` until it gives something, at most `deadline` long.
///
/// # Panics
/// When the deadline passes: the test has failed.
pub fn eventually<T>(what: &str, deadline: Duration, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process of this id lives. A zombie does not; one whose other threads still end does, for until the last of
/// them has left, its files and locks are held.
#[must_use]
pub fn pid_alive(pid: i32) -> bool {
    let dead = |stat: &str| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']));
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !dead(&stat) || threads() > 1)
}
