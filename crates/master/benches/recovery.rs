//! How soon a new master is in control of a sub-DAG of 10,000 tasks, of which 9,000 are done and 100 run under proxies
//! that live: `cargo bench -p dybox-master --bench recovery`. Promise P2 allows 2 s.
#![expect(clippy::print_stdout, reason = "a bench prints its figure")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use dybox_job::{PLAN_VERSION, Plan, Retry, Stage, SubDag};
use dybox_journal::encode_into;
use dybox_local::Share;
use dybox_master::{Conf, run};
use dybox_model::{
    AttemptId, Cause, EndedBy, Exit, Fact, GrantId, Millis, Network, PullPolicy, Resources, RunId, StageId,
    StageOutline, SubDagId, TaskId, Timeouts,
};
use dybox_store::layout::{Home, MASTER_SOCKET, Machine, RunDir};
use dybox_store::{RUN_INFO_VERSION, RunInfo};
use dybox_wire::{MasterClient, MasterOrder, ProxyNews};

const TASKS: u32 = 10_000;
const DONE: u32 = 9_000;
const RUNNING: u32 = 100;
const SIZE: Resources = Resources { cpu_milli: 1000, memory: 64 << 20 };

fn stage() -> Stage {
    Stage {
        name: "a".into(),
        subdag: SubDagId(0),
        needs: vec![],
        tasks: TASKS,
        image: "busybox:1".into(),
        pull: PullPolicy::Missing,
        entrypoint: None,
        command: Some(vec!["true".into()]),
        script: None,
        workdir: None,
        env: BTreeMap::new(),
        user: None,
        ask: SIZE,
        elastic: None,
        shm: None,
        pids: 64,
        volumes: vec![],
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::None,
        timeout: Timeouts::default(),
        stop_grace: Millis(1000),
        stop_signal: None,
        ports: Vec::new(),
        retry: Retry::default(),
        priority: 0,
        keep_failed: false,
        placement: Default::default(),
        profile: None,
        taken: None,
        cache: false,
        attach: None,
        added: None,
        hook: None,
        reuse: false,
        results: None,
        late: Default::default(),
    }
}

fn plan() -> Plan {
    Plan {
        ground: None,
        version: PLAN_VERSION,
        name: "wide".into(),
        tags: vec![],
        params: BTreeMap::new(),
        queue: None,
        priority: None,
        node_label: None,
        rules: BTreeMap::new(),
        timeout: None,
        fail_fast: false,
        stages: vec![stage()],
        hooks: vec![],
        subdags: vec![SubDag {
            stages: vec![StageId(0)],
            hooks: vec![],
            needs: vec![],
            name: None,
            queue: None,
            node_label: None,
        }],
    }
}

fn attempt(index: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(0), index }, number: 1 }
}

fn grant(n: u32) -> GrantId {
    GrantId::compose(SubDagId(0), 1, n % RUNNING + 1)
}

fn journal(run: &RunId) -> Vec<u8> {
    let at = Millis(1_795_000_000_000);
    let outline = StageOutline {
        id: StageId(0),
        name: "a".into(),
        image: "busybox:1".into(),
        ask: SIZE,
        tasks: TASKS,
        needs: vec![],
        hook: false,
    };
    let head = [
        Fact::Submitted { run: run.clone(), job: "wide".into(), subdag: SubDagId(0), at, stages: vec![outline] },
        Fact::Opened { epoch: 1, at, pid: 1 },
        Fact::StageStarted { stage: StageId(0), tasks: TASKS, at },
    ];
    let mut bytes = Vec::new();
    head.iter().for_each(|fact| encode_into(fact, &mut bytes));
    (0..RUNNING).for_each(|n| {
        encode_into(
            &Fact::GrantGot { grant: grant(n), size: SIZE, at, host: String::new(), container: String::new() },
            &mut bytes,
        )
    });
    for index in 0..DONE + RUNNING {
        let (attempt, grant) = (attempt(index), grant(index));
        encode_into(&Fact::AttemptStarted { attempt, grant, at }, &mut bytes);
        encode_into(&Fact::AttemptRuns { attempt, container: "c0ffee".repeat(10), at, ports: Vec::new() }, &mut bytes);
        if index < DONE {
            let exit =
                Exit { code: Some(0), cause: None, by: EndedBy::Itself, ..Exit::not_started(Cause::Internal, "", at) };
            encode_into(&Fact::AttemptEnded { attempt, exit, again: false }, &mut bytes);
        }
    }
    bytes
}

