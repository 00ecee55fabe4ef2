//! One budget, many processes, any death.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dybox_local::{Conf, Event, Ledger, Local, Order, Share};
use dybox_model::{GrantId, Resources, SubDagId};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

const BUDGET: Resources = Resources { cpu_milli: 4000, memory: 1 << 30 };
const ONE: Resources = Resources { cpu_milli: 1000, memory: 64 << 20 };
const SOON: Duration = Duration::from_secs(10);

fn conf(home: &Path, run: u32) -> Conf {
    let run_dir = home.join(format!("run{run}"));
    fs::create_dir_all(&run_dir).unwrap();
    Conf {
        run: format!("01jd0000000000000000{run:06}").parse().unwrap(),
        grants: run_dir.join("grants"),
        run_dir,
        subdag: SubDagId(0),
        epoch: 1,
        budget: BUDGET,
        budget_lock: home.join("budget.lock"),
        shares: home.join("shares"),
        waiting: home.join("waiting"),
        binary: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-dybox"),
    }
}

fn manager(conf: Conf) -> (Local, mpsc::UnboundedReceiver<Event>) {
    let (events, inbox) = mpsc::unbounded_channel();
    (Local::start(Ledger::open(conf).unwrap(), events), inbox)
}

/// The next event that is not about waiting.
async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    loop {
        match timeout(SOON, events.recv()).await.expect("no event in time").unwrap() {
            Event::Waits { .. } | Event::OthersWait { .. } => {}
            event => break event,
        }
    }
}

async fn granted(events: &mut mpsc::UnboundedReceiver<Event>) -> GrantId {
    match next(events).await {
        Event::Granted { grant, .. } => grant,
        event => panic!("{event:?}"),
    }
}

fn shares(home: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(home.join("shares")).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| !path.file_name().unwrap().as_encoded_bytes().starts_with(b".")).collect()
}

