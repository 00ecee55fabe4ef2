//! The machine itself: what each fact changes and what each event calls for.

use std::collections::{BTreeMap, BTreeSet};

use dybox_job::{self as job, Plan, room_for, wish_for};
use dybox_model::{AttemptId, Cause, Exit, Fact, GrantId, Millis, Resources, StageEnd, StageId, SubDagId, Wish};

use super::asks::{Asks, WishId};
use super::barren::Barren;
use super::given;
use super::grow;
use super::hosts::Hosts;
use super::liking::as_listed;
use super::pool::{Pool, Stand};
use super::prefetch::Prefetch;
use super::retry::Next;
use super::starved::Starved;
use super::taken::{Taken, apart_in};
use super::tasks::{State, Tasks};
use super::{Effect, Event};
use crate::result::hold_to;
use crate::usage::Fit;

/// Gets the tasks of one sub-DAG's stages done.
#[derive(Debug)]
pub struct Master {
    pub(super) tasks: Tasks,
    pub(super) pool: Pool<AttemptId>,
    pub(super) asks: Asks,
    pub(super) hosts: Hosts,
    pub(super) taken: Taken,
    /// The YARN queue of the sub-DAG; empty = not known, or one machine.
    pub(super) queue: String,
    pub(super) pinned: BTreeMap<String, String>,
    /// The image of each stage, as an engine lists it.
    pub(super) images: Vec<String>,
    /// Shapes for which the roster's news were not looked at yet.
    pub(super) advised: BTreeSet<u32>,
    pub(super) prefetch: Prefetch,
    pub(super) barren: Barren,
    pub(super) starved: Starved,
    pub(super) others: Others,
    /// The highest priority for which asks are out, since then.
    pub(super) first: Option<(i32, Millis)>,
    /// Grants that ended a task and were not looked at since.
    pub(super) paced: Vec<GrantId>,
    /// Stops go without the stages' grace.
    pub(super) at_once: bool,
    /// What tasks in each grant use, where it may be made larger or smaller.
    pub(super) fits: BTreeMap<GrantId, (AttemptId, Fit)>,
    /// Whether the resource manager changes sizes of grants.
    pub(super) resizes: bool,
    /// What stages came to that do not run.
    pub(super) given: BTreeMap<StageId, job::Taken>,
    /// Nothing is decided before all facts have been applied.
    pub(super) opened: bool,
}

/// Other runs that wait for room.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// There are some.
    pub(super) wait: bool,
    /// One of them is owed a grant: the next one that ends a task goes back.
    pub(super) owed: bool,
}

impl Master {
    /// The machine of one sub-DAG on one machine, before anything happened. Placements are passed over: there is no choice.
    #[must_use]
    pub fn new(plan: &Plan, subdag: SubDagId) -> Self {
        let mut tasks = Tasks::new(plan, (subdag, room_for), |_, stage| grow::shape_here(stage));
        // Grants keep their size here: what may grow begins with all of it.
        for (id, _) in (0u32..).zip(&plan.stages).filter(|(_, stage)| grow::is_fixed(stage)) {
            if let Some(top) = tasks.stage(StageId(id)).and_then(|stage| stage.ladder.top()) {
                tasks.reshape(StageId(id), top);
            }
        }
        let starved = Starved::of(plan, subdag);
        Self { prefetch: Prefetch::of(plan, subdag), given: given::of(plan), starved, ..Self::of(tasks) }
    }

    /// The same on a cluster: asks are such as YARN grants, and the stages' placements count.
    #[must_use]
    pub fn on_cluster(plan: &Plan, subdag: SubDagId) -> Self {
        let apart = apart_in(plan, subdag);
        let shape_of = |id: u32, stage: &dybox_job::Stage| grow::shape_on_cluster(id, stage, &apart);
        let mut master = Self::of(Tasks::new(plan, (subdag, wish_for), shape_of));
        master.resizes = true;
        master.starved = Starved::of(plan, subdag);
        master.prefetch = Prefetch::of(plan, subdag);
        master.given = given::of(plan);
        master.images = plan.stages.iter().map(|stage| as_listed(&stage.image)).collect();
        if let Some(subdag) = plan.subdags.get(subdag.0 as usize) {
            master.queue = subdag.queue.clone().unwrap_or_default();
            master.hosts.label.clone_from(&subdag.node_label);
        }
        master
    }

