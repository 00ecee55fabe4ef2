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

/// One controller's files; those that a kernel may not have are optional.
#[derive(Debug)]
struct Files {
    /// The names in them differ.
    second: bool,
    cpu: File,
    /// Where the second version keeps cpu time too.
    cpu_stat: Option<File>,
    memory: File,
    memory_stat: Option<File>,
    limit: Option<File>,
    peak: Option<File>,
    oom: File,
    io: Option<File>,
    pids: Option<File>,
}

impl CgroupPaths {
    /// Finds and opens the files of the cgroup that a process on this machine is in (a container's init).
    ///
    /// # Errors
    /// Where the process is gone, or a file that must be there is not.
    pub fn of_pid(pid: u32) -> io::Result<Self> {
        let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        // One that has ended and was not waited for yet is shown at the root of the first version's hierarchies: that would
        // be the whole machine's use.
        if has_ended(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let dir = |controller: &str| dir_of(&own, &mounts, controller);
        // On a machine with both versions the controllers of the first are the ones that count.
        let files = match dir("memory") {
            Some(memory) => v1(&memory, dir)?,
            None => v2(&dir("").ok_or(io::ErrorKind::NotFound)?)?,
        };
        Ok(Self { files, buffer: vec![0; 8192] })
    }

    /// Reads the counters now.
    ///
    /// # Errors
    /// Where the cgroup is gone.
    pub fn read(&mut self) -> io::Result<Usage> {
        let (buffer, files) = (&mut self.buffer, &self.files);
        let second = files.second;
        let memory = number(text(&files.memory, buffer)?);
        let oom_kills = value(text(&files.oom, buffer)?, "oom_kill");
        let cpu = text(&files.cpu, buffer)?;
        let cpu_ms = if second { value(cpu, "usage_usec") / 1000 } else { number(cpu) / 1_000_000 };
        let (idle, cached) = if second { ("inactive_file", "file") } else { ("total_inactive_file", "total_cache") };
        let pages = |text: &str| (value(text, idle), value(text, cached));
        let (idle, cache) = optional(files.memory_stat.as_ref(), buffer, pages);
        let throttled = |text: &str| match second {
            true => value(text, "throttled_usec") / 1000,
            false => value(text, "throttled_time") / 1_000_000,
        };
        let (read_bytes, written_bytes) = optional(files.io.as_ref(), buffer, if second { io_v2 } else { io_v1 });
        Ok(Usage {
            cpu_ms,
            memory,
            // Kernels before 5.19 keep no peak: the caller's own maximum must do.
            peak_memory: optional(files.peak.as_ref(), buffer, number).max(memory),
            pids: optional(files.pids.as_ref(), buffer, number),
            read_bytes,
            written_bytes,
            oom_kills,
            working_set: memory.saturating_sub(idle),
            cache,
            limit: optional(files.limit.as_ref(), buffer, limit),
            cpu_milli: 0,
            throttled_ms: optional(files.cpu_stat.as_ref(), buffer, throttled),
        })
    }
}

fn v1(memory: &Path, dir: impl Fn(&str) -> Option<PathBuf>) -> io::Result<Files> {
    let cpuacct = dir("cpuacct").ok_or(io::ErrorKind::NotFound)?;
    let optional = |controller: &str, file: &str| dir(controller).and_then(|dir| File::open(dir.join(file)).ok());
    Ok(Files {
        second: false,
        cpu: File::open(cpuacct.join("cpuacct.usage"))?,
        cpu_stat: optional("cpu", "cpu.stat"),
        memory: File::open(memory.join("memory.usage_in_bytes"))?,
        memory_stat: File::open(memory.join("memory.stat")).ok(),
        limit: File::open(memory.join("memory.limit_in_bytes")).ok(),
        peak: File::open(memory.join("memory.max_usage_in_bytes")).ok(),
        oom: File::open(memory.join("memory.oom_control"))?,
        io: optional("blkio", "blkio.throttle.io_service_bytes"),
        pids: optional("pids", "pids.current"),
    })
}

fn v2(dir: &Path) -> io::Result<Files> {
    let optional = |file: &str| File::open(dir.join(file)).ok();
    Ok(Files {
        second: true,
        cpu: File::open(dir.join("cpu.stat"))?,
        cpu_stat: optional("cpu.stat"),
        memory: File::open(dir.join("memory.current"))?,
        memory_stat: optional("memory.stat"),
        limit: optional("memory.max"),
        peak: optional("memory.peak"),
        oom: File::open(dir.join("memory.events"))?,
        io: optional("io.stat"),
        pids: optional("pids.current"),
    })
}

/// Whether the process that `stat` (`/proc/PID/stat`) tells of runs no more. Its name may hold anything.
fn has_ended(stat: &str) -> bool {
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X', 'x']))
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

/// A limit; 0 where there is none (`max`, or the first version's largest number of pages).
fn limit(text: &str) -> u64 {
    Some(number(text)).filter(|&bytes| bytes < 1 << 60).unwrap_or(0)
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

    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("dybox-cgroup-{name}-{}", std::process::id()));
        for (file, text) in files {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(file), text).unwrap();
        }
        dir
    }

    /// As a kernel 6.1 shows a container of 512 MiB.
    #[test]
    fn a_tree_of_the_second_version_is_read() {
        let dir = tree(
            "v2",
            &[
                (
                    "cpu.stat",
                    "usage_usec 7250000\nuser_usec 7000000\nnr_periods 80\nnr_throttled 9\nthrottled_usec 640000\n",
                ),
                ("memory.current", "209715200\n"),
                ("memory.max", "536870912\n"),
                ("memory.peak", "314572800\n"),
                (
                    "memory.stat",
                    "anon 94371840\nfile 115343360\nkernel 4194304\ninactive_anon 0\ninactive_file 104857600\nactive_file 10485760\n",
                ),
                ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n"),
                ("io.stat", "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"),
                ("pids.current", "12\n"),
            ],
        );
        let seen = CgroupPaths { files: v2(&dir).unwrap(), buffer: vec![0; 8192] }.read().unwrap();
        let expected = Usage {
            cpu_ms: 7250,
            memory: 200 << 20,
            peak_memory: 300 << 20,
            read_bytes: 4096,
            written_bytes: 8192,
            oom_kills: 1,
            pids: 12,
            working_set: 100 << 20,
            cache: 110 << 20,
            limit: 512 << 20,
            cpu_milli: 0,
            throttled_ms: 640,
        };
        assert_eq!(seen, expected);
        std::fs::write(dir.join("memory.max"), "max\n").unwrap();
        std::fs::remove_file(dir.join("memory.peak")).unwrap();
        let old = CgroupPaths { files: v2(&dir).unwrap(), buffer: vec![0; 8192] }.read().unwrap();
        assert_eq!((old.limit, old.peak_memory), (0, 200 << 20), "an older kernel, and no limit");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_tree_of_the_first_version_is_read() {
        let dir = tree(
            "v1",
            &[
                ("cpuacct.usage", "7250000000\n"),
                ("cpu.stat", "nr_periods 80\nnr_throttled 9\nthrottled_time 640000000\n"),
                ("memory.usage_in_bytes", "209715200\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.max_usage_in_bytes", "314572800\n"),
                ("memory.stat", "cache 1\ninactive_file 2\ntotal_cache 115343360\ntotal_inactive_file 104857600\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
            ],
        );
        let seen = CgroupPaths { files: v1(&dir, |_| Some(dir.clone())).unwrap(), buffer: vec![0; 8192] };
        let seen = { seen }.read().unwrap();
        assert_eq!((seen.cpu_ms, seen.throttled_ms, seen.limit), (7250, 640, 0));
        assert_eq!((seen.working_set, seen.cache, seen.peak_memory), (100 << 20, 110 << 20, 300 << 20));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_process_that_has_ended_says_nothing_of_its_container() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        while !has_ended(&stat()) {
            std::thread::yield_now();
        }
        assert!(CgroupPaths::of_pid(child.id()).is_err());
        child.wait().unwrap();
        assert!(!has_ended("7 (a) Z) R 1 7") && has_ended("7 (a) R) Z 1 7"));
    }

    #[test]
    fn this_machine_tells_about_this_process() {
        let mut here = CgroupPaths::of_pid(std::process::id()).expect("a cgroup");
        let usage = here.read().expect("counters");
        assert!(usage.memory > 0);
    }
}
