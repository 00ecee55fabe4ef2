//! What the driver knows, and how facts change it. Nothing is decided here.

use std::collections::{BTreeMap, VecDeque};

use dybox_job::Plan;
use dybox_model::{Decision, Fact, Millis, Need, StageEnd, StageId, SubDagId};

use super::begin::Begins;
use super::ended::Ended;
use super::graph::{Lists, Names};
use super::look::Cached;

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running,
    Ended(StageEnd),
}

/// Why a stage can't run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doom {
    /// This stage did not end as asked.
    Need(u32, Need),
    /// This hook said so.
    Hook(u32),
}

/// One stage of the plan, ours or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) state: State,
    /// Whether it is of this sub-DAG.
    pub(super) ours: bool,
    /// Whether its tasks were started since the run was (re)opened.
    pub(super) started: bool,
    /// Needs that are not met yet plus hooks that still hold it.
    pub(super) unmet: u32,
    pub(super) tasks: u32,
    pub(super) doom: Option<Doom>,
}

impl Node {
    /// One that nothing has happened to.
    pub(super) const fn waiting(ours: bool, tasks: u32) -> Self {
        Self { state: State::Waiting, ours, started: false, unmet: 0, tasks, doom: None }
    }
}

/// Where a hook stands. `Running` is forgotten by a recovery: then it runs again. One that is a stage is `Running` only
/// while its answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookState {
    Waiting,
    Running,
    Decided,
    Failed,
    /// One of `after` did not succeed.
    Void,
}

impl HookState {
    /// Whether stages still wait for it.
    pub(super) const fn holds(self) -> bool {
        !matches!(self, Self::Decided | Self::Void)
    }
}

/// One hook of the plan, ours or not.
#[derive(Debug)]
pub(super) struct HookNode {
    pub(super) state: HookState,
    pub(super) ours: bool,
    /// Stages of `after` that have not succeeded yet.
    pub(super) left: u32,
    /// Its command, as people call it.
    pub(super) label: Box<str>,
    /// The stage that it runs as, where it does.
    pub(super) stage: Option<u32>,
}

/// All that the driver knows.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) subdag: SubDagId,
    pub(super) nodes: Vec<Node>,
    pub(super) names: Names,
    /// Stage -> stages that need it.
    pub(super) down: Lists<(u32, Need)>,
    pub(super) hooks: Vec<HookNode>,
    /// Stages that are hooks.
    pub(super) hook_of: BTreeMap<u32, u32>,
    /// Stage -> hooks that come after it.
    pub(super) after: Lists<u32>,
    /// Hook -> stages of ours that it holds.
    pub(super) held: Lists<u32>,
    /// What is decided when stages begin.
    pub(super) begins: Begins,
    /// Stages whose tasks are their items, as planned.
    pub(super) fanned: Vec<bool>,
    /// Stages of ours that are looked up before they start.
    pub(super) cached: Vec<Cached>,
    /// This sub-DAG runs after everything: when the run is reopened all of it runs again.
    pub(super) last: bool,
    /// Since when the run's limit in time counts.
    pub(super) since: Option<Millis>,
    /// What hooks that decided set parameters to.
    params: BTreeMap<u32, BTreeMap<String, String>>,
    /// Stages of ours that wait; that run.
    pub(super) waiting: u32,
    pub(super) running: u32,
    /// Stages to look at: their needs are met, or can't be any more.
    pub(super) ready: VecDeque<u32>,
    /// Hooks to look at, but those that are stages: all their `after` succeeded.
    pub(super) due: VecDeque<u32>,
    pub(super) failed: u32,
    pub(super) lost: u32,
    /// Why the first stage that failed, and the first that was lost, did.
    pub(super) first_failed: Option<String>,
    pub(super) first_lost: Option<String>,
    /// A hook wants the run to stop.
    pub(super) wish: Option<String>,
    pub(super) hook_failed: Option<String>,
    /// A hook's task was lost to the platform: nobody knows what it would have decided.
    pub(super) hook_lost: Option<String>,
    pub(super) stop: Option<String>,
    pub(super) ended: Option<Ended>,
}

