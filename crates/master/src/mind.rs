//! Both machines as one: what they tell each other stays in here.

use std::collections::{BTreeMap, VecDeque};

use dybox_driver::StageStory;
use dybox_job::Plan;
use dybox_logic::{driver, master};
use dybox_model::cache::Missed;
use dybox_model::{Cause, Fact, Millis, StageEnd, StageId, SubDagId, TaskId};
use dybox_wire::Waiting;

use crate::event::{Effect, Event};

/// The driver's and the master's machine of one sub-DAG.
#[derive(Debug)]
pub(crate) struct Mind {
    pub(crate) driver: driver::Driver,
    pub(crate) master: master::Master,
    /// Stages that a policy refuses, and why: they fail before anything is asked for.
    pub(crate) refused: BTreeMap<StageId, String>,
}

/// What one batch of events led to. The facts are durable before any effect is performed.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) facts: Vec<Fact>,
    pub(crate) effects: Vec<Effect>,
}

impl Mind {
    /// `far`: on a cluster, where asks are such as YARN grants and placements count.
    pub(crate) fn new(plan: &Plan, subdag: SubDagId, far: bool) -> Self {
        let master = if far { master::Master::on_cluster(plan, subdag) } else { master::Master::new(plan, subdag) };
        Self { driver: driver::Driver::new(plan, subdag), master, refused: BTreeMap::new() }
    }

    pub(crate) fn apply(&mut self, fact: &Fact) {
        self.driver.apply(fact);
        self.master.apply(fact);
    }

    /// Takes events in, and what the machines then tell each other, until both have nothing more to say.
    pub(crate) fn settle(&mut self, now: Millis, events: impl IntoIterator<Item = Event>) -> Turn {
        let mut turn = Turn::default();
        let mut events: VecDeque<Event> = events.into_iter().collect();
        let (mut from_driver, mut from_master) = (Vec::new(), Vec::new());
        while let Some(event) = events.pop_front() {
            match event {
                Event::Driver(event) => self.driver.handle(now, event, &mut from_driver),
                Event::Master(event) => self.master.handle(now, event, &mut from_master),
            }
            for effect in from_driver.drain(..) {
                // Stages that a hook adds are new to both.
                if let driver::Effect::Record(fact @ Fact::HookDecided { .. }) = &effect {
                    self.master.apply(fact);
                }
                sort_driver(effect, &self.refused, &mut events, &mut turn);
            }
            for effect in from_master.drain(..) {
                match effect {
                    master::Effect::Record(fact) => {
                        // What tasks wrote decides how stages begin.
                        self.driver.apply(&fact);
                        turn.facts.push(fact);
                    }
                    master::Effect::StageEnded { stage, end, why, cause } => {
                        events.push_back(driver::Event::StageEnded { stage, end, why, cause }.into());
                    }
                    effect => turn.effects.push(Effect::Master(effect)),
                }
            }
        }
        debug_assert_eq!(self.driver.check(), Ok(()));
        turn
    }

    pub(crate) fn wake(&self) -> Option<Millis> {
        [self.driver.wake(), self.master.wake()].into_iter().flatten().min()
    }

    /// What hooks and tasks get to know of a stage; nothing before it starts.
    pub(crate) fn story(&self, stage: StageId) -> Option<StageStory> {
        let tasks = self.master.tasks_of(stage);
        let state = match self.driver.end_of(stage) {
            Some(end) => end.word(),
            None if tasks > 0 => "running",
            None => return None,
        };
        let task = |index| TaskId { stage, index };
        let codes = (0..tasks).map(|index| self.master.code_of(task(index))).collect();
        Some(StageStory::new(state, codes, (0..tasks).map(|index| self.master.result_of(task(index)))))
    }

    pub(crate) fn why(&self) -> Vec<Waiting> {
        let tell = |why: dybox_logic::Waiting| Waiting { stage: why.stage, tasks: why.tasks, why: why.why };
        let mut waiting: Vec<_> = self.driver.why().into_iter().chain(self.master.why()).map(tell).collect();
        waiting.sort_by_key(|waiting| waiting.stage);
        waiting
    }
}

fn sort_driver(
    effect: driver::Effect,
    refused: &BTreeMap<StageId, String>,
    events: &mut VecDeque<Event>,
    turn: &mut Turn,
) {
    use master::Event as Tell;
    match effect {
        driver::Effect::Record(fact) => {
            // What a run does never depends on how it was cut: what stops this sub-DAG stops the others too.
            if let Fact::StopAsked { why, .. } = &fact {
                turn.effects.push(Effect::StopRun(why.clone()));
            }
            turn.facts.push(fact);
        }
        driver::Effect::StartStage { stage, .. } if refused.contains_key(&stage) => {
            let (end, why, cause) = (StageEnd::Failed, refused[&stage].clone(), Some(Cause::Policy));
            events.push_back(Tell::StageClosed { stage }.into());
            events.push_back(driver::Event::StageEnded { stage, end, why, cause }.into());
        }
        driver::Effect::StartStage { stage, tasks } => {
            events.push_back(Tell::StageStarted { stage, tasks }.into());
        }
        driver::Effect::SizeStage { stage, sizes } => events.push_back(Tell::StageSized { stage, sizes }.into()),
        driver::Effect::TakeStage { stage, tasks, found } => {
            events.push_back(Tell::StageFound { stage, tasks, found }.into());
        }
        driver::Effect::LookUp { stage, .. } if refused.contains_key(&stage) => {
            let answer = Err(Missed::because("a policy refuses it"));
            events.push_back(driver::Event::LookedUp { stage, answer, inputs: Vec::new() }.into());
        }
        driver::Effect::CloseStage { stage } => events.push_back(Tell::StageClosed { stage }.into()),
        driver::Effect::StopStages { why, now } => events.push_back(Tell::StopAsked { why, now }.into()),
        effect => turn.effects.push(Effect::Driver(effect)),
    }
}
