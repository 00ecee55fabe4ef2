//! Somebody kills something, at any time. Containers end, nothing runs twice at once, `resume` finishes the run, and
//! `gc` finds nothing afterwards.

use std::time::{Duration, Instant};

use dybox_tests::{Workspace, eventually, overlaps};

/// A chain with a hook, long enough to be hit: every payload beats while it lives.
const CHAIN: &str = concat!(
    "stages:\n  a: { script: \". /said/fns; say start; say end\" }\n",
    "  b: { needs: [a], stop_grace: 2s, script: \". /said/fns; say start; for i in $(seq 25); do sleep 0.2; say beat; done; say end\" }\n",
    "  c: { needs: [b], script: \". /said/fns; say start; say end\" }\n",
    "hooks: [{ after: [a], run: [sh, -c, \"echo ran >> said/hooks; echo '{}'\"] }]\n",
);

fn starts(place: &Workspace, stage: &str) -> usize {
    place.said().iter().filter(|line| line.stage == stage && line.what == "start").count()
}

fn until_b_runs(place: &Workspace) {
    eventually("b runs", Duration::from_secs(30), || place.said().iter().any(|line| line.stage == "b").then_some(()));
}

#[track_caller]
fn assert_right(place: &Workspace) {
    let said = place.said();
    assert!(overlaps(&said).is_empty(), "{said:?}");
    assert_eq!((starts(place, "a"), starts(place, "c")), (1, 1), "{said:?}");
    let hooks = std::fs::read_to_string(place.path().join("said/hooks")).unwrap_or_default();
    assert_eq!(hooks, "ran\n", "the hook ran more than once");
    place.until_idle();
    place.dybox(&["gc"]).expect(0).says("nothing to remove");
    place.assert_nothing_left();
}

