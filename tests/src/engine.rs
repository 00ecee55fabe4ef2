//! Docker engines: the machine's own, and private ones that a test may kill.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::wait::{eventually, pid_alive};

/// An engine, seen through Docker's own client.
#[derive(Debug, Clone)]
pub struct Engine {
    host: Option<String>,
}

impl Engine {
    /// The machine's engine.
    #[must_use]
    pub fn machine() -> Self {
        Self { host: None }
    }

    /// An engine (or what pretends to be one) at a unix socket.
    #[must_use]
    pub fn at(socket: &std::path::Path) -> Self {
        Self { host: Some(format!("unix://{}", socket.display())) }
    }

    /// What DOCKER_HOST must be, where it is not the default.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Runs Docker's own client, with a deadline of a minute.
    ///
    /// # Panics
    /// When the client is missing.
    pub fn docker(&self, args: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["60", "/usr/bin/docker"]).args(args).stdin(Stdio::null());
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command.output().expect("docker's client")
    }

    fn words(&self, args: &[&str]) -> Vec<String> {
        String::from_utf8_lossy(&self.docker(args).stdout).split_whitespace().map(str::to_owned).collect()
    }

    /// Names of the containers of a run, in any state.
    #[must_use]
    pub fn containers_of(&self, run: &str) -> Vec<String> {
        self.words(&["ps", "-a", "--filter", &format!("label=dybox.run={run}"), "--format", "{{.Names}}"])
    }

    /// Ids of the networks of a run.
    #[must_use]
    pub fn networks_of(&self, run: &str) -> Vec<String> {
        self.words(&["network", "ls", "-q", "--filter", &format!("label=dybox.run={run}")])
    }

    /// A field of `docker inspect`, by Go template.
    #[must_use]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        String::from_utf8_lossy(&self.docker(&["inspect", "--format", template, container]).stdout).trim().to_owned()
    }
}

/// A dockerd of the test's own: data, sockets and processes apart from the machine's. Ended when dropped.
#[derive(Debug)]
pub struct PrivateEngine {
    dir: tempfile::TempDir,
    child: Option<Child>,
    extra: Vec<String>,
}

impl PrivateEngine {
    /// Starts one with `extra` arguments, and the test image in it.
    ///
    /// # Panics
    /// When it does not come up within 30 s.
    #[must_use]
    pub fn start(extra: &[&str]) -> Self {
        // A short path: containerd's sockets lie below it, and a socket's path has at most 108 bytes.
        let dir = tempfile::Builder::new().prefix("dyd-").tempdir_in("/tmp").expect("a temporary directory");
        let mut engine = Self { dir, child: None, extra: extra.iter().map(|&word| word.to_owned()).collect() };
        engine.up();
        let archive = engine.dir.path().join("image.tar");
        Engine::machine().docker(&["save", "-o", &archive.to_string_lossy(), "dybox-test/busybox:1"]);
        engine.engine().docker(&["load", "-i", &archive.to_string_lossy()]);
        engine
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("d.sock")
    }

    /// It, seen through Docker's client.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::at(&self.socket())
    }

    /// Process id of its dockerd.
    ///
    /// # Panics
    /// When it is down.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().expect("it is up").id()).expect("a pid fits")
    }

    /// Starts its dockerd (again) and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn up(&mut self) {
        let at = |name: &str| self.dir.path().join(name).to_string_lossy().into_owned();
        let log = std::fs::File::options().create(true).append(true).open(at("log")).expect("a log");
        let _ = std::fs::remove_file(at("d.pid"));
        // A network namespace of its own: a dockerd without a bridge takes the machine's docker0 away otherwise.
        let mut command = Command::new("unshare");
        command.args(["--net", "/usr/sbin/dockerd"]).args([
            "--data-root",
            &at("data"),
            "--exec-root",
            &at("exec"),
            "--pidfile",
            &at("d.pid"),
        ]);
        command.args(["-H", &format!("unix://{}", at("d.sock")), "--bridge=none", "--iptables=false"]);
        command.args(&self.extra).stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        self.child = Some(command.spawn().expect("dockerd starts"));
        eventually("the private engine answers", Duration::from_secs(30), || {
            self.engine().docker(&["version"]).status.success().then_some(())
        });
    }

    /// Kills its dockerd with SIGKILL; containers go on until it is back.
    ///
    /// # Panics
    /// When it is down already.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it is up");
        child.kill().expect("dockerd can be killed");
        child.wait().expect("dockerd can be waited for");
        // Its containerd dies with it. Where nobody reaps orphans its pid stays taken, and the next dockerd would
        // wait for a containerd that it believes alive.
        let pid_file = self.dir.path().join("exec/containerd/containerd.pid");
        let pid = std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        eventually("its containerd is gone", Duration::from_secs(10), || {
            pid.is_none_or(|pid| !pid_alive(pid)).then_some(())
        });
        let _ = std::fs::remove_file(pid_file);
    }

    /// Takes the layers of its images from the disk, as a file system does that was damaged.
    ///
    /// # Panics
    /// When there are none.
    pub fn damage_layers(&self) {
        let info = self.engine().docker(&["info", "--format", "{{.Driver}}"]);
        let driver = String::from_utf8_lossy(&info.stdout).trim().to_owned();
        let layers = std::fs::read_dir(self.dir.path().join("data").join(&driver)).expect("layers").flatten();
        let mut gone = 0;
        for layer in layers.filter(|layer| layer.path().is_dir()) {
            gone += usize::from(std::fs::remove_dir_all(layer.path()).is_ok());
        }
        assert!(gone > 0, "{driver} has no layers");
    }

    /// Sends a signal to its dockerd (STOP and CONT make it hang and go on).
    ///
    /// # Panics
    /// When it is down.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("dockerd lives");
    }
}

impl Drop for PrivateEngine {
    /// Containers first, then TERM (it takes its containerd along), then its mounts.
    fn drop(&mut self) {
        if self.child.is_none() {
            self.up();
        }
        self.signal(nix::sys::signal::Signal::SIGCONT);
        let all = self.engine().words(&["ps", "-aq"]);
        for container in all {
            self.engine().docker(&["rm", "-f", &container]);
        }
        self.signal(nix::sys::signal::Signal::SIGTERM);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let below = self.dir.path().to_string_lossy().into_owned();
        end_shims(&below);
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(&below))
        {
            let _ = Command::new("umount").arg("-l").arg(mount).status();
        }
    }
}

/// A containerd that was killed may forget a container whose shim lives; no dockerd after it ends that one.
fn end_shims(below: &str) {
    let own = |pid: i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("containerd-shim") && line.split('\0').any(|word| word.starts_with(below))
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for pid in pids.filter(|&pid| own(pid)) {
        // It may be gone by now.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}
