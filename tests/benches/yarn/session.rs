//! One container in a warm session, to its first byte, beside `docker run` in a warm session of Tez.

use std::time::{Duration, SystemTime};

use dybox_tests::cluster::tez_session;

use super::Bench;
use crate::client::written;
use crate::report::{Bound, beside, line, median};
use crate::tasks::docker_run;

/// Rounds that make both warm and do not count.
const UNCOUNTED: usize = 2;
/// The limit, in seconds.
const LIMIT: f64 = 0.25;

/// Ours from the start of the command; theirs from the submission in a client that runs already.
pub(crate) fn run(bench: &Bench) {
    let said = bench.ours.said();
    let (ours, theirs) = (said.join("ours"), said.join("theirs"));
    let job = "  a: { command: [\"sh\", \"-c\", \"echo hello > /said/ours\"], volumes: [\"./said:/said\"] }\n";
    let job = bench.ours.job("session", job).to_string_lossy().into_owned();
    bench.ours.timed(&["session", "start", "bench", "--grants", "2", "--memory", "256MiB"]);
    let mut run = Vec::new();
    for round in 0..bench.rounds + UNCOUNTED {
        let start = SystemTime::now();
        bench.ours.timed(&["run", "--session", "bench", &job]);
        run.extend((round >= UNCOUNTED).then(|| written(&ours, start)));
        let _ = std::fs::remove_file(&ours);
        std::thread::sleep(Duration::from_secs(1));
    }
    bench.ours.timed(&["session", "stop", "bench"]);
    bench.ours.settle();
    std::fs::write(said.join("theirs.sh"), "echo hello > /said/theirs\n").unwrap();
    let command = docker_run(&format!("-v {}:/said", said.display()), "sh /said/theirs.sh");
    let tez = tez_session(bench.cluster, bench.rounds + UNCOUNTED, &command, &theirs).split_off(UNCOUNTED);
    bench.ours.settle();
    let took = median(run.clone());
    line("dybox run --session: first byte", &format!("{took:.3} s"), "limit", took / LIMIT, &Bound::AtMost(1.0));
    beside("  the same", &run, ("a warm Tez session", &tez), 1.0);
}
