use dybox_model::{Cause, EndedBy, Peak, Resources, StageOutline};

use super::*;

const SUB: SubDagId = SubDagId(0);

fn outline(id: u32, name: &str, tasks: u32) -> StageOutline {
    let ask = Resources { cpu_milli: 1000, memory: 256 << 20 };
    StageOutline { id: StageId(id), name: name.to_owned(), image: "busybox:1".to_owned(), ask, tasks, needs: vec![] }
}

fn attempt(stage: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index }, number }
}

fn runs(attempt: AttemptId, at: u64) -> Fact {
    Fact::AttemptRuns { attempt, container: "c0".to_owned(), at: Millis(at) }
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
    }
}

fn submitted() -> Fact {
    let run = "01jd0000000000000000000000".parse().unwrap();
    let stages = vec![outline(0, "extract", 2), outline(1, "join", 1)];
    Fact::Submitted { run, job: "nightly".to_owned(), subdag: SUB, at: Millis(1000), stages }
}

#[test]
fn a_run_is_told_one_line_an_event() {
    let stage_ended = |stage, end, why: &str, at| Fact::StageEnded {
        stage: StageId(stage),
        end,
        why: why.to_owned(),
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
    let mut story = Story::of(1);
    let lines: Vec<_> = facts.iter().filter_map(|fact| story.fact(SUB, fact)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
       0.1s  extract starts: 2 tasks
       0.4s  extract/0 runs
       1.4s  extract/0 succeeded in 1.0s
       0.5s  extract/1 runs
       1.5s  extract/1 failed after 1.0s: the command ended with a non-zero exit code: exit code 3; it is tried again (C1001)
       1.6s  extract/1 runs (try 2)
       1.7s  extract/1 succeeded in 0.1s
       1.7s  extract succeeded in 1.6s
       1.7s  join starts: 1 task
       1.8s  join failed: the image does not exist: no image nope:1 (C1010)
    ");
}

#[test]
fn a_pull_is_told_at_its_start_and_its_end_alone() {
    let mut story = Story::of(1);
    story.fact(SUB, &submitted());
    let pull = |have, total| Note::Pulling { image: "ubuntu:22.04".to_owned(), have, total };
    let notes = [pull(0, 0), pull(1 << 20, 40 << 20), Note::Pulled { image: "ubuntu:22.04".to_owned() }];
    let lines: Vec<_> = notes.iter().filter_map(|note| story.note(note, Millis(3000))).collect();
    assert_eq!(lines, ["   2.0s  pulling ubuntu:22.04", "   2.0s  pulled ubuntu:22.04 (40MiB)"]);
}

#[test]
fn a_reason_to_wait_is_told_once() {
    let mut story = Story::of(1);
    story.fact(SUB, &submitted());
    let waits = |why: &str| Note::Waits { stage: StageId(1), why: why.to_owned() };
    let notes = [waits("no room"), waits("no room"), waits(""), waits("no room")];
    let told = notes.iter().filter_map(|note| story.note(note, Millis(1000))).count();
    assert_eq!(told, 2);
}

#[test]
fn sub_dags_are_named_where_there_are_several() {
    let mut story = Story::of(2);
    story.fact(SUB, &submitted());
    let end = Fact::Ended { end: StageEnd::Succeeded, why: String::new(), at: Millis(1500) };
    assert_eq!(story.fact(SubDagId(1), &end), Some("   0.5s  sub-DAG 1 succeeded".to_owned()));
    let opened = Fact::Opened { epoch: 2, at: Millis(1600), pid: 8 };
    assert_eq!(story.fact(SubDagId(1), &opened), Some("   0.6s  master 2 goes on in sub-DAG 1".to_owned()));
}
