//! The diamonds and the chain of `scripts/bench dags`, beside Tez, and beside the same on one machine.

use std::fmt::Write;

use dybox_tests::cluster::tez;

use super::Bench;
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
    one(bench, "ten diamonds", ("diamonds:10", &diamonds), 8);
    one(bench, "a chain of ten", ("chain:10", &chain), 1);
}

/// `width`: how many of its containers run at once on one machine.
fn one(bench: &Bench, what: &str, (shape, dag): (&str, &[Vec<usize>]), width: usize) {
    let name = shape.replace(':', "");
    let job = bench.ours.job(&name, &stages(dag, None));
    // A stage before all others, as wide as the rest: once it has ended the grants are there.
    let held = bench.ours.job(&format!("{name}-held"), &stages(dag, Some(width)));
    let command = docker_run("", "true");
    let (mut ours, mut inner, mut theirs, mut here) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        ours.push(bench.ours.timed(&["run", &job.to_string_lossy()]).0);
        bench.ours.settle();
        let run = tez(bench.cluster, shape, &command);
        assert!(run.worked, "Tez failed: {}", run.said);
        theirs.push(run.took.as_secs_f64());
        bench.ours.settle();
        inner.push(from_first_stage(&bench.ours.timed(&["run", "-o", "jsonl", &held.to_string_lossy()]).1));
        bench.ours.settle();
        here.push(from_first_stage(&bench.ours.timed_here(&held).1));
    }
    beside(what, &ours, ("Tez", &theirs), 0.35);
    let (inner, here) = (median(inner), median(here));
    beside("  once its grants are there", &[inner], ("on one machine", &[here]), 1.15);
}

fn stages(dag: &[Vec<usize>], width: Option<usize>) -> String {
    let mut text = String::new();
    if let Some(width) = width {
        writeln!(text, "  first: {{ command: [sleep, \"1\"], parallelism: {width} }}").unwrap();
    }
    for (node, needs) in dag.iter().enumerate() {
        let mut needs: Vec<_> = needs.iter().map(|need| format!("s{need}")).collect();
        if needs.is_empty() && width.is_some() {
            needs.push("first".to_owned());
        }
        writeln!(text, "  s{node}: {{ command: [\"true\"], needs: [{}] }}", needs.join(", ")).unwrap();
    }
    text
}

/// Seconds from the first stage's end to the run's end, as the run itself wrote them down.
fn from_first_stage(told: &str) -> f64 {
    let facts = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let times = |event: &str| {
        let all = facts.clone().filter(|fact| fact["event"] == event);
        all.filter_map(|fact| Some(seconds(fact["at"].as_str()?))).collect::<Vec<_>>()
    };
    let first = times("stage_ended")[0];
    let last = *times("ended").last().unwrap();
    // Past midnight the clock begins again.
    (last - first).rem_euclid(86_400.0)
}

/// Seconds of the day of `2026-11-21T12:15:22.144Z`.
fn seconds(at: &str) -> f64 {
    let clock = at.split_once('T').unwrap().1.trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}
