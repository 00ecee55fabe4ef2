use std::collections::BTreeMap;

use dybox_job::PLAN_VERSION;
use dybox_model::{AttemptId, EndedBy, Fact, GrantId, Peak, StageEnd, StageId, SubDagId, TaskId};

use super::*;
use crate::report::samples::outline;

fn plan() -> Plan {
    Plan {
        ground: None,
        version: PLAN_VERSION,
        name: "nightly".to_owned(),
        tags: vec![],
        params: BTreeMap::new(),
        queue: None,
        priority: None,
        node_label: None,
        rules: BTreeMap::new(),
        timeout: None,
        fail_fast: false,
        stages: vec![],
        hooks: vec![],
        subdags: vec![],
    }
}

fn attempt(stage: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index: 0 }, number }
}

fn exit(code: i32, from: u64, to: u64) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        cause: (code != 0).then_some(Cause::ExitCode),
        by: EndedBy::Itself,
        text: String::new(),
        started: Some(Millis(from)),
        ended: Millis(to),
        used: Peak { cpu_ms: 340, memory: 12 << 20, ..Peak::default() },
        result: None,
        moved: Box::default(),
    }
}

fn tried(attempt: AttemptId, exit: Exit, again: bool) -> [Fact; 3] {
    let at = exit.started.unwrap_or_default();
    [
        Fact::AttemptStarted { attempt, grant: GrantId::compose(SubDagId(0), 1, 1), at },
        Fact::AttemptRuns { attempt, container: "c".to_owned(), at, ports: Vec::new() },
        Fact::AttemptEnded { attempt, exit, again },
    ]
}

fn failed_run(run: &RunId) -> RunView {
    let sub = SubDagId(0);
    let stages = vec![outline(0, "extract", 1), outline(1, "join", 1), outline(2, "report", 1)];
    let started = |stage, at| Fact::StageStarted { stage: StageId(stage), tasks: 1, at: Millis(at) };
    let ended = |stage, end, at| Fact::StageEnded {
        stage: StageId(stage),
        end,
        why: String::new(),
        cause: None,
        at: Millis(at),
    };
    let mut facts = vec![
        Fact::Submitted { run: run.clone(), job: "nightly".to_owned(), subdag: sub, at: Millis(1000), stages },
        Fact::Opened { epoch: 1, at: Millis(1010), pid: 7 },
        started(0, 1100),
    ];
    facts.extend(tried(attempt(0, 1), exit(0, 1200, 3300), false));
    facts.extend([ended(0, StageEnd::Succeeded, 3300), started(1, 3300)]);
    facts.extend(tried(attempt(1, 1), exit(3, 3400, 3900), true));
    facts.extend(tried(attempt(1, 2), exit(3, 4000, 4500), false));
    facts.extend([
        ended(1, StageEnd::Failed, 4500),
        ended(2, StageEnd::Skipped, 4500),
        Fact::Ended { end: StageEnd::Failed, why: "stage join failed".to_owned(), at: Millis(4600) },
    ]);
    let mut view = RunView::new(1);
    facts.iter().for_each(|fact| view.apply(sub, fact));
    view
}

#[test]
fn a_failure_says_what_why_and_what_next() {
    let run: RunId = "01jd0000000000000000000000".parse().unwrap();
    let (plan, view) = (plan(), failed_run(&run));
    let failed = Failed {
        task: "join".to_owned(),
        attempt: 2,
        hook: false,
        exit: exit(3, 4000, 4500),
        stream: "stderr",
        tail: vec!["reading rows".to_owned(), "no such column: day".to_owned()],
    };
    let summary =
        Summary { run: &run, plan: &plan, view: &view, now: Millis(9000), word: "failed", failed: vec![failed] };
    insta::assert_snapshot!(summary.text(&Screen::plain(false)), @r"
    STAGE    STATE      TASKS  WALL           MEMORY   CPU  TRIES
    extract  succeeded    1/1  2.2s  12MiB of 256MiB  0.3s      1
    join     failed       0/1  1.2s  12MiB of 256MiB  0.6s      2
    report   skipped      0/1     -                -     -      0

    extract: you asked for 256MiB and used 12MiB: --right-size asks for what is used

    join failed on try 2 after 0.5s: exit code 3 (C1001 exit-code)
      owner: the user (the job or the image)
      last lines of its stderr:
      | reading rows
      | no such column: day
      next: Read its last lines with `dybox logs`; add the code to `retry.on` if another try can help.

    nightly 01jd0000000000000000000000 failed after 3.6s: stage join failed
    logs: dybox logs 01jd0000000000000000000000
    again: dybox resume 01jd0000000000000000000000 (the same job), or dybox run --cache JOB.yaml (a corrected one)
    ");
    let json = summary.json();
    assert_eq!((&json["state"], &json["seconds"]), (&json!("failed"), &json!(3.6)));
    assert_eq!(json["stages"][1]["tries"], 2);
    assert_eq!(json["failures"][0]["code"], "C1001");
}

#[test]
fn a_success_that_lost_a_process_is_a_warning() {
    let run: RunId = "01jd0000000000000000000000".parse().unwrap();
    let (plan, mut view) = (plan(), failed_run(&run));
    let text = "succeeded, but the kernel killed 1 of its processes".to_owned();
    view.apply(SubDagId(0), &Fact::Reopened { at: Millis(5000) });
    view.apply(SubDagId(0), &Fact::StageStarted { stage: StageId(1), tasks: 1, at: Millis(5000) });
    let facts = tried(attempt(1, 3), Exit { text, ..exit(0, 5200, 5300) }, false);
    facts.iter().for_each(|fact| view.apply(SubDagId(0), fact));
    let summary =
        Summary { run: &run, plan: &plan, view: &view, now: Millis(9000), word: "failed", failed: Vec::new() };
    let told = summary.text(&Screen::plain(false));
    assert!(told.contains("\nwarning: join: succeeded, but the kernel killed 1 of its processes\n"), "{told}");
}