    fn of(tasks: Tasks) -> Self {
        Self {
            tasks,
            pool: Pool::new(),
            asks: Asks::default(),
            hosts: Hosts::default(),
            taken: Taken::default(),
            queue: String::new(),
            pinned: BTreeMap::new(),
            images: Vec::new(),
            advised: BTreeSet::new(),
            prefetch: Prefetch::default(),
            barren: Barren::default(),
            starved: Starved::default(),
            others: Others::default(),
            first: None,
            paced: Vec::new(),
            at_once: false,
            fits: BTreeMap::new(),
            given: BTreeMap::new(),
            resizes: false,
            opened: false,
        }
    }

    /// Takes one fact of the journal in. Facts that are not the master's are passed over.
    pub fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::StageStarted { stage, tasks, at } => {
                self.begin(*stage, *tasks);
                self.starved.begin(*stage, *at);
            }
            Fact::StageSized { stage, sizes } => self.tasks.sized(*stage, sizes.clone()),
            Fact::StageTaken { stage, results, .. } => self.taken(*stage, results),
            Fact::StageEnded { stage, end, .. } => self.tasks.close(*stage, *end),
            Fact::HookDecided { decision, .. } => self.grow(&decision.add),
            Fact::StopAsked { why, .. } => self.tasks.stop(why),
            Fact::Reopened { .. } => self.reopen(),
            Fact::GrantGot { grant, size, host, .. } => {
                let asked = self.asked_for(*size);
                self.pool.add(*grant, *size, host, asked);
            }
            Fact::GrantResized { grant, size, .. } => self.pool.resize(*grant, *size),
            Fact::GrantEnded { grant, .. } => {
                self.pool.remove(*grant);
                self.fits.remove(grant);
            }
            Fact::AttemptStarted { attempt, grant, at } => {
                self.starved.begin(attempt.task.stage, *at);
                self.tasks.started(*attempt);
                self.load(*grant, *attempt);
            }
            Fact::AttemptRuns { attempt, at, .. } => self.tasks.runs(*attempt, *at),
            Fact::AttemptEnded { attempt, exit, again } => {
                let squeezed = self.is_squeezed(*attempt);
                let had = self.pool.bearer(*attempt).and_then(|id| self.pool.get(id)).map(|grant| grant.size.memory);
                self.tasks.ended(*attempt, exit, (*again, squeezed));
                self.tasks.grow(attempt.task.stage, exit, had.unwrap_or_default());
                if let Some(grant) = self.pool.bearer(*attempt) {
                    self.unload(grant, *attempt, exit);
                }
            }
            Fact::ImagePinned { image, id } => {
                self.pinned.entry(image.clone()).or_insert_with(|| id.clone());
            }
            Fact::ImageBrought { image, host, stage, .. } => self.prefetch.heard(image, host, *stage),
            // The rest is the driver's and the readers'.
            _ => {}
        }
    }

    /// Takes one event in and pushes what must be done about it, in order.
    pub fn handle(&mut self, now: Millis, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Opened => self.open(now, out),
            Event::StageStarted { stage, tasks } => {
                self.start(stage, tasks, now, out);
                self.starved.begin(stage, now);
            }
            Event::StageSized { stage, sizes } => self.tasks.sized(stage, sizes),
            Event::StageFound { stage, tasks, found } => self.found((stage, tasks), found, now, out),
            Event::StageClosed { stage } => self.tasks.close(stage, StageEnd::Skipped),
            Event::StopAsked { why, now: at_once } => self.stop(&why, at_once, out),
            Event::Granted { grant, size, host, container, wish } => {
                self.take(Fact::GrantGot { grant, size, at: now, host, container }, wish, out);
            }
            Event::Nodes(nodes) => {
                self.hosts.put(nodes);
                self.place_anew();
                self.prefetch.look();
            }
            Event::Roster(advice) => self.take_advice(advice, now, out),
            Event::GrantTaken { grant, cause, how } => {
                self.pool.taken(grant, cause);
                self.lose(grant, how, now, out);
            }
            Event::ProxyJoined { grant, attempts } => self.join(grant, &attempts, now, out),
            Event::ProxyLeaving { grant } => self.pool.goes(grant),
            Event::ProxyLost { grant, how } => self.lose(grant, how, now, out),
            Event::Swept { grant, exits } => self.swept(grant, exits, now, out),
            Event::GrantEnded { grant } => self.end_grant(grant, now, out),
            Event::Runs { grant, attempt, container, ports } if self.is_new_run(grant, attempt) => {
                self.bear();
                if let Some(grant) = self.pool.get(grant).filter(|grant| !grant.host.is_empty()) {
                    self.hosts.works(&grant.host);
                }
                self.record(Fact::AttemptRuns { attempt, container, at: now, ports }, out);
            }
            Event::Runs { .. } => {}
            Event::ImagePinned { image, id } => self.pin(image, id, out),
            Event::ImageBrought { grant, image, stage, took, why } => {
                self.brought(grant, Fact::ImageBrought { image, host: String::new(), stage, took, at: now, why }, out);
            }
            Event::Exited { grant, attempt, exit } => self.exited((grant, attempt), exit, now, out),
            Event::Used { grant, attempt, used } => self.used((grant, attempt), &used, now, out),
            Event::Limited { grant, attempt, memory } => self.limited((grant, attempt), memory, now, out),
            Event::Resized { grant, size } => self.resized(grant, size, now, out),
            Event::Visited { attempt, by, want } => self.record(Fact::Visited { attempt, by, want, at: now }, out),
            Event::NotResized { grant } => self.not_resized(grant, now),
            Event::Refused { wish, why } => self.refused(&wish, &why),
            Event::OthersWait { any, first } => self.others = Others { wait: any, owed: first },
            Event::Tick => {}
        }
        if self.opened {
            self.serve(now, out);
        }
    }

    /// When to call `handle` with [`Event::Tick`] next, if nothing else comes.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        let waits = [self.tasks.wake(), self.first_idle(), self.barren.until, self.hosts.wake(), self.starved()];
        waits.into_iter().flatten().min()
    }

    pub(super) fn record(&mut self, fact: Fact, out: &mut Vec<Effect>) {
        self.apply(&fact);
        out.push(Effect::Record(fact));
    }

    /// The one place where late and stale news end: whether `attempt` is what `grant` works on.
    fn is_live(&self, grant: GrantId, attempt: AttemptId) -> bool {
        self.pool.get(grant).is_some_and(|grant| grant.has(attempt))
    }

    /// The ask that a grant of this size answers, as far as its size tells.
    fn asked_for(&mut self, size: Resources) -> WishId {
        let shape = self.tasks.shapes.answered_by(size).map(|shape| self.tasks.shapes.get(shape));
        self.asks.id_of(&shape.map_or_else(|| Wish::anywhere(size), |shape| shape.anywhere()))
    }

    fn load(&mut self, grant: GrantId, attempt: AttemptId) {
        self.pool.load(grant, attempt);
        let stage = attempt.task.stage;
        if self.tasks.kept_apart(stage).is_some()
            && let Some(grant) = self.pool.get(grant)
        {
            self.taken.add(stage.0, &grant.host);
            self.look_around(stage);
        }
    }

    fn unload(&mut self, grant: GrantId, attempt: AttemptId, exit: &Exit) {
        let host = self.pool.get(grant).map(|grant| grant.host.clone()).unwrap_or_default();
        self.pool.unload(grant, attempt);
        if host.is_empty() {
            return;
        }
        self.hosts.ended(&host, exit);
        if self.tasks.kept_apart(attempt.task.stage).is_some() {
            self.taken.remove(attempt.task.stage.0, &host);
            self.look_around(attempt.task.stage);
            self.tasks.shapes.news = true;
        }
    }

    /// Tasks of a stage that is kept apart moved: what it and those that keep away from it ask for is to be looked at.
    fn look_around(&mut self, stage: StageId) {
        let Some(place) = self.tasks.kept_apart(stage) else { return };
        let near = place.apart.iter().map(|apart| StageId(apart.stage)).chain([stage]);
        let shapes: Vec<u32> =
            near.filter_map(|stage| self.tasks.stage(stage)).flat_map(|stage| stage.shapes()).collect();
        self.tasks.shapes.changed.extend(shapes);
    }

    fn stop(&mut self, why: &str, at_once: bool, out: &mut Vec<Effect>) {
        self.tasks.stop(why);
        if at_once && !self.at_once {
            self.at_once = true;
            let all: Vec<GrantId> = self.pool.iter().map(|(id, _)| id).collect();
            for grant in all {
                self.pool.unhalt(grant);
                self.halt(grant, out);
            }
        }
    }

    fn take(&mut self, got: Fact, wish: Option<Wish>, out: &mut Vec<Effect>) {
        let Fact::GrantGot { grant, size, .. } = got else { return };
        if self.pool.get(grant).is_some() {
            return;
        }
        let asked = match wish {
            Some(wish) => self.asks.id_of(&wish),
            None => self.asked_for(size),
        };
        self.asks.answered(asked);
        self.record(got, out);
        self.pool.answers(grant, asked);
        out.push(Effect::Launch { grant });
    }

    /// Brings a proxy that said Hello to the same view as ours: it may have missed what was sent while its line was cut.
    fn join(&mut self, id: GrantId, attempts: &[AttemptId], now: Millis, out: &mut Vec<Effect>) {
        for &attempt in attempts.iter().filter(|&&attempt| !self.is_live(id, attempt)) {
            // It was given out and is not live: its end is written down. What never was given out must not run.
            let known = self.tasks.task(attempt.task).is_some_and(|task| attempt.number <= task.last);
            out.push(match known {
                true => Effect::Ack { grant: id, attempt },
                false => Effect::Halt { grant: id, attempt, now: true },
            });
        }
        self.pool.hello(id);
        self.prefetch.look();
        let Some(grant) = self.pool.get(id).filter(|grant| grant.stand == Stand::Here) else {
            return out.push(Effect::Leave { grant: id });
        };
        let loads: Vec<AttemptId> = grant.loads().collect();
        if loads.iter().any(|attempt| attempts.contains(attempt)) {
            self.halt(id, out);
        }
        loads
            .into_iter()
            .filter(|attempt| !attempts.contains(attempt))
            .for_each(|attempt| self.give_again(id, attempt, now, out));
    }

    /// The order to start it may have been lost with the line.
    fn give_again(&mut self, id: GrantId, attempt: AttemptId, now: Millis, out: &mut Vec<Effect>) {
        if self.tasks.verdict(attempt.task.stage).is_some() {
            let exit = Exit::not_started(Cause::Stopped, "stopped before its proxy heard of it", now);
            self.settle(attempt, exit, out);
        } else {
            out.push(Effect::Start { grant: id, attempt });
        }
    }

    fn is_new_run(&self, grant: GrantId, attempt: AttemptId) -> bool {
        let news = self.tasks.task(attempt.task).is_some_and(|task| task.state == State::Live);
        news && self.is_live(grant, attempt)
    }

    fn exited(&mut self, (grant, attempt): (GrantId, AttemptId), exit: Exit, now: Millis, out: &mut Vec<Effect>) {
        if self.is_live(grant, attempt) {
            self.pool.paced(grant, exit.cause.is_none(), now);
            self.paced.push(grant);
            self.settle(attempt, exit, out);
        }
        // Also when it is old news: the proxy repeats it until it hears this.
        out.push(Effect::Ack { grant, attempt });
    }

    pub(super) fn settle(&mut self, attempt: AttemptId, mut exit: Exit, out: &mut Vec<Effect>) {
        // Proxies look at it before outputs are put; what a sweep found nobody has looked at.
        hold_to(self.tasks.stage(attempt.task.stage).and_then(|stage| stage.results.as_ref()), &mut exit);
        let squeezed = self.is_squeezed(attempt);
        let again = matches!(self.tasks.next(attempt, &exit, squeezed), Next::Again { .. });
        self.record(Fact::AttemptEnded { attempt, exit, again }, out);
    }
}
