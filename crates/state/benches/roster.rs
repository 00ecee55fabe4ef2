//! A thousand simulated agents at one report a second: what the state server needs, and how fast it answers.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dybox_model::Millis;
use dybox_model::roster::{Disk, NodeFacts, NodeImage, Pressure, Pulse};
use dybox_model::sweep::Sweep;
use dybox_wire::TlsIdentity;
use dybox_wire::roster::{Line, NodeReport, RosterClient, read_identity};

const AGENTS: usize = 1000;
const SECONDS: u64 = 20;
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(flood());
}

/// The server that people run: `dybox` beside the benchmark, as `scripts/bench` builds it, or what `DYBOX_BENCH` names.
fn program() -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().expect("a path");
        own.ancestors().nth(2).expect("target/release/deps/roster-...").join("dybox")
    };
    std::env::var_os("DYBOX_BENCH").map_or_else(beside, PathBuf::from)
}

/// What an agent says that has swept once, on a machine at work.
fn pulse(at: u64) -> Pulse {
    let free = (50 << 30) - (at << 20);
    let disk = |of: &str| Disk { of: of.to_owned(), path: format!("/var/{of}"), free, total: 100 << 30 };
    let sweep = Sweep { number: 1, at: Millis(7), took: Millis(900), homes: 2, images: 3, ..Sweep::default() };
    Pulse {
        at: Millis(at),
        ping: Some(Millis(1)),
        list: Some(Millis(9 + at % 3)),
        running: 50,
        disks: vec![disk("engine"), disk("logs")],
        pressure: Pressure { cpu: Some(u16::try_from(at % 500).unwrap_or(0)), io: Some(12), memory: Some(0) },
        sweep: Some(sweep),
        ..Pulse::default()
    }
}

fn facts() -> NodeFacts {
    let image = |n: usize| NodeImage {
        id: format!("sha256:{n:064x}"),
        names: vec![
            format!("registry.example/team/image-{n}:1.2"),
            format!("registry.example/team/image-{n}@sha256:{n:064x}"),
        ],
        size: 50 << 20,
    };
    NodeFacts {
        agent: "0.1.0".to_owned(),
        yarn: Some("worker-17.cluster.example:45454".to_owned()),
        engine: "20.10.24".to_owned(),
        storage: "overlay2".to_owned(),
        cgroup: 2,
        kernel: "6.1.0-18-amd64".to_owned(),
        images: (0..50).map(image).collect(),
        ..NodeFacts::default()
    }
}

async fn agent(address: String, identity: TlsIdentity, host: String, number: u64) {
    let first = NodeReport { host: host.clone(), seq: 1, pulse: pulse(0), facts: Some(facts()) };
    let mut line = loop {
        // A thousand come at once: who had to wait too long comes again, as real agents do.
        let Ok(line) = Line::dial(&address, &identity, LIMIT).await else { continue };
        if let Ok(line) = line.attend(first.clone(), LIMIT).await {
            break line;
        }
    };
    tokio::time::sleep(Duration::from_millis(number % 1000)).await;
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    for seq in 2.. {
        tokio::select! {
            _ = beat.tick() => {}
            order = line.orders.recv() => match order {
                // The server has ended, and so does the benchmark.
                None | Some(Err(_)) => return,
                Some(Ok(order)) => panic!("{host}: {order:?}"),
            },
        }
        let report = NodeReport { host: host.clone(), seq, pulse: pulse(seq), facts: None };
        if line.reports.send(report).await.is_err() {
            return;
        }
    }
}

/// A figure beside its limit.
fn say(what: &str, figure: f64, limit: f64, unit: &str) {
    let ratio = figure / limit;
    let verdict = if ratio <= 1.0 { "holds" } else { "MISSED" };
    println!("  {what:<36} {figure:>5.1} {unit:<2}   limit {limit} {unit}   {ratio:>5.2}   {verdict}");
}

/// Hundredths of a second on cpus, and kibibytes of memory.
fn used(pid: u32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    (number(11) + number(12), number(21) * 4)
}

/// A browser's question.
fn page(port: &str) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    stream.write_all(b"GET /nodes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it hears");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("an answer");
    assert!(back.starts_with(b"HTTP/1.1 200") && back.ends_with(b"\"troubles\":[]}"), "{} bytes", back.len());
}

/// Each kind of question fifty times, by turns.
async fn answers(reader: &RosterClient, pages: &str) {
    let mut one = Vec::new();
    let (mut all, mut advice, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let wanted: Vec<_> = (7..10).map(|n| format!("registry.example/team/image-{n}:1.2")).collect();
    for _ in 0..50 {
        for (host, times) in [(Some("n7"), &mut one), (None, &mut all)] {
            let start = Instant::now();
            let view = reader.nodes(host, Vec::new(), LIMIT).await.expect("an answer");
            times.push(start.elapsed());
            assert!(!view.nodes.is_empty());
        }
        let start = Instant::now();
        let view = reader.advice(wanted.clone(), LIMIT).await.expect("an answer");
        advice.push(start.elapsed());
        assert!(view.nodes.len() == AGENTS && view.nodes.iter().all(|node| node.present == wanted));
        let start = Instant::now();
        tokio::task::block_in_place(|| page(pages));
        shown.push(start.elapsed());
    }
    let answers = [
        ("what a master asks for, of all nodes", &mut advice),
        ("all of one node", &mut one),
        ("all of all nodes", &mut all),
        ("all of all nodes, as a page", &mut shown),
    ];
    for (what, times) in answers {
        times.sort();
        say(what, times[25].as_secs_f64() * 1e3, 5.0, "ms");
    }
}

async fn flood() {
    let dir = std::env::temp_dir().join(format!("dybox-roster-{}", std::process::id()));
    let hosts: Vec<_> = (0..AGENTS).map(|n| format!("n{n}")).collect();
    dybox_state::init(&dir, &hosts).expect("an authority");
    let mut server = Command::new(program())
        .args(["state-server", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--dir"])
        .arg(&dir)
        .env("DYBOX_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut said).expect("it tells its ports");
    // state server on port 1, pages on port 2
    let mut ports = said.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let (port, pages) = (ports.next().expect("a port"), ports.next().expect("a port of pages").to_owned());
    let address = format!("127.0.0.1:{port}");
    let identity = |name: &str| {
        let text = std::fs::read_to_string(dir.join(format!("{name}.pem"))).expect("a certificate");
        read_identity(&text).expect("it is one")
    };
    let reader = RosterClient::dial(&address, &identity("reader"), LIMIT).await.expect("a line");
    for (number, host) in hosts.into_iter().enumerate() {
        tokio::spawn(agent(address.clone(), identity(&format!("node-{host}")), host, number as u64));
    }
    loop {
        let view = reader.nodes(None, Vec::new(), LIMIT).await.expect("an answer");
        if view.nodes.iter().filter(|node| node.images == 50).count() == AGENTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, start) = (used(server.id()), Instant::now());
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let (after, took) = (used(server.id()), start.elapsed());
    let cpu = (after.0 - before.0) as f64 / took.as_secs_f64();
    println!("a state server, {AGENTS} agents, a report a second of each:");
    say("cpu, of a core", cpu, 5.0, "%");
    say("memory", after.1 as f64 * 1.024e-3, 50.0, "MB");
    answers(&reader, &pages).await;
    let _ = server.kill();
    let _ = server.wait();
    let _ = std::fs::remove_dir_all(&dir);
}
