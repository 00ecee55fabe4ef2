//! `dybox exec`: a command beside a running task, on the real engine.

use std::time::Duration;

use dybox_tests::{Workspace, eventually};
use nix::sys::signal::Signal;

const LONG: Duration = Duration::from_secs(120);
const WAITS: &str = "stages:\n  a:\n    env: { MINE: own }\n    command: [sh, -c, '. /said/fns; say start; while [ ! -e /said/go ]; do sleep 0.05; done']\n";

/// A place in which task `a/0` runs until [`let_go`].
fn waiting() -> (Workspace, String) {
    let place = Workspace::new();
    place.job(WAITS);
    let run = place.dybox(&["run", "-q", "--detach", "job.yaml"]).expect(0).out.trim().to_owned();
    place.until_said("a", "start", 1);
    eventually("it runs", LONG, || {
        let status = place.status(&format!("{run}/a/0"));
        (status["items"][0]["state"] == "running" || status["attempts"][0]["state"] == "running").then_some(())
    });
    (place, run)
}

fn let_go(place: &Workspace, run: &str) {
    place.write("said/go", "");
    place.until_state(run, "succeeded");
    place.assert_nothing_left();
}

#[test]
fn a_command_has_the_task_s_place_and_streams_and_a_code_of_its_own() {
    let (place, run) = waiting();
    let exec = |more: &[&str]| place.dybox(&[&["exec", &format!("{run}/a/0")], more].concat());
    let done = exec(&["--", "sh", "-c", "echo $MINE $DYBOX_STAGE; echo err >&2; exit 42"]).expect(42);
    assert_eq!((done.out.as_str(), done.err.trim()), ("own a\n", "err"));
    let input: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let done = place.dybox_fed(&["exec", "-i", &run, "-e", "A=1", "-w", "/tmp", "--", "cat"], &input);
    assert!(done.code == 0 && done.bytes == input, "{} of {} bytes: {}", done.bytes.len(), input.len(), done.err);
    exec(&["--", "no-such-program"]).expect(127).says("not found on PATH");
    exec(&["--", "/etc/passwd"]).expect(126);
    place.dybox(&["exec", &format!("{run}/b/0"), "--", "true"]).expect(7);
    // The journal says who was there, and none of what may be a secret.
    let told = place.dybox(&["status", &format!("{run}/a/0")]).expect(0).out;
    assert!(told.contains("exec sh by ") && told.contains(&format!("uid {}", nix::unistd::getuid())), "{told}");
    assert!(!told.contains("exit 42"), "{told}");
    let logs = place.dybox(&["logs", &run]).expect(0);
    assert!(!logs.out.contains("own a"), "what a visitor reads is no output of the task: {}", logs.out);
    let_go(&place, &run);
    exec(&["--", "true"]).expect(8).says("a/0 does not run").says("succeeded");
}

#[test]
fn a_command_ends_with_its_line_and_with_the_task() {
    let (place, run) = waiting();
    let runs = |mark: &str| {
        let list = place.dybox(&["exec", &run, "--", "sh", "-c", "ps; :"]).expect(0).out;
        list.contains(&format!("sleep {mark}"))
    };
    let cut = place.start(&["exec", &run, "--", "sh", "-c", "trap '' INT TERM HUP; echo up; sleep 4141; sleep 4141"]);
    cut.until("up", LONG);
    assert!(runs("4141"));
    cut.signal(Signal::SIGKILL);
    eventually("the command ends with its line", LONG, || (!runs("4141")).then_some(()));
    // An interrupt is the command's.
    let asked = place.start(&[
        "exec",
        &run,
        "--",
        "sh",
        "-c",
        "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.1; done",
    ]);
    asked.until("up", LONG);
    asked.signal(Signal::SIGINT);
    asked.end(LONG).expect(9).says("caught");
    let last = place.start(&["exec", &run, "--", "sh", "-c", "echo up; sleep 4242"]);
    last.until("up", LONG);
    let_go(&place, &run);
    last.end(LONG).expect(8).says("was cut");
}

