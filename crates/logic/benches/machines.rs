//! Both machines as values: 1,000,000 tasks in 100,000 stages, in a world that answers at once.
//! Limits: 5 seconds, and 300 bytes a task for all that the machines hold.

use std::collections::{BTreeMap, VecDeque};

use dybox_job::{PLAN_VERSION, Plan, Retry, Stage, SubDag};
use dybox_logic::{driver, master};
use dybox_model::{
    AttemptId, Exit, GrantId, Millis, Need, Network, PullPolicy, Resources, StageEnd, StageId, SubDagId, Timeouts,
};

const STAGES: u32 = 100_000;
const TASKS: u32 = 10;
const GRANTS: u32 = 64;
const LIMIT_SECONDS: f64 = 5.0;
const LIMIT_BYTES: f64 = 300.0;

fn stage(id: u32) -> Stage {
    let needs = [1, 7, 300].into_iter().filter_map(|back| id.checked_sub(back));
    Stage {
        name: format!("stage-{id}"),
        subdag: SubDagId(0),
        needs: needs.map(|need| (StageId(need), Need::Succeeded)).collect(),
        tasks: TASKS,
        image: "busybox".to_owned(),
        pull: PullPolicy::Missing,
        entrypoint: None,
        command: None,
        script: None,
        workdir: None,
        env: BTreeMap::new(),
        user: None,
        ask: Resources { cpu_milli: 500 + 500 * (id % 3), memory: 256 << 20 },
        elastic: None,
        shm: None,
        pids: 64,
        volumes: Vec::new(),
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::None,
        timeout: Timeouts::default(),
        stop_grace: Millis::from_secs(10),
        stop_signal: None,
        ports: Vec::new(),
        retry: Retry { max: 2, backoff: Millis::from_secs(1), on: Vec::new(), grow: None },
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

fn plan(wide: bool) -> Plan {
    let thin = |mut stage: Stage| {
        if wide {
            stage.needs.clear();
        }
        stage
    };
    let subdag = SubDag {
        stages: (0..STAGES).map(StageId).collect(),
        hooks: Vec::new(),
        needs: Vec::new(),
        name: None,
        queue: None,
        node_label: None,
    };
    Plan {
        ground: None,
        version: PLAN_VERSION,
        name: "bench".to_owned(),
        tags: Vec::new(),
        params: BTreeMap::new(),
        queue: None,
        priority: None,
        node_label: None,
        rules: BTreeMap::new(),
        timeout: None,
        fail_fast: false,
        stages: (0..STAGES).map(stage).map(thin).collect(),
        hooks: Vec::new(),
        subdags: vec![subdag],
    }
}

/// The machines and a world that grants up to so many slots and ends every attempt as soon as it starts.
struct Instant {
    driver: driver::Driver,
    master: master::Master,
    to_driver: VecDeque<driver::Event>,
    to_master: VecDeque<master::Event>,
    held: u32,
    counter: u32,
    asks: BTreeMap<Resources, u32>,
    exits: VecDeque<(GrantId, AttemptId)>,
    records: u64,
    end: Option<StageEnd>,
}

impl Instant {
    fn of(plan: &Plan) -> Self {
        let (driver, master) = (driver::Driver::new(plan, SubDagId(0)), master::Master::new(plan, SubDagId(0)));
        Self {
            driver,
            master,
            to_driver: VecDeque::from([driver::Event::Opened]),
            to_master: VecDeque::from([master::Event::Opened]),
            held: 0,
            counter: 0,
            asks: BTreeMap::new(),
            exits: VecDeque::new(),
            records: 0,
            end: None,
        }
    }

    fn run(&mut self) {
        let (mut now, mut for_driver, mut for_master) = (Millis(1), Vec::new(), Vec::new());
        loop {
            if let Some(event) = self.to_driver.pop_front() {
                self.driver.handle(now, event, &mut for_driver);
            } else if let Some(event) = self.to_master.pop_front() {
                self.master.handle(now, event, &mut for_master);
            } else if let Some((grant, attempt)) = self.exits.pop_front() {
                now = now.after(Millis(1));
                let exit =
                    Exit { cause: None, code: Some(0), ..Exit::not_started(dybox_model::Cause::Internal, "", now) };
                self.master.handle(now, master::Event::Exited { grant, attempt, exit }, &mut for_master);
            } else if !self.grant() {
                return;
            }
            for effect in for_driver.drain(..) {
                self.perform_driver(effect);
            }
            for effect in for_master.drain(..) {
                self.perform_master(effect);
            }
        }
    }

    fn grant(&mut self) -> bool {
        let Some((&size, count)) = self.asks.iter_mut().find(|(_, count)| **count > 0) else { return false };
        if self.held == GRANTS {
            return false;
        }
        *count -= 1;
        self.held += 1;
        self.counter += 1;
        let grant = GrantId::compose(SubDagId(0), 1, self.counter);
        self.to_master.push_back(master::Event::Granted {
            grant,
            size,
            host: String::new(),
            container: String::new(),
            wish: None,
        });
        true
    }

    fn perform_driver(&mut self, effect: driver::Effect) {
        match effect {
            driver::Effect::Record(_) => self.records += 1,
            driver::Effect::SizeStage { stage, sizes } => {
                self.to_master.push_back(master::Event::StageSized { stage, sizes });
            }
            driver::Effect::StartStage { stage, tasks } => {
                self.to_master.push_back(master::Event::StageStarted { stage, tasks });
            }
            driver::Effect::Finish { end, .. } => self.end = Some(end),
            _ => {}
        }
    }

    fn perform_master(&mut self, effect: master::Effect) {
        match effect {
            master::Effect::Record(_) => self.records += 1,
            master::Effect::Ask { wish, count } => {
                self.asks.insert(wish.size, count);
                self.grant();
            }
            master::Effect::Launch { grant } => {
                self.to_master.push_back(master::Event::ProxyJoined { grant, attempts: Vec::new() });
            }
            master::Effect::Start { grant, attempt } => {
                let container = "c".repeat(64);
                self.to_master.push_back(master::Event::Runs { grant, attempt, container, ports: Vec::new() });
                self.exits.push_back((grant, attempt));
            }
            master::Effect::Leave { grant } => {
                self.held -= 1;
                self.to_master.push_back(master::Event::GrantEnded { grant });
            }
            master::Effect::StageEnded { stage, end, why, cause } => {
                self.to_driver.push_back(driver::Event::StageEnded { stage, end, why, cause });
            }
            _ => {}
        }
    }
}

/// Resident memory of this process, in bytes.
#[expect(clippy::disallowed_methods, reason = "a bench measures the world")]
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells a process its size");
    let pages: u32 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm has seven numbers");
    f64::from(pages) * 4096.0
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn measure(what: &str, wide: bool) -> ((Plan, Instant), bool) {
    let plan = plan(wide);
    let (before, start) = (resident(), clock());
    let mut world = Instant::of(&plan);
    world.run();
    let (seconds, bytes) = (start.elapsed().as_secs_f64(), (resident() - before) / f64::from(STAGES * TASKS));
    assert_eq!(world.end, Some(StageEnd::Succeeded), "the bench's run must end well");
    assert_eq!(world.master.grants().count(), 0, "the bench's run must leave nothing");
    let (time, memory) = (seconds / LIMIT_SECONDS, bytes / LIMIT_BYTES);
    println!(
        "machines, {what}: {seconds:.2} s ({time:.2} of the limit), {bytes:.0} bytes a task ({memory:.2} of the limit), {} records",
        world.records
    );
    ((plan, world), time <= 1.0 && memory <= 1.0)
}

fn main() {
    // The first world stays, so that the second one can't live in what the first gave back.
    let (first, fine) = measure("1,000,000 tasks in a DAG of 100,000 stages", false);
    let (second, also_fine) = measure("the same all at once", true);
    assert!(fine && also_fine, "a limit is exceeded");
    drop((first, second));
}
