//! Tasks that follow each other in one container, beside a fresh container each, in the same run.

use std::process::{Command, Stdio};

use crate::{Bound, dybox, report, seconds, settle};

/// Tasks of a round: enough that the start of the run counts for little.
const WARM: u32 = 5_000;
const FRESH: u32 = 100;

pub(crate) fn run() {
    let [fresh, warm] = [(false, FRESH), (true, WARM)].map(|(reuse, tasks)| {
        let mut rates: Vec<f64> = (0..3).map(|_| f64::from(tasks) / whole_run(reuse, tasks)).collect();
        rates.sort_by(f64::total_cmp);
        rates[1]
    });
    let beside = "limit 500 tasks/s";
    report("reuse: true, `true`", &format!("{warm:.0} tasks/s"), beside, warm / 500.0, &Bound::AtLeast(1.0));
    let beside = format!("fresh containers {fresh:.1} tasks/s");
    report(
        "reuse: true beside fresh containers",
        &format!("{warm:.0} tasks/s"),
        &beside,
        warm / fresh,
        &Bound::AtLeast(1.0),
    );
}

/// From the command to its end, the first container and all clean-up included.
fn whole_run(reuse: bool, tasks: u32) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.yaml");
    let stage = format!(
        "image: \"dybox-test/busybox:1\", command: [\"true\"], cpus: 0.5, memory: 32MiB, reuse: {reuse}, parallelism: {tasks}"
    );
    std::fs::write(&job, format!("name: warm\nstages:\n  a: {{ {stage} }}\n")).unwrap();
    let home = dir.path().join("home");
    let took = seconds(|| {
        let mut command = Command::new(dybox());
        command.arg("run").arg(&job).env("DYBOX_HOME", &home).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "the run failed");
    });
    settle(&home);
    took
}
