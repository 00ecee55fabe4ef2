//! One container to its first byte; 40 and 200 of them to the command's return.

use std::time::SystemTime;

use dybox_tests::cluster::{PeerRun, distributed_shell};

use super::Bench;
use crate::client::{IMAGE, written};
use crate::report::{Bound, beside, line, median};

/// Memory of the peer's containers, in MiB: what ours are given too.
const MEMORY: u64 = 64;

/// `docker run` as peers do it.
pub(crate) fn docker_run(options: &str, command: &str) -> String {
    format!("docker run --rm --network none {options} {IMAGE} {command}")
}

pub(crate) fn peer(bench: &Bench, count: usize, command: &str) -> PeerRun {
    let run = distributed_shell(bench.cluster, count, MEMORY, command);
    assert!(run.worked, "DistributedShell failed: {}", run.said);
    bench.ours.settle();
    run
}

/// Both payloads write into a file: its time is that of the first byte.
pub(crate) fn one(bench: &Bench) {
    let said = bench.ours.said();
    let (ours, theirs) = (said.join("ours"), said.join("theirs"));
    let job = bench
        .ours
        .job("one", "  a: { command: [\"sh\", \"-c\", \"echo hello > /said/ours\"], volumes: [\"./said:/said\"] }\n");
    // DistributedShell passes a command through a shell of its own: the payload is a file, not words in quotes.
    std::fs::write(said.join("theirs.sh"), "echo hello > /said/theirs\n").unwrap();
    let command = docker_run(&format!("-v {}:/said", said.display()), "sh /said/theirs.sh");
    let (mut run, mut shell, mut shell_of) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let start = SystemTime::now();
        bench.ours.timed(&["run", &job.to_string_lossy()]);
        run.push(written(&ours, start));
        bench.ours.settle();
        shell.push(bench.ours.first_byte(&["shell", "--image", IMAGE, "--memory", "32MiB", "--", "echo", "hello"]));
        bench.ours.settle();
        let start = SystemTime::now();
        peer(bench, 1, &command);
        shell_of.push(written(&theirs, start));
        let _ = (std::fs::remove_file(&ours), std::fs::remove_file(&theirs));
    }
    beside("dybox run, one container: first byte", &run, ("DistributedShell", &shell_of), 0.25);
    beside("  the same: it runs in the master's own grant", &run, ("DistributedShell", &shell_of), 0.15);
    beside("dybox shell: first byte at the client", &shell, ("DistributedShell", &shell_of), 0.15);
}

pub(crate) fn many(bench: &Bench) {
    let job = |count: usize| {
        bench.ours.job(&format!("t{count}"), &format!("  a: {{ command: [\"true\"], parallelism: {count} }}\n"))
    };
    let time = |count: usize| {
        let took = bench.ours.timed(&["run", &job(count).to_string_lossy()]).0;
        bench.ours.settle();
        took
    };
    let (mut forty, mut forty_of, mut more, mut more_of) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut alone = Vec::new();
    let command = docker_run("", "true");
    for _ in 0..bench.rounds {
        forty.push(time(40));
        forty_of.push(peer(bench, 40, &command).took.as_secs_f64());
        more.push(time(200));
        more_of.push(peer(bench, 200, "true").took.as_secs_f64());
        alone.push(bench.ours.timed_here(&job(200)).0);
    }
    beside("40 tasks, a fresh container each", &forty, ("DistributedShell", &forty_of), 0.35);
    let (ours, theirs) = (median(more), median(more_of));
    let peer = format!("DistributedShell, processes {theirs:.2} s");
    line("200 tasks, a fresh container each", &format!("{ours:.2} s"), &peer, theirs / ours, &Bound::AtLeast(2.5));
    // How near anything that makes a container for each can come to that bound on this machine.
    let alone = median(alone);
    let what = "  the same without YARN, on one engine";
    line(what, &format!("{alone:.2} s"), &peer, theirs / alone, &Bound::None);
}
