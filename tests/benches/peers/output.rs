//! 200 MB of payload output to the end of its archive, beside a bare redirect to a file; and what the engine spends.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Bound, dybox, dybox_run, median, report, seconds, settle};

const MEGABYTES: u64 = 200;
const GENERATE: &str = "dd if=/dev/zero bs=64k count=3200 2>/dev/null | tr '\\\\0' x";

pub(crate) fn run() {
    let (mut ours, mut bare, mut engine) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        bare.push(redirect());
        let (took, cpu) = archived();
        ours.push(took);
        engine.push(cpu);
    }
    let (ours, bare, engine) = (median(ours), median(bare), median(engine));
    let rate = |took: f64| MEGABYTES as f64 * 1.048_576 / took;
    let figure = format!("{:.0} MB/s", rate(ours));
    report(
        "200 MB of output into its archive",
        &figure,
        &format!("bare redirect {:.0} MB/s", rate(bare)),
        bare / ours,
        &Bound::AtLeast(0.8),
    );
    report(
        "  engine cpu for it (above an empty run)",
        &format!("{engine:.2} s"),
        "limit 0.2 s",
        engine / 0.2,
        &Bound::AtMost(1.0),
    );
}

/// The same generator in a plain container, redirected to a bind-mounted file; its own time only.
fn redirect() -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("{}:/out", dir.path().display());
    let run = |script: &str| {
        let mut command = Command::new("/usr/bin/docker");
        command.args(["run", "--rm", "--network", "none", "-v", &mount, "dybox-test/busybox:1", "sh", "-c", script]);
        seconds(|| assert!(command.status().unwrap().success()))
    };
    let empty = run("true");
    run(&format!("{GENERATE} > /out/file")) - empty
}

fn engine_cpu() -> f64 {
    let ticks: u64 = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (head, tail) = stat.rsplit_once(") ")?;
            let name = head.split_once('(')?.1;
            let fields: Vec<_> = tail.split(' ').collect();
            let cpu = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            (name == "dockerd" || name == "containerd").then_some(cpu)
        })
        .sum();
    ticks as f64 / 100.0
}

/// (seconds from the payload's start to the end of its archive, engine cpu above that of an empty run).
fn archived() -> (f64, f64) {
    let measure = |script: &str| {
        let dir = tempfile::tempdir().unwrap();
        let job = dir.path().join("job.yaml");
        let text = format!(
            "name: output\nstages:\n  a:\n    image: dybox-test/busybox:1\n    cpus: 2\n    memory: 128MiB\n    command: [\"sh\", \"-c\", \"{script}\"]\n"
        );
        std::fs::write(&job, text).unwrap();
        let home = dir.path().join("home");
        let (cpu, start) = (engine_cpu(), Instant::now());
        assert!(dybox_run(&job, &home).status().unwrap().success());
        let took = start.elapsed();
        let cpu = engine_cpu() - cpu;
        check(&home, script);
        settle(&home);
        (took, cpu)
    };
    let empty: (Duration, f64) = measure("true");
    let full = measure(GENERATE);
    ((full.0 - empty.0.min(full.0)).as_secs_f64(), (full.1 - empty.1).max(0.0))
}

/// What was archived is all there.
fn check(home: &Path, script: &str) {
    if script == "true" {
        return;
    }
    let mut command = Command::new(dybox());
    command.args(["logs", "--raw", "--no-prefix", "@latest"]).env("DYBOX_HOME", home);
    let output = command.output().unwrap();
    assert_eq!(output.stdout.len() as u64, MEGABYTES << 20);
}
