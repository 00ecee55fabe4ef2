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
    place.dybox(&["rerun", &first, "z"]).expect(7).says("no stage \"z\"");
    place.dybox(&["watch", &first]).expect(0).says("succeeded");
    place.dybox(&["resume", &part]).expect(0).says("nothing to resume");
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
    let first = id(&place.dybox(&["run", "job.yaml", "--cache"]).expect(0).says("nothing is taken"));
    let all = id(&place.dybox(&["run", "job.yaml", "--cache"]).expect(0));
    assert_eq!(ran(&place, &all), "");
    assert!(place.dybox(&["status", &all]).out.contains(&format!("cached from {first}")));
    job(&place, "2", "0");
    let some = id(&place.dybox(&["run", "job.yaml", "--cache"]).expect(0));
    assert_eq!(ran(&place, &some), "bc");
    place.dybox(&["why", &format!("{some}/b")]).expect(0).says(&format!("other than in run {first} are its command"));
    place.dybox(&["why", &format!("{some}/c")]).expect(0).says("b runs again");
    place.dybox(&["why", &format!("{some}/a")]).expect(0).says(&format!("cached from {first}"));
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
