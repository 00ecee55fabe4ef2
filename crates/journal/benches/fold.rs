//! How long 300,000 records take to read and fold: `cargo bench -p dybox-journal`.

use std::io::Write;
use std::time::Instant;

use dybox_journal::{State, decode, encode_into, fold};
use dybox_model::{
    AttemptId, Cause, EndedBy, Exit, Fact, GrantId, Millis, Peak, Resources, StageId, StageOutline, SubDagId, TaskId,
};

const TASKS: u32 = 100_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn main() -> std::io::Result<()> {
    let image = "busybox".to_owned();
    let outline = StageOutline {
        id: StageId(0),
        name: "a".into(),
        image,
        ask: Resources::default(),
        tasks: TASKS,
        needs: vec![],
    };
    let run = "01jd0000000000000000000001".parse().expect("a run id");
    let submitted = Fact::Submitted { run, job: "j".into(), subdag: SubDagId(0), at: Millis(0), stages: vec![outline] };
    let mut bytes = Vec::new();
    encode_into(&submitted, &mut bytes);
    encode_into(&Fact::StageStarted { stage: StageId(0), tasks: TASKS, at: Millis(1) }, &mut bytes);
    for index in 0..TASKS {
        let attempt = AttemptId { task: TaskId { stage: StageId(0), index }, number: 1 };
        let at = Millis(1_795_000_000_000 + u64::from(index));
        let grant = GrantId::compose(SubDagId(0), 1, index / 8);
        encode_into(&Fact::AttemptStarted { attempt, grant, at }, &mut bytes);
        encode_into(&Fact::AttemptRuns { attempt, container: "c0ffee".repeat(10), at }, &mut bytes);
        let used = Peak { cpu_ms: 12, memory: 4 << 20, ..Peak::default() };
        let exit = Exit { code: Some(0), cause: None, by: EndedBy::Itself, started: Some(at), used, ..lost(at) };
        encode_into(&Fact::AttemptEnded { attempt, exit, again: false }, &mut bytes);
    }
    let start = Instant::now();
    let read = decode(&bytes);
    let decoded = start.elapsed();
    assert_eq!(read.state, State::Clean);
    let run = fold(&read.facts);
    assert_eq!(run.stages[0].counts.succeeded, TASKS);
    let all = start.elapsed();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} records, {} MB: decoded in {decoded:.2?}, with fold {all:.2?}",
        read.facts.len(),
        bytes.len() / 1_000_000
    )
}

fn lost(at: Millis) -> Exit {
    Exit::not_started(Cause::Internal, "", at)
}
