//! From YARN's start of a second master of 10,000 tasks to its being in control. 9,000 of them have ended, as a journal
//! of our own making says.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dybox_hrpc::Settings;
use dybox_journal::{decode, encode_into};
use dybox_model::{AttemptId, EndedBy, Exit, Fact, GrantId, Millis, Peak, StageId, SubDagId, TaskId};
use dybox_store::layout::RunDir;
use dybox_store::{HdfsConf, Store};
use dybox_tests::cluster::InGrant;
use dybox_tests::eventually;
use nix::sys::signal::Signal;

use super::Bench;
use crate::report::{Bound, line, median};

const TASKS: u32 = 10_000;
const ENDED: u32 = 9_000;
/// What the issue allows.
const LIMIT: f64 = 2.0;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(bench: &Bench) {
    let quiet = (0..bench.rounds).map(|_| second_master(bench, "quiet", "300", Duration::from_secs(10))).collect();
    let busy = (0..bench.rounds).map(|_| second_master(bench, "busy", "0.3", Duration::from_secs(2))).collect();
    for (what, times) in
        [("second master, 10,000 tasks, none just ended", quiet), ("the same, killed as facts come", busy)]
    {
        let took: f64 = median(times);
        line(what, &format!("{took:.2} s"), &format!("limit {LIMIT:.0} s"), took / LIMIT, &Bound::AtMost(1.0));
    }
}

/// Seconds from the start of its process. The first one is killed when its tasks have run for a while.
fn second_master(bench: &Bench, name: &str, sleeps: &str, wait: Duration) -> f64 {
    let stage = format!("  a: {{ command: [sleep, \"{sleeps}\"], parallelism: {TASKS} }}\n");
    let job = bench.ours.job(name, &stage);
    let (_, said) = bench.ours.timed(&["run", "--detach", &job.to_string_lossy()]);
    let id = said.split_whitespace().next().unwrap().to_owned();
    let _lives = bench.cluster.until_in_grant("dybox proxy");
    bench.ours.timed(&["stop", "--now", &id]);
    bench.ours.settle();
    tell_of_ended(bench, &id);
    bench.ours.timed(&["resume", "--detach", &id]);
    let _lives = bench.cluster.until_in_grant("dybox proxy");
    std::thread::sleep(wait);
    let first = bench.cluster.until_in_grant("dybox master");
    first.process.signal(Signal::SIGKILL);
    let took = eventually("a second master is in control", PATIENCE, || {
        let masters = bench.cluster.in_grants("dybox master");
        let second = masters.into_iter().find(|master| master.container != first.container)?;
        in_control(bench, &second)
    });
    bench.ours.timed(&["stop", "--now", &id]);
    bench.ours.settle();
    took
}

/// Waits until a master's log says it, and tells how old the process is then.
fn in_control(bench: &Bench, master: &InGrant) -> Option<f64> {
    let logs = bench.cluster.layout().root().join(format!("node-{}/logs", master.node));
    let apps = std::fs::read_dir(logs).ok()?.flatten();
    let log = apps.map(|app| app.path().join(&master.container).join("stderr")).find(|path: &PathBuf| path.exists())?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE && master.process.lives() {
        let age = age(master.process.pid());
        if std::fs::read_to_string(&log).unwrap_or_default().contains("in control") {
            return age;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Seconds since a process was started, to a hundredth.
fn age(pid: i32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let up = std::fs::read_to_string("/proc/uptime").ok()?;
    Some(up.split(' ').next()?.parse::<f64>().ok()? - started / 100.0)
}

/// Writes the ends of most tasks into the journal of a run that has ended.
fn tell_of_ended(bench: &Bench, id: &str) {
    let settings = Settings::load(&[bench.cluster.conf_dir()]).unwrap().site();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    let url = format!("{}/user/{user}/.dybox", bench.cluster.hdfs());
    let journal = RunDir::new(&id.parse().unwrap()).sub(SubDagId(0)).journal();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::hdfs(HdfsConf { url, settings, user: Some(user) }).unwrap();
        let mut facts = decode(&store.get(&journal).await.unwrap()).facts;
        let got = facts.iter().position(|fact| matches!(fact, Fact::GrantGot { .. })).unwrap();
        let Fact::GrantGot { grant, at, .. } = facts[got] else { unreachable!() };
        let ended = (TASKS - ENDED..TASKS).flat_map(|index| whole_task(index, grant, at));
        facts.splice(got + 1..=got, ended.collect::<Vec<_>>());
        let mut bytes = Vec::new();
        facts.iter().for_each(|fact| encode_into(fact, &mut bytes));
        store.put(&journal, bytes).await.unwrap();
    });
}

fn whole_task(index: u32, grant: GrantId, at: Millis) -> [Fact; 3] {
    let attempt = AttemptId { task: TaskId { stage: StageId(0), index }, number: 1 };
    let exit = Exit {
        code: Some(0),
        signal: None,
        cause: None,
        by: EndedBy::Itself,
        text: String::new(),
        started: Some(at),
        ended: at,
        used: Peak::default(),
        result: None,
        moved: Box::default(),
    };
    [
        Fact::AttemptStarted { attempt, grant, at },
        Fact::AttemptRuns { attempt, container: format!("{index:064x}"), at, ports: Vec::new() },
        Fact::AttemptEnded { attempt, exit, again: false },
    ]
}
