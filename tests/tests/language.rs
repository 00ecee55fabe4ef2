//! What a job file leaves open until its stages begin, on the machine's real engine.

use dybox_tests::{LATE, Workspace};

/// What a stage found decides image, size and places of the next one's tasks.
#[test]
fn a_list_that_a_stage_found_makes_the_tasks_of_the_next() {
    let place = Workspace::new();
    place.job(concat!(
        "params: { least: { type: int, default: 2 } }\n",
        "stages:\n",
        "  split: { script: 'echo ''[{\"n\": 1}, {\"n\": 5}, {\"n\": 9}]'' > $DYBOX_RESULT' }\n",
        "  work:\n    needs: [split]\n    each: \"${results.split}\"\n    env: { N: \"${item.n}\", OF: \"${task.index}/${task.count}\" }\n",
        "    script: 'echo \"$N $OF ${item.n * 2} $DYBOX_ITEM\"; echo $((N * 10)) > $DYBOX_RESULT'\n",
        "  join: { needs: [work], command: [echo, \"all ${results.work.map(n, string(n))[2]} of ${size(results.work)}\"] }\n",
        "  many: { needs: [work], when: size(results.work) > params.least, command: [\"true\"] }\n",
        "  few: { needs: [work], when: size(results.work) <= params.least, command: [\"true\"] }\n",
        "  after-few: { needs: [few], command: [\"true\"] }\n",
        "  none: { needs: [split], each: \"${results.split.filter(p, p.n > 100)}\", command: [\"false\"] }\n",
        "  after-none: { needs: [none], command: [echo, \"none: ${size(results.none)}\"] }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    place.dybox(&["logs", "--raw", "--no-prefix", &run, "work/1"]).expect(0).says("5 1/3 10 {\"n\":5}");
    place.dybox(&["logs", &run, "join"]).expect(0).says("all 90 of 3");
    place.dybox(&["logs", &run, "after-none"]).expect(0).says("none: 0");
    let status = place.dybox(&["status", &run]).expect(0);
    status.says("its condition is false: size(results.work) <= params.least");
    place.assert_nothing_left();
}

#[test]
fn results_cross_sub_dags_and_what_has_no_value_fails_its_task() {
    let place = Workspace::new();
    place.write("params.yaml", "day: tuesday\nlist: [x, y]\n");
    place.job(concat!(
        "params: { day: monday, list: { type: list, default: [] } }\n",
        "stages:\n",
        "  a: { subdag: one, script: \"echo '{\\\"rows\\\": 7}' > $DYBOX_RESULT\" }\n",
        "  b: { subdag: two, needs: [a], command: [\"true\"] }\n",
        "  c: { subdag: three, needs: [b], when: results.a.rows == 7, command: [echo, \"${results.a.rows} on ${params.day}\"] }\n",
        "  d: { subdag: three, needs: [b], each: \"${params.list}\", command: [echo, \"got ${item}\"] }\n",
        "  e: { subdag: three, needs: [b], command: [echo, \"${results.a.columns}\"] }\n",
    ));
    let done = place.dybox(&["run", "job.yaml", "--params", "params.yaml"]).expect(1);
    let run = done.run_id();
    place.dybox(&["logs", &run, "c"]).expect(0).says("7 on tuesday");
    place.dybox(&["logs", &run, "d/1"]).expect(0).says("got y");
    place.dybox(&["why", &run]).expect(0).says("results.a.columns has no value: there is no \"columns\" in it");
    place.assert_nothing_left();
}

#[test]
fn what_runs_after_everything_knows_how_it_ended_and_runs_again_with_it() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n",
        "  a: { script: \". /said/fns; say start; echo 7 > $DYBOX_RESULT; [ -e /said/good ]\" }\n",
        "  b: { subdag: two, needs: [a], script: \". /said/fns; sleep 1; say end\" }\n",
        "on_exit:\n",
        "  good: { when: run.state == \"succeeded\", script: \". /said/fns; say start\" }\n",
        "  bad: { when: run.state == \"failed\", script: \". /said/fns; say start\" }\n",
        "  tell: { needs: { good: finished, bad: finished }, command: [echo, \"it ${run.state}: ${results.a}\"] }\n",
        "  sweep: { script: \". /said/fns; say start; echo \\\"swept ${run.state}\\\"\" }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    place.dybox(&["logs", &run, "sweep"]).expect(0).says("swept failed");
    assert_eq!((place.said_by("good", "start"), place.said_by("bad", "start")), (0, 1));

    place.write("said/good", "");
    place.dybox(&["resume", &run]).expect(0);
    place.dybox(&["logs", &run, "sweep"]).expect(0).says("swept succeeded");
    let count = |stage: &str| place.said_by(stage, "start");
    assert_eq!((count("good"), count("bad"), count("sweep")), (1, 1, 2));
    // Not before what runs again with it.
    let said: Vec<_> = place.said().iter().map(|line| line.stage.clone()).collect();
    let last = |stage: &str| said.iter().rposition(|said| said == stage).expect("it ran");
    assert!(last("b") < last("good") && last("b") < last("sweep"), "{said:?}");
    place.assert_nothing_left();
}

#[test]
fn what_runs_after_everything_runs_after_a_stop_and_after_the_limit_in_time() {
    let place = Workspace::new();
    place.job(concat!(
        "timeout: ${params.limit}\nparams: { limit: 1h }\n",
        "stages:\n  a: { stop_grace: 100ms, script: \". /said/fns; say start; exec sleep 600\" }\n",
        "on_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n",
    ));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    place.until_said("a", "start", 1);
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    place.until_state(&run, "stopped");
    place.dybox(&["logs", &run, "tell"]).expect(0).says("it stopped");

    let done = place.dybox(&["run", "job.yaml", "--param", "limit=2s"]).expect(1);
    let done = done.says("timeout: the run took longer than 2.0s");
    place.dybox(&["logs", &done.run_id(), "tell"]).expect(0).says("it failed");
    place.assert_nothing_left();
}

#[test]
fn images_sizes_and_places_are_those_of_each_item() {
    let place = Workspace::new();
    place.job(LATE);
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    for (task, mb, cpus) in [("work/0", 70, "0.1"), ("work/1", 90, "0.3")] {
        let has = format!("has {} {cpus}", mb << 20);
        place.dybox(&["logs", "--raw", "--no-prefix", &run, task]).expect(0).says(&has);
    }
    place.dybox(&["logs", "--raw", "--no-prefix", &run, "read"]).expect(0).says("a\nb\nof b");
    place.assert_nothing_left();
    // What only shows when the tasks begin fails them, or their stage, and says which.
    let bad = LATE.replace("busybox\", \"mb\": 90", "Busy Box\", \"mb\": 90").replace("\"b\"", "\"a\"");
    for (job, why) in [
        (
            bad.replace("dybox-test/${item.image}:1", "dybox-test/busybox:1"),
            "tasks 0 and 1 would write the same place, run:got/a",
        ),
        (bad.replace("run:got/${item.n}", "run:got/"), "is no image reference"),
        (LATE.replace("\"cpus\": 0.3", "\"cpus\": 0"), "the size of task 1: \"cpus\" can't be \"0\""),
    ] {
        place.job(&job);
        let done = place.dybox(&["run", "job.yaml"]).expect(1);
        place.dybox(&["why", &done.run_id()]).expect(0).says(why);
    }
    place.assert_nothing_left();
}

#[test]
fn a_policy_is_asked_once_a_late_size_or_image_is_known() {
    let under = |rule: &str| {
        let place = Workspace::new();
        let roots = format!("mount_roots = [\"{}\"]\n", place.path().display());
        place.under_policy(&format!("{roots}{rule}\n"))
    };
    let place = under("max_memory = \"80MiB\"");
    place.job(LATE);
    let refused = place.dybox(&["run", "job.yaml"]).expect(4);
    refused.says("C1019").says("`max_memory` in").says("90MiB");
    place.assert_nothing_left();
    let place = under("trusted_registries = [\"docker.io\"]");
    place.job(&LATE.replace("dybox-test/${item.image}:1", "registry.example/${item.image}:1"));
    place.dybox(&["run", "job.yaml"]).expect(4).says("`trusted_registries` in").says("registry.example");
    place.assert_nothing_left();
}

#[test]
fn where_room_is_short_a_higher_priority_comes_first() {
    let place = Workspace::new();
    let say = "script: \". /said/fns; say start\"";
    place.job(&format!(
        "stages:\n  low: {{ priority: -1, parallelism: 3, {say} }}\n  middle: {{ parallelism: 2, memory: 100MiB, {say} }}\n  high: {{ priority: 7, parallelism: 3, {say} }}\n",
    ));
    let run = place.dybox(&["run", "job.yaml", "--cpus", "0.2"]).expect(0).run_id();
    let order: Vec<String> = place.said().into_iter().map(|line| line.stage).collect();
    assert_eq!(order, ["high", "high", "high", "middle", "middle", "low", "low", "low"], "{run}");
    place.assert_nothing_left();
}

#[test]
fn a_task_that_ran_out_of_memory_gets_more() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a:\n    memory: 16MiB\n    retry: { max: 3, backoff: 0s, memory: x2, cap: 64MiB, on: [oom] }\n",
        "    tmpfs: [\"/t:size=60MiB\"]\n",
        "    script: \"echo has $DYBOX_MEMORY_BYTES; dd if=/dev/zero of=/t/x bs=1M count=40\"\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    let logs = place.dybox(&["logs", "--raw", "--no-prefix", &run, "a"]).expect(0);
    logs.says(&format!("has {}", 64 << 20));
    place.assert_nothing_left();
}

