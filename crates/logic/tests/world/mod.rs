//! The world of one sub-DAG as values: both machines, their actor, a resource manager with a budget, proxies, a network
//! that delays, cuts and repeats, and a clock that jumps. The same seed tells the same story.

pub(crate) mod adds;
mod cluster;
pub(crate) mod plans;
mod proxies;
mod rng;
mod sizes;
mod truth;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use dybox_job::Plan;
use dybox_logic::{driver, master};
use dybox_model::cache::{Found, Missed};
use dybox_model::{
    AttemptId, Cause, Decision, EndedBy, Exit, Fact, GrantId, HookId, Millis, Network, Resources, Spread, StageEnd,
    StageId, SubDagId, Wish,
};

pub(crate) use cluster::Cluster;
use proxies::Machine;
pub(crate) use rng::Rng;
pub(crate) use sizes::first_is_too_small;
use truth::Truth;

const OURS: SubDagId = SubDagId(0);

/// What may go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Attempts in a hundred that fail by themselves.
    pub(crate) fail: u64,
    /// Attempts in a hundred that fail by the platform.
    pub(crate) infra: u64,
    /// Events in a hundred at which a proxy dies.
    pub(crate) kill: u64,
    /// Events in a hundred at which a line is cut.
    pub(crate) cut: u64,
    /// News in a hundred that come twice, or once more much later.
    pub(crate) repeat: u64,
    /// Launches in a hundred that never come to life.
    pub(crate) stillborn: u64,
    /// Whether hooks decide wildly.
    pub(crate) hooks: bool,
    /// Whether they add stages.
    pub(crate) adds: bool,
    /// Events in a hundred at which other runs come or go.
    pub(crate) crowd: u64,
    /// Events in a hundred, again in a hundred, at which a machine is lost for a while (on a cluster).
    pub(crate) lose: u64,
    /// One chance in so many events that somebody asks to stop.
    pub(crate) stop: u64,
    /// Events in a hundred, again in ten, at which the roster says something else (on a cluster).
    pub(crate) roster: u64,
}

/// What lies in the mail.
#[derive(Debug, Clone)]
enum Mail {
    Driver(driver::Event),
    Master(master::Event),
    /// News of a proxy, on one of its lines.
    News(GrantId, u32, master::Event),
    /// An order to a proxy, on one of its lines.
    Order(GrantId, u32, master::Effect),
    Hello(GrantId),
    /// A payload ends by itself.
    Payload(GrantId, AttemptId),
    Repeat(GrantId, AttemptId),
    /// A proxy looks at what its container uses.
    Sample(GrantId, AttemptId),
    /// The manager looks for room.
    Room,
    Sweep(GrantId),
    /// A lost machine is back.
    Back(String),
}

#[derive(Debug)]
struct Letter {
    at: u64,
    order: u64,
    mail: Mail,
}

impl PartialEq for Letter {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Letter {}
impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Letter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A line of the story.
pub(crate) enum Line {
    ToDriver(driver::Event),
    ToMaster(master::Event),
    Record(Fact),
    Does(master::Effect),
    Words(String),
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ToDriver(event) => write!(f, "driver <- {event:?}"),
            Self::ToMaster(event) => write!(f, "master <- {event:?}"),
            Self::Record(fact) => write!(f, "  record {fact:?}"),
            Self::Does(effect) => write!(f, "  -> {effect:?}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

enum In {
    Driver(driver::Event),
    Master(master::Event),
}

/// How an attempt of a story ends: by attempt.
pub(crate) type Script = fn(AttemptId) -> Option<Cause>;

/// The world.
pub(crate) struct World {
    /// As planned, and with what hooks added.
    planned: Plan,
    pub(crate) plan: Plan,
    pub(crate) driver: driver::Driver,
    pub(crate) master: master::Master,
    pub(crate) journal: Vec<Fact>,
    pub(crate) truth: Truth,
    pub(crate) faults: Faults,
    pub(crate) script: Option<Script>,
    /// MiB that each task of a stage uses; by chance where it is not told.
    pub(crate) uses: Option<fn(AttemptId) -> u64>,
    /// The resource manager makes no grant larger.
    pub(crate) refuses: bool,
    pub(crate) decision: Result<Decision, String>,
    /// The master dies right after this many records.
    pub(crate) crash_at: Option<usize>,
    /// The clock, in milliseconds.
    pub(crate) now: u64,
    pub(crate) hooks_run: BTreeMap<HookId, u32>,
    pub(crate) launched: u32,
    /// Words for people.
    pub(crate) warned: u32,
    /// Who was told to bring the image of which stage.
    pub(crate) brought: Vec<(GrantId, StageId)>,
    /// Where agents were to bring the images of stages.
    pub(crate) wished: Vec<(StageId, Vec<String>)>,
    /// Tasks that were given in advance.
    pub(crate) ahead: u32,
    /// All that happened, put in words only when somebody asks.
    pub(crate) story: Vec<(u64, Line)>,
    machine: Machine,
    asks: BTreeMap<Wish, u32>,
    pub(crate) cluster: Option<Cluster>,
    mail: BinaryHeap<Reverse<Letter>>,
    rng: Rng,
    posted: u64,
    epoch: u32,
    counter: u32,
    busy_hooks: BTreeSet<HookId>,
    finished: bool,
}

impl World {
    /// A world without faults: 4 cpus, 1 GiB, tasks of a second.
    pub(crate) fn of(plan: Plan) -> Self {
        let budget = Resources { cpu_milli: 4000, memory: 1 << 30 };
        let mut world = Self {
            driver: driver::Driver::new(&plan, OURS),
            master: master::Master::new(&plan, OURS),
            planned: plan.clone(),
            plan,
            journal: Vec::new(),
            truth: Truth::default(),
            faults: Faults::default(),
            script: None,
            uses: None,
            refuses: false,
            decision: Ok(Decision::default()),
            crash_at: None,
            now: 1_000_000,
            hooks_run: BTreeMap::new(),
            launched: 0,
            warned: 0,
            brought: Vec::new(),
            wished: Vec::new(),
            ahead: 0,
            story: Vec::new(),
            machine: Machine { budget, ..Machine::default() },
            asks: BTreeMap::new(),
            cluster: None,
            mail: BinaryHeap::new(),
            rng: Rng::seeded(0),
            posted: 0,
            epoch: 1,
            counter: 0,
            busy_hooks: BTreeSet::new(),
            finished: false,
        };
        world.open();
        world
    }

    /// The same on a cluster.
    pub(crate) fn on(cluster: Cluster, plan: Plan) -> Self {
        let mut world = Self::of(plan);
        world.master = master::Master::on_cluster(&world.plan, OURS);
        world.cluster = Some(cluster);
        world.machine.budget = Resources { cpu_milli: u32::MAX, memory: u64::MAX };
        world.tell_nodes(3);
        world
    }

    /// A random world on a cluster of four machines in two racks.
    pub(crate) fn seeded_on_cluster(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed ^ 0xc1);
        let mut plan = plans::any(&mut rng);
        plans::place(&mut plan, &mut rng);
        plans::stretch(&mut plan, &mut rng);
        let size = rng.of(&[320, 704, 4096]);
        let size = Resources { cpu_milli: rng.of(&[1000, 4000]), memory: size << 20 };
        let nodes = [("n1", "r1"), ("n2", "r1"), ("n3", "r2"), ("n4", "r2")];
        let mut world = Self::on(Cluster::of(&nodes, size), plan);
        let level = rng.of(&[0, 3]);
        world.faults = Faults {
            fail: rng.of(&[0, 10]),
            infra: rng.of(&[0, 10]),
            kill: level,
            cut: level,
            repeat: rng.of(&[0, 20]),
            stillborn: level,
            lose: rng.of(&[0, 60]),
            hooks: rng.percent(30),
            adds: false,
            stop: rng.of(&[0, 0, 400]),
            crowd: 0,
            roster: rng.of(&[0, 0, 20]),
        };
        world.rng = rng;
        world
    }

    /// What the roster says from now on.
    pub(crate) fn advise(&mut self, advice: Vec<master::Advice>) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.roster.clone_from(&advice);
        self.post(0, Mail::Master(master::Event::Roster(advice)));
    }