impl Book {
    pub(super) fn new(plan: &Plan, subdag: SubDagId) -> Self {
        let nodes = plan.stages.iter().map(|stage| Node::waiting(stage.subdag == subdag, stage.tasks));
        let hook_of: BTreeMap<u32, u32> =
            (0u32..).zip(&plan.stages).filter_map(|(id, stage)| Some((id, stage.hook?.0))).collect();
        let stage_of = |hook: u32| hook_of.iter().find(|(_, of)| **of == hook).map(|(stage, _)| *stage);
        let hooks = (0u32..).zip(&plan.hooks).map(|(id, hook)| HookNode {
            state: HookState::Waiting,
            ours: hook.subdag == subdag,
            left: 0,
            label: hook.label().into(),
            stage: stage_of(id),
        });
        let count = plan.stages.len();
        let needs = (0u32..)
            .zip(&plan.stages)
            .flat_map(|(to, stage)| stage.needs.iter().map(move |&(from, need)| (from.0, (to, need))));
        let after = (0u32..).zip(&plan.hooks).flat_map(|(id, hook)| hook.after.iter().map(move |stage| (stage.0, id)));
        let held = (0u32..).zip(&plan.hooks).flat_map(|(id, hook)| hook.holds.iter().map(move |stage| (id, stage.0)));
        let mut book = Self {
            subdag,
            nodes: nodes.collect(),
            names: Names::build(plan.stages.iter().map(|stage| stage.name.as_str())),
            down: Lists::build(count, needs),
            hooks: hooks.collect(),
            hook_of,
            after: Lists::build(count, after),
            held: Lists::build(plan.hooks.len(), held),
            begins: Begins::new(plan, subdag),
            fanned: plan.stages.iter().map(|stage| stage.late.each.is_some()).collect(),
            cached: plan.stages.iter().map(Cached::of).collect(),
            last: plan.is_last(subdag),
            since: None,
            params: BTreeMap::new(),
            waiting: 0,
            running: 0,
            ready: VecDeque::new(),
            due: VecDeque::new(),
            failed: 0,
            lost: 0,
            first_failed: None,
            first_lost: None,
            wish: None,
            hook_failed: None,
            hook_lost: None,
            stop: None,
            ended: None,
        };
        book.rewind();
        book
    }

    /// Takes one fact in. Who applies trusts the fact: it was checked before it was written down.
    pub(super) fn apply(&mut self, fact: &Fact) {
        self.begins.apply(fact);
        match fact {
            Fact::StageStarted { stage, tasks, .. } => self.start(stage.0, *tasks),
            Fact::StageEnded { stage, end, why, .. } => self.end(*stage, *end, why),
            Fact::HookDecided { hook, decision, .. } => self.decide(hook.0, decision),
            Fact::HookFailed { hook, why, .. } => {
                let node = &mut self.hooks[hook.0 as usize];
                node.state = HookState::Failed;
                self.hook_failed = Some(format!("hook \"{}\" failed: {why}", node.label));
            }
            Fact::StopAsked { why, .. } => self.stop = Some(why.clone()),
            Fact::Ended { end, why, .. } => self.ended = Some(Ended::of(*end, why.clone())),
            Fact::Submitted { at, .. } => self.since = Some(*at),
            Fact::Reopened { at } => {
                self.since = Some(*at);
                self.rewind();
            }
            // The rest is the master's and the readers'.
            _ => {}
        }
    }

    fn start(&mut self, stage: u32, tasks: u32) {
        let node = &mut self.nodes[stage as usize];
        if node.state == State::Waiting {
            self.waiting -= 1;
            self.running += 1;
            node.state = State::Running;
            node.started = true;
            node.tasks = tasks;
        }
    }

    fn end(&mut self, stage: StageId, end: StageEnd, why: &str) {
        let node = &self.nodes[stage.0 as usize];
        match node.state {
            State::Waiting => self.waiting -= u32::from(node.ours),
            State::Running => self.running -= 1,
            State::Ended(_) => return,
        }
        let said = || format!("stage \"{}\" {end}: {why}", self.names.of(stage.0));
        match end {
            StageEnd::Failed if node.ours => {
                self.failed += 1;
                self.first_failed.get_or_insert_with(said);
            }
            StageEnd::Lost if node.ours => {
                self.lost += 1;
                if self.hook_of.contains_key(&stage.0) {
                    self.hook_lost = Some(said());
                }
                self.first_lost.get_or_insert_with(said);
            }
            _ => {}
        }
        self.settle(stage.0, end);
    }

    /// Enters an end and tells it to all that wait for it.
    pub(super) fn settle(&mut self, stage: u32, end: StageEnd) {
        self.nodes[stage as usize].state = State::Ended(end);
        for place in self.down.range(stage) {
            let (to, need) = self.down.at(place);
            if need.met_by(end) {
                self.meet(to);
            } else {
                self.doom(to, Doom::Need(stage, need));
            }
        }
        for place in self.after.range(stage) {
            let hook = self.after.at(place);
            let node = &mut self.hooks[hook as usize];
            if node.state != HookState::Waiting {
                continue;
            }
            if end == StageEnd::Succeeded {
                node.left -= 1;
                if node.left == 0 && node.ours && node.stage.is_none() {
                    self.due.push_back(hook);
                }
            } else {
                node.state = HookState::Void;
                self.release(hook);
            }
        }
    }

