//! Whole sub-DAGs: real masters, real processes for proxies, no engine.
#![expect(clippy::unwrap_used, reason = "a test")]

mod fixture;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use dybox_job::Hook;
use dybox_journal::{encode, fold};
use dybox_master::{Conf, MasterError, run};
use dybox_model::{Fact, Millis, StageEnd, StageId, SubDagId, TaskSpec};
use dybox_wire::{MasterClient, Watched};
use fixture::{Args, World, plan, stage};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
#[ignore = "the body of a proxy's process"]
fn fake_proxy() {
    let Some(args) = Args::of_script() else { return };
    match args.has("--sweep") {
        true => fixture::sweep(&args),
        false => runtime().block_on(fixture::proxy(&args)),
    }
}

#[test]
#[ignore = "the body of a master's process"]
fn fake_master() {
    let Some(args) = Args::of_script() else { return };
    let conf = Conf {
        run_dir: args.run_dir(),
        subdag: SubDagId(args.value("--subdag").parse().unwrap()),
        reopen: args.has("--reopen"),
        binary: fixture::binary(),
    };
    if let Err(error) = runtime().block_on(run(conf)) {
        eprintln!("{error}: {:?}; {}", std::error::Error::source(&error).map(ToString::to_string), error.advice());
        std::process::exit(i32::from(error.exit_code() as u8));
    }
    std::process::exit(0);
}

/// Successful ends of one task in the journal.
fn successes(facts: &[Fact]) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    for fact in facts {
        if let Fact::AttemptEnded { attempt, exit, .. } = fact
            && exit.ok()
        {
            *seen.entry(format!("{}-{}", attempt.task.stage.0, attempt.task.index)).or_default() += 1;
        }
    }
    seen
}

fn hook(after: &[u32], holds: &[u32], script: &str) -> Hook {
    let ids = |list: &[u32]| list.iter().map(|id| StageId(*id)).collect();
    Hook {
        after: ids(after),
        holds: ids(holds),
        run: vec!["/bin/sh".into(), "-c".into(), script.into()],
        timeout: Millis(10_000),
        memory: 1 << 30,
        subdag: SubDagId(0),
    }
}

#[test]
fn a_diamond_runs_to_its_end_and_leaves_nothing() {
    let stages = vec![
        stage("a", 1, &["result", "{\"rows\":7}"], &[]),
        stage("b", 3, &["ok"], &[0]),
        stage("c", 2, &["ok"], &[0]),
        stage("d", 1, &["ok"], &[1, 2]),
    ];
    let mut world = World::new(&plan(vec![stages], vec![]));
    let began = Instant::now();
    let master = world.start(0);
    assert_eq!(world.wait(master), 0, "{}", world.story());
    let run = world.fold(0);
    assert_eq!(run.end.as_ref().map(|end| end.end), Some(StageEnd::Succeeded));
    assert_eq!((successes(&world.facts(0)).len(), run.grants.len(), world.shares()), (7, 0, 0));
    assert!(!world.home.path(&world.run.sub(SubDagId(0)).socket()).exists());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // What the task was told.
    let specs = fs::read_to_string(world.home.path("specs")).unwrap();
    let specs: Vec<TaskSpec> = specs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let spec = specs.iter().find(|spec| spec.attempt.to_string() == "s1-2-1").unwrap();
    let env: BTreeMap<_, _> = spec.env.iter().cloned().collect();
    let told = |name: &str| env[name].as_str();
    assert_eq!((told("GREETING"), told("DYBOX_STAGE"), told("DYBOX_TASK_INDEX")), ("hello", "b", "2"));
    assert_eq!((told("DYBOX_TASK_COUNT"), told("DYBOX_ATTEMPT"), told("DYBOX_CPUS")), ("3", "1", "1"));
    assert_eq!((told("DYBOX_PARAM_DAY"), told("DYBOX_MEMORY_BYTES")), ("monday", "67108864"));
    let needs: serde_json::Value = serde_json::from_str(&spec.needs).unwrap();
    let expected =
        serde_json::json!({"a": {"state": "succeeded", "tasks": 1, "exit_codes": [0], "results": [{"rows": 7}]}});
    assert_eq!(needs, expected);
    assert_eq!(spec.pinned.as_deref(), Some("sha256:1"));
}

