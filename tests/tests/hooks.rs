//! Hooks that add stages, and hooks in containers, on the machine's real engine.

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

/// A hook in a container, which says that it starts, then what is in a file.
const CONTAINED: &str = concat!(
    "hooks:\n  - after: [list]\n    image: \"dybox-test/busybox:1\"\n    memory: 24MiB\n    timeout: 1m\n",
    "    run: [sh, -c, '. /said/fns; say start; cat > /said/story; echo note >&2; . /said/first; cat /said/answer']\n",
);

/// A job with that hook; `first` is what the hook does before it answers.
fn contained(stages: &str, first: &str, answer: &str) -> Workspace {
    let place = Workspace::new();
    place.job(&format!("stages:\n  list: {{ script: 'echo [1, 2, 3] > $DYBOX_RESULT' }}\n{stages}{CONTAINED}"));
    place.write("said/first", first);
    place.write("said/answer", answer);
    place
}

#[test]
fn a_hook_in_a_container_reads_the_run_and_decides() {
    let place = contained(
        concat!(
            "  wide: { needs: [list], script: 'echo wide $DYBOX_PARAM_DAY' }\n",
            "  never: { needs: [list], command: [\"false\"] }\n",
            "params: { day: monday }\n",
            "on_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n",
        ),
        "true",
        "{\"params\": {\"day\": \"friday\"}, \"skip\": [\"never\"],\n \"parallelism\": {\"wide\": 2},\n \"add\": {\"more\": {\"command\": [\"echo\", \"more of ${results.list[2]}\"]}}}",
    );
    let done = place.dybox(&["run", "job.yaml"]).expect(0);
    let run = done.says("hook decided: adds more, skip never, wide gets 2 tasks").run_id();
    let story = std::fs::read_to_string(place.path().join("said/story")).expect("it read the run so far");
    let story: serde_json::Value = serde_json::from_str(&story).expect("JSON");
    assert_eq!((&story["results"]["list"], &story["job"]), (&serde_json::json!([1, 2, 3]), &"t".into()));
    assert_eq!(
        story["stages"].as_object().map(|stages| stages.keys().cloned().collect()),
        Some(vec!["list".to_owned()])
    );
    place.dybox(&["logs", &run, "hook-1"]).expect(0).says("note").says("\"wide\": 2");
    place.dybox(&["logs", &run, "wide"]).expect(0).says("wide friday");
    place.dybox(&["logs", &run, "more"]).expect(0).says("more of 3");
    place.dybox(&["logs", &run, "tell"]).expect(0).says("it succeeded");
    let hook = place.status(&format!("{run}/hook-1"))["stages"][0].clone();
    assert_eq!((&hook["tries"], &hook["memory"]), (&1.into(), &(24 << 20).into()), "{hook}");
    place
        .dybox(&["plan", "job.yaml"])
        .expect(0)
        .says("as stage hook-1, at most 1m00s, 24MiB; waits for it: wide, never");
    place.dybox(&["graph", "job.yaml"]).expect(0).says("hook-1");
    // Nothing of it is taken from a run before: it decides anew.
    place.dybox(&["run", "--cache", "job.yaml"]).expect(0).says("hook decided");
    place.dybox(&["rerun", &run, "wide"]).expect(0).says("hook decided");
    assert_eq!(place.said_by("hook-1", "start"), 3);
    place.assert_nothing_left();
}

