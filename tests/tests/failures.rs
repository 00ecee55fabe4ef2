//! What goes wrong inside a task or with its image: a named cause, an owner, a next step; and never a needless retry.

use std::time::{Duration, Instant};

use dybox_tests::{Done, Workspace, eventually};

/// Runs one stage with `retry: 3`, gives the run's end and how many attempts there were.
#[track_caller]
fn one_stage(place: &Workspace, stage: &str) -> (Done, u64) {
    place.job(&format!("stages:\n  a: {{ retry: {{ max: 3, backoff: 100ms }}, {stage} }}\n"));
    let done = place.dybox(&["run", "job.yaml"]).expect(1);
    let status = place.dybox(&["status", &done.run_id(), "-o", "json"]).expect(0).json();
    let tries = status["stages"][0]["tries"].as_u64().unwrap_or_default();
    place.assert_nothing_left();
    (done, tries)
}

#[test]
fn what_another_try_cannot_mend_is_tried_once() {
    for (stage, code) in [
        ("command: [no-such-program]", "C1004"),
        ("command: [/etc/passwd]", "C1005"),
        ("image: \"dybox-test/nothing:1\", pull: never, command: [\"true\"]", "C1017"),
        ("workdir: /etc/passwd, command: [\"true\"]", "C1008"),
        ("user: nobody-here, command: [\"true\"]", "C1009"),
        ("script: \"head -c 70000 /dev/zero > $DYBOX_RESULT\"", "C1016"),
    ] {
        let place = Workspace::new();
        let (done, tries) = one_stage(&place, stage);
        done.says(code);
        assert_eq!(tries, 1, "{stage}");
    }
}

#[test]
fn a_script_of_the_image_with_carriage_returns_is_named() {
    let place = Workspace::new();
    place.write("said/crlf", "#!/bin/sh\r\necho hi\r\n");
    std::process::Command::new("chmod").arg("755").arg(place.path().join("said/crlf")).status().expect("chmod");
    let (done, tries) = one_stage(&place, "command: [/said/crlf]");
    done.says("C1007").says("CRLF");
    assert_eq!(tries, 1);
}

#[test]
fn running_out_of_memory_is_told_by_the_counter_of_the_cgroup() {
    let place = Workspace::new();
    place.job("stages:\n  a: { memory: 24MiB, script: \"exec head -c 100000000 /dev/zero | tail\" }\n");
    place.dybox(&["run", "job.yaml"]).expect(1).says("C1003").says("memory");
    place.assert_nothing_left();
}

