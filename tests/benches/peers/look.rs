//! What a person waits for: check and plan of many stages, status of many tasks, logs of much output.
//!
//! The run is a real one whose journal and archive are then replaced by large ones: the commands see no difference.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dybox_journal::{decode, encode_into};
use dybox_model::{AttemptId, EndedBy, Exit, Fact, GrantId, Millis, RunId, StageId, SubDagId, TaskId};
use dybox_store::Store;
use dybox_store::archive::{ArchiveWriter, Stream};
use dybox_store::layout::RunDir;

use super::{Bound, dybox, median, report, seconds, settle};

const STAGES: u32 = 10_000;
const TASKS: u32 = 100_000;
const FEW: u32 = 10_000;
const ROUNDS: usize = 5;
/// Bytes of the archive, and of a piece of it.
const OUTPUT: usize = 1 << 30;
const PIECE: usize = 1 << 20;

/// `DYBOX_BENCH`: another binary than the one beside this benchmark.
fn program() -> PathBuf {
    std::env::var_os("DYBOX_BENCH").map_or_else(dybox, PathBuf::from)
}

fn command(place: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &line.replace("dybox", &program().to_string_lossy())]).current_dir(place);
    command.env("DYBOX_HOME", place.join("home")).env("DYBOX_CONF", "/dev/null").env_remove("HADOOP_CONF_DIR");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn time(place: &Path, line: &str) -> f64 {
    let one = || {
        let mut command = command(place, line);
        seconds(|| assert!(command.status().unwrap().success(), "{line}"))
    };
    median((0..ROUNDS).map(|_| one()).collect())
}

fn within(what: &str, took: f64, limit_ms: f64) {
    let beside = format!("limit {limit_ms} ms");
    report(what, &format!("{:.0} ms", took * 1e3), &beside, took * 1e3 / limit_ms, &Bound::AtMost(1.0));
}

pub(crate) fn run() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    std::fs::write(place.join("many.yaml"), many()).unwrap();
    within("check of 10,000 stages", time(place, "dybox check many.yaml --local"), 500.0);
    within("plan of 10,000 stages", time(place, "dybox plan many.yaml --local"), 500.0);
    let job =
        "name: j\nstages:\n  a: { image: \"dybox-test/busybox:1\", cpus: 0.1, memory: 32MiB, command: [echo, x] }\n";
    std::fs::write(place.join("one.yaml"), job).unwrap();
    assert!(command(place, "dybox run one.yaml --local").status().unwrap().success(), "the run failed");
    settle(&place.join("home"));
    let runs = std::fs::read_dir(place.join("home/runs")).unwrap();
    let run: RunId = runs.flatten().next().unwrap().file_name().to_str().unwrap().parse().unwrap();
    looks(place, &run);
    logs(place, &run);
    drop(dir);
    watched();
}

/// What the live tree costs beside a run of many tasks: one that goes as fast as it can, and one that goes on quietly.
fn watched() {
    let pace = [
        ("reuse: true, command: [\"true\"]", "10,000 tasks at full pace"),
        ("command: [sleep, \"600\"]", "10,000 tasks, few running"),
    ];
    for (task, what) in pace {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path();
        let job = format!(
            "name: j\nstages:\n  a: {{ image: \"dybox-test/busybox:1\", cpus: 0.1, memory: 32MiB, parallelism: {FEW}, {task} }}\n"
        );
        std::fs::write(place.join("many.yaml"), job).unwrap();
        assert!(command(place, "dybox run many.yaml --local --detach").status().unwrap().success(), "the run failed");
        // On a terminal of its own; `--wait` ends the quiet one.
        let line = "script -qec 'stty cols 120 rows 40; TERM=xterm dybox watch --local --wait 15s; true' /dev/null";
        let (before, start) = (children_cpu(), std::time::Instant::now());
        assert!(command(place, line).env_remove("CI").status().unwrap().success());
        let (cpu, wall) = (children_cpu() - before, start.elapsed().as_secs_f64());
        let _ = command(place, "dybox stop --local --yes @latest").status();
        settle(&place.join("home"));
        let share = cpu / wall * 100.0;
        let beside = format!("limit 2 % of a core, {wall:.0} s");
        report(&format!("live tree: {what}"), &format!("{share:.2} %"), &beside, share / 2.0, &Bound::AtMost(1.0));
    }
}

/// Seconds of cpu that all children of this process took that have ended, and theirs.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: Vec<f64> = fields.split_whitespace().skip(13).take(2).map(|field| field.parse().unwrap()).collect();
    ticks.iter().sum::<f64>() / 100.0
}

fn many() -> String {
    let mut text = "name: many\ndefaults: { image: \"busybox:1\", cpus: 0.1, memory: 16MiB }\nstages:\n".to_owned();
    for stage in 0..STAGES {
        let needs = if stage < 100 { String::new() } else { format!(", needs: [s{}]", stage - 100) };
        text.push_str(&format!("  s{stage}: {{ command: [\"true\"]{needs} }}\n"));
    }
    text
}

