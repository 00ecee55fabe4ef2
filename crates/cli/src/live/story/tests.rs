use dybox_model::{Cause, EndedBy, Peak, Protocol};

use super::*;
use crate::report::samples::outline;

const SUB: SubDagId = SubDagId(0);

fn attempt(stage: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index }, number }
}

fn runs(attempt: AttemptId, at: u64) -> Fact {
    Fact::AttemptRuns { attempt, container: "c0".to_owned(), at: Millis(at), ports: Vec::new() }
}

fn ends(attempt: AttemptId, exit: Exit, again: bool) -> Fact {
    Fact::AttemptEnded { attempt, exit, again }
}

fn exit(code: i32, at: u64) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        cause: (code != 0).then_some(Cause::ExitCode),
        by: EndedBy::Itself,
        text: String::new(),
        started: None,
        ended: Millis(at),
        used: Peak::default(),
        result: None,
        moved: Box::default(),
    }
}

fn submitted() -> Fact {
    let run = "01jd0000000000000000000000".parse().unwrap();
    let stages = vec![outline(0, "extract", 2), outline(1, "join", 1)];
    Fact::Submitted { run, job: "nightly".to_owned(), subdag: SUB, at: Millis(1000), stages }
}

#[test]
fn ports_are_told_when_a_task_runs() {
    let mut story = Story::of(1, Millis(1000));
    story.fact(SUB, &submitted());
    let port = Published { container: 80, protocol: Protocol::Udp, host: "n1\x1b[1m".to_owned(), port: 9 };
    let (attempt, container) = (attempt(1, 0, 1), "c0".to_owned());
    let told = story.fact(SUB, &Fact::AttemptRuns { attempt, container, at: Millis(1500), ports: vec![port] }).unwrap();
    assert!(
        told.ends_with(":9") && told.contains("join runs, port 80/udp at n1") && !told.contains('\x1b'),
        "{told:?}"
    );
}

