//! What a person at a terminal, a pipe or an administrator does to `dybox` itself while runs go on.

use std::process::{Command, Stdio};
use std::time::Duration;

use dybox_tests::{PrivateEngine, Workspace, eventually};
use nix::sys::signal::Signal;

const BEATS: &str = "stages:\n  a: { stop_grace: 1s, script: \". /said/fns; say start; for i in $(seq 15); do sleep 0.2; echo beat $i; done; say end\" }\n";

fn until_it_runs(place: &Workspace) {
    eventually("it runs", Duration::from_secs(30), || (!place.said().is_empty()).then_some(()));
}

/// Kills masters and proxies, and waits until the kernel has freed what they held.
fn kill_all(place: &Workspace) {
    place.kill_all("master");
    place.kill_all("proxy");
}

/// How the newest run stands.
fn state(place: &Workspace) -> String {
    let status = place.dybox(&["status", "@latest", "-o", "json"]).expect(0).json();
    status["run"]["state"].as_str().unwrap_or_default().to_owned()
}

fn until_succeeded(place: &Workspace) {
    eventually("the run succeeds", Duration::from_secs(60), || (state(place) == "succeeded").then_some(()));
}

#[test]
fn nothing_is_made_where_the_engine_cannot_be_used() {
    let place = Workspace::new();
    place.job(BEATS);
    let nowhere = ["--docker-host", "unix:///nowhere/docker.sock"];
    let said = place.dybox(&[&["run", "job.yaml"], &nowhere[..]].concat()).expect(5);
    said.says("error[E2202]").says("/nowhere/docker.sock").says("dybox doctor");
    let shell = ["shell", "--image", "dybox-test/busybox:1"];
    let said = place.dybox(&[&shell[..], &nowhere[..], &["--", "true"]].concat()).expect(125);
    said.says("error[E2202]").says("/nowhere/docker.sock").says("dybox doctor");
    assert!(place.runs().is_empty() && !place.home().exists(), "{:?}", place.runs());
}

#[test]
fn the_engine_of_a_flag_is_the_engine_of_masters_proxies_and_sweeps() {
    let private = PrivateEngine::start(&[]);
    let host = private.engine().host().expect("a private engine has an address").to_owned();
    let place = Workspace::new();
    place.job(&BEATS.replace("seq 15", "seq 100"));
    let with = |args: &[&str]| place.dybox(&[args, &["--docker-host", &host]].concat());
    let run = with(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    until_it_runs(&place);
    assert_eq!((private.engine().containers_of(&run).len(), place.containers().len()), (1, 0));
    kill_all(&place);
    let swept = with(&["gc"]).expect(0);
    assert_eq!(private.engine().containers_of(&run).len(), 0, "the sweep used another engine: {swept:?}");
    with(&["resume", &run, "--detach"]).expect(0);
    eventually("it runs again", Duration::from_secs(30), || {
        (private.engine().containers_of(&run).len() == 1).then_some(())
    });
    with(&["stop", &run, "--yes"]).expect(0);
    place.assert_nothing_left();
    assert_eq!(private.engine().containers_of(&run).len(), 0);
}

#[test]
fn a_terminal_that_closes_leaves_the_run_going() {
    let place = Workspace::new();
    place.job(BEATS);
    let follow = place.start(&["run", "job.yaml"]);
    until_it_runs(&place);
    follow.signal(Signal::SIGHUP);
    follow.end(Duration::from_secs(5)).expect(130).says("the run goes on").says("dybox stop");
    until_succeeded(&place);
    assert_eq!(place.said().len(), 2);
    place.assert_nothing_left();
}

#[test]
fn a_reader_that_leaves_ends_the_client_quietly_and_not_the_run() {
    let place = Workspace::new();
    place.job(BEATS);
    let binary = place.command(&[]).get_program().to_string_lossy().into_owned();
    let piped = |line: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", &line.replace("dybox", &binary)]).current_dir(place.path());
        command.env("DYBOX_HOME", place.home()).env("DYBOX_CONF", "/dev/null").stdin(Stdio::null());
        dybox_tests::Follow::start(&mut command).end(Duration::from_secs(60))
    };
    // The records' reader leaves after the first: so does the client, and says that the run was not followed to its end.
    let done = piped("dybox run job.yaml -o jsonl | head -n 1; exit ${PIPESTATUS[0]}").expect(130);
    assert_eq!((done.out.lines().count(), done.err.contains("error")), (1, false), "{done:?}");
    until_succeeded(&place);
    assert_eq!(place.said().len(), 2);
    // For people the id is the first line, and the result is still the exit code.
    place.job("stages:\n  a: { script: \"exit 3\" }\n");
    let done = piped("dybox run job.yaml | head -n 1; exit ${PIPESTATUS[0]}").expect(1);
    assert_eq!((done.out.lines().count(), done.err.contains("error")), (1, false), "{done:?}");
    place.assert_nothing_left();
}

#[test]
fn logs_follow_from_the_last_lines_to_the_end_of_the_run() {
    let place = Workspace::new();
    place.job(BEATS);
    place.dybox(&["run", "job.yaml", "--detach"]).expect(0);
    eventually("it has written", Duration::from_secs(30), || {
        place.dybox(&["logs", "--no-prefix", "@latest"]).out.contains("beat 5").then_some(())
    });
    let logs = place.dybox(&["logs", "-f", "--tail", "2", "--no-prefix", "@latest"]).expect(0);
    let lines: Vec<_> = logs.out.lines().collect();
    assert!((2..=12).contains(&lines.len()) && lines.last() == Some(&"beat 15"), "{lines:?}");
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "{lines:?}");
    until_succeeded(&place);
    assert_eq!(place.dybox(&["logs", "--tail", "2", "--no-prefix", "@latest"]).expect(0).out, "beat 14\nbeat 15\n");
    place.assert_nothing_left();
}