/// A run of so many tasks that have all ended well, in the place of the real one.
fn grow(place: &Path, run: &RunId, tasks: u32) {
    let home = place.join("home");
    let journal = home.join(RunDir::new(run).sub(SubDagId(0)).journal());
    let plan = home.join(RunDir::new(run).plan());
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    text["stages"][0]["tasks"] = tasks.into();
    std::fs::write(plan, text.to_string()).unwrap();
    let mut bytes = Vec::new();
    for fact in decode(&std::fs::read(&journal).unwrap()).facts {
        match fact {
            Fact::Submitted { run, job, subdag, at, mut stages } => {
                stages[0].tasks = tasks;
                encode_into(&Fact::Submitted { run, job, subdag, at, stages }, &mut bytes);
            }
            Fact::StageStarted { stage, at, .. } => {
                encode_into(&Fact::StageStarted { stage, tasks, at }, &mut bytes);
                (0..tasks).for_each(|index| attempt(index, at, &mut bytes));
            }
            Fact::AttemptStarted { .. } | Fact::AttemptRuns { .. } | Fact::AttemptEnded { .. } => {}
            other => encode_into(&other, &mut bytes),
        }
    }
    std::fs::write(journal, bytes).unwrap();
}

fn attempt(index: u32, at: Millis, bytes: &mut Vec<u8>) {
    let attempt = AttemptId { task: TaskId { stage: StageId(0), index }, number: 1 };
    let grant = GrantId::compose(SubDagId(0), 1, index / 8);
    encode_into(&Fact::AttemptStarted { attempt, grant, at }, bytes);
    encode_into(&Fact::AttemptRuns { attempt, container: "c0ffee".repeat(10), at, ports: Vec::new() }, bytes);
    let lost = Exit::not_started(dybox_model::Cause::Internal, "", at);
    let exit = Exit { code: Some(0), cause: None, by: EndedBy::Itself, started: Some(at), ..lost };
    encode_into(&Fact::AttemptEnded { attempt, exit, again: false }, bytes);
}

fn looks(place: &Path, run: &RunId) {
    grow(place, run, FEW);
    for line in ["status", "ps --all", "logs"] {
        let what = line.split(' ').next().unwrap();
        within(&format!("{what} of a run of 10,000 tasks"), time(place, &format!("dybox {line} --local")), 100.0);
    }
    grow(place, run, TASKS);
    within("status of a run of 100,000 tasks", time(place, "dybox status --local"), 300.0);
}

fn logs(place: &Path, run: &RunId) {
    let home = place.join("home");
    let logs = home.join(RunDir::new(run).logs());
    let archive = std::fs::read_dir(&logs).unwrap().flatten().next().unwrap().path();
    std::fs::remove_file(&archive).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let name = archive.strip_prefix(&home).unwrap().to_str().unwrap().to_owned();
    let text = b"2026-11-21T07:42:00Z the quick brown fox jumps over the lazy dog\n".repeat(PIECE / 65 + 1);
    let text = bytes::Bytes::from(text).slice(..PIECE);
    runtime.block_on(async {
        let mut writer = ArchiveWriter::open(&Store::open_dir(&home), &name).await.unwrap();
        let of: AttemptId = "s0-0-1".parse().unwrap();
        for at in 0..OUTPUT / PIECE {
            writer.append_bytes(of, Stream::Stdout, Millis(at as u64), text.clone()).await.unwrap();
        }
        writer.close().await.unwrap();
    });
    // Two tasks: with one, no line has a prefix.
    grow(place, run, 2);
    within("logs of 1 GiB: first line", time(place, "dybox logs --local | head -n 1"), 50.0);
    within("logs of 1 GiB: --tail 100", time(place, "dybox logs --local --tail 100"), 50.0);
    let cat = time(place, &format!("cat {} | cat", archive.display()));
    for (what, line) in [
        ("logs of 1 GiB, with prefixes", "dybox logs --local | cat"),
        ("the same --no-prefix", "dybox logs --local --no-prefix | cat"),
        ("the same --raw --no-prefix", "dybox logs --local --raw --no-prefix | cat"),
        ("the same --grep of nothing there", "dybox logs --local --grep 'nothing|(like) it' | cat"),
        ("the same --grep of every line", "dybox logs --local --grep '(quick|slow) brown' | cat"),
    ] {
        let took = time(place, line);
        let rate = |took: f64| format!("{:.0} MB/s", OUTPUT as f64 / 1e6 / took);
        report(what, &rate(took), &format!("cat: {}", rate(cat)), cat / took, &Bound::AtLeast(0.5));
    }
}
