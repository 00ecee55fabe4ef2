//! A mixed workload that asks four times what it uses, as it is and right-sized.

use super::Bench;
use crate::report::{Bound, line, median};

/// Stages of one job: what they ask for and use, in MiB, how many tasks they have and how long these run, in seconds.
/// All tasks together need fewer cores than the cluster has: memory is what is scarce, as it is what is right-sized.
const MIX: [(&str, u32, u32, u32, u32); 3] =
    [("small", 512, 115, 10, 20), ("middle", 1024, 240, 8, 25), ("large", 2048, 480, 10, 30)];

/// The job; the cluster has room for half of it at a time, as it is asked for.
fn stages() -> String {
    let stage = |(name, asks, uses, tasks, seconds): (&str, u32, u32, u32, u32)| {
        let fill = format!("dd if=/dev/zero of=/big/x bs=1M count={uses} 2>/dev/null && sleep {seconds}");
        format!(
            "  {name}:\n    memory: {asks}MiB\n    parallelism: {tasks}\n    tmpfs: [\"/big:size={asks}MiB\"]\n    command: [\"sh\", \"-c\", \"{fill}\"]\n"
        )
    };
    MIX.map(stage).concat()
}

pub(crate) fn run(bench: &Bench) {
    let (mut plain, mut first, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.rounds {
        let job = bench.ours.job(&format!("mix{round}"), &stages());
        let job = job.to_string_lossy();
        let time = |more: &[&str]| {
            let took = bench.ours.timed(&[&["run", &job], more].concat()).0;
            bench.ours.settle();
            took
        };
        // Nothing is known of this job yet: what its running tasks give back is all that helps.
        first.push(time(&["--right-size"]));
        plain.push(time(&[]));
        later.push(time(&["--right-size"]));
    }
    let plain = median(plain);
    let all = [("asks 4 x its use: right-sized, first run", first, 1.0), ("  the same: next run", later, 2.0)];
    for (what, took, least) in all {
        let took = median(took);
        line(what, &format!("{took:.1} s"), &format!("as asked {plain:.1} s"), plain / took, &Bound::AtLeast(least));
    }
}