/// Seconds until no payload of stage b beats any more.
fn silence_after(place: &Workspace, since: Instant) -> Duration {
    let mut last = (place.said().len(), Instant::now());
    while last.1.elapsed() < Duration::from_secs(2) && since.elapsed() < Duration::from_secs(60) {
        let now = place.said().len();
        if now != last.0 {
            last = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    last.1.duration_since(since)
}

#[test]
fn a_killed_client_leaves_the_run_going() {
    let place = Workspace::new();
    place.job(CHAIN);
    let follow = place.start(&["run", "job.yaml"]);
    until_b_runs(&place);
    follow.signal(nix::sys::signal::Signal::SIGKILL);
    follow.end(Duration::from_secs(5));
    eventually("the run ends well", Duration::from_secs(60), || {
        place
            .dybox(&["status", "@latest"])
            .out
            .contains("succeeded")
            .then_some(())
            .filter(|()| starts(&place, "c") == 1)
    });
    assert_eq!(starts(&place, "b"), 1);
    assert_right(&place);
}

#[test]
fn a_killed_master_is_replaced_while_its_tasks_run_on() {
    let place = Workspace::new();
    place.job(CHAIN);
    let follow = place.start(&["run", "job.yaml"]);
    until_b_runs(&place);
    assert_eq!(place.kill_all("master"), 1);
    follow.end(Duration::from_secs(60)).expect(0);
    assert_eq!(starts(&place, "b"), 1, "the running task went on");
    assert_right(&place);
}

#[test]
fn without_anybody_the_containers_of_a_dead_master_end_and_resume_finishes() {
    let place = Workspace::new();
    place.job(&CHAIN.replace("seq 25", "seq 200"));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    until_b_runs(&place);
    let killed = Instant::now();
    assert_eq!(place.kill_all("master"), 1);
    let took = silence_after(&place, killed);
    assert!(took <= Duration::from_secs(20), "ended after {took:?}");
    place.dybox(&["ps"]).expect(0).says("lost");
    // What ran is lost with its run, in each answer; what waited still does.
    let ends = |of: &serde_json::Value| {
        let stages = of["stages"].as_array().expect("stages").iter();
        stages.map(|stage| stage["state"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let status = place.status(&run);
    assert_eq!(ends(&status), ["succeeded", "lost", "waiting"], "{status}");
    assert_eq!(
        (&status["stages"][1]["tasks"]["running"], &status["stages"][1]["tasks"]["lost"]),
        (&0.into(), &1.into())
    );
    assert!(!place.dybox(&["status", &run]).expect(0).out.contains("running"));
    let tries = place.status(&format!("{run}/b/0"));
    assert_eq!(tries["attempts"][0]["state"], "lost", "{tries}");
    place.dybox(&["why", &run]).expect(0).says("resume");
    place.write("said/short", "");
    let again = place.dybox(&["resume", &run]).expect(0);
    assert!(again.took > Duration::from_secs(1));
    assert_eq!(starts(&place, "b"), 2);
    assert_right(&place);
}

#[test]
fn what_runs_after_everything_runs_when_a_run_without_masters_is_stopped() {
    let place = Workspace::new();
    let tell = "on_exit:\n  tell: { script: \". /said/fns; say start; echo it ${run.state}\" }\n";
    place.job(&format!("{}{tell}", CHAIN.replace("seq 25", "seq 200")));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    until_b_runs(&place);
    assert_eq!(place.kill_all("master"), 1);
    place.dybox(&["stop", &run, "--yes"]).expect(0).says("what runs after everything runs now");
    eventually("it ran", Duration::from_secs(60), || (starts(&place, "tell") == 1).then_some(()));
    place.until_state(&run, "stopped");
    eventually("no master is left", Duration::from_secs(60), || place.pids("master").is_empty().then_some(()));
    place.dybox(&["logs", &run, "tell"]).expect(0).says("it stopped");
    let status = place.status(&run);
    let ends: Vec<_> = (0..4).map(|at| status["stages"][at]["state"].as_str().unwrap_or_default()).collect();
    assert_eq!(ends, ["succeeded", "stopped", "waiting", "succeeded"], "{status}");
    // Once, however often it is stopped.
    let again = place.dybox(&["stop", &run, "--yes"]).expect(0);
    assert!(!again.err.contains("runs now"), "{again:?}");
    place.until_idle();
    assert_eq!(starts(&place, "tell"), 1);
    place.dybox(&["gc"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn a_killed_proxy_costs_no_retry_of_the_user() {
    let place = Workspace::new();
    place.job(CHAIN);
    let follow = place.start(&["run", "job.yaml"]);
    until_b_runs(&place);
    assert!(place.kill_all("proxy") >= 1);
    let done = follow.end(Duration::from_secs(90)).expect(0);
    assert_eq!(starts(&place, "b"), 2);
    place.dybox(&["why", &format!("{}/b/0", done.run_id())]).expect(0).says("C2008");
    assert_right(&place);
}

#[test]
fn everything_killed_at_once_ends_by_lease_and_resume_finishes() {
    let place = Workspace::new();
    place.job(&CHAIN.replace("seq 25", "seq 200"));
    let follow = place.start(&["run", "job.yaml"]);
    until_b_runs(&place);
    follow.signal(nix::sys::signal::Signal::SIGKILL);
    let killed = Instant::now();
    place.kill_all("master");
    place.kill_all("proxy");
    let took = silence_after(&place, killed);
    assert!(took <= Duration::from_secs(20), "ended after {took:?}");
    place.dybox(&["resume", "@latest"]).expect(0);
    assert_right(&place);
}

#[test]
fn the_second_resume_is_told_who_holds_the_run() {
    let place = Workspace::new();
    place.job(CHAIN);
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    until_b_runs(&place);
    let master = place.pids("master")[0];
    place.dybox(&["resume", &run]).expect(8).says(&master.to_string());
    eventually("the run ends", Duration::from_secs(60), || (starts(&place, "c") == 1).then_some(()));
    place.assert_nothing_left();
    place.dybox(&["resume", &run]).expect(0).says("nothing");
}

#[test]
fn resume_of_a_failed_run_does_only_what_is_missing() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \". /said/fns; say start\" }\n  b: { needs: [a], script: \". /said/fns; say start; [ -e /said/mended ]\" }\n  c: { needs: [b], script: \". /said/fns; say start\" }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    place.write("said/mended", "");
    place.dybox(&["resume", &run]).expect(0);
    assert_eq!((starts(&place, "a"), starts(&place, "b"), starts(&place, "c")), (1, 2, 1));
    place.assert_nothing_left();
}

#[test]
fn what_a_payload_wrote_before_everything_died_can_be_read() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \"seq 2000; . /said/fns; say start; sleep 100\", stop_grace: 1s }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    eventually("it has written", Duration::from_secs(30), || (!place.said().is_empty()).then_some(()));
    place.kill_all("master");
    place.kill_all("proxy");
    // A killed process keeps its locks for some milliseconds.
    eventually("all is read", Duration::from_secs(2), || {
        let logs = place.dybox(&["logs", "--no-prefix", &run]).expect(0);
        (logs.out.lines().count() == 2000).then_some(())
    });
    eventually("the lease ends it", Duration::from_secs(25), || {
        place
            .containers()
            .iter()
            .all(|name| place.engine().inspect(name, "{{.State.Running}}") == "false")
            .then_some(())
    });
    place.dybox(&["gc"]).expect(0);
    assert!(place.containers().is_empty());
    let logs = place.dybox(&["logs", "--no-prefix", &run]).expect(0);
    assert_eq!(logs.out.lines().count(), 2000, "once, not twice");
    place.assert_nothing_left();
}
