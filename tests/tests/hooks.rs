//! Hooks that add stages, on the machine's real engine.

use std::time::Duration;

use dybox_tests::{Workspace, eventually};

/// Writes down that it ran, then says what is in a file.
const SAYS: &str = "hooks: [{ after: [list], run: [sh, -c, \"echo ran >> hook-ran; cat answer.json\"] }]\n";

fn times(place: &Workspace) -> usize {
    let ran = std::fs::read_to_string(place.path().join("hook-ran")).unwrap_or_default();
    ran.lines().count()
}

#[test]
fn what_a_hook_adds_runs_and_every_command_knows_it() {
    let place = Workspace::new();
    place.write(
        "answer.json",
        r#"{"params": {"day": "friday"}, "skip": ["never"], "parallelism": {"wide": 2}, "add": {
             "part": {"each": "${results.list}", "script": "echo \"part ${item} of ${params.day}\"; echo $((DYBOX_ITEM * 10)) > $DYBOX_RESULT"},
             "join": {"needs": ["part", "wide"], "memory": "96MiB", "command": ["echo", "all ${results.part.map(n, string(n))[1]}"]}}}"#,
    );
    place.job(&format!(
        concat!(
            "params: {{ day: monday }}\n",
            "stages:\n  list: {{ script: 'echo [1, 2, 3] > $DYBOX_RESULT' }}\n",
            "  wide: {{ needs: [list], command: [echo, wide] }}\n",
            "  never: {{ needs: [list], command: [\"false\"] }}\n",
            "on_exit:\n  tell: {{ command: [echo, \"it ${{run.state}}\"] }}\n{}",
        ),
        SAYS
    ));
    let done = place.dybox(&["run", "job.yaml"]).expect(0);
    let done = done.says("hook decided: adds part, join, skip never, wide gets 2 tasks");
    let run = done.run_id();
    assert_eq!(times(&place), 1);
    place.dybox(&["logs", "--raw", "--no-prefix", &run, "part/2"]).expect(0).says("part 3 of friday");
    place.dybox(&["logs", &run, "join"]).expect(0).says("all 20");
    place.dybox(&["logs", &run, "tell"]).expect(0).says("it succeeded");
    place.dybox(&["status", &run]).expect(0).says("part").says("join");
    let status = place.status(&run);
    let stages = status["stages"].as_array().map_or(0, Vec::len);
    assert_eq!(stages, 6, "{status}");
    place.dybox(&["ps", "--all"]).expect(0).says("6/6");
    place.dybox(&["why", &format!("{run}/join")]).expect(0).says("a hook added it");
    let graph = place.dybox(&["graph", &run, "-o", "json"]).expect(0).json();
    assert!(graph.to_string().contains("\"stage\":\"join\""), "{graph}");
    // What ran before runs again as it was planned, and its hook adds again.
    let again = place.dybox(&["rerun", &run]).expect(0).run_id();
    place.dybox(&["logs", &again, "join"]).expect(0).says("all 20");
    assert_eq!(times(&place), 2);
    place.dybox(&["run", "--cache", "job.yaml"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn a_bad_addition_fails_the_run_with_all_problems_and_takes_nothing() {
    let place = Workspace::new();
    let answer = "{\"skip\": [\"after\"],\n \"add\": {\n  \"x\": {\"needs\": [\"lost\"], \"memroy\": \"1GiB\", \"script\": \"x\"},\n  \"list\": {\"script\": \"x\"}}}";
    place.write("answer.json", answer);
    place.job(&format!(
        "stages:\n  list: {{ script: 'true' }}\n  after: {{ needs: [list], script: \". /said/fns; say start\" }}\n{SAYS}"
    ));
    let done = place.dybox(&["run", "job.yaml"]).expect(1);
    let done =
        done.says("it adds stages that can't run").says("error[E0312]").says("error[E0201]").says("error[E0302]");
    let run = done.says("did you mean \"memory\"?").run_id();
    place.dybox(&["why", &run]).expect(0).says("error[E0312]");
    assert_eq!(place.said_by("after", "start"), 0);
    // Put right, it goes on.
    place.write("answer.json", "{\"add\": {\"x\": {\"script\": \". /said/fns; say start\"}}}");
    place.dybox(&["resume", &run]).expect(0);
    assert_eq!((place.said_by("x", "start"), place.said_by("after", "start"), times(&place)), (1, 1, 2));
    place.assert_nothing_left();
}

#[test]
fn the_next_master_has_the_same_stages_and_asks_no_hook_again() {
    let place = Workspace::new();
    place.write(
        "answer.json",
        r#"{"add": {"part": {"parallelism": 2, "script": ". /said/fns; say start; sleep 8; say end"},
                    "join": {"needs": ["part"], "script": ". /said/fns; say start; say end"}}}"#,
    );
    place.job(&format!("stages:\n  list: {{ script: 'true' }}\n{SAYS}"));
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("part", "start", 2);
    assert!(place.kill_all("master") > 0);
    let done = follow.end(Duration::from_secs(120)).expect(0);
    assert_eq!((place.said_by("part", "start"), place.said_by("join", "end"), times(&place)), (2, 1, 1));
    place.dybox(&["status", &done.run_id()]).expect(0).says("join");
    place.assert_nothing_left();
}

#[test]
fn added_stages_are_stopped_and_resumed_as_others_are() {
    let place = Workspace::new();
    place.write(
        "answer.json",
        r#"{"add": {"part": {"stop_grace": "1s", "script": ". /said/fns; say start; [ -e /said/good ] || exec sleep 600; say end"}}}"#,
    );
    place.job(&format!("stages:\n  list: {{ script: 'true' }}\n{SAYS}"));
    let run = place.dybox(&["run", "--detach", "job.yaml"]).expect(0).run_id();
    place.until_said("part", "start", 1);
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    place.until_state(&run, "stopped");
    eventually("no master is left", Duration::from_secs(60), || place.pids("master").is_empty().then_some(()));
    place.write("said/good", "");
    place.dybox(&["resume", &run]).expect(0);
    assert_eq!((place.said_by("part", "end"), times(&place)), (1, 1));
    place.assert_nothing_left();
}