#[test]
fn a_child_killed_for_memory_and_exit_zero_is_a_success() {
    let place = Workspace::new();
    place.job("stages:\n  a: { memory: 24MiB, script: \"(head -c 100000000 /dev/zero | tail) ; exit 0\" }\n");
    place.dybox(&["run", "job.yaml"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn a_plain_exit_of_137_is_no_out_of_memory() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \"exit 137\" }\n");
    place.dybox(&["run", "job.yaml"]).expect(1).says("C1001").says("137");
}

#[test]
fn timeouts_end_what_runs_too_long_or_says_nothing() {
    for (stage, code) in [
        ("timeout: { run: 1s }, stop_grace: 1s, command: [sleep, \"60\"], retry: { max: 0 }", "C1014"),
        ("timeout: { silence: 1s }, stop_grace: 1s, script: \"echo a; sleep 60\", retry: { max: 0 }", "C1015"),
    ] {
        let place = Workspace::new();
        place.job(&format!("stages:\n  a: {{ {stage} }}\n"));
        let start = Instant::now();
        place.dybox(&["run", "job.yaml"]).expect(1).says(code);
        assert!(start.elapsed() < Duration::from_secs(20));
        place.assert_nothing_left();
    }
}

#[test]
fn what_does_nothing_is_ended_and_gives_its_room_back_and_what_works_is_not() {
    let place = Workspace::new();
    let busy = "until [ -e /said/go ]; do :; done";
    place.job(&format!(
        "stages:\n  still: {{ idle: 5s, stop_grace: 1s, command: [sleep, \"600\"], retry: {{ max: 3 }} }}\n  busy: {{ idle: {{ after: 5s, cpus: 0.05 }}, cpus: 0.5, script: \"{busy}\" }}\n  after: {{ needs: {{ still: finished }}, script: \"cat $DYBOX_NEEDS\" }}\n",
    ));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let stages = || place.dybox(&["status", &run, "-o", "json"]).expect(0).json()["stages"].clone();
    eventually("the idle stage ended, and what needs its end", Duration::from_secs(90), || {
        (stages()[0]["state"] == "failed" && stages()[2]["state"] == "succeeded").then_some(())
    });
    // The busy one has run for as long, and goes on.
    assert_eq!((&stages()[0]["tries"], &stages()[1]["state"]), (&1.into(), &"running".into()), "{:#}", stages());
    eventually("one container and one grant are left", Duration::from_secs(60), || {
        (place.containers().len() == 1 && place.pids("proxy").len() == 1).then_some(())
    });
    for command in ["why", "status"] {
        place.dybox(&[command, &run]).expect(0).says("C1018").says("used under 0.01 cpus for 5.0s");
    }
    place.write("said/go", "");
    eventually("the busy stage succeeded", Duration::from_secs(60), || {
        (stages()[1]["state"] == "succeeded").then_some(())
    });
    place.assert_nothing_left();
}

#[test]
fn a_task_that_ignores_term_is_killed_after_its_grace() {
    let place = Workspace::new();
    place.job("stages:\n  a: { timeout: { run: 1s }, stop_grace: 1s, script: \"trap '' TERM; while :; do sleep 0.1; done\" }\n");
    let done = place.dybox(&["run", "job.yaml"]).expect(1).says("C1014");
    assert!(done.took < Duration::from_secs(15), "{:?}", done.took);
    place.assert_nothing_left();
}

#[test]
fn a_fork_bomb_stays_in_its_pids_limit() {
    let place = Workspace::new();
    place.job("stages:\n  a: { pids: 20, timeout: { run: 3s }, stop_grace: 1s, script: \"for i in $(seq 100); do sleep 60 & done; wait\" }\n  b: { command: [\"true\"] }\n");
    place.dybox(&["run", "job.yaml"]).expect(1);
    place.assert_nothing_left();
}

#[test]
fn a_failed_container_can_be_kept_for_a_look() {
    let place = Workspace::new();
    place.job("stages:\n  a: { keep_failed: true, script: \"exit 1\" }\n");
    place.dybox(&["run", "job.yaml"]).expect(1);
    let kept = place.containers();
    assert_eq!(kept.len(), 1, "{kept:?}");
    place.until_idle();
    place.dybox(&["gc"]).expect(0).says(&kept[0]);
    assert_eq!(place.containers(), kept);
    place.dybox(&["gc", "--kept"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn a_bad_file_creates_nothing() {
    let place = Workspace::new();
    place.job("stages:\n  a: { comand: [\"true\"], memory: 512 }\n");
    place.dybox(&["run", "job.yaml"]).expect(3).says("comand").says("did you mean").says("512MiB");
    assert!(place.runs().is_empty());
    place.dybox(&["check", "job.yaml"]).expect(3);
    place.dybox(&["run", "jb.yaml"]).expect(3).says("job.yaml");
    place
        .write("job.yaml", "stages:\n  a: { image: x, command: [y], env_file: ./nothing, volumes: [\"./gone:/x\"] }\n");
    place.dybox(&["run", "job.yaml"]).expect(3).says("nothing").says("gone");
    assert!(place.runs().is_empty());
}

#[test]
fn a_pull_that_fails_is_not_told_as_one_that_came() {
    let place = Workspace::new();
    place.job("stages: { a: { image: \"localhost:1/x:1\", command: [\"true\"] } }\n");
    let done =
        place.dybox(&["run", "job.yaml", "--wait", "2s"]).expect(124).says("pulling localhost:1/x:1").says("C2002");
    assert!(!done.err.contains("pulled"), "{}", done.err);
    // Meanwhile it is known what failed, and when the next of how many tries comes.
    eventually("status says so", Duration::from_secs(60), || {
        let status = place.dybox(&["status", &done.run_id()]).expect(0).out;
        (status.contains("before try") && status.contains("of 9: C2002 ")).then_some(())
    });
    place.dybox(&["why", &format!("{}/a", done.run_id())]).expect(0).says("connection refused").says("of 9");
    place.dybox(&["stop", &done.run_id(), "--yes"]).expect(0);
    let stopped = place.dybox(&["status", &done.run_id()]).expect(0).out;
    assert!(!stopped.contains("C2002 asked"), "a stop is for no failure: {stopped}");
    place.assert_nothing_left();
}

#[test]
fn a_success_that_lost_a_process_is_told_with_that() {
    let place = Workspace::new();
    // The kernel is told whom to kill: it may take the shell, too.
    let script = "sh -c 'echo 1000 > /proc/self/oom_score_adj; exec tail /dev/zero' || true";
    place.job(&format!("stages: {{ a: {{ memory: 16MiB, script: \"{script}\" }} }}\n"));
    let text = "succeeded, but the kernel killed 1 of its processes for want of memory";
    let done = place.dybox(&["run", "job.yaml"]).expect(0).says(&format!("warning: a: {text}"));
    let run = done.says(&format!("a {text}")).run_id();
    for command in [["status", &run], ["status", &format!("{run}/a/0")], ["why", &format!("{run}/a")]] {
        place.dybox(&command).expect(0).says(text);
    }
    place.assert_nothing_left();
}