#[test]
fn files_come_out_of_a_running_task_and_a_kept_one() {
    let (place, run) = waiting();
    let make = "mkdir -p /tmp/d/e; head -c 300000 /dev/urandom > /tmp/d/e/big; ln -s /etc/passwd /tmp/d/l; sha256sum < /tmp/d/e/big";
    let sum = place.dybox(&["exec", &run, "--", "sh", "-c", make]).expect(0).out;
    let done = place.dybox(&["cp", &format!("{run}/a/0:/tmp/d"), "."]).expect(0).says("1 file, ");
    assert_eq!(done.out, "");
    let copied = place.path().join("d/e/big");
    let ours = std::process::Command::new("sh").arg("-c").arg(format!("sha256sum < {}", copied.display())).output();
    assert_eq!(String::from_utf8_lossy(&ours.expect("sha256sum").stdout), sum);
    assert_eq!(std::fs::read_link(place.path().join("d/l")).expect("a link"), std::path::Path::new("/etc/passwd"));
    let tar = place.dybox(&["cp", &format!("{run}/a:/tmp/d/e/big"), "-"]).expect(0).bytes;
    assert!(tar.len() > 300_000 && tar.ends_with(&[0; 1024]), "{}", tar.len());
    place.dybox(&["cp", &format!("{run}/a/0:/no/such"), "."]).expect(7).says("there is no /no/such");
    place.dybox(&["cp", &format!("{run}/a/0:/tmp/d"), "no/such/dir"]).expect(2).says("mkdir -p no/such");
    place.dybox(&["cp", &format!("{run}/a/0"), "."]).expect(2).says("the path is missing");
    let_go(&place, &run);
    place.dybox(&["cp", &format!("{run}/a/0:/tmp/d"), "."]).expect(7).says("keep_failed: true");
    place.job("stages:\n  b:\n    keep_failed: true\n    command: [sh, -c, 'echo kept > /tmp/it; exit 1']\n");
    place.dybox(&["run", "job.yaml"]).expect(1);
    place.dybox(&["cp", "@latest/b/0:/tmp/it", "renamed"]).expect(0);
    assert_eq!(std::fs::read_to_string(place.path().join("renamed")).expect("a file"), "kept\n");
    place.dybox(&["gc", "--kept"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn visits_to_a_container_that_is_used_again_are_visits_to_its_task() {
    let place = Workspace::new();
    place.job(
        "stages:\n  a:\n    reuse: true\n    parallelism: 2\n    command: [sh, -c, '. /said/fns; echo $DYBOX_TASK_INDEX > /tmp/it; say start; while [ ! -e /said/go$DYBOX_TASK_INDEX ]; do sleep 0.05; done']\n",
    );
    let run = place.dybox(&["run", "-q", "--detach", "--cpus", "0.2", "job.yaml"]).expect(0).out.trim().to_owned();
    place.until_said("a", "start", 1);
    let first = (0..2).find(|n| place.dybox(&["exec", &format!("{run}/a/{n}"), "--", "true"]).code == 0);
    let first = first.expect("one of them runs");
    let other = 1 - first;
    let exec = |n: u32, script: &str| place.dybox(&["exec", &format!("{run}/a/{n}"), "--", "sh", "-c", script]);
    assert_eq!(
        exec(first, "echo $DYBOX_TASK_INDEX; cat /tmp/it; echo mine > /tmp/left").expect(0).out,
        format!("{first}\n{first}\n")
    );
    // The engine would show what is below the tmpfs.
    place.dybox(&["cp", &format!("{run}/a/{first}:/tmp/it"), "."]).expect(7).says("tmpfs /tmp").says("dybox exec");
    place.dybox(&["cp", &format!("{run}/a/{first}:/etc/passwd"), "."]).expect(0);
    assert!(place.dybox(&["top", &run, "-o", "json"]).expect(0).out.contains(&format!("a/{first}")));
    let stays = place.start(&["exec", &format!("{run}/a/{first}"), "--", "sleep", "300"]);
    eventually("it is there", LONG, || exec(first, "ps").out.contains("sleep 300").then_some(()));
    place.write(&format!("said/go{first}"), "");
    // It ends with the task that it looked into, and the next one finds nothing of it.
    stays.end(LONG).expect(8).says("the line to the command was cut");
    place.until_said("a", "start", 2);
    let seen = exec(other, "echo $DYBOX_TASK_INDEX; ls /tmp; ps").expect(0);
    assert!(seen.out.starts_with(&format!("{other}\nit\n")) && !seen.out.contains("sleep 300"), "{}", seen.out);
    place.write(&format!("said/go{other}"), "");
    place.until_state(&run, "succeeded");
    place.assert_nothing_left();
}
