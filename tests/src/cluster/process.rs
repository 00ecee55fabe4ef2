//! Processes by pid and start time: a pid alone may be somebody else's by now.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Broken, Context};

/// A process that was seen alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    started: u64,
}

impl Process {
    /// The process that has `pid` now.
    pub(super) fn of(pid: u32) -> Self {
        let pid = i32::try_from(pid).expect("a pid fits");
        Self { pid, started: stat(pid).map_or(0, |stat| stat.started) }
    }

    /// Its id.
    #[must_use]
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it lives (as [`crate::pid_alive`] has it).
    #[must_use]
    pub fn lives(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started) && crate::pid_alive(self.pid)
    }

    /// Sends it a signal, if it lives.
    pub fn signal(self, signal: Signal) {
        if self.lives() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Its resident memory in KiB.
    #[must_use]
    pub fn resident_kib(self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Its peak resident memory in KiB.
    #[must_use]
    pub fn peak_kib(self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    pub(super) fn write(self, path: &Path) -> Result<(), Broken> {
        std::fs::write(path, format!("{} {}\n", self.pid, self.started)).doing("writing a pid")
    }
}

pub(super) struct Stat {
    pub(super) parent: i32,
    pub(super) dead: bool,
    started: u64,
}

/// What /proc/PID/stat says.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<_> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        dead: fields.first()?.starts_with(['Z', 'X']),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Ids of all processes.
pub(super) fn pids() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
