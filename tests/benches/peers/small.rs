//! Quick commands and resident memory.

use std::process::{Command, Stdio};

use crate::{Bound, dybox, dybox_run, median, report, seconds, settle};

pub(crate) fn run() {
    version_and_check();
    memory();
}

fn version_and_check() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.yaml");
    let stages: String = (0..1000)
        .map(|n| {
            let needs = if n == 0 { String::new() } else { format!("needs: [s{}], ", (n - 1) / 2) };
            format!("  s{n}: {{ {needs}image: \"busybox:1\", command: [\"echo\", \"{n}\"] }}\n")
        })
        .collect();
    std::fs::write(&job, format!("name: large\nstages:\n{stages}")).unwrap();
    let time = |args: &[&str], bound: f64, what: &str| {
        let times = (0..15)
            .map(|_| {
                seconds(|| {
                    let mut command = Command::new(dybox());
                    command.args(args).env("DYBOX_HOME", dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
                    assert!(command.status().unwrap().success());
                })
            })
            .collect();
        let took = median(times) * 1000.0;
        report(what, &format!("{took:.1} ms"), &format!("limit {bound:.0} ms"), took / bound, &Bound::AtMost(1.0));
    };
    time(&["--version"], 10.0, "dybox --version");
    time(&["check", &job.to_string_lossy()], 50.0, "dybox check of 1,000 stages");
}

/// Peak resident memory of the master at 1,000 tasks, and of the largest proxy.
fn memory() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.yaml");
    std::fs::write(&job, "name: many\nstages:\n  a: { image: \"dybox-test/busybox:1\", command: [\"true\"], cpus: 0.25, memory: 32MiB, parallelism: 1000 }\n").unwrap();
    let home = dir.path().join("home");
    let mut child = dybox_run(&job, &home).spawn().unwrap();
    let (mut master, mut proxy) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        master = master.max(peak_of("master", &home.to_string_lossy()));
        proxy = proxy.max(peak_of("proxy", &home.to_string_lossy()));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    settle(&home);
    for (what, kib, bound) in
        [("peak RSS of the master, 1,000 tasks", master, 25.0), ("peak RSS of a proxy", proxy, 15.0)]
    {
        let mib = kib as f64 / 1024.0;
        report(
            what,
            &format!("{mib:.1} MiB"),
            &format!("limit {bound:.0} MB"),
            mib * 1.048_576 / bound,
            &Bound::AtMost(1.0),
        );
    }
}

/// Highest VmHWM, in KiB, among this home's processes of a kind.
fn peak_of(kind: &str, home: &str) -> u64 {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let words = String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).ok()?).into_owned();
            if !words.contains(home) || words.split('\0').nth(1) != Some(kind) {
                return None;
            }
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            status.lines().find(|line| line.starts_with("VmHWM"))?.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .max()
        .unwrap_or_default()
}
