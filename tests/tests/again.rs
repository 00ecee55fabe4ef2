//! Running a part of a job, a run again, and what the cache takes: on the real engine.

use std::time::Duration;

use dybox_tests::{Done, Workspace};

const JOB: &str = "name: t
defaults: { image: \"dybox-test/busybox:1\", cpus: 0.2, memory: 32MiB }
stages:
  a: { command: [sh, -c, 'echo \"{\\\"n\\\":7}\" > $DYBOX_RESULT; echo ran a'] }
  b: { needs: [a], command: [sh, -c, 'grep -o \"n.:7\" $DYBOX_NEEDS; echo ran b VALUE; exit CODE'] }
  c: { needs: [b], command: [echo, ran c] }
  d: { command: [echo, ran d] }
";

fn job(place: &Workspace, value: &str, code: &str) {
    place.write("job.yaml", &JOB.replace("VALUE", value).replace("CODE", code));
}

fn id(done: &Done) -> String {
    done.out.lines().next().expect("an id").to_owned()
}

/// Which stages wrote something in a run, by its logs.
fn ran(place: &Workspace, run: &str) -> String {
    let logs = place.dybox(&["logs", run]).expect(0).out;
    ["a", "b", "c", "d"].into_iter().filter(|stage| logs.contains(&format!("ran {stage}"))).collect()
}

#[test]
fn a_run_runs_again_whole_or_from_a_stage_on() {
    let place = Workspace::new();
    job(&place, "1", "0");
    let first = id(&place.dybox(&["run", "job.yaml"]).expect(0));
    assert_eq!(ran(&place, &first), "abcd");
    // The job file is not read again.
    place.write("job.yaml", "no job");
    let whole = id(&place.dybox(&["rerun", &first]).expect(0));
    assert_eq!(ran(&place, &whole), "abcd");
    assert_ne!(whole, first);
    let done = place.dybox(&["rerun", &first, "b"]).expect(0).says(&format!("from run {first}: a, d"));
    let part = id(&done);
    assert_eq!(ran(&place, &part), "bc");
    assert!(place.dybox(&["logs", &part]).out.contains("n\":7"), "results are carried over");
    let status = place.status(&part);
    let a = &status["stages"][0];
    assert_eq!((a["state"].as_str(), a["taken_from"].as_str()), (Some("succeeded"), Some(first.as_str())));
    assert!(place.dybox(&["status", &part]).out.contains(&format!("from {first}")));
    // What was taken is taken from where it ran.
    place.dybox(&["rerun", &format!("{part}/c")]).expect(0).says(&format!("from run {first}: a, d"));
    let told = place.dybox(&["rerun", &first, "d", "--detach", "-o", "json"]).expect(0).out;
    let told: serde_json::Value = serde_json::from_str(&told).expect("one JSON document");
    place.until_state(told["run"].as_str().expect("an id"), "succeeded");
    place.dybox(&["rerun", &first, "-p", "x=1"]).expect(3);
    place.dybox(&["rerun", &first, "z"]).expect(7).says("no stage \"z\"");
    place.dybox(&["watch", &first]).expect(0).says("succeeded");
    place.dybox(&["resume", &part]).expect(0).says("nothing to resume");
    place.assert_nothing_left();
}

#[test]
fn other_params_are_told_where_something_is_taken_or_runs_again() {
    let place = Workspace::new();
    let text = "name: t\nparams: { day: monday }\ndefaults: { image: \"dybox-test/busybox:1\", cpus: 0.2, memory: 32MiB }\nstages:\n  a: { script: \"echo ran a\" }\n  b: { needs: [a], script: \"echo ran b ${params.day}\" }\n";
    place.write("job.yaml", text);
    let first = id(&place.dybox(&["run", "job.yaml"]).expect(0));
    let again = place.dybox(&["rerun", &first, "b", "-p", "day=friday"]).expect(0);
    let again = again.says(&format!("other params than in run {first}: day was monday, is friday"));
    assert!(place.dybox(&["logs", &id(&again)]).out.contains("ran b friday"));
    let part = place.dybox(&["run", "job.yaml", "--from", "b", "-p", "day=sunday"]).expect(0);
    part.says("day was monday, is sunday");
    place.write("job.yaml", &text.replace("ran a", "ran it"));
    place.dybox(&["rerun", &first, "-p", "day=friday"]).expect(0).says("the job file is another one than then");
    place.assert_nothing_left();
}

#[test]
fn a_part_of_a_job_runs_and_takes_what_it_needs() {
    let place = Workspace::new();
    job(&place, "1", "3");
    place.dybox(&["run", "job.yaml", "--from", "b"]).expect(8).says("\"a\" has not succeeded");
    let first = id(&place.dybox(&["run", "job.yaml"]).expect(1));
    job(&place, "2", "0");
    let done = place.dybox(&["run", "job.yaml", "--from", "b"]).expect(0).says(&format!("from run {first}: a, d"));
    assert_eq!(ran(&place, &id(&done)), "bc");
    let only = place.dybox(&["run", "job.yaml", "--only", "c,d"]).expect(0);
    assert_eq!(ran(&place, &id(&only)), "cd");
    place.dybox(&["run", "job.yaml", "--name", "other", "--only", "c"]).expect(0).says("left out: a, b, d");
    place.dybox(&["run", "job.yaml", "--only", "bb"]).expect(7).says("did you mean \"b\"?");
    place.assert_nothing_left();
}

#[test]
fn the_cache_takes_what_is_the_same_and_why_says_what_is_not() {
    let place = Workspace::new();
    job(&place, "1", "0");
    // Also a run that does not ask leaves what later ones may take.
    let first = id(&place.dybox(&["run", "job.yaml"]).expect(0));
    remembered(&place, 4);
    let all = id(&place.dybox(&["run", "job.yaml", "--cache"]).expect(0).says(&format!("a is cached from {first}")));
    assert_eq!(ran(&place, &all), "");
    assert!(place.dybox(&["status", &all]).out.contains(&format!("cached from {first}")));
    let status = place.status(&all);
    assert_eq!(
        (&status["stages"][0]["cached"], &status["stages"][0]["taken_from"]),
        (&true.into(), &first.clone().into())
    );
    job(&place, "2", "0");
    let some = id(&place.dybox(&["run", "job.yaml", "--cache"]).expect(0));
    // What b came to is the same as before, so c need not run.
    assert_eq!(ran(&place, &some), "b");
    place
        .dybox(&["why", &format!("{some}/b")])
        .expect(0)
        .says(&format!("not from the cache; other than in run {first}:"))
        .says("command: is another");
    place.dybox(&["why", &format!("{some}/a")]).expect(0).says(&format!("cached from {first}"));
    let none = id(&place.dybox(&["run", "job.yaml", "--no-cache"]).expect(0));
    assert_eq!(ran(&place, &none), "abcd");
    place.assert_nothing_left();
}

/// Until so many successes are written down for later runs.
fn remembered(place: &Workspace, count: usize) {
    dybox_tests::eventually("successes are written down", Duration::from_secs(60), || {
        let stages = std::fs::read_dir(place.home().join("cache/t")).ok()?;
        let files = stages.flatten().filter_map(|stage| std::fs::read_dir(stage.path()).ok()).flatten().flatten();
        (files.count() >= count).then_some(())
    });
}

const FILES: &str = "name: t
params: { day: monday }
defaults: { image: \"dybox-test/busybox:1\", cpus: 0.2, memory: 32MiB, cache: true }
stages:
  list: { script: 'echo ran list; echo \"[\\\"x\\\",\\\"y\\\"]\" > $DYBOX_RESULT' }
  part:
    needs: [list]
    each: ${results.list}
    inputs: { /in/file: ./file }
    outputs: { /out/part: \"run:parts/\" }
    script: 'echo ran part; cat /in/file > /out/part; echo $DYBOX_ITEM >> /out/part'
  join:
    needs: [part]
    inputs: { /in/parts: \"run:parts\" }
    outputs: { /out/all: ./all }
    script: 'echo ran join; cat /in/parts/* > /out/all'
  show: { needs: [join], inputs: { /in/all: ./all }, script: 'echo ran show; cat /in/all' }
";

/// Which of these stages wrote something in a run, by its logs.
fn ran_of(place: &Workspace, run: &str) -> String {
    let logs = place.dybox(&["logs", run]).expect(0).out;
    let names = ["list", "part", "join", "show"].into_iter();
    names.filter(|stage| logs.contains(&format!("ran {stage}"))).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_stage_is_taken_with_its_files_while_they_are_what_they_were() {
    let place = Workspace::new();
    place.write("job.yaml", FILES);
    place.write("file", "one\n");
    let run = || id(&place.dybox(&["run", "job.yaml"]).expect(0));
    let why = |run: &str, stage: &str| place.dybox(&["why", &format!("{run}/{stage}")]).expect(0);
    let all = || std::fs::read_to_string(place.path().join("all")).expect("the output");
    let first = run();
    assert_eq!(ran_of(&place, &first), "list part join show");
    assert_eq!(all(), "one\nx\none\ny\n");
    why(&first, "part").says("nothing is known of an earlier success of it");
    let second = run();
    assert_eq!(ran_of(&place, &second), "");
    // An output that is gone is made again, of files that this run has taken from the other one.
    std::fs::remove_file(place.path().join("all")).expect("it was there");
    let third = run();
    assert_eq!(ran_of(&place, &third), "join show");
    why(&third, "join").says(&format!("other than in run {first}:")).says("all: is gone");
    assert_eq!(all(), "one\nx\none\ny\n");
    // One that somebody changed, too.
    place.write("all", "mine\n");
    let fourth = run();
    assert_eq!(ran_of(&place, &fourth), "join show");
    why(&fourth, "join").says("all: size 12 -> 5");
    place.write("file", "more\n");
    let fifth = run();
    assert_eq!(ran_of(&place, &fifth), "part join show");
    why(&fifth, "part").says("file: size 4 -> 5");
    why(&fifth, "join").says("input run:parts: size 12 -> 14");
    let sixth = id(&place.dybox(&["run", "job.yaml", "-p", "day=friday"]).expect(0));
    assert_eq!(ran_of(&place, &sixth), "list part join show");
    why(&sixth, "list").says("param day: was monday, is friday");
    // What lay in the store of a run that is gone is gone with it.
    let shown = place.dybox(&["prune", "--keep", "1", "--dry-run"]).expect(0);
    assert!(shown.out.contains("what later runs may take"), "{}", shown.out);
    place.dybox(&["prune", "--keep", "0", "--yes"]).expect(0);
    assert_eq!(ran_of(&place, &run()), "list part join show");
    place.assert_nothing_left();
}

#[test]
fn many_may_watch_and_leave() {
    let place = Workspace::new();
    place.job("stages:\n  a:\n    command: [sh, -c, '. /said/fns; say start; while [ ! -e /said/go ]; do sleep 0.05; done']\n");
    let run = id(&place.dybox(&["run", "-q", "--detach", "job.yaml"]).expect(0));
    place.until_said("a", "start", 1);
    let long = Duration::from_secs(120);
    let (leaves, stays) = (place.start(&["watch", &run]), place.start(&["watch", &run]));
    leaves.until("a", long);
    leaves.signal(nix::sys::signal::Signal::SIGINT);
    leaves.end(long).expect(130).says("goes on");
    place.dybox(&["watch", &run, "--wait", "100ms", "-q"]).expect(124);
    place.write("said/go", "");
    stays.end(long).expect(0).says("succeeded");
    place.assert_nothing_left();
}

#[test]
fn old_runs_go_when_somebody_says_so() {
    let place = Workspace::new();
    job(&place, "1", "0");
    let first = id(&place.dybox(&["run", "-q", "job.yaml"]).expect(0));
    let second = id(&place.dybox(&["rerun", "-q", &first, "c"]).expect(0));
    let runs = || place.dybox(&["ps", "--all", "-q"]).expect(0).out;
    place.dybox(&["prune"]).expect(2);
    place.dybox(&["prune", "--older-than", "7d", "--yes"]).expect(0).says("nothing to remove");
    let shown =
        place.dybox(&["prune", "--keep", "1", "--dry-run"]).expect(0).says("would free: 1 run, ").says("took from it");
    assert!(shown.out.contains(&first) && !shown.out.contains(&second), "{}", shown.out);
    place.dybox(&["prune", "--keep", "1"]).expect(2).says("nothing was removed");
    assert!(runs().contains(&first));
    place.dybox(&["prune", "--keep", "1", "--yes"]).expect(0).says("freed: 1 run");
    assert!(!runs().contains(&first) && runs().contains(&second));
    assert!(!place.home().join("runs").join(&first).exists());
    // One that lives stays, and one of which something is on the engine.
    place.job("stages:\n  a: { keep_failed: true, command: [sh, -c, 'exit 1'] }\n");
    place.dybox(&["run", "-q", "job.yaml"]).expect(1);
    // Its master clears up for a moment.
    dybox_tests::eventually("it stays for what is kept", Duration::from_secs(60), || {
        let said = place.dybox(&["prune", "--keep", "0", "--dry-run"]).expect(0).err;
        (said.contains("stays: a container of it is kept") && said.contains("dybox gc --kept")).then_some(())
    });
    place.dybox(&["prune", "--keep", "0", "--yes"]).expect(0).says("stays: a container of it is kept");
    place.dybox(&["gc", "--kept"]).expect(0);
    place.job("stages:\n  a:\n    command: [sh, -c, '. /said/fns; say start; while [ ! -e /said/go ]; do sleep 0.05; done']\n");
    let lives = id(&place.dybox(&["run", "-q", "--detach", "job.yaml"]).expect(0));
    place.until_said("a", "start", 1);
    place.dybox(&["prune", "--keep", "0", "--yes"]).expect(0).says("stays: it lives");
    assert!(runs().contains(&lives));
    place.write("said/go", "");
    place.until_state(&lives, "succeeded");
    place.assert_nothing_left();
}
