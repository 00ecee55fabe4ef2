//! Our client on the cluster, with a directory of its own.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use dybox_tests::cluster::Cluster;
use dybox_tests::eventually;

/// The image of all payloads.
pub(crate) const IMAGE: &str = "dybox-test/busybox:1";

pub(crate) struct Client {
    cluster: &'static Cluster,
    dir: tempfile::TempDir,
}

/// The release binary: beside this benchmark, or as the environment says.
pub(crate) fn dybox() -> PathBuf {
    if let Some(path) = std::env::var_os("DYBOX_BENCH") {
        return PathBuf::from(path);
    }
    let found = std::env::current_exe().unwrap().ancestors().map(|dir| dir.join("dybox")).find(|path| path.is_file());
    found.expect("scripts/bench builds dybox first")
}

impl Client {
    pub(crate) fn of(cluster: &'static Cluster) -> Self {
        Self { cluster, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a job file. `defaults` of all our jobs: the image, a quarter of a cpu, 32 MiB.
    pub(crate) fn job(&self, name: &str, stages: &str) -> PathBuf {
        let path = self.dir().join(format!("{name}.yaml"));
        let text =
            format!("name: {name}\ndefaults: {{ image: \"{IMAGE}\", cpus: 0.25, memory: 32MiB }}\nstages:\n{stages}");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A directory that payloads can write to, as /said.
    pub(crate) fn said(&self) -> PathBuf {
        let said = self.dir().join("said");
        std::fs::create_dir_all(&said).unwrap();
        said
    }

    /// A command of ours. It runs through the cluster's client, whose policy lets payloads mount.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_behind(&[], args)
    }

    /// The same behind other words.
    fn command_behind(&self, words: &[&OsStr], args: &[&str]) -> Command {
        let mut command = Command::new(self.cluster.client());
        command.args(words).arg(dybox()).args(args).current_dir(self.dir());
        command.env("DYBOX_HOME", self.dir().join("home")).env("DYBOX_CONF", "/dev/null");
        command.env("XDG_CACHE_HOME", self.dir().join("cache")).stdin(Stdio::null());
        command
    }

    /// Seconds of a command that works, and what it printed.
    pub(crate) fn timed(&self, args: &[&str]) -> (f64, String) {
        timed(&mut self.command(args))
    }

    /// When a command of ours, which works, began: behind the cluster's client, whose mounts are no part of it and take a
    /// few milliseconds.
    pub(crate) fn began(&self, args: &[&str]) -> SystemTime {
        let note = self.dir().join("began");
        let bash = ["bash", "-c", "printf %s \"$EPOCHREALTIME\" >\"$0\" && exec \"$@\""].map(OsStr::new);
        timed(self.command_behind(&[&bash[..], &[note.as_os_str()]].concat(), args).env("LC_ALL", "C"));
        let seconds = std::fs::read_to_string(note).unwrap().parse().unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    /// Seconds of a job on this one machine, and the facts that it printed.
    pub(crate) fn timed_here(&self, job: &Path) -> (f64, String) {
        let mut command = Command::new(dybox());
        command.args(["run", "--local", "-o", "jsonl"]).arg(job).stdin(Stdio::null());
        command.env("DYBOX_HOME", self.dir().join("local")).env("DYBOX_CONF", "/dev/null");
        timed(&mut command)
    }

    /// Seconds from the start of a command to the first byte of its stdout; it is run to its end.
    pub(crate) fn first_byte(&self, args: &[&str]) -> f64 {
        let mut command = self.command(args);
        let start = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0]).unwrap();
        let took = start.elapsed().as_secs_f64();
        let _ = out.read_to_end(&mut Vec::new());
        assert!(child.wait().unwrap().success());
        took
    }

    /// The program is in HDFS and on both nodes, and their engines have made a container.
    pub(crate) fn warm(&self) {
        let job = self.job("warm", "  a: { command: [\"true\"], parallelism: 8, placement: { spread: host } }\n");
        self.timed(&["run", &job.to_string_lossy()]);
        self.settle();
    }

    /// Waits until nothing runs on the cluster, so that one measurement does not disturb the next.
    pub(crate) fn settle(&self) {
        eventually("the cluster is idle", Duration::from_secs(60), || {
            let live = self.cluster.applications("NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING").ok()?;
            (live.is_empty() && self.cluster.in_grants("").is_empty()).then_some(())
        });
    }
}

/// Seconds of a command that works, and what it printed.
pub(crate) fn timed(command: &mut Command) -> (f64, String) {
    let start = Instant::now();
    let done = command.output().unwrap();
    let took = start.elapsed().as_secs_f64();
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?} failed: {err}\n{}", String::from_utf8_lossy(&done.stdout));
    (took, String::from_utf8_lossy(&done.stdout).into_owned())
}

/// When a file was first written, in seconds since `start`.
pub(crate) fn written(path: &Path, start: SystemTime) -> f64 {
    let at = std::fs::metadata(path).and_then(|facts| facts.modified()).unwrap();
    at.duration_since(start).unwrap_or_default().as_secs_f64()
}
