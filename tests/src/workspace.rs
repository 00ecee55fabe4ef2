//! A user's directory: a job file, a `$DYBOX_HOME` of its own, and a promise that nothing is left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::binary::{Done, Follow, binary, stripped};
use crate::engine::Engine;
use crate::wait::eventually;

/// For what depends on how busy the machine is.
const LONG: Duration = Duration::from_secs(120);

/// One test's place. Its directory is kept when the test fails.
#[derive(Debug)]
pub struct Workspace {
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
    engine: Engine,
    /// What runs `dybox`, where it is not run as it is.
    through: Option<PathBuf>,
}

impl Workspace {
    /// An empty place that uses the machine's engine.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Engine::machine())
    }

    /// An empty place that uses `engine`.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn on(engine: Engine) -> Self {
        let dir = tempfile::Builder::new().prefix("dybox-test-").tempdir().expect("a temporary directory");
        let path = dir.path().canonicalize().expect("it exists");
        Self { dir: Some(dir), path, engine, through: None }
    }

    /// An empty place of a client of `cluster`. What runs there is no business of this place: ask the cluster.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn of_cluster(cluster: &crate::cluster::Cluster) -> Self {
        let mut place = Self::new();
        place.through = Some(cluster.client());
        place
    }

    /// The same where `/etc/dybox/policy.toml` is this text, for what is started here alone: `etc/dybox/policy.toml` of
    /// the directory. Needs the right to mount.
    ///
    /// # Panics
    /// When it can't be written.
    #[must_use]
    pub fn under_policy(mut self, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        self.write("etc/dybox/policy.toml", text);
        let etc = self.path.join("etc").display().to_string();
        let within = format!(
            "mount -t overlay overlay -o lowerdir={etc}:/etc /etc && mount --bind {etc}/dybox /etc/dybox && exec \"$@\""
        );
        let script = format!("#!/bin/sh\nexec unshare --mount sh -c '{within}' sh \"$@\"\n");
        let script = self.write("under-policy", &script);
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        self.through = Some(script);
        self
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `$DYBOX_HOME` of this test.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// The engine that it uses.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Writes a file below the directory.
    ///
    /// # Panics
    /// When it can't.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a directory")).expect("directories");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// What payloads said with the function `say` of [`Workspace::job`].
    #[must_use]
    pub fn said(&self) -> Vec<crate::Line> {
        crate::lines_of(&self.path.join("said/lines"))
    }

    /// How many attempts of `stage` said `what`.
    #[must_use]
    pub fn said_by(&self, stage: &str, what: &str) -> usize {
        self.said().iter().filter(|line| line.stage == stage && line.what == what).count()
    }

    /// Waits until `count` attempts of `stage` said `what`.
    ///
    /// # Panics
    /// After two minutes.
    #[track_caller]
    pub fn until_said(&self, stage: &str, what: &str, count: usize) {
        eventually(&format!("{stage} says {what} {count} times"), LONG, || {
            (self.said_by(stage, what) >= count).then_some(())
        });
    }

    /// What `dybox status` says of a run, stage or task.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn status(&self, of: &str) -> serde_json::Value {
        self.dybox(&["status", of, "-o", "json"]).expect(0).json()
    }

    /// Waits until a run is in `state`.
    ///
    /// # Panics
    /// After two minutes.
    #[track_caller]
    pub fn until_state(&self, run: &str, state: &str) {
        eventually(&format!("{run} is {state}"), LONG, || (self.status(run)["run"]["state"] == state).then_some(()));
    }

    /// Writes `job.yaml`. `IMAGE` stands for the test image; every stage gets the volume `/said` and functions
    /// `say start|end` by `. /said/fns`.
    ///
    /// # Panics
    /// When it can't.
    pub fn job(&self, stages: &str) -> PathBuf {
        self.write("said/fns", "say() { echo \"$1 $DYBOX_STAGE $DYBOX_TASK_INDEX $DYBOX_ATTEMPT\" >> /said/lines; }\n");
        self.write("said/lines", "");
        let head = "name: t\ndefaults:\n  image: dybox-test/busybox:1\n  cpus: 0.2\n  memory: 32MiB\n  volumes: [\"./said:/said\"]\n";
        self.write("job.yaml", &format!("{head}{stages}"))
    }

    /// A `dybox` command in this place.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.through {
            Some(program) => Command::new(program),
            None => Command::new(binary()),
        };
        command
            .args(self.through.iter().map(|_| stripped()))
            .args(args)
            .current_dir(&self.path)
            .env("DYBOX_HOME", self.home())
            .env("DYBOX_CONF", "/dev/null");
        command.env_remove("HADOOP_CONF_DIR").stdin(std::process::Stdio::null());
        if let Some(host) = self.engine.host() {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// Runs `dybox ARGS` to its end (at most two minutes).
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn dybox(&self, args: &[&str]) -> Done {
        self.start(args).end(LONG)
    }

    /// Starts `dybox ARGS`.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Follow {
        Follow::start(&mut self.command(args))
    }

    /// Runs `dybox ARGS` with `input` on stdin.
    ///
    /// # Panics
    /// When it can't be run.
    #[must_use]
    pub fn dybox_fed(&self, args: &[&str], input: &[u8]) -> Done {
        use std::io::{Seek, Write};
        let start = Instant::now();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(input).and_then(|()| file.rewind()).expect("input is written");
        let output = self.command(args).stdin(file).output().expect("dybox runs");
        Done::of(output, start.elapsed())
    }

    /// Process ids of this place's `dybox` processes of a kind: `master` or `proxy`.
    #[must_use]
    pub fn pids(&self, kind: &str) -> Vec<i32> {
        let home = self.home().to_string_lossy().into_owned();
        let of = |entry: std::fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
            let words = std::fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = words.split(|&b| b == 0).map(String::from_utf8_lossy);
            let ours =
                words.next()?.ends_with("dybox") && words.next()? == kind && words.any(|word| word.starts_with(&home));
            (ours && crate::pid_alive(pid)).then_some(pid)
        };
        std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| of(entry.ok()?)).collect()
    }

    /// Kills every process of a kind with SIGKILL, waits for their ends and gives how many there were.
    ///
    /// # Panics
    /// When one does not end.
    pub fn kill_all(&self, kind: &str) -> usize {
        let pids = self.pids(kind);
        for &pid in &pids {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        // By their ids: a process that ends loses its command line before its locks.
        eventually("the killed are gone", Duration::from_secs(20), || {
            pids.iter().all(|&pid| !crate::pid_alive(pid)).then_some(())
        });
        pids.len()
    }

    /// Containers on the engine that belong to runs of this place, whatever their state.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        self.runs().iter().flat_map(|run| self.engine.containers_of(run)).collect()
    }

    /// Ids of all runs of this place.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home().join("runs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Promise P5: within 30 s nothing of this place is on the engine or in the process table.
    ///
    /// # Panics
    /// When something is left.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        eventually("nothing is left", Duration::from_secs(30), || {
            let left = (self.containers(), self.networks(), self.pids("proxy"), self.pids("master"), self.shares());
            (left.0.is_empty() && left.1.is_empty() && left.2.is_empty() && left.3.is_empty() && left.4 == 0)
                .then_some(())
        });
    }

    /// Waits until every process of this place has left: `gc` does not look at what somebody still looks after.
    ///
    /// # Panics
    /// When one stays for longer than 30 s.
    #[track_caller]
    pub fn until_idle(&self) {
        eventually("all have left", Duration::from_secs(30), || {
            (self.pids("proxy").is_empty() && self.pids("master").is_empty()).then_some(())
        });
    }

    /// Networks on the engine that belong to runs of this place.
    #[must_use]
    pub fn networks(&self) -> Vec<String> {
        self.runs().iter().flat_map(|run| self.engine.networks_of(run)).collect()
    }

    /// Shares of the machine's budget that are held.
    #[must_use]
    pub fn shares(&self) -> usize {
        std::fs::read_dir(self.home().join("machine/shares")).map_or(0, Iterator::count)
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Workspace {
    /// Ends what a failed test left running, and keeps its directory.
    fn drop(&mut self) {
        self.kill_all("master");
        self.kill_all("proxy");
        for container in self.containers() {
            self.engine.docker(&["rm", "-f", &container]);
        }
        for network in self.networks() {
            self.engine.docker(&["network", "rm", &network]);
        }
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            let _ = dir.keep();
        }
    }
}