#[test]
fn a_hook_in_a_container_that_fails_fails_the_run_and_runs_again_when_it_is_resumed() {
    let after = "  after: { needs: [list], script: '. /said/fns; say start' }\n";
    let place = contained(after, "echo can not know >&2; exit 3", "");
    let done = place.dybox(&["run", "job.yaml"]).expect(1);
    let run = done.says("hook-1").says("exit code 3").says("can not know").run_id();
    place.dybox(&["why", &run]).expect(0).says("can not know");
    // What it says is no decision, in several ways; each time its task is run again.
    let long = "head -c 1100000 /dev/zero | tr '\\0' ' '";
    for (first, answer, why) in [
        ("true", "done!", "its answer is no JSON"),
        ("true", "{\"skip\": [\"nobody\"]}", "which the job does not have"),
        ("true", "{\"skip\": [\"hook-1\"]}", "which is a hook"),
        (long, "{}", "its answer is longer than 1024 KiB"),
        ("printf '\\377'", "{}", "its answer is not UTF-8"),
        ("x=$(head -c 64m /dev/zero | tr '\\0' x)", "{}", "memory"),
    ] {
        place.write("said/first", first);
        place.write("said/answer", answer);
        place.dybox(&["resume", &run]).expect(1).says(why);
        place.dybox(&["status", &run]).expect(0).says("hook-1").says("failed");
    }
    place.write("said/first", "true");
    place.write("said/answer", "{}");
    assert_eq!(place.said_by("after", "start"), 0);
    place.dybox(&["resume", &run]).expect(0);
    assert_eq!((place.said_by("hook-1", "start"), place.said_by("after", "start")), (8, 1));
    // It has decided: that stands.
    place.dybox(&["resume", &run]).says("succeeded");
    place.assert_nothing_left();
}

#[test]
fn a_hook_in_a_container_has_its_limits_and_its_image() {
    let place = contained("", "sleep 600", "");
    let job = std::fs::read_to_string(place.path().join("job.yaml")).expect("a job");
    place.write("late.yaml", &job.replace("timeout: 1m", "timeout: 2s"));
    let run = place.dybox(&["run", "late.yaml"]).expect(1).says("hook-1").run_id();
    let why = place.dybox(&["why", &run]).expect(0).says("the limit is 2.0s").says("Raise the hook's `timeout`");
    assert!(!why.out.contains("Raise `timeout.run`"), "{}", why.out);
    let hook = "    image: \"dybox-test/busybox:1\"";
    place.write(
        "lost.yaml",
        &job.replace(hook, "    image: \"dybox-test/nobody:1\"").replace("defaults:", "defaults:\n  pull: never"),
    );
    place.dybox(&["run", "lost.yaml"]).expect(1).says("dybox-test/nobody:1");
    place.write("large.yaml", &job.replace("memory: 24MiB", "memory: 900TiB"));
    place.dybox(&["check", "large.yaml"]).expect(3).says("E0214");
    place.assert_nothing_left();
}

#[test]
fn a_hook_in_a_container_outlives_its_master_and_decides_once() {
    let after = "  after: { needs: [list], script: '. /said/fns; say start; say end' }\n";
    let wait = "for i in $(seq 900); do [ -e /said/go ] && break; sleep 0.1; done; echo said >> /said/answers";
    let place = contained(after, wait, "{\"parallelism\": {\"after\": 2}}");
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("hook-1", "start", 1);
    let run = place.runs()[0].clone();
    place.dybox(&["why", &format!("{run}/after")]).expect(0).says("hook-1");
    assert!(place.kill_all("master") > 0);
    place.write("said/go", "");
    follow.end(Duration::from_secs(120)).expect(0);
    let answers = std::fs::read_to_string(place.path().join("said/answers")).unwrap_or_default();
    assert_eq!((place.said_by("hook-1", "start"), answers.lines().count(), place.said_by("after", "end")), (1, 1, 2));
    place.assert_nothing_left();
}

#[test]
fn a_hook_in_a_container_is_stopped_with_its_run_and_asked_again_after_it() {
    let after = "  after: { needs: [list], script: '. /said/fns; say start' }\n";
    let place = contained(after, "[ -e /said/go ] || exec sleep 600", "{}");
    let run = place.dybox(&["run", "--detach", "job.yaml"]).expect(0).run_id();
    place.until_said("hook-1", "start", 1);
    place.dybox(&["stop", &run, "--yes", "--now"]).expect(0);
    place.until_state(&run, "stopped");
    eventually("no master is left", Duration::from_secs(60), || place.pids("master").is_empty().then_some(()));
    place.write("said/go", "");
    place.dybox(&["resume", &run]).expect(0).says("hook decided");
    assert_eq!((place.said_by("hook-1", "start"), place.said_by("after", "start")), (2, 1));
    place.assert_nothing_left();
}