#[test]
fn a_watcher_sees_every_record_and_the_end() {
    let mut world = World::new(&plan(vec![vec![stage("a", 2, &["sleep", "100"], &[])]], vec![]));
    let sub = world.home.path(&world.run.sub(SubDagId(0)).root());
    let master = world.start(0);
    let seen = runtime().block_on(async {
        let client = MasterClient::dial(&sub, "master.sock", Duration::from_secs(10)).await.unwrap();
        let mut watching = client.watch(0, true).await.unwrap();
        let mut bytes = Vec::new();
        while let Ok(Some(item)) = watching.next().await {
            if let Watched::Frames(frames) = item {
                bytes.extend_from_slice(&frames);
            }
        }
        bytes
    });
    world.wait(master);
    assert!(seen == fs::read(world.journal(0)).unwrap(), "what was seen is not the journal");
}

#[test]
fn a_hook_decides_once_and_a_failed_one_fails_the_run() {
    let stages = || vec![stage("a", 1, &["result", "5"], &[]), stage("b", 1, &["ok"], &[0])];
    let script = "grep -q '\"results\":{\"a\":5}' && echo '{\"parallelism\":{\"b\":4}}'";
    let mut world = World::new(&plan(vec![stages()], vec![hook(&[0], &[1], script)]));
    let master = world.start(0);
    assert_eq!(world.wait(master), 0);
    assert_eq!(successes(&world.facts(0)).len(), 5, "{}", world.story());

    let mut world = World::new(&plan(vec![stages()], vec![hook(&[0], &[1], "echo no luck >&2; exit 4")]));
    let master = world.start(0);
    assert_eq!(world.wait(master), 0);
    let end = world.fold(0).end.unwrap();
    assert_eq!(end.end, StageEnd::Failed);
    assert!(end.why.contains("it exited with 4") && end.why.contains("no luck"), "{}", end.why);
}

#[test]
fn a_second_master_is_told_who_holds_it() {
    let mut world = World::new(&plan(vec![vec![stage("a", 1, &["sleep", "60000"], &[])]], vec![]));
    let first = world.start(0);
    world.until(|world| !world.payloads().is_empty());
    let conf = Conf { run_dir: world.run_dir(), subdag: SubDagId(0), reopen: false, binary: fixture::binary() };
    let error = runtime().block_on(run(conf)).unwrap_err();
    assert!(matches!(&error, MasterError::Held { holder, .. } if holder.starts_with("pid ")), "{error}");
    let sub = world.home.path(&world.run.sub(SubDagId(0)).root());
    runtime().block_on(async {
        let client = MasterClient::dial(&sub, "master.sock", Duration::ZERO).await.unwrap();
        client.stop("", false).await.unwrap();
    });
    // Answered once it is written down.
    assert!(world.fold(0).stop.unwrap().why.starts_with("asked by uid"));
    assert_eq!(world.wait(first), 0);
    assert_eq!(world.fold(0).end.unwrap().end, StageEnd::Stopped);
}

#[test]
fn a_killed_master_loses_nothing_and_its_proxies_go_on() {
    let stages = vec![stage("a", 2, &["sleep", "900"], &[]), stage("b", 2, &["ok"], &[0])];
    let mut world = World::new(&plan(vec![stages], vec![]));
    let first = world.start(0);
    world.until(|world| world.fold(0).live.values().filter(|live| live.runs.is_some()).count() == 2);
    world.kill(first);
    let second = world.start(0);
    assert_eq!(world.wait(second), 0, "{}", world.story());
    let tries = |world: &World| world.payloads().iter().filter(|line| line.starts_with("start s0")).count();
    assert_eq!(tries(&world), 2, "running tasks went on: {:?}", world.payloads());
    assert_eq!((world.fold(0).epoch, world.fold(0).end.unwrap().end, world.shares()), (2, StageEnd::Succeeded, 0));
}

