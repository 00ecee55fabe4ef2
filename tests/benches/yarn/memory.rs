//! Peak resident memory of a master of 1,000 tasks and of its proxies, beside a Java master.

use std::process::Stdio;
use std::time::Duration;

use super::Bench;
use crate::report::{Bound, line};
use crate::tasks::peer;

pub(crate) fn run(bench: &Bench) {
    let job = bench.ours.job("thousand", "  a: { command: [\"true\"], parallelism: 1000 }\n");
    let mut command = bench.ours.command(&["run", &job.to_string_lossy()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut master, mut proxy) = (0, 0);
    let peak = |words| {
        let found = bench.cluster.in_grants(words).into_iter();
        found.map(|found| found.process.peak_kib()).max().unwrap_or_default()
    };
    while child.try_wait().unwrap().is_none() {
        master = peak("dybox master").max(master);
        proxy = peak("dybox proxy").max(proxy);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(child.wait().unwrap().success());
    bench.ours.settle();
    let java = peer(bench, 40, "true").master_kib;
    let beside = format!("(DistributedShell's, 40 tasks: {} MiB)", java / 1024);
    for (what, kib, limit, beside) in [
        ("peak RSS of the master, 1,000 tasks", master, 25.0, beside.as_str()),
        ("peak RSS of a proxy", proxy, 15.0, ""),
    ] {
        let mib = kib as f64 / 1024.0;
        let beside = format!("limit {limit:.0} MB {beside}");
        line(what, &format!("{mib:.1} MiB"), &beside, mib * 1.048_576 / limit, &Bound::AtMost(1.0));
    }
}