#[test]
fn a_run_is_told_one_line_an_event() {
    let stage_ended = |stage, end, why: &str, at| Fact::StageEnded {
        stage: StageId(stage),
        end,
        why: why.to_owned(),
        cause: None,
        at: Millis(at),
    };
    let facts = [
        submitted(),
        Fact::Opened { epoch: 1, at: Millis(1010), pid: 7 },
        Fact::StageStarted { stage: StageId(0), tasks: 2, at: Millis(1100) },
        runs(attempt(0, 0, 1), 1400),
        ends(attempt(0, 0, 1), exit(0, 2400), false),
        runs(attempt(0, 1, 1), 1500),
        ends(attempt(0, 1, 1), exit(3, 2500), true),
        runs(attempt(0, 1, 2), 2600),
        ends(attempt(0, 1, 2), exit(0, 2700), false),
        stage_ended(0, StageEnd::Succeeded, "", 2700),
        Fact::StageStarted { stage: StageId(1), tasks: 1, at: Millis(2710) },
        ends(attempt(1, 0, 1), Exit::not_started(Cause::ImageNotFound, "no image nope:1", Millis(2800)), false),
        stage_ended(1, StageEnd::Failed, "task 0 failed", 2810),
        Fact::Ended { end: StageEnd::Failed, why: "join failed".to_owned(), at: Millis(2820) },
    ];
    let mut story = Story::of(1, Millis(u64::MAX));
    let lines: Vec<_> = facts.iter().filter_map(|fact| story.fact(SUB, fact)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
       0.1s  extract starts: 2 tasks
       0.4s  extract/0 runs
       1.4s  extract/0 succeeded in 1.0s
       1.4s  extract/1 runs
       1.5s  extract/1 failed after 1.0s: exit code 3 (C1001); tried again
       1.6s  extract/1 runs (try 2)
       1.7s  extract/1 succeeded in 0.1s
       1.7s  extract succeeded in 1.6s
       1.8s  join failed: the image does not exist: no image nope:1 (C1010)
    ");
}

#[test]
fn a_stage_that_fails_before_any_task_of_it_could_is_told() {
    let failed = Fact::StageEnded {
        stage: StageId(1),
        end: StageEnd::Failed,
        why: "none got room (C2018)".to_owned(),
        cause: None,
        at: Millis(5000),
    };
    let begins = Fact::StageStarted { stage: StageId(1), tasks: 1, at: Millis(1000) };
    let mut story = Story::of(1, Millis(u64::MAX));
    let told = [submitted(), begins.clone(), failed.clone()].map(|fact| story.fact(SUB, &fact));
    assert_eq!(told[2].as_deref(), Some("   4.0s  join failed: none got room (C2018)"));
    // Its own task has said it already; one that is tried again has not.
    let only = |again| ends(attempt(1, 0, 1), exit(3, 2000), again);
    let mut story = Story::of(1, Millis(u64::MAX));
    let told = [submitted(), begins.clone(), only(false), failed.clone()].map(|fact| story.fact(SUB, &fact));
    assert!(told[2].is_some() && told[3].is_none(), "{told:?}");
    let mut story = Story::of(1, Millis(u64::MAX));
    let told = [submitted(), begins, only(true), failed].map(|fact| story.fact(SUB, &fact));
    assert!(told[2].is_some() && told[3].is_some(), "{told:?}");
}

#[test]
fn a_pull_is_told_at_its_start_and_its_end_alone() {
    let mut story = Story::of(1, Millis(u64::MAX));
    story.fact(SUB, &submitted());
    let pull = |have, total| Note::Pulling { image: "ubuntu:22.04".to_owned(), have, total };
    let notes = [pull(0, 0), pull(1 << 20, 40 << 20), Note::Pulled { image: "ubuntu:22.04".to_owned() }];
    let lines: Vec<_> = notes.iter().filter_map(|note| story.note(note, Millis(3000))).collect();
    assert_eq!(lines, ["   2.0s  pulling ubuntu:22.04", "   2.0s  pulled ubuntu:22.04 (40MiB)"]);
    // One that fails is not said to have come; the attempt's end tells why.
    let notes = [pull(0, 0), Note::NotPulled { image: "ubuntu:22.04".to_owned() }, pull(0, 0)];
    let lines: Vec<_> = notes.iter().filter_map(|note| story.note(note, Millis(4000))).collect();
    assert_eq!(lines, ["   3.0s  pulling ubuntu:22.04", "   3.0s  pulling ubuntu:22.04"]);
}

#[test]
fn a_reason_to_wait_is_told_once_and_only_when_it_lasts() {
    let mut story = Story::of(1, Millis(u64::MAX));
    story.fact(SUB, &submitted());
    let mut told = Vec::new();
    for (at, why) in [(1000, "no room: 3 want"), (2000, ""), (2500, "no room: 3 want"), (4000, "no room: 2 want")] {
        let note = Note::Waits { stage: StageId(1), why: why.to_owned() };
        assert_eq!(story.note(&note, Millis(at)), None);
        told.extend(story.tick(Millis(at + 900)));
    }
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(story.tick(Millis(6000)), ["   5.0s  join waits: no room: 2 want"]);
    story.note(&Note::Waits { stage: StageId(1), why: "no room: 1 want".to_owned() }, Millis(6100));
    assert_eq!(story.tick(Millis(60_000)), Vec::<String>::new());
}

#[test]
fn what_has_ended_waits_for_nothing_whatever_comes_late() {
    let why = || "no room: 3 want".to_owned();
    let waits = Note::Waits { stage: StageId(1), why: why() };
    let ended =
        Fact::StageEnded { stage: StageId(1), end: StageEnd::Failed, why: why(), cause: None, at: Millis(1500) };
    // Before its end, or after it.
    for note_first in [true, false] {
        let mut story = Story::of(1, Millis(u64::MAX));
        story.fact(SUB, &submitted());
        if note_first {
            story.note(&waits, Millis(1000));
        }
        story.fact(SUB, &ended);
        if !note_first {
            story.note(&waits, Millis(1600));
        }
        assert_eq!(story.tick(Millis(60_000)), Vec::<String>::new());
        // It goes on, and waits again.
        story.fact(SUB, &Fact::Reopened { at: Millis(61_000) });
        story.note(&waits, Millis(62_000));
        assert_eq!(story.tick(Millis(70_000)).len(), 1);
    }
}

#[test]
fn a_wide_stage_is_told_in_tenths_and_its_failures_one_by_one() {
    let mut story = Story::of(1, Millis(u64::MAX));
    story.fact(SUB, &submitted());
    story.fact(SUB, &Fact::StageStarted { stage: StageId(0), tasks: 100, at: Millis(1000) });
    let mut lines = Vec::new();
    for index in 0..100 {
        lines.extend(story.fact(SUB, &runs(attempt(0, index, 1), 1000)));
        lines.extend(story.fact(SUB, &ends(attempt(0, index, 1), exit(i32::from(index == 55), 2000), false)));
    }
    assert_eq!(lines.len(), 10, "{lines:#?}");
    assert_eq!(lines[0], "   1.0s  extract: 10 of 100 succeeded");
    assert_eq!(lines[5], "   1.0s  extract/55 failed after 1.0s: exit code 1 (C1001)");
}

#[test]
fn what_another_sub_dag_did_long_before_is_told_at_its_time() {
    let mut story = Story::of(2, Millis(0));
    let at = |line: String| line.trim_start().split(' ').next().unwrap_or_default().to_owned();
    let told = [9000, 8000, 2000, 9500].map(|ms| at(story.line(Millis(ms), "x")));
    assert_eq!(told, ["9.0s", "9.0s", "2.0s", "9.5s"]);
}

#[test]
fn a_success_that_lost_a_process_is_no_plain_success() {
    let mut story = Story::of(1, Millis(u64::MAX));
    story.fact(SUB, &submitted());
    story.fact(SUB, &Fact::StageStarted { stage: StageId(1), tasks: 1, at: Millis(1000) });
    let odd = Exit { text: "succeeded, but the kernel killed 1 of its processes".to_owned(), ..exit(0, 1500) };
    let told = story.fact(SUB, &ends(attempt(1, 0, 1), odd, false));
    assert_eq!(told.as_deref(), Some("   0.5s  join succeeded, but the kernel killed 1 of its processes"));
}

#[test]
fn a_try_that_fails_like_the_one_before_is_told_in_few_words() {
    let mut story = Story::of(1, Millis(u64::MAX));
    story.fact(SUB, &submitted());
    story.fact(SUB, &Fact::StageStarted { stage: StageId(1), tasks: 1, at: Millis(1000) });
    let down = |at| Exit { text: "no such host".to_owned(), cause: Some(Cause::RegistryDown), ..exit(1, at) };
    let mut told = |number, exit, again| story.fact(SUB, &ends(attempt(1, 0, number), exit, again)).unwrap_or_default();
    let first = told(1, down(1100), true);
    assert_eq!(first, "   0.1s  join failed: the registry can't be reached: no such host (C2002); tried again");
    assert_eq!(told(2, down(1200), true), "   0.2s  join (try 2) failed: as before (C2002); tried again");
    assert!(told(3, exit(3, 1300), true).contains("exit code 3"), "it failed in another way");
    assert!(told(4, down(1400), false).contains("no such host"), "the last try says all");
}

#[test]
fn sub_dags_are_named_where_there_are_several() {
    let mut story = Story::of(2, Millis(u64::MAX));
    story.fact(SUB, &submitted());
    let end = |end| Fact::Ended { end, why: "no master".to_owned(), at: Millis(1500) };
    assert_eq!(story.fact(SubDagId(1), &end(StageEnd::Succeeded)), None);
    assert_eq!(story.fact(SubDagId(1), &end(StageEnd::Lost)), Some("   0.5s  lost in sub-DAG 1: no master".to_owned()));
    let opened = Fact::Opened { epoch: 2, at: Millis(1600), pid: 8 };
    assert_eq!(story.fact(SubDagId(1), &opened), Some("   0.6s  master 2 goes on in sub-DAG 1".to_owned()));
}