#[test]
fn a_proxy_that_dies_is_swept_and_its_task_is_tried_again() {
    let mut world = World::new(&plan(vec![vec![stage("a", 2, &["die"], &[])]], vec![]));
    let master = world.start(0);
    assert_eq!(world.wait(master), 0, "{}", world.story());
    let run = world.fold(0);
    assert_eq!((run.end.unwrap().end, successes(&world.facts(0)).len(), world.shares()), (StageEnd::Succeeded, 2, 0));
}

#[test]
fn the_last_of_two_sub_dags_starts_the_third_once() {
    let subdags = vec![
        vec![stage("a", 1, &["sleep", "50"], &[])],
        vec![stage("b", 1, &["sleep", "50"], &[])],
        vec![stage("c", 1, &["ok"], &[0, 1])],
    ];
    let mut world = World::new(&plan(subdags, vec![]));
    let masters = [world.start(0), world.start(1)];
    for master in masters {
        assert_eq!(world.wait(master), 0, "{}", world.story());
    }
    world.until(|world| world.fold(2).end.is_some() && world.shares() == 0);
    assert_eq!(world.fold(2).end.unwrap().end, StageEnd::Succeeded);
    assert_eq!(world.payloads().iter().filter(|line| *line == "start s2-0-1").count(), 1);
}

#[test]
fn fail_fast_reaches_the_other_sub_dags() {
    let subdags = vec![vec![stage("a", 1, &["fail", "3"], &[])], vec![stage("b", 1, &["sleep", "60000"], &[])]];
    let mut planned = plan(subdags, vec![]);
    planned.fail_fast = true;
    let mut world = World::new(&planned);
    let other = world.start(1);
    world.until(|world| !world.payloads().is_empty());
    let failing = world.start(0);
    assert_eq!((world.wait(failing), world.wait(other)), (0, 0), "{}", world.story());
    assert_eq!(world.fold(0).end.unwrap().end, StageEnd::Failed);
    let end = world.fold(1).end.unwrap();
    assert_eq!(end.end, StageEnd::Stopped);
    assert!(end.why.starts_with("fail_fast"), "{}", end.why);
}

#[test]
fn a_reopened_sub_dag_runs_what_failed() {
    let stages = vec![stage("a", 1, &["ok"], &[]), stage("b", 1, &["fail", "1"], &[0])];
    let mut world = World::new(&plan(vec![stages], vec![]));
    let first = world.start(0);
    world.wait(first);
    let again = world.start_with(0, &["--reopen"]);
    assert_eq!(world.wait(again), 0, "{}", world.story());
    let starts = |of: &str| world.payloads().iter().filter(|line| line.starts_with(&format!("start {of}"))).count();
    assert_eq!((starts("s0-0"), starts("s1-0")), (1, 2));
    assert_eq!(world.fold(0).end.unwrap().end, StageEnd::Failed);
}

/// Crashes after each record: the journal is cut there and a new master goes on.
#[test]
fn whatever_was_written_last_the_run_is_finished_and_nothing_finished_runs_again() {
    let stages =
        || vec![stage("a", 2, &["result", "1"], &[]), stage("b", 1, &["ok"], &[0]), stage("c", 1, &["ok"], &[1])];
    let hooks = || vec![hook(&[0], &[1, 2], "echo x >> ../hooks; echo '{}'")];
    let planned = plan(vec![stages()], hooks());
    let mut whole = World::new(&planned);
    let master = whole.start(0);
    whole.wait(master);
    let facts = whole.facts(0);
    assert!(facts.len() > 15, "{}", whole.story());
    let places: Vec<usize> = (0..=facts.len()).collect();
    std::thread::scope(|scope| {
        for some in places.chunks(places.len().div_ceil(4)) {
            scope.spawn(|| some.iter().for_each(|&kept| crash_after(&planned, &facts[..kept])));
        }
    });
}

