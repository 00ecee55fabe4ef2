//! Hooks that outlived their master: each leaves a file with its process, and is ended before it may run again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// Written by the shell that becomes the hook, before it does: `$1` is the file. A full disk does not stop the hook.
pub(crate) const NOTE: &str = "{ read -r s < /proc/$$/stat; read -r b < /proc/sys/kernel/random/boot_id; \
     printf '%s\\n%s\\n' \"$b\" \"$s\" > \"$1\"; } 2> /dev/null; ";

/// A process, told apart from a later one of the same number by its boot and its start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    start: u64,
}

impl Process {
    /// Out of a line of `/proc/PID/stat`.
    fn of(stat: &str) -> Option<Self> {
        let pid = stat.split(' ').next()?.parse().ok()?;
        // The name, in parentheses, may hold anything; the 22nd field of the line is the 20th after it.
        let rest = stat.rsplit_once(") ")?.1;
        let mut fields = rest.split(' ');
        let state = fields.clone().next()?;
        let start = fields.nth(19)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, start })
    }

    fn noted(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (boot, stat) = text.split_once('\n')?;
        let now = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        (boot == now.trim()).then(|| Self::of(stat.trim_end()))?
    }

    fn lives(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        Self::of(stat.trim_end()).as_ref() == Some(self)
    }
}

/// Ends the hook that a file names, where it still runs: TERM to its process group, KILL after a moment. Then the file
/// is gone.
pub async fn end_orphan(file: &Path) {
    if let Some(orphan) = Process::noted(file).filter(Process::lives) {
        tracing::warn!("pid {} is a hook that outlived its master: it is ended", orphan.pid);
        let group = Pid::from_raw(orphan.pid);
        let _ = killpg(group, Signal::SIGTERM);
        let end = Instant::now() + GRACE;
        while orphan.lives() && Instant::now() < end {
            sleep(LOOK).await;
        }
        if orphan.lives() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
    let _ = fs::remove_file(file);
}

/// Ends every hook that an earlier master of a sub-DAG left running; `dir` holds their files, `hook-N.pid`.
pub async fn end_orphans(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "pid")) {
        end_orphan(&file).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_more_than_its_number() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 77 0 0";
        assert_eq!(Process::of(stat), Some(Process { pid: 42, start: 77 }));
        assert_eq!(Process::of(&stat.replace(" S ", " Z ")), None);
        assert_eq!(Process::of(""), None);
        let own = Process::of(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(own.lives() && !Process { start: own.start + 1, ..own }.lives());
    }
}
