//! From a job file to a finished DAG, on the machine's real engine.

use std::time::Duration;

use dybox_tests::{Workspace, overlaps};

#[test]
fn a_diamond_runs_each_task_once_and_in_order() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n",
        "  a: { script: \". /said/fns; say start; echo from a; say end\" }\n",
        "  b: { needs: [a], parallelism: 3, script: \". /said/fns; say start; echo from b $DYBOX_TASK_INDEX of $DYBOX_TASK_COUNT; say end\" }\n",
        "  c: { needs: [a], script: \". /said/fns; say start; say end\" }\n",
        "  d: { needs: [b, c], script: \". /said/fns; say start; say end\" }\n",
    ));
    let done = place.dybox(&["run", "job.yaml"]).expect(0);
    let said = place.said();
    let order: Vec<_> = said.iter().map(|line| (line.what.as_str(), line.stage.as_str())).collect();
    assert_eq!(order.len(), 12, "{order:?}");
    let first = |what, stage| order.iter().position(|&seen| seen == (what, stage)).expect("it ran");
    let last = |what, stage| order.iter().rposition(|&seen| seen == (what, stage)).expect("it ran");
    assert!(last("end", "a") < first("start", "b") && last("end", "a") < first("start", "c"));
    assert!(last("end", "b") < first("start", "d") && last("end", "c") < first("start", "d"));
    assert!(overlaps(&said).is_empty());
    let run = done.run_id();
    place.dybox(&["logs", &run, "b/1"]).expect(0).says("from b 1 of 3");
    place.dybox(&["status", &run]).expect(0).says("succeeded");
    place.assert_nothing_left();
}

#[test]
fn independent_parts_of_the_dag_are_sub_dags_of_their_own() {
    let place = Workspace::new();
    place.job("stages:\n  a: { command: [\"true\"] }\n  b: { command: [\"true\"] }\n  c: { needs: [b], command: [\"true\"] }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    let subs = std::fs::read_dir(place.home().join("runs").join(&run).join("sub")).expect("sub-DAGs").count();
    assert_eq!(subs, 2);
    place.dybox(&["status", &run, "-o", "json"]).expect(0).says("\"succeeded\"");
    place.assert_nothing_left();
}

#[test]
fn a_later_sub_dag_is_started_by_the_master_that_finishes_its_last_need() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a: { subdag: one, script: \"echo '{\\\"n\\\": 7}' > $DYBOX_RESULT\" }\n",
        "  b: { subdag: two, command: [\"true\"] }\n",
        "  c: { subdag: three, needs: [a, b], script: \"cat $DYBOX_NEEDS\" }\n",
    ));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    dybox_tests::eventually("the run ends", Duration::from_secs(60), || {
        let status = place.dybox(&["status", &run, "-o", "json"]).expect(0).json();
        (status["run"]["state"] == "succeeded").then_some(())
    });
    place.dybox(&["logs", &run, "c"]).expect(0).says("\"n\":7");
    place.assert_nothing_left();
}

#[test]
fn a_failed_stage_stops_only_what_needs_it() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  bad: { script: \"echo broken >&2; exit 3\" }\n",
        "  after: { needs: [bad], command: [\"true\"] }\n",
        "  rescue: { needs: { bad: failed }, script: \"echo rescued\" }\n",
        "  always: { needs: { bad: finished }, script: \"echo anyway\" }\n",
        "  apart: { command: [\"true\"] }\n",
    ));
    let done = place.dybox(&["run", "job.yaml"]).expect(1).says("broken").says("exit code 3").says("C1001");
    let run = done.run_id();
    let status = place.dybox(&["status", &run]).expect(0).says("skipped");
    assert!(status.out.matches("succeeded").count() >= 3, "{}", status.out);
    place.dybox(&["logs", &run, "rescue"]).expect(0).says("rescued");
    place.dybox(&["why", &run]).expect(0).says("bad").says("exit");
    place.assert_nothing_left();
}

#[test]
fn fail_fast_stops_the_whole_run() {
    let place = Workspace::new();
    place.job("fail_fast: true\nstages:\n  bad: { script: \"sleep 1; exit 3\" }\n  slow: { command: [sleep, \"100\"], stop_grace: 1s }\n");
    let done = place.dybox(&["run", "job.yaml"]).expect(1);
    assert!(done.took < Duration::from_secs(30), "{:?}", done.took);
    place.assert_nothing_left();
}

#[test]
fn a_retry_uses_the_rules_of_its_stage() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a: { retry: { max: 2, backoff: 100ms, on: [\"exit:75\"] }, script: \". /said/fns; say start; [ $DYBOX_ATTEMPT = 3 ] || exit 75\" }\n",
        "  b: { retry: { max: 2, backoff: 100ms, on: [\"exit:75\"] }, script: \". /said/fns; say start; exit 4\" }\n",
    ));
    place.dybox(&["run", "job.yaml"]).expect(1);
    let tries = |stage: &str| place.said().iter().filter(|line| line.stage == stage).count();
    assert_eq!((tries("a"), tries("b")), (3, 1));
    place.assert_nothing_left();
}

