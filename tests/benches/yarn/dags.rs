//! The diamonds and the chain of `scripts/bench dags`, beside Tez, and beside the same on one machine.

use std::fmt::Write;
use std::process::{Command, Stdio};

use dybox_tests::cluster::tez;

use super::Bench;
use crate::client::{dybox, timed};
use crate::report::{beside, median};
use crate::tasks::docker_run;

pub(crate) fn run(bench: &Bench) {
    let diamonds: Vec<Vec<usize>> = (0..10)
        .flat_map(|d| {
            let at = d * 4;
            [vec![], vec![at], vec![at], vec![at + 1, at + 2]]
        })
        .collect();
    let chain: Vec<Vec<usize>> = (0..10).map(|node: usize| node.checked_sub(1).into_iter().collect()).collect();
    one(bench, "ten diamonds", ("diamonds:10", &diamonds));
    one(bench, "a chain of ten", ("chain:10", &chain));
}

fn one(bench: &Bench, what: &str, (shape, dag): (&str, &[Vec<usize>])) {
    let job = bench.ours.job(&shape.replace(':', ""), &stages(dag));
    let command = docker_run("", "true");
    let (mut ours, mut inner, mut theirs, mut here) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let (took, told) = bench.ours.timed(&["run", "-o", "jsonl", &job.to_string_lossy()]);
        ours.push(took);
        inner.push(from_first_container(&told));
        bench.ours.settle();
        let run = tez(bench.cluster, shape, &command);
        assert!(run.worked, "Tez failed: {}", run.said);
        theirs.push(run.took.as_secs_f64());
        bench.ours.settle();
        let mut local = Command::new(dybox());
        local.args(["run", "--local", "-o", "jsonl"]).arg(&job).stdin(Stdio::null());
        local.env("DYBOX_HOME", bench.ours.dir().join("local")).env("DYBOX_CONF", "/dev/null");
        here.push(from_first_container(&timed(&mut local).1));
    }
    beside(what, &ours, ("Tez", &theirs), 0.35);
    let (inner, here) = (median(inner), median(here));
    beside("  from its first container to its end", &[inner], ("on one machine", &[here]), 1.15);
}

fn stages(dag: &[Vec<usize>]) -> String {
    let mut text = String::new();
    for (node, needs) in dag.iter().enumerate() {
        let needs: Vec<_> = needs.iter().map(|need| format!("s{need}")).collect();
        writeln!(text, "  s{node}: {{ command: [\"true\"], needs: [{}] }}", needs.join(", ")).unwrap();
    }
    text
}

/// Seconds from the first container's start to the run's end, as the run itself wrote them down.
fn from_first_container(told: &str) -> f64 {
    let facts = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let times = |event: &str| {
        let all = facts.clone().filter(|fact| fact["event"] == event);
        all.filter_map(|fact| Some(seconds(fact["at"].as_str()?))).collect::<Vec<_>>()
    };
    let (runs, ends) = (times("attempt_runs"), times("ended"));
    let first = runs.into_iter().min_by(f64::total_cmp).unwrap();
    let last = ends.into_iter().max_by(f64::total_cmp).unwrap();
    // Past midnight the clock begins again.
    (last - first).rem_euclid(86_400.0)
}

/// Seconds of the day of `2026-11-21T12:15:22.144Z`.
fn seconds(at: &str) -> f64 {
    let clock = at.split_once('T').unwrap().1.trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}
