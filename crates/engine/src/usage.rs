//! What a container uses, read from its cgroup's files: the engine's stats API costs a hundred times more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dybox_model::Usage;

/// The open counter files of one container's cgroup. Opened once; a read costs a few system calls.
#[derive(Debug)]
pub struct CgroupPaths {
    files: Files,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Files {
    V1 { cpu: File, memory: File, peak: File, oom: File, io: Option<File>, pids: Option<File> },
    V2 { cpu: File, memory: File, peak: Option<File>, oom: File, io: Option<File>, pids: Option<File> },
}

impl CgroupPaths {
    /// Finds and opens the files of the cgroup that a process on this machine is in (a container's init).
    ///
    /// # Errors
    /// Where the process is gone, or a file that must be there is not.
    pub fn of_pid(pid: u32) -> io::Result<Self> {
        let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let dir = |controller: &str| dir_of(&own, &mounts, controller);
        // On a machine with both versions the controllers of the first are the ones that count.
        let files = match dir("memory") {
            Some(memory) => v1(&memory, dir)?,
            None => v2(&dir("").ok_or(io::ErrorKind::NotFound)?)?,
        };
        Ok(Self { files, buffer: vec![0; 4096] })
    }

    /// Reads the counters now.
    ///
    /// # Errors
    /// Where the cgroup is gone.
    pub fn read(&mut self) -> io::Result<Usage> {
        let buffer = &mut self.buffer;
        match &self.files {
            Files::V1 { cpu, memory, peak, oom, io, pids } => {
                let oom_kills = value(text(oom, buffer)?, "oom_kill");
                let (read_bytes, written_bytes) = optional(io.as_ref(), buffer, io_v1);
                Ok(Usage {
                    cpu_ms: number(text(cpu, buffer)?) / 1_000_000,
                    memory: number(text(memory, buffer)?),
                    peak_memory: number(text(peak, buffer)?),
                    pids: optional(pids.as_ref(), buffer, number),
                    read_bytes,
                    written_bytes,
                    oom_kills,
                })
            }
            Files::V2 { cpu, memory, peak, oom, io, pids } => {
                let cpu_ms = value(text(cpu, buffer)?, "usage_usec") / 1000;
                let now = number(text(memory, buffer)?);
                let oom_kills = value(text(oom, buffer)?, "oom_kill");
                let (read_bytes, written_bytes) = optional(io.as_ref(), buffer, io_v2);
                Ok(Usage {
                    cpu_ms,
                    memory: now,
                    // Kernels before 5.19 keep no peak: the caller's own maximum must do.
                    peak_memory: optional(peak.as_ref(), buffer, number).max(now),
                    pids: optional(pids.as_ref(), buffer, number),
                    read_bytes,
                    written_bytes,
                    oom_kills,
                })
            }
        }
    }
}

fn v1(memory: &Path, dir: impl Fn(&str) -> Option<PathBuf>) -> io::Result<Files> {
    let cpu = dir("cpuacct").ok_or(io::ErrorKind::NotFound)?;
    let optional = |controller: &str, file: &str| dir(controller).and_then(|dir| File::open(dir.join(file)).ok());
    Ok(Files::V1 {
        cpu: File::open(cpu.join("cpuacct.usage"))?,
        memory: File::open(memory.join("memory.usage_in_bytes"))?,
        peak: File::open(memory.join("memory.max_usage_in_bytes"))?,
        oom: File::open(memory.join("memory.oom_control"))?,
        io: optional("blkio", "blkio.throttle.io_service_bytes"),
        pids: optional("pids", "pids.current"),
    })
}

fn v2(dir: &Path) -> io::Result<Files> {
    Ok(Files::V2 {
        cpu: File::open(dir.join("cpu.stat"))?,
        memory: File::open(dir.join("memory.current"))?,
        peak: File::open(dir.join("memory.peak")).ok(),
        oom: File::open(dir.join("memory.events"))?,
        io: File::open(dir.join("io.stat")).ok(),
        pids: File::open(dir.join("pids.current")).ok(),
    })
}

/// The directory of a controller (empty = version 2) for the process that `own` (`/proc/PID/cgroup`) tells of, from
/// this process's mounts. What a mount shows begins at its root, which may lie below the hierarchy's.
fn dir_of(own: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let (root, at) = (left.get(3)?, left.get(4)?);
        let right: Vec<&str> = right.split(' ').collect();
        let fits = match *right.first()? {
            "cgroup" => !controller.is_empty() && right.get(2)?.split(',').any(|name| name == controller),
            "cgroup2" => controller.is_empty(),
            _ => false,
        };
        let below = path.strip_prefix(root.trim_end_matches('/')).filter(|_| fits)?;
        Some(Path::new(at).join(below.trim_start_matches('/')))
    })
}

/// A whole counter file as text. One read is enough: the kernel makes the text at the first one.
fn text<'a>(file: &File, buffer: &'a mut [u8]) -> io::Result<&'a str> {
    let len = file.read_at(buffer, 0)?;
    Ok(std::str::from_utf8(&buffer[..len]).unwrap_or_default())
}

fn optional<T: Default>(file: Option<&File>, buffer: &mut [u8], parse: impl Fn(&str) -> T) -> T {
    file.and_then(|file| text(file, buffer).ok().map(parse)).unwrap_or_default()
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `key` in a file of `key value` lines.
fn value(text: &str, key: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    found.map_or(0, number)
}

/// `8:0 Read 4096` lines.
fn io_v1(text: &str) -> (u64, u64) {
    text.lines().fold((0, 0), |(read, written), line| {
        let mut words = line.split(' ').skip(1);
        match (words.next(), words.next()) {
            (Some("Read"), Some(bytes)) => (read + number(bytes), written),
            (Some("Write"), Some(bytes)) => (read, written + number(bytes)),
            _ => (read, written),
        }
    })
}

/// `8:0 rbytes=1 wbytes=2 rios=...` lines.
fn io_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| text.split_whitespace().filter_map(|word| word.strip_prefix(key)).map(number).sum();
    (sum("rbytes="), sum("wbytes="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn a_cgroup_is_found_through_the_mounts() {
        let own = "4:memory:/outer/docker/abc\n2:cpuacct,cpu:/docker/abc\n0::/x.slice/y\n";
        let dir = |controller| dir_of(own, MOUNTS, controller);
        assert_eq!(dir("memory"), Some("/sys/fs/cgroup/memory/docker/abc".into()));
        assert_eq!(dir("cpuacct"), Some("/sys/fs/cgroup/cpu,cpuacct/docker/abc".into()));
        assert_eq!(dir(""), Some("/sys/fs/cgroup/unified/x.slice/y".into()));
        assert_eq!(dir("pids"), None);
    }

    #[test]
    fn counters_of_both_versions_are_read() {
        assert_eq!(value("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), 3);
        assert_eq!(value("low 0\noom 5\noom_kill 2\noom_group_kill 7\n", "oom_kill"), 2);
        assert_eq!(io_v1("8:0 Read 10\n8:0 Write 20\n8:16 Read 1\nTotal 31\n"), (11, 20));
        assert_eq!(io_v2("8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n"), (11, 22));
        assert_eq!(number("max\n"), 0);
    }

    #[test]
    fn this_machine_tells_about_this_process() {
        let mut here = CgroupPaths::of_pid(std::process::id()).expect("a cgroup");
        let usage = here.read().expect("counters");
        assert!(usage.memory > 0);
    }
}
