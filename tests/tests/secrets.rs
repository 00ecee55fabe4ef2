//! Secrets of a job on the real engine: files in memory, for their task alone, and in nothing that is left or shown.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dybox_tests::{Done, Engine, Follow, Workspace, eventually};

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(180);
/// Of the variable, of the file.
const PASSWORD: &str = "correct-horse battery";
const KEY: &str = "BEGIN KEY\nabcdEFGH1234\nEND KEY\n";

const SECRETS: &str = "secrets:\n  password: { env: DYTEST_PASSWORD }\n  key: { file: ./key.pem }\n";

fn place(stages: &str) -> Workspace {
    let place = Workspace::new();
    place.write("key.pem", KEY);
    place.job(&format!("{stages}{SECRETS}"));
    place
}

fn with(place: &Workspace, args: &[&str], password: &str) -> Done {
    Follow::start(place.command(args).env("DYTEST_PASSWORD", password)).end(LONG)
}

/// The files below a directory that hold one of the values.
fn holding(dir: &Path, values: &[&str]) -> String {
    let mut grep = Command::new("grep");
    values.iter().for_each(|value| {
        grep.args(["-e", value]);
    });
    let found = grep.args(["-rlaF"]).arg(dir).output().expect("grep runs");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[test]
fn a_task_finds_its_secrets_as_files_and_nobody_else_does() {
    let place = place(concat!(
        "stages:\n",
        "  a:\n    secrets: [password, key]\n    script: |\n",
        "      . /said/fns\n      ls -l /run/secrets; mount | grep ' /run/secrets '; env\n",
        "      cat /run/secrets/password; echo; base64 /run/secrets/password; cat /run/secrets/key\n",
        "      printf correct-horse; sleep 0.3; printf ' battery is cut\\n'; wc -c < /run/secrets/password\n",
        "      printf '{\"pw\": \"%s\"}' \"$(cat /run/secrets/password)\" > $DYBOX_RESULT\n",
        "      cat /run/secrets/password >&2\n",
        "      say start; until [ -e /said/go ]; do sleep 0.05; done\n",
        "  b: { needs: [a], script: \"ls /run/secrets; echo ${results.a.pw}; cat $DYBOX_NEEDS\" }\n",
    ));
    let run = with(&place, &["run", "-q", "--detach", "job.yaml"], PASSWORD).expect(0).out.trim().to_owned();
    place.until_said("a", "start", 1);
    let engine = Engine::machine();
    let id = place.containers().into_iter().next().expect("it runs");
    let shown = engine.docker(&["inspect", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("/run/secrets") && !shown.contains("horse") && !shown.contains("abcdEFGH"), "{shown}");
    // One file of this machine has the values while the run lives, for its user alone.
    let (root, secrets) = (place.home().join("runs").join(&run), "sub/0/secrets");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&root.join(secrets).metadata().expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let hidden = place.dybox(&[
        "exec",
        &format!("{run}/a/0"),
        "--",
        "sh",
        "-c",
        "cat /run/secrets/password; ls -l /run/secrets",
    ]);
    let hidden = hidden.expect(0).says("***").says("-r--------");
    assert!(!hidden.out.contains("horse"), "{}", hidden.out);
    place.write("said/go", "");
    place.until_state(&run, "succeeded");
    let logs = place.dybox(&["logs", "--no-prefix", &run, "a"]).expect(0);
    let logs = logs.says("tmpfs on /run/secrets").says("-r--------").says("*** is cut").says("21");
    let next = place.dybox(&["logs", "--no-prefix", &run, "b"]).expect(0).says("***");
    let all = [place.dybox(&["status", &run]), place.dybox(&["status", "-ojson", &run])];
    for text in [&logs.out, &next.out, &all[0].out, &all[1].out, &place.dybox(&["why", &format!("{run}/a")]).out] {
        assert!(
            !text.contains("horse battery") && !text.contains("Y29ycmVjdC1ob3Jz") && !text.contains("abcdEFGH"),
            "{text}"
        );
    }
    eventually("the values go with the run", SOON, || (!root.join(secrets).exists()).then_some(()));
    assert_eq!(holding(&place.home(), &[PASSWORD, "abcdEFGH1234"]), "", "in no file of DYbox");
    place.assert_nothing_left();
}

#[test]
fn a_secret_goes_where_the_stage_wants_it_and_for_whom_it_runs_as() {
    let place = place(concat!(
        "stages:\n",
        "  a:\n    user: \"1234:1234\"\n    secrets: { password: { target: /etc/app/pw, mode: \"0440\" }, key: { target: k } }\n",
        "    script: \"ls -lnL /etc/app/pw /run/secrets/k; tr a-z A-Z < /etc/app/pw\"\n",
        "  named: { user: nobody, secrets: [key], script: \"id -un; ls -l /run/secrets/key; wc -l < /run/secrets/key\" }\n",
        // Each task finds them as if it were the first, whatever the one before it did.
        "  warm: { parallelism: 4, reuse: true, secrets: [password], script: \"wc -c < /run/secrets/password; ls /run/secrets | wc -l; rm -f /run/secrets/password; touch /run/secrets/x; cat /run/secrets/*\" }\n",
    ));
    let run = with(&place, &["run", "job.yaml"], PASSWORD).expect(0).run_id();
    let a = place.dybox(&["logs", "--no-prefix", &run, "a"]).expect(0);
    let a = a.says("-r--r-----    1 1234     1234            21").says("CORRECT-HORSE BATTERY");
    assert!(a.out.contains("-r--------    1 1234"), "{}", a.out);
    place
        .dybox(&["logs", "--no-prefix", &run, "named"])
        .expect(0)
        .says("nobody")
        .says("-r--------    1 nobody")
        .says("3");
    let warm = place.dybox(&["logs", "--no-prefix", &run, "warm"]).expect(0).out;
    assert_eq!(warm.lines().filter(|line| line.trim() == "21").count(), 4, "{warm}");
    assert_eq!(warm.lines().filter(|line| line.trim() == "1").count(), 4, "{warm}");
    place.assert_nothing_left();
}

#[test]
fn a_run_that_goes_on_reads_its_secrets_again() {
    let place = place("stages:\n  a: { secrets: [password], script: \"grep -q new /run/secrets/password\" }\n");
    let run = with(&place, &["run", "job.yaml"], "the old one").expect(1).run_id();
    let kept = place.home().join("runs").join(&run).join("sub/0/secrets");
    eventually("the values go with the run", SOON, || (!kept.exists()).then_some(()));
    let refused = place.dybox(&["resume", &run]).expect(3);
    refused.says("\"password\"").says("DYTEST_PASSWORD").says("it is not set");
    with(&place, &["resume", &run], "the new one").expect(0);
    eventually("they go again", SOON, || (!kept.exists()).then_some(()));
    place.assert_nothing_left();
}

#[test]
fn what_can_not_be_read_is_told_before_anything_runs() {
    let place = place("stages:\n  a: { secrets: [pasword], script: \"true\" }\n");
    let told = with(&place, &["run", "job.yaml"], PASSWORD).expect(3);
    told.says("E0520").says("did you mean \"password\"?").says("W0524");
    place.job(&format!("stages:\n  a: {{ secrets: [password, key], script: \"true\" }}\n{SECRETS}"));
    std::fs::remove_file(place.path().join("key.pem")).unwrap();
    let told = place.dybox(&["run", "job.yaml"]).expect(3);
    told.says("E0522")
        .says("the variable DYTEST_PASSWORD: it is not set")
        .says("key.pem: no such file")
        .says("job.yaml:");
    assert!(place.runs().is_empty());
}