#[test]
fn a_task_sees_what_it_should_and_nothing_of_the_submitter() {
    let place = Workspace::new();
    place.write("vars", "FROM_FILE=one\nBOTH=file\n");
    place.job(concat!(
        "params: { day: { default: monday } }\n",
        "stages:\n  env-of: { env_file: ./vars, env: { BOTH: env, DAY: \"${params.day}\" }, workdir: /tmp, parallelism: 2, script: \"env; pwd; id -u\" }\n",
    ));
    let mut command = place.command(&["run", "job.yaml", "--param", "day=friday"]);
    let done = dybox_tests::Follow::start(command.env("SUBMITTER_SECRET", "x")).end(Duration::from_secs(60)).expect(0);
    let logs = place.dybox(&["logs", "--raw", "--no-prefix", &done.run_id(), "env-of/1"]).expect(0);
    for line in [
        "FROM_FILE=one",
        "BOTH=env",
        "DAY=friday",
        "DYBOX_STAGE=env-of",
        "DYBOX_TASK_INDEX=1",
        "DYBOX_TASK_COUNT=2",
        "DYBOX_ATTEMPT=1",
        "DYBOX_CPUS=0.2",
        "DYBOX_MEMORY_BYTES=33554432",
        "DYBOX_JOB=t",
        "DYBOX_PARAM_DAY=friday",
        "/tmp",
    ] {
        assert!(logs.out.lines().any(|seen| seen == line), "no {line} in\n{}", logs.out);
    }
    assert!(!logs.out.contains("SUBMITTER_SECRET"));
    place.assert_nothing_left();
}

#[test]
fn the_same_request_id_twice_is_one_run() {
    let place = Workspace::new();
    place.job("params: { day: monday }\nstages:\n  a: { script: \". /said/fns; say start\" }\n");
    let first = place.dybox(&["run", "job.yaml", "--request-id", "r1"]).expect(0).run_id();
    let second = place.dybox(&["run", "job.yaml", "--request-id", "r1"]).expect(0).run_id();
    assert_eq!((first == second, place.said().len(), place.runs().len()), (true, 1, 1));
    let other = ["run", "job.yaml", "--request-id", "r1", "--param", "day=friday"];
    place.dybox(&other).expect(8).says("other values of its params");
    assert_eq!(place.runs().len(), 1);
}

#[test]
fn a_detached_run_can_be_read_from_another_terminal() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \"echo begun; sleep 30; echo over\", stop_grace: 1s }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    dybox_tests::eventually("its log can be read", Duration::from_secs(20), || {
        place.dybox(&["logs", &run]).out.contains("begun").then_some(())
    });
    place.dybox(&["ps"]).expect(0).says("running");
    place.dybox(&["status", "@latest"]).expect(0).says("running");
    place.dybox(&["status", "t"]).expect(0).says("running");
    place.dybox(&["ps", "-o", "name"]).expect(0).says(&run);
    assert_eq!(place.dybox(&["ps", "-o", "json"]).expect(0).json()["version"], 1);
    place.dybox(&["stop", &run[..20], "--yes"]).expect(0);
    place.dybox(&["status", &run]).expect(0).says("stopped");
    place.assert_nothing_left();
}

#[test]
fn interrupting_a_foreground_run_stops_it_cleanly() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \"trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done\" }\n");
    let follow = place.start(&["run", "job.yaml"]);
    dybox_tests::eventually("it is ready", Duration::from_secs(20), || {
        place.dybox(&["logs", "@latest"]).out.contains("ready").then_some(())
    });
    follow.signal(nix::sys::signal::Signal::SIGINT);
    let done = follow.end(Duration::from_secs(20)).expect(6);
    place.dybox(&["logs", &done.run_id()]).expect(0).says("bye");
    place.assert_nothing_left();
}

#[test]
fn interrupting_twice_stops_at_once() {
    let place = Workspace::new();
    place.job("stages:\n  a: { stop_grace: 60s, script: \"trap '' TERM; echo ready; while :; do sleep 0.1; done\" }\n");
    let follow = place.start(&["run", "job.yaml"]);
    dybox_tests::eventually("it is ready", Duration::from_secs(20), || {
        place.dybox(&["logs", "@latest"]).out.contains("ready").then_some(())
    });
    follow.signal(nix::sys::signal::Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(500));
    follow.signal(nix::sys::signal::Signal::SIGINT);
    let done = follow.end(Duration::from_secs(30)).expect(6);
    assert!(done.took < Duration::from_secs(30));
    place.assert_nothing_left();
}
