//! Logs of a finished run: how soon they are complete, and how long reading them takes, beside `yarn logs`.

use std::time::{Duration, Instant};

use dybox_tests::eventually;

use super::Bench;
use crate::report::{Bound, beside, line, median};
use crate::tasks::peer;

const TASKS: usize = 20;

pub(crate) fn run(bench: &Bench) {
    let stages = format!("  a: {{ command: [\"seq\", \"100\"], parallelism: {TASKS} }}\n");
    let job = bench.ours.job("talks", &stages);
    let (mut complete, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let id = bench.ours.timed(&["run", "-q", &job.to_string_lossy()]).1.trim().to_owned();
        let start = Instant::now();
        let words = ["logs", "--no-prefix", id.as_str()];
        eventually("the logs are complete", Duration::from_secs(30), || {
            (bench.ours.timed(&words).1.lines().count() == TASKS * 100).then_some(())
        });
        complete.push(start.elapsed().as_secs_f64());
        bench.ours.settle();
        ours.push(bench.ours.timed(&words).0);
        let application = peer(bench, TASKS, "seq 100").application;
        let words = ["org.apache.hadoop.yarn.client.cli.LogsCLI", "-applicationId", &application];
        let mut took = 0.0;
        // YARN gathers them some time after the end; the time of a reading that finds them all counts.
        eventually("yarn logs finds them", Duration::from_secs(60), || {
            let start = Instant::now();
            let done = bench.cluster.java(&words).output().ok()?;
            took = start.elapsed().as_secs_f64();
            let lines = String::from_utf8_lossy(&done.stdout).lines().filter(|line| *line == "100").count();
            (lines == TASKS).then_some(())
        });
        theirs.push(took);
    }
    beside("dybox logs of a finished run", &ours, ("yarn logs", &theirs), 0.1);
    let soon = median(complete);
    let what = "  complete so long after the run's return";
    line(what, &format!("{soon:.2} s"), "limit 1 s", soon, &Bound::AtMost(1.0));
}
