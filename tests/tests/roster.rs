//! The roster on real engines: two state servers, three agents, and what may befall them.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use dybox_tests::{Part, PrivateEngine, RosterWorld as World, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

const LONG: Duration = Duration::from_secs(90);

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
    one.kill();
    let drained = world.ask(&both, "operator.pem", &["nodes", "drain", "n1", "--why", "new disk"]);
    assert!(drained.status.success() && text(&drained).contains("n1 is drained"), "{}", text(&drained));
    assert_eq!(world.nodes(&both).len(), 3, "the other server answers");
    // The first comes back with a database that is damaged: it starts anew, says so, and hears of the drain.
    std::fs::write(world.path().join("one/roster.redb"), b"damaged".repeat(1000)).expect("a file");
    let (one, _) = world.server("one", port_one);
    let node = world.until("the first server hears of the drain", &first, "n1", |node| node["drained"] == true);
    assert_eq!(node["drained_why"], "new disk");
    assert!(text(&world.ask(&first, "reader.pem", &["nodes"])).contains("the database was damaged"));
    let aside = std::fs::read_dir(world.path().join("one")).expect("a directory").flatten();
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

    lies(&world, (&first, &both), &one);
    let page = get(http_port(&two), "/nodes");
    assert!(page.contains("\"host\":\"n2\"") && get(http_port(&two), "/nowhere").starts_with("HTTP/1.1 404"), "{page}");
}

/// Another's name, no certificate, another authority's.
fn lies(world: &World, (first, both): (&str, &str), one: &Part) {
    let machine = PathBuf::from("/var/run/docker.sock");
    let liar = world.agent("n1", "node-n2.pem", &machine, first);
    eventually("the liar is turned away", LONG, || {
        get(http_port(one), "/metrics").contains("refused_total{why=\"other_host\"}").then_some(())
    });
    drop(liar);
    let stranger = World::new(&[]);
    std::fs::copy(stranger.file("reader.pem"), world.file("stranger.pem")).expect("a file");
    for identity in ["ca.pem", "stranger.pem"] {
        let output = world.ask(both, identity, &["nodes"]);
        assert_eq!(output.status.code(), Some(5), "{identity}: {}", text(&output));
    }
}

/// The sockets that a process has open to a port of this machine, each by the name of its file.
fn lines_to(process: u32, port: u16) -> BTreeSet<PathBuf> {
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).expect("its network");
    let there = format!("0100007F:{port:04X}");
    // What is dialled: its own address, the other end's, state; the tenth column names the file.
    let file = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words.get(2)? == &there).then(|| PathBuf::from(format!("socket:[{}]", words[9])))
    };
    let sockets: BTreeSet<_> = table.lines().filter_map(file).collect();
    let open = std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd")).expect("its files");
    let open = open.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    open.filter(|file| sockets.contains(file)).collect()
}

#[test]
fn a_server_or_an_agent_that_stands_still_is_given_up_and_back_once_it_goes_on() {
    let world = World::new(&["n1"]);
    let ((one, port_one), (_two, port_two)) = (world.server("one", 0), world.server("two", 0));
    let (first, second) = (format!("127.0.0.1:{port_one}"), format!("127.0.0.1:{port_two}"));
    let both = format!("{first},{second}");
    let agent = world.agent("n1", "node-n1.pem", &PathBuf::from("/var/run/docker.sock"), &both);
    let is_heard = |node: &Value| node["health"] == "healthy" && node["silent_seconds"].as_f64() < Some(4.0);
    for server in [&first, &second] {
        world.until("n1 is healthy", server, "n1", is_heard);
    }

    // A server that stands still takes reports into its socket for long; the agent misses its beats.
    let line = lines_to(agent.pid(), port_one);
    assert_eq!(line.len(), 1, "an agent has one line to a server");
    let stands = Instant::now();
    one.signal(Signal::SIGSTOP);
    eventually("the agent gives its line up", LONG, || {
        // Whoever asks both hears the one that serves, at once and as ever.
        let asked = Instant::now();
        let nodes = world.nodes(&both);
        assert!(nodes.len() == 1 && is_heard(&nodes[0]), "{nodes:?}");
        assert!(asked.elapsed() < Duration::from_secs(3), "it waited {:?} for the other", asked.elapsed());
        lines_to(agent.pid(), port_one).is_disjoint(&line).then_some(())
    });
    // Its last beat came up to ten seconds before.
    let gave_up = stands.elapsed();
    assert!((9..40).contains(&gave_up.as_secs()), "given up after {gave_up:?}");
    one.signal(Signal::SIGCONT);
    world.until("n1 is back at the first server", &first, "n1", is_heard);

    let stands = Instant::now();
    agent.signal(Signal::SIGSTOP);
    for server in [&first, &second] {
        let node = world.until_health(server, "n1", "unknown");
        assert!(node["why"].as_str().is_some_and(|why| why.starts_with("no report for ")), "{node}");
    }
    let silent = stands.elapsed();
    assert!((14..40).contains(&silent.as_secs()), "silent after {silent:?}");
    agent.signal(Signal::SIGCONT);
    for server in [&first, &second] {
        world.until("n1 is healthy again", server, "n1", is_heard);
    }
}

