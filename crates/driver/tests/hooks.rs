//! Real hooks, with a real shell.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use dybox_driver::{Hook, HookEnd, start};
use dybox_model::{Decision, HookId, Millis};
use tempfile::TempDir;
use tokio::sync::mpsc;

fn hook(dir: &Path, script: &str) -> Hook {
    Hook {
        hook: HookId(3),
        run: vec!["/bin/sh".into(), "-c".into(), script.into()],
        cwd: dir.to_owned(),
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into()), ("DYBOX_RUN".into(), "r".into())]),
        stdin: "{\"stages\":{}}".into(),
        timeout: Millis(10_000),
        memory: 1 << 30,
        log: dir.join("hook-3.log"),
        pid_file: dir.join("hook-3.pid"),
    }
}

async fn answer(hook: Hook) -> Result<Decision, String> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let _running = start(hook, events);
    match inbox.recv().await.unwrap() {
        HookEnd { hook: HookId(3), answer } => answer.map(|answer| answer.decision),
        event => panic!("{event:?}"),
    }
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_hook_reads_the_story_and_decides() {
    let dir = dir();
    let said = answer(hook(dir.path(), "grep -q stages && echo note >&2 && echo '{\"skip\":[\"b\"]}'")).await;
    assert_eq!(said.unwrap().skip, ["b"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("hook-3.log")).unwrap(), "note\n");
}

#[tokio::test]
async fn it_runs_in_the_directory_of_the_job_file_and_nothing_leaks_in() {
    let dir = dir();
    let said =
        answer(hook(dir.path(), "echo \"{\\\"stop\\\":\\\"$(pwd) $(env | grep -c CARGO) $DYBOX_RUN\\\"}\"")).await;
    let at = std::fs::canonicalize(dir.path()).unwrap();
    assert_eq!(said.unwrap().stop, Some(format!("{} 0 r", at.display())));
}

#[tokio::test]
async fn a_failure_shows_the_end_of_its_stderr() {
    let dir = dir();
    let why = answer(hook(dir.path(), "echo no such table >&2; exit 3")).await.unwrap_err();
    assert_eq!(why, "it exited with 3\nno such table");
    let why = answer(hook(dir.path(), "yes x | head -c 300000 >&2; echo end >&2; exit 1")).await.unwrap_err();
    assert!(why.len() < 66_000 && why.ends_with("end"), "{}", why.len());
    let why = answer(Hook { run: vec!["/no/such".into()], ..hook(dir.path(), "") }).await.unwrap_err();
    assert!(why.starts_with("its program does not exist"), "{why}");
    assert!(why.contains("\nhook: 1: exec:"), "{why}");
    let why = answer(Hook { cwd: "/no/such".into(), ..hook(dir.path(), "") }).await.unwrap_err();
    assert!(why.starts_with("it could not be started in /no/such"), "{why}");
}

#[tokio::test]
async fn a_hook_without_end_is_ended_with_all_that_it_started() {
    let dir = dir();
    let began = Instant::now();
    let late = Hook { timeout: Millis(300), ..hook(dir.path(), "sleep 61 & echo $! > child; wait") };
    let why = answer(late).await.unwrap_err();
    assert_eq!(why, "it ran longer than its time limit of 0.3s");
    assert!(began.elapsed() < Duration::from_secs(4));
    let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
}

#[tokio::test]
async fn one_that_leaves_a_process_behind_does_not_hang() {
    let dir = dir();
    let began = Instant::now();
    assert_eq!(answer(hook(dir.path(), "sleep 62 & echo '{}'")).await, Ok(Decision::default()));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn its_memory_and_its_answer_are_limited() {
    let dir = dir();
    let greedy = Hook { memory: 64 << 20, ..hook(dir.path(), "dd if=/dev/zero of=/dev/null bs=200M count=1") };
    assert!(answer(greedy).await.unwrap_err().starts_with("it exited with"));
    let why = answer(hook(dir.path(), "yes | head -c 3000000")).await.unwrap_err();
    assert_eq!(why, "its answer is longer than 1024 KiB");
}

#[tokio::test]
async fn a_stop_ends_it() {
    let dir = dir();
    let (events, mut inbox) = mpsc::unbounded_channel();
    let running = start(hook(dir.path(), "exec sleep 60"), events);
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(running);
    let Some(HookEnd { answer, .. }) = inbox.recv().await else { panic!("no end") };
    assert_eq!(answer, Err("it was stopped".into()));
}

/// A hook whose master is killed: forgetting everything about it is as near as one process comes.
#[tokio::test]
async fn a_hook_that_outlived_its_master_is_ended_before_it_runs_again() {
    let dir = dir();
    let seen = dir.path().join("seen");
    let script = format!("echo $$ >> {0}; [ $(wc -l < {0}) -gt 1 ] || sleep 30; echo end >> {0}", seen.display());
    let (events, _inbox) = mpsc::unbounded_channel();
    std::mem::forget(start(hook(dir.path(), &script), events));
    let pid = loop {
        match std::fs::read_to_string(&seen).unwrap_or_default().lines().next() {
            Some(pid) => break pid.to_owned(),
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let noted = std::fs::read_to_string(dir.path().join("hook-3.pid")).unwrap();
    assert!(noted.lines().nth(1).unwrap().starts_with(&format!("{pid} ")), "{noted}");
    assert_eq!(answer(hook(dir.path(), &script)).await, Ok(Decision::default()));
    let told = std::fs::read_to_string(&seen).unwrap();
    assert_eq!((told.lines().count(), told.matches("end").count()), (3, 1), "{told}");
    assert!(!dir.path().join("hook-3.pid").exists());
}

#[tokio::test]
async fn a_process_that_only_has_the_number_of_a_hook_is_left_alone() {
    let dir = dir();
    let mut other = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", other.id())).unwrap();
    let mut fields: Vec<_> = stat.split(' ').map(str::to_owned).collect();
    fields[21] = "1".to_owned();
    std::fs::write(dir.path().join("hook-3.pid"), format!("{boot}{}", fields.join(" "))).unwrap();
    dybox_driver::end_orphans(dir.path()).await;
    assert!(other.try_wait().unwrap().is_none() && !dir.path().join("hook-3.pid").exists());
    other.kill().unwrap();
    other.wait().unwrap();
}