#[test]
fn gc_removes_what_is_proven_and_shows_the_rest() {
    let place = Workspace::new();
    place.job("stages:\n  a: { keep_failed: true, script: \"exit 3\" }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    let kept = place.containers();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let label = |key: &str| place.engine().inspect(&kept[0], &format!("{{{{index .Config.Labels \"dybox.{key}\"}}}}"));
    let labels: Vec<String> = ["run", "grant", "attempt", "kind", "proof"]
        .into_iter()
        .flat_map(|key| ["--label".to_owned(), format!("dybox.{key}={}", label(key))])
        .collect();
    // All its labels, by another name: the proof is of the name, too.
    let forged = format!("forged-{}", &run[20..]);
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let made = [&["create", "--name", &forged][..], &labels, &["dybox-test/busybox:1", "true"]].concat();
    assert!(place.engine().docker(&made).status.success());
    place.until_idle();
    let found = place.dybox(&["gc", "-o", "json"]).expect(0).json();
    let fate = |name: &str| {
        let items = found["leftovers"].as_array().expect("leftovers");
        items.iter().find(|one| one["name"] == name).map(|one| (one["fate"].clone(), one["removed"].clone()))
    };
    assert_eq!(fate(&kept[0]), Some(("kept".into(), false.into())), "{found:#}");
    assert_eq!(fate(&forged), Some(("unproven".into(), false.into())), "{found:#}");
    place.dybox(&["gc", "--kept"]).expect(0).says("removed").says("not touched");
    assert_eq!(place.containers(), [forged.as_str()]);
    place.engine().docker(&["rm", &forged]);
    place.assert_nothing_left();
}

#[test]
fn gc_removes_networks_of_runs_that_nobody_drives() {
    let place = Workspace::new();
    place.job("stages:\n  a: { network: inside, stop_grace: 1s, script: \". /said/fns; say start; sleep 100\" }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    until_it_runs(&place);
    place.dybox(&["gc"]).expect(0);
    assert_eq!((place.networks().len(), place.containers().is_empty()), (1, false), "gc touched a run that lives");
    kill_all(&place);
    place.dybox(&["gc"]).expect(0).says("removed");
    assert!(place.networks().is_empty() && place.containers().is_empty(), "{:?}", place.networks());
    place.dybox(&["ps"]).expect(0).says("lost").says(&run);
    place.assert_nothing_left();
}

#[test]
fn a_person_at_a_prompt_is_told_of_a_dead_registry_soon() {
    let place = Workspace::new();
    let done = place.dybox(&["shell", "--image", "127.0.0.1:1/nothing:1", "--", "true"]).expect(125);
    done.says("C2002").says("connection refused").says("next:");
    eventually("the run has ended", Duration::from_secs(20), || (state(&place) == "lost").then_some(()));
    place.assert_nothing_left();
}

#[test]
fn a_run_is_told_in_plain_lines_each_thing_once() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a: { retry: { max: 1, backoff: 100ms }, script: \"exit $((2 - DYBOX_ATTEMPT))\" }\n",
        "  b: { needs: [a], parallelism: 2, command: [\"true\"] }\n",
    ));
    let done = place.dybox(&["run", "job.yaml"]).expect(0);
    let lines: Vec<&str> = done.err.lines().skip(1).collect();
    let texts: Vec<&str> = lines.iter().map(|line| &line[9..]).collect();
    assert_eq!(texts[0], "a runs", "{}", done.err);
    assert!(texts[1].starts_with("a failed after 0.") && texts[1].ends_with("s: exit code 1 (C1001); tried again"));
    assert_eq!(texts[2], "a runs (try 2)");
    assert!(texts[3].starts_with("a succeeded in "));
    assert_eq!((texts[4], texts.len()), ("b starts: 2 tasks", 10), "{}", done.err);
    let times: Vec<f64> = lines.iter().map(|line| line[..7].trim().trim_end_matches('s').parse().unwrap()).collect();
    assert!(times.is_sorted(), "{}", done.err);
    place.dybox(&["why", "@latest/a/0"]).expect(0).says("try 1: C1001 exit code 1 (user)");
    place.dybox(&["status", "@latest/a/0"]).expect(0).says("C1001 exit code 1");
}

#[test]
fn why_tells_what_runs_and_what_waits_for_it() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \". /said/fns; say start; sleep 20\", stop_grace: 1s }\n  b: { needs: [a], parallelism: 3, command: [\"true\"] }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    until_it_runs(&place);
    let why = place.dybox(&["why", &run, "-o", "json"]).expect(0).json();
    let of = |name: &str| {
        let reasons = why["reasons"].as_array().expect("reasons");
        reasons.iter().find(|one| one["subject"] == name).map(|one| one["why"].clone())
    };
    assert_eq!(of("a"), Some(serde_json::json!(["tasks: 1 running"])), "{why:#}");
    assert_eq!(of("b"), Some(serde_json::json!(["it needs a, which is running"])), "{why:#}");
    place.dybox(&["stop", &run, "--yes", "--now"]).expect(0);
    place.assert_nothing_left();
}