    fn meet(&mut self, stage: u32) {
        let node = &mut self.nodes[stage as usize];
        node.unmet -= 1;
        if node.unmet == 0 {
            self.ready.push_back(stage);
        }
    }

    fn doom(&mut self, stage: u32, doom: Doom) {
        let node = &mut self.nodes[stage as usize];
        if node.doom.is_none() {
            node.doom = Some(doom);
            self.ready.push_back(stage);
        }
    }

    fn release(&mut self, hook: u32) {
        for place in self.held.range(hook) {
            self.meet(self.held.at(place));
        }
    }

    fn decide(&mut self, hook: u32, decision: &Decision) {
        if self.hooks[hook as usize].state == HookState::Decided {
            return;
        }
        self.grow(hook, &decision.add);
        let node = &mut self.hooks[hook as usize];
        node.state = HookState::Decided;
        let label = node.label.clone();
        if !decision.params.is_empty() {
            self.params.insert(hook, decision.params.clone());
        }
        for name in &decision.skip {
            if let Some(stage) = self.names.find(name) {
                self.doom(stage, Doom::Hook(hook));
            }
        }
        for (name, &tasks) in &decision.parallelism {
            if let Some(stage) = self.names.find(name) {
                self.nodes[stage as usize].tasks = tasks;
            }
        }
        if let Some(reason) = &decision.stop {
            self.wish = Some(format!("hook \"{label}\" said: {reason}"));
        }
        self.release(hook);
    }

    /// What hooks that a stage waited for set parameters to.
    pub(super) fn params_of(&self, stage: u32) -> BTreeMap<String, String> {
        let mine = self.params.iter().filter(|(hook, _)| self.held.of(**hook).contains(&stage));
        mine.flat_map(|(_, params)| params.clone()).collect()
    }

    /// Back to the start, but what succeeded stays succeeded and what hooks decided stays decided.
    fn rewind(&mut self) {
        for (id, node) in (0u32..).zip(&mut self.nodes) {
            let hook = self.hook_of.get(&id).map(|hook| self.hooks[*hook as usize].state);
            let again = hook.map_or(self.last, |state| state != HookState::Decided);
            if !node.ours || again || node.state != State::Ended(StageEnd::Succeeded) {
                node.state = State::Waiting;
                node.started = false;
            }
            node.unmet = 0;
            node.doom = node.doom.filter(|doom| matches!(doom, Doom::Hook(_)));
        }
        for hook in &mut self.hooks {
            if hook.state != HookState::Decided {
                hook.state = HookState::Waiting;
            }
            hook.left = 0;
        }
        (self.failed, self.lost, self.running) = (0, 0, 0);
        (self.first_failed, self.first_lost) = (None, None);
        (self.wish, self.hook_failed, self.hook_lost) = (None, None, None);
        (self.stop, self.ended) = (None, None);
        self.count();
    }

    /// Fills the counters from the states.
    fn count(&mut self) {
        for stage in (0u32..).take(self.nodes.len()) {
            let state = self.nodes[stage as usize].state;
            for place in self.down.range(stage) {
                let (to, need) = self.down.at(place);
                let node = &mut self.nodes[to as usize];
                match state {
                    State::Ended(end) if need.met_by(end) => {}
                    State::Ended(_) => {
                        node.unmet += 1;
                        node.doom.get_or_insert(Doom::Need(stage, need));
                    }
                    _ => node.unmet += 1,
                }
            }
            for place in self.after.range(stage) {
                let left = &mut self.hooks[self.after.at(place) as usize].left;
                *left += u32::from(state != State::Ended(StageEnd::Succeeded));
            }
        }
        for hook in (0u32..).take(self.hooks.len()) {
            if self.hooks[hook as usize].state.holds() {
                for place in self.held.range(hook) {
                    self.nodes[self.held.at(place) as usize].unmet += 1;
                }
            }
        }
        let waits = |node: &Node| node.ours && node.state == State::Waiting;
        let mine = (0u32..).zip(&self.nodes).filter(|(_, node)| waits(node));
        self.waiting = u32::try_from(mine.clone().count()).expect("stages are numbered by u32");
        self.ready = mine.filter(|(_, node)| node.unmet == 0 || node.doom.is_some()).map(|(stage, _)| stage).collect();
        let due =
            |hook: &HookNode| hook.ours && hook.stage.is_none() && hook.left == 0 && hook.state == HookState::Waiting;
        self.due = (0u32..).zip(&self.hooks).filter(|(_, hook)| due(hook)).map(|(id, _)| id).collect();
    }
}
