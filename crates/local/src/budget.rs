//! How much this machine has to give.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use dybox_model::Resources;

/// Memory that stays with the machine itself, at least.
const RESERVE: u64 = 512 << 20;

/// The machine's cpus and memory that tasks may have: what this process may use of them (affinity, cgroup limits),
/// less a reserve of 512 MiB or 5 % of the memory, whichever is more (but never more than half).
#[must_use]
pub fn machine() -> Resources {
    let cpus = available_parallelism().map_or(1, |cpus| cpus.get());
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let total = meminfo_total(&text("/proc/meminfo")).unwrap_or(RESERVE * 2);
    let limit = cgroup_limit(Path::new("/sys/fs/cgroup"), &text("/proc/self/cgroup")).unwrap_or(u64::MAX);
    let cpu_milli = u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(1000);
    Resources { cpu_milli, memory: less_reserve(total.min(limit)) }
}

fn less_reserve(memory: u64) -> u64 {
    memory - RESERVE.max(memory / 20).min(memory / 2)
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The lowest memory limit of this process's cgroup and those above it, in either version.
fn cgroup_limit(root: &Path, of_self: &str) -> Option<u64> {
    let limits = of_self.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let own = top.join(path.trim_start_matches('/'));
        let chain = own.ancestors().take_while(|dir| dir.starts_with(&top));
        chain.filter_map(|dir| fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_something_to_give() {
        let machine = machine();
        assert!(machine.cpu_milli >= 1000 && machine.memory > 0, "{machine:?}");
    }

    #[test]
    fn the_tightest_cgroup_counts() {
        let root = tempfile::tempdir().unwrap();
        let leaf = root.path().join("memory/a/b");
        fs::create_dir_all(&leaf).unwrap();
        fs::write(leaf.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        fs::write(root.path().join("memory/a/memory.limit_in_bytes"), "1073741824\n").unwrap();
        assert_eq!(cgroup_limit(root.path(), "4:cpu:/x\n5:memory:/a/b\n"), Some(1 << 30));
        fs::create_dir_all(root.path().join("u")).unwrap();
        fs::write(root.path().join("u/memory.max"), "max\n").unwrap();
        assert_eq!(cgroup_limit(root.path(), "0::/u\n"), None);
        fs::write(root.path().join("u/memory.max"), "4096\n").unwrap();
        assert_eq!(cgroup_limit(root.path(), "0::/u\n"), Some(4096));
    }

    #[test]
    fn the_reserve_is_never_more_than_half() {
        assert_eq!(less_reserve(512 << 20), 256 << 20);
        assert_eq!(less_reserve(4 << 30), (4 << 30) - (512 << 20));
        assert_eq!(less_reserve(100 << 30), 95 << 30);
        assert_eq!(meminfo_total("MemTotal:       24683596 kB\nMemFree: 1 kB"), Some(24_683_596 << 10));
    }
}
