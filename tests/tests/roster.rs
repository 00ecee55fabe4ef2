//! The roster on real engines: two state servers, three agents, and what may befall them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dybox_tests::{PrivateEngine, binary, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const LONG: Duration = Duration::from_secs(90);

/// A process of ours, killed when dropped.
struct Part {
    child: Child,
    /// What it said in its first line.
    said: String,
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

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("it lives");
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(nodes: &[&str]) -> Self {
        let world = Self { dir: tempfile::tempdir().expect("a directory") };
        let ca = world.dir.path().join("ca");
        let mut init = world.command(&["state-server", "init"]);
        init.arg(&ca);
        for node in nodes {
            init.args(["--node", node]);
        }
        assert!(init.output().expect("dybox runs").status.success());
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("ca").join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .env("DYBOX_HOME", self.dir.path().join("home"))
            .env("DYBOX_CONF", "")
            .env_remove("DOCKER_HOST");
        command
    }

    /// A state server with a directory of its own, on `port` (0 = any), and its port.
    fn server(&self, name: &str, port: u16) -> (Part, u16) {
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

    fn agent(&self, host: &str, certificate: &str, socket: &Path, servers: &str) -> Part {
        let mut command =
            self.command(&["node", "--interval", "1", "--host", host, "--canary", "dybox-test/busybox:1"]);
        command.args(["--servers", servers, "--docker-host", &format!("unix://{}", socket.display()), "--identity"]);
        command.arg(self.file(certificate)).stderr(Stdio::null());
        Part::start(command, false)
    }

    fn ask(&self, servers: &str, identity: &str, args: &[&str]) -> Output {
        let mut command = self.command(args);
        command.env("DYBOX_STATE_SERVERS", servers).env("DYBOX_STATE_IDENTITY", self.file(identity));
        command.output().expect("dybox runs")
    }

    fn nodes(&self, server: &str) -> Vec<Value> {
        let output = self.ask(server, "reader.pem", &["nodes", "-o", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["nodes"].as_array().cloned().unwrap_or_default()
    }

    fn until(&self, what: &str, server: &str, host: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, LONG, || self.nodes(server).into_iter().find(|node| node["host"] == host && fits(node)))
    }

    fn until_health(&self, server: &str, host: &str, health: &str) -> Value {
        self.until(&format!("{host} is {health}"), server, host, |node| node["health"] == health)
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn get(port: u16, path: &str) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a page");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

fn http_port(server: &Part) -> u16 {
    server
        .said
        .rsplit(' ')
        .next()
        .and_then(|word| word.trim().parse().ok())
        .unwrap_or_else(|| panic!("{}", server.said))
}

#[test]
fn two_servers_and_three_agents_of_real_engines_with_every_fault() {
    let world = World::new(&["n1", "n2", "n3"]);
    let mut private = PrivateEngine::start(&[]);
    let machine = PathBuf::from("/var/run/docker.sock");
    let ((mut one, port_one), (two, port_two)) = (world.server("one", 0), world.server("two", 0));
    let (first, second) = (format!("127.0.0.1:{port_one}"), format!("127.0.0.1:{port_two}"));
    let both = format!("{first},{second}");
    let _n1 = world.agent("n1", "node-n1.pem", &machine, &both);
    let _n2 = world.agent("n2", "node-n2.pem", &private.socket(), &both);
    let n3 = world.agent("n3", "node-n3.pem", &machine, &both);

    // Both servers serve the same roster.
    for server in [&first, &second] {
        for host in ["n1", "n2", "n3"] {
            let node = world.until(&format!("{host} reports"), server, host, |node| node["engine"] != "");
            assert_ne!(node["health"], "unknown");
            assert!(node["cgroup"] == 1 || node["cgroup"] == 2, "{node}");
        }
    }
    let whole = text(&world.ask(&both, "reader.pem", &["nodes", "n2"]));
    assert!(whole.contains("dybox-test/busybox:1") && whole.contains("history"), "{whole}");
    assert!(text(&world.ask(&both, "reader.pem", &["doctor"])).contains(&format!("ok   {second}")));

    // An engine that stands still is unusable, and well again once it goes on, with a container that proves it.
    private.signal(Signal::SIGSTOP);
    let node = world.until_health(&second, "n2", "unusable");
    assert!(node["why"].as_str().is_some_and(|why| why.contains("the engine does not answer")), "{node}");
    private.signal(Signal::SIGCONT);
    let well = |node: &Value| node["health"] == "healthy" || node["health"] == "degraded";
    world
        .until("n2 is well, and a test container ran", &second, "n2", |node| well(node) && node["canary"]["why"] == "");
    assert!(private.engine().docker(&["ps", "-aq"]).stdout.is_empty(), "the test container is gone");
    // An engine that is dead, too.
    private.kill();
    world.until_health(&first, "n2", "unusable");
    private.up();
    world.until("n2 is well", &first, "n2", well);

    // Who only reads does not drain. A drain that one server misses comes to it through the agent.
    assert!(text(&world.ask(&both, "reader.pem", &["nodes", "drain", "n1"])).contains("only an operator"));
    one.signal(Signal::SIGKILL);
    let _ = one.child.wait();
    let drained = world.ask(&both, "operator.pem", &["nodes", "drain", "n1", "--why", "new disk"]);
    assert!(drained.status.success() && text(&drained).contains("n1 is drained"), "{}", text(&drained));
    assert_eq!(world.nodes(&both).len(), 3, "the other server answers");
    // The first comes back with a database that is damaged: it starts anew, says so, and hears of the drain.
    std::fs::write(world.dir.path().join("one/roster.redb"), b"damaged".repeat(1000)).expect("a file");
    let (one, _) = world.server("one", port_one);
    let node = world.until("the first server hears of the drain", &first, "n1", |node| node["drained"] == true);
    assert_eq!(node["drained_why"], "new disk");
    assert!(text(&world.ask(&first, "reader.pem", &["nodes"])).contains("the database was damaged"));
    let aside = std::fs::read_dir(world.dir.path().join("one")).expect("a directory").flatten();
    assert!(aside.into_iter().any(|file| file.file_name().to_string_lossy().contains("redb.bad-")));
    // What it keeps from now on is there after a kill.
    assert!(world.ask(&both, "operator.pem", &["nodes", "undrain", "n1"]).status.success());
    assert!(world.ask(&both, "operator.pem", &["nodes", "drain", "n9"]).status.success());
    drop(one);
    let (one, _) = world.server("one", port_one);
    world.until("n9 is still drained", &first, "n9", |node| node["drained"] == true);
    world.until("n1 is not", &first, "n1", |node| node["drained"] == false);

    // An agent that is killed is silent.
    drop(n3);
    world.until_health(&first, "n3", "unknown");

    // Lies: another's name, no certificate, another authority's.
    let liar = world.agent("n1", "node-n2.pem", &machine, &first);
    eventually("the liar is turned away", LONG, || {
        get(http_port(&one), "/metrics").contains("refused_total{why=\"other_host\"}").then_some(())
    });
    drop(liar);
    let stranger = World::new(&[]);
    std::fs::copy(stranger.file("reader.pem"), world.file("stranger.pem")).expect("a file");
    for identity in ["ca.pem", "stranger.pem"] {
        let output = world.ask(&both, identity, &["nodes"]);
        assert_eq!(output.status.code(), Some(5), "{identity}: {}", text(&output));
    }
    let page = get(http_port(&two), "/nodes");
    assert!(page.contains("\"host\":\"n2\"") && get(http_port(&two), "/nowhere").starts_with("HTTP/1.1 404"), "{page}");
}
