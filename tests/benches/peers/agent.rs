//! The agent of a node with 50 containers, a report every three seconds: what it costs the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use dybox_tests::{Engine, RosterWorld};

use crate::{Bound, report};

const CONTAINERS: usize = 50;
const OVER: Duration = Duration::from_secs(60);
/// Until it has seen everything once, its own sweep of the node too.
const SETTLED: Duration = Duration::from_secs(15);

pub(crate) fn run() {
    let engine = Engine::machine();
    let made: Vec<String> = (0..CONTAINERS).map(|number| idle(&engine, number)).collect();
    let world = RosterWorld::new(&["n1"]);
    let (_server, port) = world.server("one", 0);
    let servers = format!("127.0.0.1:{port}");
    let home = world.path().join("swept");
    std::fs::create_dir_all(&home).unwrap();
    let more = ["--interval", "3", "--sweep-home", &home.to_string_lossy()];
    let agent = world.agent_with("n1", Path::new("/var/run/docker.sock"), &servers, &more);
    std::thread::sleep(SETTLED);
    let (start, before) = (Instant::now(), cpu_seconds(agent.pid()));
    std::thread::sleep(OVER);
    let share = (cpu_seconds(agent.pid()) - before) / start.elapsed().as_secs_f64() * 100.0;
    let memory = peak_mb(agent.pid());
    drop(agent);
    engine.docker(&[&["rm", "-f"], &made.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    report(
        "agent, 50 containers: peak RSS",
        &format!("{memory:.1} MB"),
        "limit 15 MB",
        memory / 15.0,
        &Bound::AtMost(1.0),
    );
    let beside = "limit 0.5 % of a core";
    report("agent, 50 containers: cpu", &format!("{share:.2} %"), beside, share / 0.5, &Bound::AtMost(1.0));
}

fn idle(engine: &Engine, number: usize) -> String {
    let name = format!("bench-agent-{}-{number}", std::process::id());
    let done =
        engine.docker(&["run", "-d", "--network", "none", "--name", &name, "dybox-test/busybox:1", "sleep", "900"]);
    assert!(done.status.success(), "docker run");
    name
}

/// Of all threads so far, by the scheduler's clock: ticks would miss what takes less than one.
fn cpu_seconds(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let ran = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<f64>().ok()
    });
    ran.sum::<f64>() / 1e9
}

fn peak_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}