    /// No new task goes where the roster was heeded.
    fn check_open(&self, fact: &Fact) {
        let (Fact::AttemptStarted { attempt, grant, .. }, Some(cluster)) = (fact, &self.cluster) else { return };
        let host = cluster.host_of(*grant);
        if cluster.black.contains(host) {
            self.fail(&format!("broken: {attempt} is given to {host}, which is left out"));
        }
    }

    fn tell_nodes(&mut self, delay: u64) {
        if let Some(cluster) = &self.cluster {
            let nodes = cluster.told();
            self.post(delay, Mail::Master(master::Event::Nodes(nodes)));
        }
    }

    /// A machine and all that is on it are gone, for some seconds.
    pub(crate) fn lose_node(&mut self, host: &str) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.set_usable(host, false);
        let there: Vec<GrantId> =
            cluster.held.iter().filter(|(_, (at, _))| at == host).map(|(grant, _)| *grant).collect();
        self.tell(format!("-- {host} is lost"));
        for grant in there {
            if let Some(proxy) = self.machine.proxies.get_mut(&grant) {
                proxy.alive = false;
                proxy.joined = false;
            }
            let (cause, how) = (Cause::NodeLost, "released on a lost node".to_owned());
            self.post(5, Mail::Master(master::Event::GrantTaken { grant, cause, how }));
        }
        self.tell_nodes(6);
        self.post(5_000, Mail::Back(host.to_owned()));
    }

    /// YARN takes one grant back for another queue.
    pub(crate) fn preempt(&mut self, grant: GrantId) {
        if let Some(proxy) = self.machine.proxies.get_mut(&grant) {
            proxy.alive = false;
            proxy.joined = false;
        }
        let event = master::Event::GrantTaken { grant, cause: Cause::Preempted, how: String::new() };
        self.post(5, Mail::Master(event));
    }

