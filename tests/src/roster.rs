//! State servers and agents as processes, under an authority of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::binary::binary;
use crate::cluster::{Cluster, Daemon};
use crate::wait::eventually;

const LONG: Duration = Duration::from_secs(90);

/// A process of ours, killed when dropped.
#[derive(Debug)]
pub struct Part {
    child: Child,
    /// What it said in its first line.
    pub said: String,
}

impl Part {
    fn start(mut command: Command, wait_for_line: bool) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("dybox starts");
        let mut said = String::new();
        if wait_for_line {
            let out = child.stdout.as_mut().expect("a pipe");
            BufReader::new(out).read_line(&mut said).expect("a line");
        }
        Self { child, said }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("it lives");
    }
}

impl Part {
    /// Kills it and waits for its end.
    ///
    /// # Panics
    /// When it can't.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        let _ = self.child.wait();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command in the network of a process, to be followed by its words.
fn in_network(process: i32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--net", "--target", &process.to_string()]);
    command
}

/// An authority, and a directory for all that is under it.
#[derive(Debug)]
pub struct RosterWorld {
    dir: tempfile::TempDir,
    /// The process in whose network all of it is; nothing = in the test's own.
    network: Option<i32>,
}

impl RosterWorld {
    /// A new authority with a certificate for each of `nodes`.
    ///
    /// # Panics
    /// When the machine has no room for it.
    #[must_use]
    pub fn new(nodes: &[&str]) -> Self {
        let world = Self { dir: tempfile::tempdir().expect("a directory"), network: None };
        let ca = world.dir.path().join("ca");
        let mut init = world.command(&["state-server", "init"]);
        init.arg(&ca);
        for node in nodes {
            init.args(["--node", node]);
        }
        assert!(init.output().expect("dybox runs").status.success());
        world
    }

    /// From now on all that starts here is on the machine `node` of a cluster: its engine has a network of its own.
    ///
    /// # Panics
    /// When that engine is down.
    pub fn move_to(&mut self, cluster: &Cluster, node: usize) {
        let engine = cluster.process(Daemon::Engine(node)).expect("the engine is up").pid();
        let up = in_network(engine).args(["ip", "link", "set", "lo", "up"]).status().expect("nsenter runs");
        assert!(up.success(), "the loopback of node {node} does not come up");
        self.network = Some(engine);
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A certificate, by its file's name.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("ca").join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = match self.network {
            Some(process) => {
                let mut command = in_network(process);
                command.arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        command
            .args(args)
            .env("DYBOX_HOME", self.dir.path().join("home"))
            .env("DYBOX_CONF", "")
            .env_remove("DOCKER_HOST");
        command
    }

    /// A state server with a directory of its own, on `port` (0 = any), and its port.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn server(&self, name: &str, port: u16) -> (Part, u16) {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::copy(self.file("server.pem"), dir.join("server.pem")).expect("a certificate");
        let mut command = self.command(&["state-server", "--bind", &format!("127.0.0.1:{port}"), "--dir"]);
        command.arg(&dir).args(["--http", "127.0.0.1:0"]);
        let part = Part::start(command, true);
        let words: Vec<_> = part.said.split([' ', ',']).collect();
        let port = words[4].trim().parse().unwrap_or_else(|_| panic!("{:?}", part.said));
        (part, port)
    }

    /// An agent that says that it is on `host`, with a certificate and an engine's socket.
    #[must_use]
    pub fn agent(&self, host: &str, certificate: &str, socket: &Path, servers: &str) -> Part {
        let mut command = self.agent_of(host, (certificate, socket), servers);
        command.args(["--interval", "1"]).stderr(Stdio::null());
        // An engine has one agent, and one test container. The machine's has as many agents as tests run.
        if socket != Path::new("/var/run/docker.sock") {
            command.args(["--canary", "dybox-test/busybox:1"]);
        }
        Part::start(command, false)
    }

    /// An agent of `host` that is told more.
    #[must_use]
    pub fn agent_with(&self, host: &str, socket: &Path, servers: &str, args: &[&str]) -> Part {
        let certificate = format!("node-{host}.pem");
        let mut command = self.agent_of(host, (&certificate, socket), servers);
        if !args.contains(&"--interval") {
            command.args(["--interval", "1"]);
        }
        command.args(args);
        Part::start(command, false)
    }

    /// An agent of `host` that notes in `lib` what it brings: machines have not one place for all.
    #[must_use]
    pub fn agent_in(&self, host: &str, socket: &Path, servers: &str, lib: &Path) -> Part {
        let mut command = self.agent_at(host, (&format!("node-{host}.pem"), socket), servers);
        command.arg("--lib-dir").arg(lib).args(["--interval", "1"]);
        // Whatever the disk of the machine is like that runs these tests.
        command.args(["--image-high", "100", "--image-low", "99"]);
        Part::start(command, false)
    }

    fn agent_of(&self, host: &str, node: (&str, &Path), servers: &str) -> Command {
        let mut command = self.agent_at(host, node, servers);
        command.arg("--lib-dir").arg(self.dir.path().join("lib"));
        command
    }

    fn agent_at(&self, host: &str, (certificate, socket): (&str, &Path), servers: &str) -> Command {
        let mut command = self.command(&["node", "--host", host, "--servers", servers]);
        command.args(["--docker-host", &format!("unix://{}", socket.display()), "--identity"]);
        // Not the machine's: what runs beside this test must not lock there.
        command.arg(self.file(certificate)).arg("--run-dir").arg(self.dir.path().join("run"));
        // Nor is it these tests' matter how busy the machine is: a machine is as pressed as they say.
        command.arg("--pressure-dir").arg(self.dir.path().join("pressure"));
        command
    }

    /// What a command answers that is told these state servers and this certificate.
    ///
    /// # Panics
    /// When it can't be run.
    #[must_use]
    pub fn ask(&self, servers: &str, identity: &str, args: &[&str]) -> Output {
        let mut command = self.command(args);
        command.env("DYBOX_STATE_SERVERS", servers).env("DYBOX_STATE_IDENTITY", self.file(identity));
        command.output().expect("dybox runs")
    }

    /// What a server says of its nodes; nothing when it does not answer.
    #[must_use]
    pub fn nodes(&self, server: &str) -> Vec<Value> {
        let output = self.ask(server, "reader.pem", &["nodes", "-o", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["nodes"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until a server says something of a node.
    ///
    /// # Panics
    /// When it does not.
    pub fn until(&self, what: &str, server: &str, host: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, LONG, || self.nodes(server).into_iter().find(|node| node["host"] == host && fits(node)))
    }

    /// Waits until a node is so healthy.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn until_health(&self, server: &str, host: &str, health: &str) -> Value {
        self.until(&format!("{host} is {health}"), server, host, |node| node["health"] == health)
    }
}