#[tokio::test]
async fn a_grant_is_given_used_and_given_back() {
    let home = tempfile::tempdir().unwrap();
    let conf = conf(home.path(), 1);
    fs::write(conf.run_dir.join("behave"), "clean").unwrap();
    let (local, mut events) = manager(conf);
    local.order(Order::Ask { size: ONE, priority: 0, count: 6 });
    let mut grants = Vec::new();
    for _ in 0..4 {
        grants.push(granted(&mut events).await);
    }
    assert_eq!(shares(home.path()).len(), 4);
    local.order(Order::Launch { grant: grants[0] });
    // Its end makes room for the next one, at once and without a sign from the master.
    let began = Instant::now();
    let mut gone = false;
    for _ in 0..2 {
        match next(&mut events).await {
            Event::Gone { grant, clean: true, .. } => gone = grant == grants[0],
            Event::Granted { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert!(gone && began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_can_never_fit_is_refused_with_the_numbers() {
    let home = tempfile::tempdir().unwrap();
    let (local, mut events) = manager(conf(home.path(), 1));
    local.order(Order::Ask { size: Resources { cpu_milli: 5000, memory: 1 }, priority: 0, count: 1 });
    let Event::Refused { why, .. } = next(&mut events).await else { panic!("not refused") };
    assert_eq!(why, "it asks for 5 cpus and 1B, this machine gives 4 cpus and 1GiB in all");
}

#[tokio::test]
async fn a_lower_priority_gets_nothing_while_a_higher_one_waits() {
    let home = tempfile::tempdir().unwrap();
    let conf = conf(home.path(), 1);
    fs::write(conf.run_dir.join("behave"), "clean").unwrap();
    let (local, mut events) = manager(conf);
    let all_but_one = Resources { cpu_milli: BUDGET.cpu_milli - ONE.cpu_milli, memory: ONE.memory };
    local.order(Order::Ask { size: all_but_one, priority: 0, count: 1 });
    let first = granted(&mut events).await;
    local.order(Order::Ask { size: ONE, priority: -3, count: 1 });
    local.order(Order::Ask { size: all_but_one, priority: 5, count: 1 });
    local.order(Order::Launch { grant: first });
    // There was room for the small one all the time.
    let mut given = Vec::new();
    while given.len() < 2 {
        if let Event::Granted { priority, .. } = next(&mut events).await {
            given.push(priority);
        }
    }
    assert_eq!(given, [5, -3]);
}

#[tokio::test]
async fn a_crashed_proxy_keeps_its_share_until_it_is_swept() {
    let home = tempfile::tempdir().unwrap();
    let conf = conf(home.path(), 1);
    fs::write(conf.run_dir.join("behave"), "crash").unwrap();
    let (local, mut events) = manager(conf);
    local.order(Order::Ask { size: ONE, priority: 0, count: 1 });
    let grant = granted(&mut events).await;
    local.order(Order::Launch { grant });
    let gone = next(&mut events).await;
    assert_eq!(gone, Event::Gone { grant, clean: false, how: "exited with 1".into() });
    assert_eq!(shares(home.path()).len(), 1);
    local.order(Order::Sweep { grant });
    let attempt = "s0-0-1".parse().unwrap();
    assert_eq!(next(&mut events).await, Event::Swept { grant, exits: vec![(attempt, None)] });
    assert_eq!(shares(home.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_proxy_outlives_its_master_and_the_next_one_sees_it_go() {
    let home = tempfile::tempdir().unwrap();
    let conf = conf(home.path(), 1);
    fs::write(conf.run_dir.join("behave"), "stay").unwrap();
    let (local, mut events) = manager(conf.clone());
    local.order(Order::Ask { size: ONE, priority: 0, count: 1 });
    let grant = granted(&mut events).await;
    local.order(Order::Launch { grant });
    let share = Ledger::open(conf.clone()).unwrap().share_path(&conf.run, grant);
    drop(local);

    let (local, mut events) = manager(Conf { epoch: 2, ..conf.clone() });
    local.order(Order::Adopt { grant });
    assert!(timeout(Duration::from_millis(400), events.recv()).await.is_err(), "its lock is held");
    let held = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (fs::read_link(format!("/proc/{pid}/fd/0")).ok()? == share).then_some(pid)
    });
    for pid in held.filter(|pid| *pid != i32::try_from(std::process::id()).unwrap()) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    assert!(matches!(next(&mut events).await, Event::Gone { clean: false, .. }));
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_killed_by_its_own_master_or_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let conf = conf(home.path(), 1);
    fs::write(conf.run_dir.join("behave"), "stay").unwrap();
    let (local, mut events) = manager(conf.clone());
    local.order(Order::Ask { size: ONE, priority: 0, count: 2 });
    let grants = [granted(&mut events).await, granted(&mut events).await];
    grants.iter().for_each(|&grant| local.order(Order::Launch { grant }));
    local.order(Order::Kill { grant: grants[0] });
    let how = "was killed by signal 9".to_owned();
    assert_eq!(next(&mut events).await, Event::Gone { grant: grants[0], clean: false, how });
    drop(local);

    let (local, mut events) = manager(Conf { epoch: 2, ..conf });
    local.order(Order::Adopt { grant: grants[1] });
    assert!(timeout(Duration::from_millis(400), events.recv()).await.is_err(), "it lives");
    local.order(Order::Kill { grant: grants[1] });
    assert!(matches!(next(&mut events).await, Event::Gone { clean: false, .. }));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_started_leaves_nothing_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let (local, mut events) = manager(Conf { binary: home.path().join("gone"), ..conf(home.path(), 1) });
    local.order(Order::Ask { size: ONE, priority: 0, count: 1 });
    let grant = granted(&mut events).await;
    local.order(Order::Launch { grant });
    loop {
        match next(&mut events).await {
            Event::Trouble { .. } => {}
            Event::Gone { clean: false, how, .. } => {
                assert!(how.contains("No such file"), "{how}");
                break;
            }
            event => panic!("{event:?}"),
        }
    }
    local.order(Order::Sweep { grant });
    assert_eq!(next(&mut events).await, Event::Swept { grant, exits: Vec::new() });
    assert_eq!(shares(home.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn how_a_proxy_ended_is_told_in_its_own_words() {
    let home = tempfile::tempdir().unwrap();
    let conf = conf(home.path(), 1);
    fs::write(conf.run_dir.join("behave"), "complain").unwrap();
    let (local, mut events) = manager(conf);
    local.order(Order::Ask { size: ONE, priority: 0, count: 1 });
    let grant = granted(&mut events).await;
    local.order(Order::Launch { grant });
    let how = "exited with 5: error: the secret is gone".to_owned();
    assert_eq!(next(&mut events).await, Event::Gone { grant, clean: false, how });
}

#[tokio::test]
async fn a_run_that_has_nothing_comes_before_one_that_has_much() {
    let home = tempfile::tempdir().unwrap();
    let (rich, mut events) = manager(conf(home.path(), 1));
    rich.order(Order::Ask { size: ONE, priority: 0, count: 10 });
    let mut grants = Vec::new();
    for _ in 0..4 {
        grants.push(granted(&mut events).await);
    }
    let (poor, mut its_events) = manager(conf(home.path(), 2));
    poor.order(Order::Ask { size: ONE, priority: 0, count: 1 });
    // Both wait now; the first hears of it.
    loop {
        if timeout(SOON, events.recv()).await.unwrap() == Some(Event::OthersWait { any: true, first: true }) {
            break;
        }
    }
    fs::write(home.path().join("run1/behave"), "clean").unwrap();
    rich.order(Order::Launch { grant: grants[0] });
    let _ = granted(&mut its_events).await;
}

/// Not a test of its own: the body of a process that takes and gives back shares until it is killed.
#[test]
#[ignore = "a child of another test"]
fn hammer() {
    let (Ok(home), Ok(run)) = (std::env::var("HAMMER_HOME"), std::env::var("HAMMER_RUN")) else { return };
    let conf = conf(Path::new(&home), run.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let mut ledger = Ledger::open(conf.clone()).unwrap();
        for n in 0u32.. {
            let size = Resources { cpu_milli: 500 + n * 7 % 900, memory: u64::from(1 + n % 5) * (64 << 20) };
            let Some(first) = ledger.try_take(size).await.unwrap() else { continue };
            let second = ledger.try_take(size).await.unwrap();
            for taken in [Some(first), second].into_iter().flatten() {
                fs::remove_file(ledger.share_path(&conf.run, taken.grant)).unwrap();
            }
        }
    });
}

fn hammerer(home: &Path, run: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "hammer", "--ignored", "--nocapture"]).stdout(Stdio::null());
    command.env("HAMMER_HOME", home).env("HAMMER_RUN", run.to_string()).spawn().unwrap()
}

fn used(home: &Path) -> Resources {
    // Shares appear under this lock only; while it is held they can only go.
    let lock = File::options().write(true).create(true).truncate(false).open(home.join("budget.lock")).unwrap();
    lock.lock().unwrap();
    let texts = shares(home).into_iter().filter_map(|path| fs::read(path).ok());
    texts.map(|text| serde_json::from_slice::<Share>(&text).unwrap().size).fold(Resources::default(), |sum, s| sum + s)
}

#[test]
fn processes_that_die_anywhere_never_pass_the_budget_and_never_free_what_they_held() {
    let home: TempDir = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("shares")).unwrap();
    let mut most = 0;
    for round in 0..6u32 {
        let mut children = [hammerer(home.path(), 2 * round), hammerer(home.path(), 2 * round + 1)];
        let end = Instant::now() + Duration::from_millis(150);
        while Instant::now() < end {
            let used = used(home.path());
            assert!(used.fits(BUDGET), "{used:?}");
            most = most.max(used.cpu_milli);
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // What they held when they died still counts; nobody has swept.
        let held = used(home.path());
        let (size, all) = (Resources { cpu_milli: BUDGET.cpu_milli - held.cpu_milli + 1, memory: 1 }, held);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let taken = runtime
            .block_on(async { Ledger::open(conf(home.path(), 99)).unwrap().try_take(size).await.unwrap().is_some() });
        assert!(!taken || all.cpu_milli == 0, "a dead share was given away");
        for share in shares(home.path()) {
            fs::remove_file(share).unwrap();
        }
    }
    assert!(most > 0, "nobody took anything");
}
