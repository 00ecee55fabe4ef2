//! `dybox logs` over archives that were written by hand.

use crate::home::{FAILED, Home, attempt};
use dybox_store::archive::Stream;

const NASTY: &[u8] = b"\x1b[31mred\x1b[0m\x07\r\nbinary \xff\x00 end\nno newline";

fn home() -> Home {
    let home = Home::with_runs();
    home.write_log(&[
        (attempt(0, 0, 1), Stream::Stdout, b"first\nsecond\nth"),
        (attempt(0, 1, 1), Stream::Stderr, b"ERROR: disk\n"),
        (attempt(0, 0, 1), Stream::Stdout, b"ird\n"),
        (attempt(0, 1, 1), Stream::Stdout, NASTY),
    ]);
    home
}

#[test]
fn lines_of_several_tasks_bear_their_names_and_stay_whole() {
    let text = home().out(0, &["logs", FAILED]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&"extract/0 | third") && lines.contains(&"extract/1 | ERROR: disk"), "{text}");
    assert!(lines.contains(&"extract/1 | red") && lines.contains(&"extract/1 | binary \u{fffd} end"), "{text}");
    assert_eq!(lines.last(), Some(&"extract/1 | no newline"));
}

#[test]
fn raw_output_of_one_stream_is_byte_for_byte() {
    let home = home();
    for args in [
        &["logs", FAILED, "extract/1", "--stdout", "--raw"][..],
        &[
            "logs",
            FAILED,
            "extract",
            "--attempt",
            "1",
            "--stdout",
            "--raw",
            "--no-prefix",
            "--since",
            "2025-11-21T08:00:02.003Z",
        ],
    ] {
        let output = home.dybox(args).assert().code(0).get_output().stdout.clone();
        assert_eq!(output, NASTY, "{args:?}");
    }
}

#[test]
fn lines_are_chosen_by_tail_pattern_stream_and_time() {
    let home = home();
    assert_eq!(home.out(0, &["logs", FAILED, "extract/0", "--tail", "2"]), "second\nthird\n");
    assert_eq!(home.out(0, &["logs", FAILED, "--stderr"]), "extract/1 | ERROR: disk\n");
    assert_eq!(home.out(0, &["logs", FAILED, "--grep", "^(f|s)"]), "extract/0 | first\nextract/0 | second\n");
    assert_eq!(home.out(0, &["logs", FAILED, "--grep", "ir", "--tail", "1", "--no-prefix"]), "third\n");
    assert_eq!(home.out(0, &["logs", FAILED, "--attempt", "2"]), "");
    let timed = home.out(0, &["logs", FAILED, "extract/0", "--tail", "1", "-t"]);
    assert_eq!(timed, "2025-11-21T08:00:02.000Z third\n");
    assert!(home.err(2, &["logs", FAILED, "--grep", "("]).contains("error[E2107]"));
}

#[test]
fn logs_are_json_lines_for_programs() {
    let home = home();
    let text = home.out(0, &["logs", FAILED, "--stderr", "-o", "jsonl"]);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["version"], &line["stage"], &line["task"]), (&1.into(), &"extract".into(), &1.into()));
    assert_eq!((&line["stream"], &line["text"]), (&"stderr".into(), &"ERROR: disk".into()));
    let tasks = home.out(0, &["logs", FAILED, "-q"]);
    assert_eq!(tasks, format!("{FAILED}/extract/0\n{FAILED}/extract/1\n"));
}

#[test]
fn following_a_run_that_is_over_ends_with_everything_shown() {
    let home = home();
    let output = home.dybox(&["logs", FAILED, "extract/0", "-f"]).timeout(std::time::Duration::from_secs(10)).assert();
    assert_eq!(output.code(0).get_output().stdout, b"first\nsecond\nthird\n");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let home = Home::with_runs();
    let line = [b'x'; 99];
    let big: Vec<u8> = line.iter().chain(b"\n").copied().cycle().take(1_000_000).collect();
    home.write_log(&[(attempt(0, 0, 1), Stream::Stdout, &big[..])]);
    let dybox = assert_cmd::cargo::cargo_bin("dybox");
    let script = format!("set -o pipefail; {} logs {FAILED} --tail 5000 | head -n 1", dybox.display());
    let output =
        std::process::Command::new("bash").args(["-c", &script]).env("DYBOX_HOME", home.dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_words_of_dyboxs_own_processes_are_there() {
    let home = home();
    let root = home.dir.path().join(format!("runs/{FAILED}"));
    std::fs::write(root.join("sub/0/master.log"), "opened\nended\n").unwrap();
    std::fs::create_dir_all(root.join("grants/g0-1-1")).unwrap();
    std::fs::write(root.join("grants/g0-1-1/proxy.log"), "welcome\n").unwrap();
    let text = home.out(0, &["logs", FAILED, "--system"]);
    assert_eq!(text, "master 0 | opened\nmaster 0 | ended\nproxy g0-1-1 | welcome\n");
}
