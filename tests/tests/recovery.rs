//! Parts that stand still, can't start or can't write; runs that share too little room. Each ends well or says why.

use std::process::Command;
use std::time::Duration;

use dybox_tests::{Workspace, eventually, overlaps};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn a_short_run_does_not_wait_for_the_end_of_a_long_one() {
    let place = Workspace::new();
    place.job("stages:\n  long: { cpus: 1, parallelism: 30, script: \". /said/fns; say start; sleep 1; say end\" }\n");
    let long = place.dybox(&["run", "--detach", "--cpus", "1", "job.yaml"]).expect(0).run_id();
    place.until_said("long", "start", 1);
    let head = std::fs::read_to_string(place.path().join("job.yaml")).expect("the job file");
    let head = head.split("stages:").next().expect("a head");
    let short = "stages:\n  short: { cpus: 1, script: \". /said/fns; say start\" }\n";
    place.write("short.yaml", &format!("{head}{short}"));
    let done = place.dybox(&["run", "--cpus", "1", "short.yaml"]).expect(0);
    assert!(done.took < Duration::from_secs(15), "{:?}", done.took);
    assert!(place.said_by("long", "end") < 20, "the long one had ended nearly");
    place.dybox(&["stop", &long, "--yes"]);
    assert!(overlaps(&place.said()).is_empty());
    place.assert_nothing_left();
}

#[test]
fn a_proxy_that_stands_still_is_replaced() {
    let place = Workspace::new();
    place.job("stages:\n  a: { stop_grace: 1s, script: \". /said/fns; say start; for i in $(seq 40); do sleep 0.2; say beat; done; say end\" }\n");
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("a", "beat", 1);
    let proxy = place.pids("proxy")[0];
    kill(Pid::from_raw(proxy), Signal::SIGSTOP).expect("it lives");
    let done = follow.end(Duration::from_secs(100)).expect(0);
    assert!(done.took < Duration::from_secs(80), "{:?}", done.took);
    assert!(!dybox_tests::pid_alive(proxy));
    let lines = place.said();
    assert!(overlaps(&lines).is_empty(), "{lines:?}");
    assert!(place.said_by("a", "end") >= 1);
    place.assert_nothing_left();
}

#[test]
fn a_client_that_stood_still_follows_on() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \". /said/fns; say start; sleep 24; say end\" }\n");
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("a", "start", 1);
    follow.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(18));
    follow.signal(Signal::SIGCONT);
    follow.end(Duration::from_secs(60)).expect(0);
    assert_eq!(place.said_by("a", "start"), 1);
    place.assert_nothing_left();
}

#[test]
fn a_master_that_stood_still_goes_on_and_repeats_nothing() {
    let place = Workspace::new();
    place.job("stages:\n  a: { parallelism: 2, script: \". /said/fns; say start; sleep 6; say end\" }\n  b: { needs: [a], script: \". /said/fns; say start; say end\" }\n");
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("a", "start", 1);
    let master = Pid::from_raw(place.pids("master")[0]);
    kill(master, Signal::SIGSTOP).expect("it lives");
    std::thread::sleep(Duration::from_secs(18));
    kill(master, Signal::SIGCONT).expect("it lives");
    follow.end(Duration::from_secs(60)).expect(0);
    assert_eq!((place.said_by("a", "start"), place.said_by("b", "start")), (2, 1));
    place.assert_nothing_left();
}

#[test]
fn proxies_that_can_never_start_end_the_run_with_their_words() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a: { script: \". /said/fns; say start\" }\n",
        "  b: { needs: [a], memory: 64MiB, script: \". /said/fns; say start\" }\n",
        "hooks: [{ after: [a], run: [sh, -c, \"mv home/runs/$DYBOX_RUN/secret kept\"] }]\n",
    ));
    let done = place.start(&["run", "job.yaml"]).end(Duration::from_secs(100));
    assert!(matches!(done.code, 5 | 9), "{done:?}");
    let done = done.says("8 proxies in a row").says("secret");
    assert!(done.took < Duration::from_secs(80), "{:?}", done.took);
    assert_eq!((place.said_by("a", "start"), place.said_by("b", "start")), (1, 0));
    let secret = place.home().join("runs").join(done.run_id()).join("secret");
    std::fs::rename(place.path().join("kept"), secret).expect("it was moved");
    place.dybox(&["resume", &done.run_id()]).expect(0);
    assert_eq!((place.said_by("a", "start"), place.said_by("b", "start")), (1, 1));
    place.assert_nothing_left();
}

#[test]
fn a_run_goes_on_when_its_binary_is_replaced() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \". /said/fns; say start; sleep 3\" }\n  b: { needs: [a], memory: 64MiB, script: \". /said/fns; say start\" }\n");
    let binary = place.path().join("dybox");
    std::fs::copy(place.command(&[]).get_program(), &binary).expect("a copy");
    let mut command = Command::new(&binary);
    let like = place.command(&[]);
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(place.path());
    let follow = dybox_tests::Follow::start(command.args(["run", "job.yaml"]));
    place.until_said("a", "start", 1);
    std::fs::remove_file(&binary).expect("it is there");
    follow.end(Duration::from_secs(60)).expect(0);
    assert_eq!(place.said_by("b", "start"), 1);
    place.assert_nothing_left();
}

/// A file system of its own size, gone with the test.
struct SmallDisk(std::path::PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_journal_that_can_not_be_written_stops_the_run_and_keeps_what_it_has() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  a: { script: \". /said/fns; say start; say end\" }\n",
        "  b: { needs: [a], stop_grace: 1s, script: \"(echo -n '\\\"'; head -c 16000 /dev/zero | tr '\\\\0' x; echo '\\\"') > $DYBOX_RESULT; . /said/fns; say start; for i in $(seq 25); do sleep 0.2; say beat; done; say end\" }\n",
        "  c: { needs: [b], script: \". /said/fns; say start; say end\" }\n",
    ));
    std::fs::create_dir_all(place.home()).expect("a directory");
    let mount = ["-t", "tmpfs", "-o", "size=24m", "none"];
    assert!(Command::new("mount").args(mount).arg(place.home()).status().expect("mount").success());
    let disk = SmallDisk(place.home());
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("b", "beat", 1);
    let filler = place.home().join("filler");
    let _ = Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", filler.display())).output();
    // The journal's last page still has room; the record of b's end, with its result, is longer than that.
    let done = follow.end(Duration::from_secs(100));
    assert!(matches!(done.code, 5 | 9), "{done:?}");
    let run = done.says("No space left").run_id();
    eventually("no process is left", Duration::from_secs(60), || {
        (place.pids("master").is_empty() && place.pids("proxy").is_empty()).then_some(())
    });
    std::fs::remove_file(&filler).expect("it is there");
    place.dybox(&["resume", &run]).expect(0);
    assert_eq!((place.said_by("a", "start"), place.said_by("c", "end")), (1, 1));
    assert!(overlaps(&place.said()).is_empty());
    place.dybox(&["gc"]).expect(0);
    place.assert_nothing_left();
    drop(disk);
}