/// The run's directory, and the shares of living proxies: as long as their files are open they are locked.
fn lay_out(dir: &Path, run: &RunId) -> Vec<File> {
    let (home, of_run) = (Home::new(dir), RunDir::new(run));
    let sub = of_run.sub(SubDagId(0));
    let put = |name: &str, bytes: &[u8]| {
        let path = home.path(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    };
    let info = RunInfo {
        version: RUN_INFO_VERSION,
        run: run.clone(),
        job: "wide".into(),
        tags: vec![],
        submitted: Millis(1),
        uid: 0,
        gid: 0,
        user: "me".into(),
        cwd: dir.to_owned(),
        job_file: None,
        job_sha256: String::new(),
        request: None,
        budget_cpu_milli: Some(RUNNING * 1000),
        budget_memory: Some(1 << 40),
        binary: "/bin/false".into(),
    };
    put(&of_run.info(), &serde_json::to_vec(&info).expect("JSON"));
    put(&of_run.plan(), &serde_json::to_vec(&plan()).expect("JSON"));
    put(&sub.journal(), &journal(run));
    let share = |n| {
        let (run_dir, swept, log) = (home.path(&of_run.root()), dir.join("swept"), dir.join("log"));
        let share =
            Share { size: SIZE, run: run.clone(), run_dir, subdag: SubDagId(0), grant: grant(n), pid: 1, swept, log };
        let name = Machine::share(run, grant(n));
        put(&name, &serde_json::to_vec(&share).expect("JSON"));
        let file = File::open(home.path(&name)).expect("it was written");
        file.lock().expect("nobody else has it");
        file
    };
    (0..RUNNING).map(share).collect()
}

/// A proxy with one task in its hands: until its new master has answered.
async fn proxy(sub: std::path::PathBuf, n: u32) {
    let master = MasterClient::dial(&sub, MASTER_SOCKET, Duration::from_secs(30)).await.expect("a master comes");
    let mut link = master.link().await.expect("it listens");
    let attempts = vec![attempt(DONE + n)];
    let hello = ProxyNews::Hello { grant: grant(DONE + n), pid: 1, attempts };
    link.news.send(hello).await.expect("it listens");
    assert!(matches!(link.orders.recv().await, Some(MasterOrder::Welcome { .. })));
    // The line must not be cut before all have theirs.
    std::mem::forget(link);
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let run_id: RunId = "01jd0000000000000000000001".parse().expect("a run id");
    let _living = lay_out(dir.path(), &run_id);
    let (home, of_run) = (Home::new(dir.path()), RunDir::new(&run_id));
    let (run_dir, sub) = (home.path(&of_run.root()), home.path(&of_run.sub(SubDagId(0)).root()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let took = runtime.block_on(async {
        let began = Instant::now();
        tokio::spawn(run(Conf { run_dir, subdag: SubDagId(0), reopen: false, binary: "/bin/false".into() }));
        let proxies: Vec<_> = (0..RUNNING).map(|n| tokio::spawn(proxy(sub.clone(), n))).collect();
        for proxy in proxies {
            proxy.await.expect("every proxy is welcome");
        }
        began.elapsed()
    });
    println!("{TASKS} tasks, {DONE} done, {RUNNING} running: in control after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(2), "promise P2: at most 2 s");
    runtime.shutdown_background();
}