#[test]
fn a_task_is_stopped_by_the_signal_that_its_stage_names() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a: { stop_signal: INT, stop_grace: 20s, timeout: { run: 1s }, ",
        "script: \"trap 'echo got INT; exit 3' INT; while :; do sleep 0.1; done\" }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    place.dybox(&["logs", &run, "a"]).expect(0).says("got INT");
    place.assert_nothing_left();
}

#[test]
fn a_task_is_held_to_the_result_that_its_stage_declares() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n",
        "  good: { script: \"echo '{\\\"rows\\\": 3, \\\"more\\\": 1}' > $DYBOX_RESULT\", results: { rows: int, note: string? } }\n",
        "  read: { needs: [good], when: results.good.rows == 3, command: [echo, \"rows ${results.good.rows}\"] }\n",
        "  bad: { retry: { max: 3 }, script: \"echo '{\\\"rwos\\\": 3}' > $DYBOX_RESULT; echo x > /out/x\", results: { rows: int },\n",
        "         outputs: { /out/x: \"./put/x\" } }\n",
        "  mute: { script: \"true\", results: list }\n",
        "  many: { parallelism: 2, script: \"echo '{\\\"ok\\\": '$([ $DYBOX_TASK_INDEX = 0 ] && echo true || echo 1)'}' > $DYBOX_RESULT\",\n",
        "          results: { ok: bool } }\n",
        "  warm: { reuse: true, script: \"echo '[1]' > $DYBOX_RESULT\", results: int }\n",
        "  after: { needs: { bad: failed, mute: failed, many: failed, warm: failed }, command: [echo, \"after ${run.name}\"] }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    place.dybox(&["logs", &run, "read"]).expect(0).says("rows 3");
    place.dybox(&["logs", &run, "after"]).expect(0).says("after t");
    let why = |stage: &str| place.dybox(&["why", &format!("{run}/{stage}")]).expect(0);
    why("bad").says("it has no \"rows\", which `results` declares as a whole number (it has \"rwos\")").says("C1016");
    why("mute").says("nothing was written to $DYBOX_RESULT, and `results` declares a list");
    why("many").says("task 1").says("\"ok\" is the number 1, and `results` declares true or false");
    why("warm").says("it is a list, and `results` declares a whole number");
    assert!(!place.path().join("put/x").exists(), "what a task without its result wrote is put nowhere");
    let status = place.status(&run);
    let stage = status["stages"].as_array().and_then(|all| all.iter().find(|one| one["stage"] == "bad")).expect("bad");
    assert_eq!((stage["cause"].as_str(), stage["tries"].as_u64()), (Some("C1016"), Some(1)));

    place.job(concat!(
        "stages:\n",
        "  good: { command: [\"true\"], results: { rows: int } }\n",
        "  read: { needs: [good], when: results.good.rwos > 0, command: [\"true\"] }\n",
    ));
    place.dybox(&["run", "job.yaml"]).expect(3).says("E0705").says("did you mean \"rows\"?").says("job.yaml:");
    place.assert_nothing_left();
}

#[test]
fn a_size_that_no_machine_has_fails_its_stage_and_the_rest_goes_on() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n",
        "  find: { script: \"echo '[70, 900000]' > $DYBOX_RESULT\" }\n",
        "  large: { needs: [find], each: \"${results.find}\", memory: \"${item}MiB\", script: \"sleep 600\" }\n",
        "  other: { needs: [find], script: \"sleep 2; echo went on\" }\n",
        "  then: { needs: { large: failed, other: succeeded }, command: [echo, \"after both\"] }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    place.dybox(&["logs", &run, "other"]).expect(0).says("went on");
    place.dybox(&["logs", &run, "then"]).expect(0).says("after both");
    let why = place.dybox(&["why", &format!("{run}/large")]).expect(0);
    why.says("task 1 can never run here: it asks for").says("ask for less in memory: ${item}MiB (C1024)");
    place.assert_nothing_left();
}
