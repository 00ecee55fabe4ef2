//! The counters of the container's own cgroup, as the container sees it.

use std::path::Path;

/// What stays when the container is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    pub(crate) cpu_ms: u64,
    pub(crate) peak_memory: u64,
    pub(crate) oom_kills: u64,
}

impl Counters {
    /// Reads those of cgroup version 1 or 2 under `root`; what can't be read counts as 0.
    pub(crate) fn read(root: &Path) -> Self {
        let dir = root.join("sys/fs/cgroup");
        let text = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        let number = |file: &str| text(file).trim().parse().unwrap_or(0);
        if dir.join("memory/memory.oom_control").exists() {
            return Self {
                cpu_ms: number("cpuacct/cpuacct.usage") / 1_000_000,
                peak_memory: number("memory/memory.max_usage_in_bytes"),
                oom_kills: value(&text("memory/memory.oom_control"), "oom_kill"),
            };
        }
        Self {
            cpu_ms: value(&text("cpu.stat"), "usage_usec") / 1000,
            peak_memory: number("memory.peak"),
            oom_kills: value(&text("memory.events"), "oom_kill"),
        }
    }
}

impl Counters {
    /// What came since `before`. The highest memory is that of the whole time: nobody can set it back.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms.saturating_sub(before.cpu_ms),
            oom_kills: self.oom_kills.saturating_sub(before.oom_kills),
            ..self
        }
    }
}

fn value(text: &str, key: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    found.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join("sys/fs/cgroup").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn both_versions_tell_the_same() {
        let first = tree(&[
            ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("memory/memory.max_usage_in_bytes", "4096\n"),
            ("cpuacct/cpuacct.usage", "7000000\n"),
        ]);
        let second = tree(&[
            ("memory.events", "low 0\noom 9\noom_kill 2\n"),
            ("memory.peak", "4096\n"),
            ("cpu.stat", "usage_usec 7000\nuser_usec 1\n"),
        ]);
        let expected = Counters { cpu_ms: 7, peak_memory: 4096, oom_kills: 2 };
        assert_eq!(Counters::read(first.path()), expected);
        assert_eq!(Counters::read(second.path()), expected);
        assert_eq!(Counters::read(Path::new("/nowhere")), Counters::default());
    }
}
