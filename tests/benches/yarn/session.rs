//! One task in a warm session, to its first byte, beside the same in a warm session of Tez: in a fresh container, and in
//! one that is used again.

use std::time::Duration;

use dybox_tests::cluster::tez_session;

use super::Bench;
use crate::client::written;
use crate::report::{Bound, beside, line, median};
use crate::tasks::docker_run;

/// Rounds that make both warm and do not count.
const UNCOUNTED: usize = 2;
/// The limits, in seconds.
const LIMIT: f64 = 0.25;
const WARM_LIMIT: f64 = 0.06;

/// Ours from the start of the command; theirs from the submission in a client that runs already.
pub(crate) fn run(bench: &Bench) {
    let said = bench.ours.said();
    let theirs = said.join("theirs");
    bench.ours.timed(&["session", "start", "bench", "--grants", "2", "--memory", "256MiB"]);
    let [fresh, warm] = ["fresh", "warm"].map(|name| ours(bench, name));
    bench.ours.timed(&["session", "stop", "bench"]);
    bench.ours.settle();
    std::fs::write(said.join("theirs.sh"), format!("echo hello > ${{1:-{}}}\n", theirs.display())).unwrap();
    let tez = |command: &str| {
        let took = tez_session(bench.cluster, bench.rounds + UNCOUNTED, command, &theirs).split_off(UNCOUNTED);
        bench.ours.settle();
        took
    };
    let theirs_fresh = tez(&docker_run(&format!("-v {}:/said", said.display()), "sh /said/theirs.sh /said/theirs"));
    // Their warm task is a process in a container of YARN's that is used again.
    let theirs_warm = tez(&format!("sh {}", said.join("theirs.sh").display()));
    for (what, run, limit, theirs) in
        [("a fresh container", &fresh, LIMIT, &theirs_fresh), ("a warm task", &warm, WARM_LIMIT, &theirs_warm)]
    {
        let (took, what) = (median(run.clone()), format!("run --session: first byte of {what}"));
        line(&what, &format!("{took:.3} s"), "limit", took / limit, &Bound::AtMost(1.0));
        beside("  the same", run, ("a warm Tez session", theirs), 1.0);
    }
}

/// Seconds from the command to the first byte.
fn ours(bench: &Bench, name: &str) -> Vec<f64> {
    let said = bench.ours.said().join(name);
    let command = format!("command: [\"sh\", \"-c\", \"echo hello > /said/{name}\"], volumes: [\"./said:/said\"]");
    let job = bench.ours.job(name, &format!("  a: {{ {command}, reuse: {} }}\n", name == "warm"));
    let job = job.to_string_lossy().into_owned();
    let mut all = Vec::new();
    for round in 0..bench.rounds + UNCOUNTED {
        let start = bench.ours.began(&["run", "--session", "bench", &job]);
        all.extend((round >= UNCOUNTED).then(|| written(&said, start)));
        let _ = std::fs::remove_file(&said);
        // For the agent to be ready for the next.
        std::thread::sleep(Duration::from_secs(1));
    }
    all
}
