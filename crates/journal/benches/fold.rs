//! How long 300,000 records take to read and fold: `cargo bench -p dybox-journal`.

use std::io::Write;
use std::time::Duration;

use dybox_journal::{Records, State, decode, encode_into, fold, whole};
use dybox_model::{
    AttemptId, Cause, EndedBy, Exit, Fact, GrantId, Millis, Peak, Resources, StageId, StageOutline, SubDagId, TaskId,
};

const TASKS: u32 = 100_000;

fn main() -> std::io::Result<()> {
    let image = "busybox".to_owned();
    let outline = StageOutline {
        id: StageId(0),
        name: "a".into(),
        image,
        ask: Resources::default(),
        tasks: TASKS,
        needs: vec![],
        hook: false,
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
        encode_into(&Fact::AttemptRuns { attempt, container: "c0ffee".repeat(10), at, ports: Vec::new() }, &mut bytes);
        let used = Peak { cpu_ms: 12, memory: 4 << 20, ..Peak::default() };
        let exit = Exit { code: Some(0), cause: None, by: EndedBy::Itself, started: Some(at), used, ..lost(at) };
        encode_into(&Fact::AttemptEnded { attempt, exit, again: false }, &mut bytes);
    }
    let read = decode(&bytes);
    assert_eq!(read.state, State::Clean);
    let run = fold(&read.facts);
    assert_eq!(run.stages[0].counts.succeeded, TASKS);
    assert_eq!(fold(Records::new(&bytes)), run);
    let decoded = best(|| drop(decode(&bytes)));
    let folded = best(|| drop(fold(&read.facts)));
    let streamed = best(|| drop(fold(Records::new(&bytes))));
    let framed = best(|| assert_eq!(whole(&bytes), bytes.len()));
    let (records, size) = (read.facts.len(), bytes.len() / 1_000_000);
    writeln!(
        std::io::stdout().lock(),
        "{records} records, {size} MB: decoded in {decoded:.1?}, folded in {folded:.1?}, both one by one in {streamed:.1?}, \
         frames alone in {framed:.1?}"
    )
}

/// The cpu time of the best of seven: other work of the machine does not count.
fn best(mut work: impl FnMut()) -> Duration {
    let one = |_| {
        let start = cpu();
        work();
        cpu() - start
    };
    (0..7).map(one).min().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

fn lost(at: Millis) -> Exit {
    Exit::not_started(Cause::Internal, "", at)
}