fn crash_after(planned: &dybox_job::Plan, past: &[Fact]) {
    let mut world = World::new(planned);
    let mut bytes: Vec<u8> = past.iter().flat_map(encode).collect();
    // The next record was under way.
    bytes.extend_from_slice(&[200, 0, 0, 0, 1, 2]);
    fs::write(world.journal(0), bytes).unwrap();
    let master = world.start(0);
    assert_eq!(world.wait(master), 0, "after {}: {}", past.len(), world.story());
    let facts = world.facts(0);
    assert_eq!(facts[..past.len()], *past);
    let run = fold(&facts);
    assert_eq!(run.end.unwrap().end, StageEnd::Succeeded, "after {}: {}", past.len(), world.story());
    let done = successes(&facts);
    assert!(done.len() == 4 && done.values().all(|times| *times == 1), "after {}: {done:?}", past.len());
    let decided = facts.iter().filter(|fact| matches!(fact, Fact::HookDecided { .. })).count();
    assert_eq!((decided, world.shares(), run.grants.len()), (1, 0, 0), "after {}: {}", past.len(), world.story());
}

#[test]
fn a_full_disk_stops_what_cannot_be_recorded_and_loses_nothing() {
    let mut world = World::new(&plan(vec![vec![stage("a", 12, &["sleep", "40"], &[])]], vec![]));
    fs::write(world.home.path("full-at"), "6").unwrap();
    let full = world.start(0);
    assert_eq!(world.wait(full), 5, "{}", world.story());
    let log = fs::read_to_string(world.home.path(&world.run.sub(SubDagId(0)).log())).unwrap();
    assert!(log.contains("the journal could not be written; the tasks were told to stop"), "{log}");
    assert!(log.contains("dybox resume"), "{log}");
    let before = successes(&world.facts(0));
    assert!(!before.is_empty() && before.len() < 12);

    fs::remove_file(world.home.path("full-at")).unwrap();
    let next = world.start(0);
    assert_eq!(world.wait(next), 0, "{}", world.story());
    let after = successes(&world.facts(0));
    assert!(after.values().all(|times| *times == 1), "{after:?}");
    assert_eq!((world.fold(0).end.unwrap().why.as_str(), world.shares()), ("", 0));
}

#[test]
fn a_thousand_tasks_fit_into_little_memory() {
    let mut world = World::new(&plan(vec![vec![stage("a", 1000, &["ok"], &[])]], vec![]));
    let sub = world.home.path(&world.run.sub(SubDagId(0)).root());
    let master = world.start(0);
    let mut peak = 0;
    while successes(&world.facts(0)).len() < 150 {
        // The lock says who it is: the script has become the test program.
        let pid = fs::read_to_string(sub.join("master.lock")).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
        let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        peak = peak.max(high.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    world.kill(master);
    // An unoptimised build that carries the test harness; the figure for the release is `just bench`'s.
    assert!((1..40 << 10).contains(&peak), "{peak} KiB");
}

#[test]
fn a_damaged_journal_is_refused_with_the_place() {
    let world = World::new(&plan(vec![vec![stage("a", 1, &["ok"], &[])]], vec![]));
    let mut bytes = [encode(&Fact::Reopened { at: Millis(1) }), encode(&Fact::Reopened { at: Millis(2) })].concat();
    bytes[12] ^= 1;
    fs::write(world.journal(0), bytes).unwrap();
    let conf = Conf { run_dir: world.run_dir(), subdag: SubDagId(0), reopen: false, binary: fixture::binary() };
    let error = runtime().block_on(run(conf)).unwrap_err();
    assert!(matches!(error, MasterError::Damaged { offset: 0, .. }), "{error}");
}