/// A small disk of its own, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).expect("a directory");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&path).status();
        assert!(done.expect("mount runs").success(), "{}", path.display());
        Self(path)
    }

    /// Leaves no room at all.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.join("filler")).expect("a file");
        for size in [1 << 20, 1 << 12] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_server_whose_disk_is_full_goes_on_says_so_and_keeps_what_it_missed_once_there_is_room() {
    let world = World::new(&["n1"]);
    let disk = SmallDisk::at(world.path().join("one"));
    let (server, port) = world.server("one", 0);
    let at = format!("127.0.0.1:{port}");
    let machine = PathBuf::from("/var/run/docker.sock");
    let _n1 = world.agent("n1", "node-n1.pem", &machine, &at);
    world.until("n1 reports", &at, "n1", |node| node["engine"] != "");
    assert!(world.ask(&at, "operator.pem", &["nodes", "drain", "n0"]).status.success());

    disk.fill();
    // What is written once more where something was written before needs no room: a few long reasons do.
    let why = "x".repeat(60_000);
    let drain = |host: &str| world.ask(&at, "operator.pem", &["nodes", "drain", host, "--why", &why]);
    let mut refused = None;
    for number in 1..200 {
        let host = format!("m{number}");
        let done = drain(&host);
        if !done.status.success() {
            refused = Some((host, text(&done)));
            break;
        }
    }
    let (host, said) = refused.expect("there is room for ever");
    assert!(said.contains("the database can't be written") && said.contains("holds"), "{said}");
    // It goes on, and says what is wrong.
    let told = text(&world.ask(&at, "reader.pem", &["nodes"]));
    assert!(told.contains("the database can't be written"), "{told}");
    world.until("n1 is still heard", &at, "n1", |node| node["silent_seconds"].as_f64() < Some(5.0));
    assert!(get(http_port(&server), "/metrics").contains("dybox_roster_troubles 1"));
    world.until("what is not kept holds all the same", &at, &host, |node| node["drained"] == true);

    disk.make_room();
    eventually("the trouble is over", LONG, || {
        let told = text(&world.ask(&at, "reader.pem", &["nodes"]));
        (!told.contains("can't be written")).then_some(())
    });
    assert!(world.ask(&at, "operator.pem", &["nodes", "drain", "last"]).status.success());
    drop(server);
    let (server, _) = world.server("one", port);
    for host in ["n0", &host, "last"] {
        world.until(&format!("{host} is drained"), &at, host, |node| node["drained"] == true);
    }
    assert!(!text(&world.ask(&at, "reader.pem", &["nodes"])).contains("damaged"));
    drop(server);
    drop(disk);
}

#[test]
fn an_engine_whose_images_are_damaged_is_unusable_whatever_it_answers() {
    let world = World::new(&["n1"]);
    let private = PrivateEngine::start(&[]);
    let (_server, port) = world.server("one", 0);
    let at = format!("127.0.0.1:{port}");
    let canary = ["--canary", "dybox-test/busybox:1", "--canary-every", "1s"];
    let _n1 = world.agent_with("n1", &private.socket(), &at, &canary);
    world.until("a test container ran", &at, "n1", |node| node["canary"]["why"] == "" && node["health"] == "healthy");
    // The layers are gone from the disk; the engine lists its image, and answers as ever.
    private.damage_layers();
    let node = world.until_health(&at, "n1", "unusable");
    assert!(node["why"].as_str().is_some_and(|why| why.contains("a test container could not be started")), "{node}");
    assert!(node["list_ms"].is_u64() && node["ping_ms"].is_u64(), "{node}");
    assert!(text(&world.ask(&at, "reader.pem", &["nodes", "n1"])).contains("dybox-test/busybox:1"));
    // It is no better when it was started again.
    let mut private = private;
    private.kill();
    private.up();
    let node = world.until("it answers again", &at, "n1", |node| node["list_ms"].is_u64());
    assert_eq!(node["health"], "unusable", "{node}");
}

#[test]
fn a_machine_that_the_kernel_calls_pressed_is_degraded_until_it_is_well_below() {
    let world = World::new(&["n1"]);
    let (_server, port) = world.server("one", 0);
    let at = format!("127.0.0.1:{port}");
    let _n1 = world.agent("n1", "node-n1.pem", &PathBuf::from("/var/run/docker.sock"), &at);
    world.until_health(&at, "n1", "healthy");
    // As the kernel writes it: 85 %, 60 %, 40 % of the last minute.
    let dir = world.path().join("pressure");
    std::fs::create_dir_all(&dir).expect("a directory");
    let say = |share: u32| {
        let text = format!(
            "some avg10=0.00 avg60={share}.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        );
        std::fs::write(dir.join("new"), text).expect("a file");
        std::fs::rename(dir.join("new"), dir.join("cpu")).expect("whole or not at all");
    };
    say(85);
    let node = world.until_health(&at, "n1", "degraded");
    assert!(node["why"].as_str().is_some_and(|why| why.contains("cpus are short")), "{node}");
    say(60);
    let node = world.until("it is below", &at, "n1", |node| node["pressure"]["cpu"] == 600);
    assert_eq!(node["health"], "degraded", "but not well below: {node}");
    say(40);
    world.until_health(&at, "n1", "healthy");
}
