//! 40 independent tasks, ten diamonds, a chain of ten: `dybox run` beside the raw loop and beside `make -j8`.

use std::fmt::Write;
use std::process::{Command, Stdio};

use crate::raw::Dag;
use crate::{Bound, dybox_run, median, raw, report, seconds, settle};

const ROUNDS: usize = 5;

pub(crate) fn run() {
    let independent: Dag = vec![Vec::new(); 40];
    let diamonds: Dag = (0..10)
        .flat_map(|d| {
            let at = d * 4;
            [vec![], vec![at], vec![at], vec![at + 1, at + 2]]
        })
        .collect();
    let chain: Dag = (0..10).map(|node: usize| node.checked_sub(1).into_iter().collect()).collect();
    for (name, dag) in [("40 independent, 8 at once", independent), ("ten diamonds", diamonds), ("chain of ten", chain)]
    {
        one(name, &dag);
    }
}

fn one(name: &str, dag: &Dag) {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.yaml");
    std::fs::write(&job, job_file(dag)).unwrap();
    std::fs::write(dir.path().join("Makefile"), makefile(dag)).unwrap();
    let home = dir.path().join("home");
    let (mut ours, mut raw_loop, mut make) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raw_loop.push(seconds(|| raw::run(dag, 8)));
        ours.push(seconds(|| {
            let done = dybox_run(&job, &home).status().unwrap();
            assert!(done.success(), "dybox run failed in {}", dir.path().display());
        }));
        settle(&home);
        if round < 3 {
            let mut command = Command::new("make");
            command.args(["-s", "-j8"]).current_dir(dir.path()).stdout(Stdio::null());
            make.push(seconds(|| assert!(command.status().unwrap().success())));
        }
    }
    let (ours, raw_loop, make) = (median(ours), median(raw_loop), median(make));
    let figure = format!("{ours:.2} s");
    report(name, &figure, &format!("raw loop {raw_loop:.2} s"), ours / raw_loop, &Bound::AtMost(1.10));
    report(name, &figure, &format!("make -j8 {make:.2} s"), make / ours, &Bound::AtLeast(2.0));
}

fn job_file(dag: &Dag) -> String {
    let mut text = "name: bench\ndefaults: { image: \"dybox-test/busybox:1\", cpus: 0.25, memory: 32MiB, command: [\"true\"] }\nstages:\n".to_owned();
    for (node, needs) in dag.iter().enumerate() {
        let needs: Vec<_> = needs.iter().map(|need| format!("s{need}")).collect();
        writeln!(text, "  s{node}: {{ needs: [{}] }}", needs.join(", ")).unwrap();
    }
    text
}

fn makefile(dag: &Dag) -> String {
    let all: Vec<_> = (0..dag.len()).map(|node| format!("s{node}")).collect();
    let mut text = format!(".PHONY: all {0}\nall: {0}\n", all.join(" "));
    for (node, needs) in dag.iter().enumerate() {
        let needs: Vec<_> = needs.iter().map(|need| format!("s{need}")).collect();
        writeln!(
            text,
            "s{node}: {}\n\t/usr/bin/docker run --rm --cpus 0.25 --memory 32m dybox-test/busybox:1 true",
            needs.join(" ")
        )
        .unwrap();
    }
    text
}