    /// Where the live tasks of a stage are, sorted.
    pub(crate) fn hosts_of(&self, stage: u32) -> Vec<String> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let here = |proxy: &proxies::Proxy| proxy.container.is_some_and(|attempt| attempt.task.stage == StageId(stage));
        let live = self.machine.proxies.iter().filter(|(_, proxy)| here(proxy));
        let mut hosts: Vec<String> = live.map(|(grant, _)| cluster.host_of(*grant).to_owned()).collect();
        hosts.sort();
        hosts
    }

    /// Whether a task that starts in a grant is too near to one of a stage that must be apart, whichever of them says so.
    fn check_near(&self, cluster: &Cluster, host: &str, attempt: AttemptId) {
        let own = attempt.task.stage;
        for (id, stage) in (0u32..).map(StageId).zip(&self.plan.stages).filter(|(_, stage)| stage.placement.hard) {
            let placement = &stage.placement;
            let others = placement.apart_from.iter().filter(|_| id == own).copied();
            for other in others.chain([id].into_iter().filter(|_| placement.apart_from.contains(&own))) {
                let same = |at: &String| match placement.apart_within() {
                    Spread::Host => at == host,
                    Spread::Rack => cluster.rack_of(at) == cluster.rack_of(host),
                };
                if self.hosts_of(other.0).iter().any(same) {
                    self.fail(&format!("broken: {attempt} starts on {host}, beside stage {}", other.0));
                }
            }
        }
    }

    /// Whether a hard placement is kept by a task that starts in a grant.
    fn check_place(&self, grant: GrantId, attempt: AttemptId) {
        let Some(cluster) = &self.cluster else { return };
        self.check_near(cluster, cluster.host_of(grant), attempt);
        let placement = &self.plan.stages[attempt.task.stage.0 as usize].placement;
        if !placement.hard || placement.is_anywhere() {
            return;
        }
        let host = cluster.host_of(grant);
        let rack = cluster.rack_of(host);
        let others = self.hosts_of(attempt.task.stage.0);
        let here = others.iter().filter(|other| *other == host).count();
        let apart = match placement.spread {
            Some(Spread::Rack) => !others.iter().any(|other| cluster.rack_of(other) == rack),
            _ => placement.most_on_host().is_none_or(|most| here < most as usize),
        };
        let named = |list: &[String], name: &str| list.iter().any(|own| own == name);
        let anywhere = placement.nodes.is_empty() && placement.racks.is_empty();
        let here = anywhere || named(&placement.nodes, host) || named(&placement.racks, rack);
        if !apart || !here || named(&placement.avoid, host) {
            self.fail(&format!("broken: {attempt} starts on {host}, {placement:?}, others on {others:?}"));
        }
    }

    /// A random world.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let mut plan = plans::any(&mut rng);
        // Some are looked up before they start.
        plan.stages.iter_mut().for_each(|stage| stage.cache = seed % 4 == 1);
        let mut world = Self::of(plan);
        let level = rng.of(&[0, 3, 12]);
        world.faults = Faults {
            fail: rng.of(&[0, 10, 40]),
            infra: rng.of(&[0, 15]),
            kill: level,
            cut: level,
            repeat: rng.of(&[0, 20]),
            stillborn: level,
            hooks: rng.percent(60),
            adds: false,
            crowd: rng.of(&[0, 5]),
            stop: rng.of(&[0, 0, 400]),
            lose: 0,
            roster: 0,
        };
        world.machine.budget = rng.of(&[
            Resources { cpu_milli: 1000, memory: 300 << 20 },
            Resources { cpu_milli: 3000, memory: 700 << 20 },
            Resources { cpu_milli: 64_000, memory: 64 << 30 },
        ]);
        world.rng = rng;
        world
    }

    pub(crate) fn budget(mut self, budget: Resources) -> Self {
        self.machine.budget = budget;
        self
    }

    fn say(&mut self, line: Line) {
        self.story.push((self.now - 1_000_000, line));
    }

    /// A line of the story in words.
    pub(crate) fn tell(&mut self, words: String) {
        self.say(Line::Words(words));
    }

    fn post(&mut self, delay: u64, mail: Mail) {
        self.post_at(self.now + delay, mail);
    }

    fn post_at(&mut self, at: u64, mail: Mail) {
        self.posted += 1;
        self.mail.push(Reverse(Letter { at, order: self.posted, mail }));
    }

    /// The first master, or the next one after a crash.
    fn open(&mut self) {
        self.post(0, Mail::Driver(driver::Event::Opened));
        self.post(0, Mail::Master(master::Event::Opened));
    }

    /// The master dies: what it knew and what was on its way to it is gone. Another one takes over from the journal.
    pub(crate) fn crash(&mut self) {
        self.crash_at = None;
        self.tell(format!("-- the master dies after {} records", self.journal.len()));
        let kept = std::mem::take(&mut self.mail).into_iter().filter(|Reverse(letter)| {
            matches!(letter.mail, Mail::Hello(_) | Mail::Payload(..) | Mail::Repeat(..) | Mail::Back(_))
        });
        self.mail = kept.collect();
        self.asks.clear();
        self.busy_hooks.clear();
        self.epoch += 1;
        self.counter = 0;
        self.finished = false;
        self.replay();
        self.open();
        let spawned: Vec<GrantId> = self.machine.proxies.keys().copied().collect();
        for grant in spawned {
            if let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.alive) {
                proxy.line += 1;
                proxy.joined = false;
                self.post(5, Mail::Hello(grant));
            }
        }
        self.tell_of_dead();
        self.machine.recount();
        if let Some(cluster) = &mut self.cluster {
            cluster.black.clear();
            cluster.held.retain(|grant, _| self.machine.proxies.contains_key(grant));
        }
        self.tell_nodes(8);
        if let Some(advice) = self.cluster.as_ref().map(|cluster| cluster.roster.clone()) {
            let delay = self.rng.of(&[0, 9, 200]);
            self.post(delay, Mail::Master(master::Event::Roster(advice)));
        }
        self.post(20, Mail::Room);
    }

    fn tell_of_dead(&mut self) {
        let alive = |grant: &GrantId| self.machine.proxies.get(grant).is_some_and(|proxy| proxy.alive);
        let dead: Vec<GrantId> = self.master.grants().filter(|grant| !alive(grant)).collect();
        for grant in dead {
            self.post(1, Mail::Master(lost(grant)));
        }
    }

    /// New machines from the journal.
    fn replay(&mut self) {
        self.driver = driver::Driver::new(&self.planned, OURS);
        let new = if self.cluster.is_some() { master::Master::on_cluster } else { master::Master::new };
        self.master = new(&self.planned, OURS);
        for fact in &self.journal {
            self.driver.apply(fact);
            self.master.apply(fact);
        }
    }

    /// `resume` of a run that has ended: nothing fails any more.
    pub(crate) fn resume(&mut self) {
        self.faults = Faults::default();
        self.script = None;
        self.decision = Ok(Decision::default());
        self.append(Fact::Reopened { at: Millis(self.now) });
        self.crash();
    }

    fn append(&mut self, fact: Fact) {
        self.say(Line::Record(fact.clone()));
        if let Err(broken) = self.truth.take(&self.plan, &fact) {
            self.fail(&broken);
        }
        if let Fact::HookDecided { hook, decision, .. } = &fact {
            self.plan.grow(*hook, &decision.add);
            self.master.apply(&fact);
        }
        self.journal.push(fact);
    }

    fn fail(&self, why: &str) -> ! {
        let start = self.story.len().saturating_sub(400);
        let open: Vec<_> = self.plan.stages.iter().filter(|stage| self.end(&stage.name).is_none()).collect();
        let open: Vec<_> = open.iter().map(|stage| &stage.name).collect();
        let held: Vec<_> =
            self.master.grants().map(|grant| (grant, self.master.attempts_at(grant).collect::<Vec<_>>())).collect();
        let story: Vec<String> = self.story[start..].iter().map(|(at, line)| format!("{at:>9} {line}")).collect();
        let (plan, story) = (shown(&self.plan), story.join("\n"));
        panic!(
            "{why}\nplan: {plan:#?}\nstory:\n{story}\n{why}\nnot ended: {open:?}\nheld: {held:?}\nhooks: {:?}",
            self.busy_hooks
        );
    }

    /// Until all is over.
    pub(crate) fn until_done(&mut self) {
        self.until(|world| world.is_over());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.finished
            && self.master.grants().next().is_none()
            && self.mail.iter().all(|Reverse(letter)| {
                matches!(letter.mail, Mail::Repeat(..) | Mail::Room | Mail::Payload(..) | Mail::Back(_))
            })
    }

    /// Until something is so.
    pub(crate) fn until(&mut self, so: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if so(self) {
                return;
            }
            self.step();
        }
        self.fail("broken: it never ends");
    }

    /// Lets the next thing happen.
    fn step(&mut self) {
        let wakes = [self.master.wake(), self.driver.wake()].into_iter().flatten();
        let wake = wakes.min().map(|at| at.0.max(self.now));
        let next = self.mail.peek().map(|Reverse(letter)| letter.at);
        match (wake, next) {
            (Some(wake), next) if next.is_none_or(|next| wake < next) => {
                self.now = wake;
                self.hand(In::Driver(driver::Event::Tick));
                self.hand(In::Master(master::Event::Tick));
            }
            (_, Some(_)) => {
                let Some(Reverse(letter)) = self.mail.pop() else { return };
                self.now = self.now.max(letter.at);
                self.open_letter(letter.mail);
                self.mischief();
            }
            _ => self.fail("broken: nothing more can happen and it is not over"),
        }
        if self.crash_at.is_some_and(|at| at <= self.journal.len()) {
            self.crash();
        }
        if !self.machine.used.fits(self.machine.budget) {
            self.fail("broken: more is in use than the budget");
        }
    }

    fn open_letter(&mut self, mail: Mail) {
        match mail {
            Mail::Driver(mut event) => {
                if let driver::Event::HookEnded { hook, answer } = &mut event {
                    self.busy_hooks.remove(hook);
                    if let (Ok(decision), true) =
                        (answer, self.faults.adds && (hook.0 as usize) < self.plan.hooks.len())
                    {
                        // The actor plans what is added when the hook has ended.
                        decision.add = adds::any(&self.plan, *hook, &mut self.rng);
                    }
                }
                self.hand(In::Driver(event));
            }
            Mail::Master(event) => self.hand(In::Master(event)),
            Mail::News(grant, line, event) => {
                if self.machine.proxies.get(&grant).is_some_and(|proxy| proxy.line == line) {
                    self.hand(In::Master(event));
                }
            }
            Mail::Order(grant, line, order) => {
                let there = |proxy: &proxies::Proxy| proxy.alive && proxy.line == line;
                if self.machine.proxies.get(&grant).is_some_and(there) {
                    self.obey(grant, order);
                }
            }
            Mail::Hello(grant) => self.hello(grant),
            Mail::Payload(grant, attempt) => {
                let exit = self.outcome(grant, attempt);
                self.end_container(grant, attempt, exit);
            }
            Mail::Repeat(grant, attempt) => self.report(grant, attempt),
            Mail::Sample(grant, attempt) => self.sample(grant, attempt),
            Mail::Room => self.find_room(),
            Mail::Back(host) => {
                self.tell(format!("-- {host} is back"));
                if let Some(cluster) = &mut self.cluster {
                    cluster.set_usable(&host, true);
                }
                self.tell_nodes(0);
                self.find_room();
            }
            Mail::Sweep(grant) => {
                let exits = self.machine.sweep(grant);
                self.free(grant);
                self.hand(In::Master(master::Event::Swept { grant, exits }));
                self.find_room();
            }
        }
    }

    /// What a grant had on its machine is free again.
    fn free(&mut self, grant: GrantId) {
        if let Some(cluster) = &mut self.cluster {
            cluster.held.remove(&grant);
        }
    }

    /// The actor: one event in, its effects out, in order.
    fn hand(&mut self, event: In) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            let (mut to_driver, mut to_master) = (Vec::new(), Vec::new());
            match event {
                In::Driver(event) => {
                    self.say(Line::ToDriver(event.clone()));
                    self.driver.handle(Millis(self.now), event, &mut to_driver);
                }
                In::Master(event) => {
                    self.say(Line::ToMaster(event.clone()));
                    self.master.handle(Millis(self.now), event, &mut to_master);
                }
            }
            if let Err(broken) = self.driver.check().and_then(|()| self.master.check()) {
                self.fail(&format!("broken: {broken}"));
            }
            for effect in to_driver {
                self.perform_driver(effect, &mut queue);
                if self.crash_at.is_some_and(|at| at <= self.journal.len()) {
                    return;
                }
            }
            for effect in to_master {
                self.perform_master(effect, &mut queue);
                if self.crash_at.is_some_and(|at| at <= self.journal.len()) {
                    return;
                }
            }
        }
    }

    fn perform_driver(&mut self, effect: driver::Effect, queue: &mut VecDeque<In>) {
        match effect {
            driver::Effect::Record(fact) => self.append(fact),
            driver::Effect::SizeStage { stage, sizes } => {
                queue.push_back(In::Master(master::Event::StageSized { stage, sizes }));
            }
            driver::Effect::StartStage { stage, tasks } => {
                queue.push_back(In::Master(master::Event::StageStarted { stage, tasks }));
            }
            driver::Effect::LookUp { stage, tasks } => self.look_up(stage, tasks),
            driver::Effect::EndLook { stage } => self.mail.retain(|Reverse(letter)| {
                !matches!(&letter.mail, Mail::Driver(driver::Event::LookedUp { stage: other, .. }) if *other == stage)
            }),
            driver::Effect::TakeStage { stage, tasks, found } => {
                queue.push_back(In::Master(master::Event::StageFound { stage, tasks, found }));
            }
            driver::Effect::CloseStage { stage } => queue.push_back(In::Master(master::Event::StageClosed { stage })),
            driver::Effect::StopStages { why, now } => {
                queue.push_back(In::Master(master::Event::StopAsked { why, now }));
            }
            driver::Effect::RunHook { hook } | driver::Effect::HearHook { hook, .. } => {
                if self.truth.has_decided(hook) || !self.busy_hooks.insert(hook) {
                    self.fail("broken: a hook that decided or runs is run again");
                }
                *self.hooks_run.entry(hook).or_default() += 1;
                let answer = self.answer();
                self.post(500, Mail::Driver(driver::Event::HookEnded { hook, answer }));
            }
            driver::Effect::StopHook { hook } => {
                let answer = Err("killed".to_owned());
                self.mail.retain(|Reverse(letter)| {
                    !matches!(&letter.mail, Mail::Driver(driver::Event::HookEnded { hook: ended, .. }) if *ended == hook)
                });
                self.post(10, Mail::Driver(driver::Event::HookEnded { hook, answer }));
            }
            driver::Effect::Finish { end, .. } => {
                self.finished = true;
                self.tell(format!("finish {end}"));
            }
        }
    }

    /// Every third is found, every seventh never answers.
    fn look_up(&mut self, stage: StageId, tasks: u32) {
        let results = vec![None; tasks as usize];
        let found = Found { from: "01jd0000000000000000000000".parse().expect("an id"), results, kept: Vec::new() };
        let answer = if stage.0.is_multiple_of(3) { Ok(found) } else { Err(Missed::because("nothing is known of it")) };
        if stage.0 % 7 != 6 {
            let inputs = Vec::new();
            self.post(300, Mail::Driver(driver::Event::LookedUp { stage, answer, inputs }));
        }
    }

    fn answer(&mut self) -> Result<Decision, String> {
        if !self.faults.hooks {
            return self.decision.clone();
        }
        let mut name = || format!("s{}", self.rng.below(13));
        let (first, second) = (name(), name());
        let tasks = self.rng.of(&[1, 2, 5, 5, 5, 0]);
        match self.rng.below(8) {
            0 => Err("no".to_owned()),
            1 => Ok(Decision { stop: Some("enough".to_owned()), ..Decision::default() }),
            2 | 3 => Ok(Decision { skip: vec![first], ..Decision::default() }),
            4 | 5 => Ok(Decision { parallelism: BTreeMap::from([(second, tasks)]), ..Decision::default() }),
            _ => Ok(Decision::default()),
        }
    }

    fn perform_master(&mut self, effect: master::Effect, queue: &mut VecDeque<In>) {
        if !matches!(effect, master::Effect::Record(_)) {
            self.say(Line::Does(effect.clone()));
        }
        match effect {
            master::Effect::Record(fact) => {
                self.check_open(&fact);
                self.append(fact);
            }
            master::Effect::Warn { .. } => self.warned += 1,
            master::Effect::StageEnded { stage, end, why, cause } => {
                queue.push_back(In::Driver(driver::Event::StageEnded { stage, end, why, cause }));
            }
            master::Effect::Ask { wish, count } if count > 0 && self.is_too_large(wish.size) => {
                // As the real ones do: it is not kept, and the answer comes later.
                self.asks.remove(&wish);
                let why = "it asks for more than there is".to_owned();
                self.post(10, Mail::Master(master::Event::Refused { wish, why }));
            }
            master::Effect::Ask { wish, count } => {
                self.asks.insert(wish, count);
                self.post(1, Mail::Room);
            }
            master::Effect::Blacklist { host, .. } => {
                self.cluster.iter_mut().for_each(|cluster| cluster.black.extend([host.clone()]));
            }
            master::Effect::Forgive { host } => {
                self.cluster.iter_mut().for_each(|cluster| cluster.black.retain(|black| *black != host));
                self.post(1, Mail::Room);
            }
            master::Effect::Launch { grant } => self.launch(grant),
            master::Effect::Sweep { grant } => {
                self.post(30, Mail::Sweep(grant));
            }
            master::Effect::Start { grant, .. }
            | master::Effect::Halt { grant, .. }
            | master::Effect::Ack { grant, .. }
            | master::Effect::Limit { grant, .. }
            | master::Effect::Leave { grant } => self.order(grant, effect),
            master::Effect::Resize { grant, size } => self.resize(grant, size),
            master::Effect::Prefetch { grant, stage } => self.brought.push((grant, stage)),
            master::Effect::Bring { stage, hosts } => self.wished.push((stage, hosts)),
        }
    }

    fn order(&mut self, grant: GrantId, order: master::Effect) {
        let delay = 1 + self.rng.below(5);
        let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.joined) else { return };
        let at = (self.now + delay).max(proxy.last_order);
        proxy.last_order = at;
        let line = proxy.line;
        self.post_at(at, Mail::Order(grant, line, order));
    }

    fn news(&mut self, grant: GrantId, event: master::Event) {
        let delay = 1 + self.rng.below(5);
        let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.joined) else { return };
        let at = (self.now + delay).max(proxy.last_news);
        proxy.last_news = at;
        let line = proxy.line;
        if self.rng.percent(self.faults.repeat) && !matches!(event, master::Event::ProxyJoined { .. }) {
            let late = self.rng.of(&[0, 1, 50, 3000]);
            self.post_at(at + late, Mail::Master(event.clone()));
        }
        self.post_at(at, Mail::News(grant, line, event));
    }

    fn launch(&mut self, grant: GrantId) {
        self.launched += 1;
        let size = self.master.size_of(grant).unwrap_or_default();
        self.machine.spawn(grant, size);
        // Its machine may have been lost since it was given.
        let lost = self.cluster.as_ref().is_some_and(|cluster| !cluster.is_usable(cluster.host_of(grant)));
        if lost {
            self.machine.proxies.get_mut(&grant).into_iter().for_each(|proxy| proxy.alive = false);
        } else if self.rng.percent(self.faults.stillborn) {
            self.kill(grant);
        } else {
            self.post(10, Mail::Hello(grant));
        }
    }

    fn hello(&mut self, grant: GrantId) {
        let attempts = self.machine.hands(grant);
        let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.alive) else { return };
        proxy.line += 1;
        proxy.joined = true;
        self.news(grant, master::Event::ProxyJoined { grant, attempts: attempts.clone() });
        for attempt in attempts {
            self.post(60, Mail::Repeat(grant, attempt));
        }
    }

    fn obey(&mut self, grant: GrantId, order: master::Effect) {
        match order {
            master::Effect::Start { attempt, .. } => {
                let stage = &self.plan.stages[attempt.task.stage.0 as usize];
                let sandbox = if stage.network == Network::Bridge { master::SANDBOX_MEMORY } else { 0 };
                let size = self.machine.proxies.get(&grant).map_or(0, |proxy| proxy.size.memory);
                let room = Resources { memory: stage.limit_in(size) + sandbox, ..stage.ask };
                let reuse = stage.reuse;
                if self.machine.proxies.get(&grant).is_some_and(|proxy| proxy.is_new(attempt)) {
                    self.check_place(grant, attempt);
                    if let Some(proxy) = self.machine.proxies.get_mut(&grant)
                        && reuse
                        && proxy.alive
                        && proxy.container.is_some()
                    {
                        proxy.ahead.push_back((attempt, room));
                        self.ahead += 1;
                        return;
                    }
                    self.run(grant, attempt, room);
                }
            }
            master::Effect::Limit { attempt, memory, .. } => self.limit(grant, attempt, memory),
            master::Effect::Halt { attempt, .. } => {
                let exit = Exit { by: EndedBy::Stop, ..Exit::not_started(Cause::Stopped, "", Millis(self.now)) };
                if self.machine.drop_ahead(grant, attempt, &exit) {
                    return self.report(grant, attempt);
                }
                self.end_container(grant, attempt, exit);
            }
            master::Effect::Ack { attempt, .. } => {
                if let Some(proxy) = self.machine.proxies.get_mut(&grant) {
                    proxy.unheard.remove(&attempt);
                }
                self.leave(grant);
            }
            master::Effect::Leave { .. } => {
                if let Some(proxy) = self.machine.proxies.get_mut(&grant) {
                    proxy.leaving = true;
                }
                self.leave(grant);
            }
            _ => {}
        }
    }

    fn run(&mut self, grant: GrantId, attempt: AttemptId, room: Resources) {
        if self.machine.start(grant, attempt, room) {
            let container = format!("c-{attempt}");
            self.news(grant, master::Event::Runs { grant, attempt, container, ports: Vec::new() });
            let (image, id) = ("busybox".to_owned(), "sha256:1".to_owned());
            self.news(grant, master::Event::ImagePinned { image, id });
            let reuse = self.plan.stages[attempt.task.stage.0 as usize].reuse;
            let takes = if reuse { self.rng.of(&[1, 1, 2, 5, 400]) } else { 1000 };
            self.post(takes, Mail::Payload(grant, attempt));
            if self.plan.stages[attempt.task.stage.0 as usize].elastic.is_some() {
                self.post(50, Mail::Sample(grant, attempt));
            }
        }
    }

    /// A proxy goes on with what it was given in advance, or gives it back.
    fn go_on(&mut self, grant: GrantId) {
        let back = self.rng.percent(10);
        let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.alive) else { return };
        if proxy.container.is_some() {
            return;
        }
        if back || proxy.leaving {
            for (attempt, _) in proxy.ahead.clone() {
                let exit = Exit::not_started(Cause::GivenBack, "", Millis(self.now));
                self.machine.drop_ahead(grant, attempt, &exit);
                self.report(grant, attempt);
            }
        } else if let Some((attempt, room)) = proxy.ahead.pop_front() {
            self.run(grant, attempt, room);
        }
    }

    /// A proxy that was told to leave does so once its hands are empty.
    fn leave(&mut self, grant: GrantId) {
        let Some(proxy) = self.machine.proxies.get(&grant).filter(|proxy| proxy.leaving) else { return };
        if proxy.container.is_none() && proxy.unheard.is_empty() && proxy.ahead.is_empty() {
            self.machine.used = self.machine.used - proxy.size;
            self.machine.proxies.remove(&grant);
            self.free(grant);
            self.post(3, Mail::Master(master::Event::GrantEnded { grant }));
            self.post(4, Mail::Room);
        }
    }

    fn outcome(&mut self, grant: GrantId, attempt: AttemptId) -> Exit {
        let broken = self
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.broken.as_deref().is_some_and(|host| cluster.host_of(grant) == host));
        let by_chance = if broken {
            Some(Cause::EngineDown)
        } else if self.rng.percent(self.faults.fail) {
            Some(self.rng.of(&[Cause::ExitCode, Cause::Oom, Cause::CommandNotFound, Cause::PullTimeout]))
        } else if self.rng.percent(self.faults.infra) {
            Some(self.rng.of(&[Cause::EngineDown, Cause::KilledOutside, Cause::Stopped, Cause::EngineRestarted]))
        } else {
            None
        };
        let cause = self.script.map_or(by_chance, |script| script(attempt));
        let code = if cause.is_some() { 1 } else { 0 };
        Exit {
            cause,
            code: Some(code),
            by: EndedBy::Itself,
            used: self.measured(attempt),
            ..Exit::not_started(Cause::Internal, "", Millis(self.now))
        }
    }

    fn end_container(&mut self, grant: GrantId, attempt: AttemptId, exit: Exit) {
        if self.machine.end(grant, attempt, &exit) {
            self.report(grant, attempt);
            self.go_on(grant);
        }
    }

    /// Says how an attempt ended, until somebody hears it.
    fn report(&mut self, grant: GrantId, attempt: AttemptId) {
        let Some(proxy) = self.machine.proxies.get(&grant).filter(|proxy| proxy.alive) else { return };
        let Some(exit) = proxy.unheard.get(&attempt).cloned() else { return };
        self.news(grant, master::Event::Exited { grant, attempt, exit });
        self.post(50, Mail::Repeat(grant, attempt));
    }

    fn find_room(&mut self) {
        let mut wishes: Vec<Wish> = self.asks.keys().cloned().collect();
        wishes.sort_by_key(|wish| Reverse(wish.priority));
        let mut waits = i32::MIN;
        for wish in wishes {
            if wish.priority < waits {
                break;
            }
            while self.asks[&wish] > 0 {
                let at = match &self.cluster {
                    Some(cluster) => cluster.find(&wish),
                    None => Some((String::new(), wish.size)),
                };
                let Some((host, size)) = at.filter(|(_, size)| self.machine.grant(*size)) else {
                    break;
                };
                *self.asks.entry(wish.clone()).or_default() -= 1;
                self.counter += 1;
                let grant = GrantId::compose(OURS, self.epoch, self.counter);
                let mut event = granted(grant, size);
                if let (Some(cluster), master::Event::Granted { host: at, container, wish: answers, .. }) =
                    (&mut self.cluster, &mut event)
                {
                    cluster.held.insert(grant, (host.clone(), size));
                    (*at, *container, *answers) = (host, format!("container_{grant}"), Some(wish.clone()));
                } else if let master::Event::Granted { wish: answers, .. } = &mut event {
                    *answers = Some(wish.clone());
                }
                self.post(0, Mail::Master(event));
            }
            if self.cluster.is_none() && self.asks[&wish] > 0 {
                waits = wish.priority;
            }
        }
    }

    pub(crate) fn kill(&mut self, grant: GrantId) {
        self.tell(format!("-- the proxy of {grant} dies"));
        if let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.alive) {
            proxy.alive = false;
            proxy.joined = false;
            self.post(5, Mail::Master(lost(grant)));
        }
    }

    fn mischief(&mut self) {
        let faults = self.faults;
        let proxies: Vec<GrantId> = self.machine.proxies.keys().copied().collect();
        if !proxies.is_empty() && self.rng.percent(faults.kill) && self.rng.percent(30) {
            let grant = self.rng.of(&proxies);
            self.kill(grant);
        }
        if !proxies.is_empty() && self.rng.percent(faults.cut) {
            let grant = self.rng.of(&proxies);
            if let Some(proxy) = self.machine.proxies.get_mut(&grant).filter(|proxy| proxy.joined) {
                proxy.line += 1;
                proxy.joined = false;
                self.tell(format!("-- the line to {grant} is cut"));
                self.post(20, Mail::Hello(grant));
            }
        }
        if self.rng.percent(faults.lose) && self.rng.percent(1) {
            let up = |node: &&dybox_model::Node| node.usable;
            let names = self.cluster.iter().flat_map(|cluster| cluster.nodes.iter().filter(up));
            let names: Vec<String> = names.map(|node| node.host.clone()).collect();
            if let Some(host) = names.get(self.rng.below(4) as usize) {
                self.lose_node(host);
            }
        }
        if self.rng.percent(faults.roster) && self.rng.percent(10) {
            let advice = cluster::any_advice(&mut self.rng);
            self.advise(advice);
        }
        if self.rng.percent(faults.crowd) {
            let (any, first) = (self.rng.percent(50), self.rng.percent(50));
            self.post(0, Mail::Master(master::Event::OthersWait { any, first: any && first }));
        }
        if faults.stop > 0 && self.rng.below(faults.stop) == 0 {
            let now = self.rng.percent(30);
            self.post(0, Mail::Driver(driver::Event::StopAsked { why: "asked by uid 1000".to_owned(), now }));
        }
        if self.rng.percent(faults.repeat) {
            self.stray();
        }
    }

    /// A message out of nowhere.
    fn stray(&mut self) {
        let stage = StageId(u32::try_from(self.rng.below(14)).expect("small"));
        let number = u32::try_from(self.rng.below(4)).expect("small");
        let attempt = AttemptId { task: dybox_model::TaskId { stage, index: number }, number };
        let grant = GrantId::compose(OURS, 9, 999);
        let exit = Exit::not_started(Cause::Oom, "stray", Millis(self.now));
        let why = "stray".to_owned();
        let mail = match self.rng.below(7) {
            0 => Mail::Master(master::Event::Exited { grant, attempt, exit }),
            1 => Mail::Master(master::Event::Runs { grant, attempt, container: why, ports: Vec::new() }),
            2 => Mail::Master(master::Event::Swept { grant, exits: vec![(attempt, Some(exit))] }),
            3 => Mail::Master(master::Event::GrantEnded { grant }),
            4 => Mail::Master(master::Event::ProxyJoined { grant, attempts: vec![attempt] }),
            5 => Mail::Driver(driver::Event::HookEnded { hook: HookId(7), answer: Err(why) }),
            _ if self.driver.end_of(stage).is_some() => {
                Mail::Driver(driver::Event::StageEnded { stage, end: StageEnd::Failed, why, cause: None })
            }
            _ => Mail::Master(lost(grant)),
        };
        self.post(0, mail);
    }

    /// Nothing runs, nothing is held, nothing is asked for.
    pub(crate) fn assert_nothing_left(&self) {
        let nothing = self.truth.check_end().and_then(|()| {
            let machine = &self.machine;
            let left = machine.proxies.values().filter(|proxy| proxy.alive).count() + machine.live.len();
            let asked: u32 = self.asks.values().sum();
            match (left, asked, machine.used == Resources::default(), machine.ran.values().any(|&times| times > 1)) {
                (0, 0, true, false) => Ok(()),
                seen => Err(format!("left (things, asks, all is free, one ran twice): {seen:?}")),
            }
        });
        if let Err(broken) = nothing {
            self.fail(&broken);
        }
    }

    /// How a stage ended, by name.
    pub(crate) fn end(&self, name: &str) -> Option<StageEnd> {
        let place = self.plan.stages.iter().position(|stage| stage.name == name)?;
        self.truth.ends.get(&StageId(u32::try_from(place).ok()?)).copied()
    }

    /// Why a stage ended so, by name: the last time.
    pub(crate) fn why(&self, name: &str) -> String {
        let named = |id: StageId| self.plan.stages[id.0 as usize].name == name;
        let said = self.journal.iter().rev().find_map(|fact| match fact {
            Fact::StageEnded { stage, why, .. } if named(*stage) => Some(why.clone()),
            _ => None,
        });
        said.unwrap_or_default()
    }

    /// What the end of a stage names as its cause, by name: the last time.
    pub(crate) fn cause(&self, name: &str) -> Option<Cause> {
        let named = |id: StageId| self.plan.stages[id.0 as usize].name == name;
        self.journal.iter().rev().find_map(|fact| match fact {
            Fact::StageEnded { stage, cause, .. } if named(*stage) => *cause,
            _ => None,
        })
    }

    /// Attempts of a stage so far, by name.
    pub(crate) fn tries(&self, name: &str) -> usize {
        let named = |id: StageId| self.plan.stages[id.0 as usize].name == name;
        let started = |fact: &&Fact| matches!(fact, Fact::AttemptStarted { attempt, .. } if named(attempt.task.stage));
        self.journal.iter().filter(started).count()
    }

    /// Containers that run.
    pub(crate) fn running(&self) -> usize {
        self.machine.live.len()
    }

    /// Somebody stops the run.
    pub(crate) fn stop(&mut self, now: bool) {
        self.post(0, Mail::Driver(driver::Event::StopAsked { why: "asked by uid 1000".to_owned(), now }));
    }
}

fn lost(grant: GrantId) -> master::Event {
    master::Event::ProxyLost { grant, how: "exited with 1".to_owned() }
}

/// The part of a plan that matters in a story.
fn shown(plan: &Plan) -> Vec<String> {
    let stage = |stage: &dybox_job::Stage| {
        format!("{} x{} {:?} {:?} needs {:?}", stage.name, stage.tasks, stage.ask, stage.retry, stage.needs)
    };
    let hook = |hook: &dybox_job::Hook| format!("hook {:?} after {:?} holds {:?}", hook.run, hook.after, hook.holds);
    plan.stages.iter().map(stage).chain(plan.hooks.iter().map(hook)).collect()
}

pub(crate) fn granted(grant: GrantId, size: Resources) -> master::Event {
    master::Event::Granted { grant, size, host: String::new(), container: String::new(), wish: None }
}
