//! Tasks that follow each other in one container, beside a fresh container each, in the same run.

use crate::{Bound, report, whole_run};

/// Tasks of a round: enough that the start of the run counts for little.
const WARM: u32 = 5_000;
const FRESH: u32 = 100;

pub(crate) fn run() {
    let [fresh, warm] = [(false, FRESH), (true, WARM)].map(|(reuse, tasks)| {
        let mut rates: Vec<f64> = (0..3).map(|_| f64::from(tasks) / whole_run(&job(reuse, tasks))).collect();
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

fn job(reuse: bool, tasks: u32) -> String {
    let stage = format!(
        "image: \"dybox-test/busybox:1\", command: [\"true\"], cpus: 0.5, memory: 32MiB, reuse: {reuse}, parallelism: {tasks}"
    );
    format!("name: warm\nstages:\n  a: {{ {stage} }}\n")
}
