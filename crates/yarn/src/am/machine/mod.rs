//! Decides what is said to the ResourceManager, and when.
//!
//! Enters: a master's orders, answers and failures, time. Leaves: the next call, and what the master must know. Never: a
//! socket, a clock, two calls at once, an ask above what is wanted, the same grant or end told twice.
//!
//! ```text
//! Registering ──answer──▶ Beating ──Finish──▶ Finishing ──written down──▶ Over
//!      ▲                     │                    │                         ▲
//!      └──── not registered ─┴────────────────────┘      attempt is over ───┘
//! ```

mod asks;
mod grants;
mod news;
mod nodes;
mod talk;
mod trouble;

use std::collections::BTreeSet;

use dybox_model::{Millis, Resources};

use self::asks::Asks;
use self::grants::Grants;
use self::nodes::Nodes;
pub use self::talk::{Answer, AskLine, Effect, Failure, Heartbeat, Input, Resize, Welcome};
use super::event::{Event, Order};
use crate::application::FinalStatus;
use crate::ids::{AttemptId, ContainerId};

/// Times of an [`Am`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Between two heartbeats.
    pub beat: Millis,
    /// The same while something is pending.
    pub quick_beat: Millis,
    /// How long the ResourceManager may be away.
    pub patience: Millis,
}

const SHORTEST_PAUSE: Millis = Millis(100);
const LONGEST_PAUSE: Millis = Millis(1000);
/// The ResourceManager may be away for so long before anybody hears of it.
const QUIET: Millis = Millis(2000);
const FINISH_AGAIN: Millis = Millis(50);
/// For so long after the last order or grant an answer is worth a hurry.
const HURRY: Millis = Millis(30_000);
/// A start that fails, fails within this time.
const STARTS_TAKE: Millis = Millis(3000);
/// A master that hears of its registration needs a moment to ask.
const FIRST_ASK: Millis = Millis(20);
/// The ResourceManager refuses heartbeats that have nothing wrong left in them: this can't get better.
const MOST_REFUSALS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Registering,
    Beating,
    Finishing,
    Over,
}

#[derive(Debug)]
enum Call {
    Register,
    Beat(Heartbeat),
    Finish,
}

#[derive(Debug)]
struct End {
    status: FinalStatus,
    diagnostics: String,
    url: String,
    /// The ResourceManager has heard it.
    heard: bool,
}

/// The ResourceManager does not answer.
#[derive(Clone, Copy, Debug)]
struct Away {
    since: Millis,
    pause: Millis,
    told: bool,
}

/// The ApplicationMaster's line to the ResourceManager, as a value.
#[derive(Debug)]
pub struct Am {
    rules: Rules,
    phase: Phase,
    /// The call on its way.
    call: Option<Call>,
    /// A heartbeat without an answer: sent again as it was, since the ResourceManager may have done it.
    again: Option<Heartbeat>,
    /// When the next call may go.
    due: Millis,
    /// When the last heartbeat went, since the last registration.
    began: Option<Millis>,
    last_change: Millis,
    last_grant: Option<Millis>,
    away: Option<Away>,
    refused_in_a_row: u32,
    registered_before: bool,
    response_id: i32,
    max: Option<Resources>,
    counts_cpus: bool,
    asks: Asks,
    grants: Grants,
    nodes: Nodes,
    avoided: BTreeSet<String>,
    avoided_there: BTreeSet<String>,
    progress: f32,
    tracking: String,
    tracking_there: String,
    headroom: Option<(Resources, u32)>,
    preempts: BTreeSet<ContainerId>,
    end: Option<End>,
}

impl Am {
    /// The line of an attempt; the first effect comes with the first [`Input::Tick`].
    #[must_use]
    pub fn new(rules: Rules, attempt: AttemptId, tracking: String) -> Self {
        // Requests of two attempts never have the same number.
        let first_request = (i64::from(attempt.number) << 32) + 1;
        Self {
            rules,
            phase: Phase::Registering,
            call: None,
            again: None,
            due: Millis(0),
            began: None,
            last_change: Millis(0),
            last_grant: None,
            away: None,
            refused_in_a_row: 0,
            registered_before: false,
            response_id: 0,
            max: None,
            counts_cpus: true,
            asks: Asks::new(first_request),
            grants: Grants::default(),
            nodes: Nodes::default(),
            avoided: BTreeSet::new(),
            avoided_there: BTreeSet::new(),
            progress: 0.0,
            tracking_there: tracking.clone(),
            tracking,
            headroom: None,
            preempts: BTreeSet::new(),
            end: None,
        }
    }

    /// Takes one fact in and says what must be done about it, in order.
    pub fn handle(&mut self, now: Millis, input: Input, out: &mut Vec<Effect>) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            // Orders come in bursts: what they make necessary goes together, with the tick that follows.
            Input::Order(order) => return self.obey(now, order, out),
            Input::Registered(welcome) => self.registered(now, welcome, out),
            Input::Answered(answer) => self.answered(now, *answer, out),
            Input::Unregistered(done) => self.unregistered(now, done, out),
            Input::Failed(failure) => self.failed(now, failure, out),
            Input::Nodes(nodes) => {
                self.nodes.replace(nodes);
                self.tell_nodes(out);
            }
            Input::Tick => {}
        }
        self.call_if_due(now, out);
    }

    /// When to call `handle(now, Input::Tick)` if nothing else comes; `None` while a call is on its way, or at the end.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        (self.phase != Phase::Over && self.call.is_none()).then(|| self.next_at())
    }

    /// Whether this attempt is over: nothing comes any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn next_at(&self) -> Millis {
        let Some(began) = self.began.filter(|_| self.phase == Phase::Beating && self.away.is_none()) else {
            return self.due;
        };
        let pause = if self.is_hurried(began) { self.rules.quick_beat } else { self.rules.beat };
        began.after(pause).max(self.due)
    }

    /// Something is pending that the next answers may bring. A wish that nothing fits is not worth a hurry for ever.
    fn is_hurried(&self, began: Millis) -> bool {
        let pending = self.asks.any() || self.grants.any_pending() || self.avoided != self.avoided_there;
        let starts = self.last_grant.is_some_and(|last| began.since(last) < STARTS_TAKE);
        starts || (pending && began.since(self.last_change) < HURRY)
    }

    fn obey(&mut self, now: Millis, order: Order, out: &mut Vec<Effect>) {
        if !matches!(order, Order::Progress(_) | Order::Tracking(_)) {
            self.last_change = now;
        }
        match order {
            Order::Ask { wish, count } => {
                self.asks.want(wish, count);
                self.refuse_too_large(out);
            }
            Order::Release(id) => self.grants.release(id),
            Order::Blacklist { add, remove } => {
                self.avoided.extend(add.into_iter().filter(|place| place != "*"));
                remove.iter().for_each(|place| {
                    self.avoided.remove(place);
                });
            }
            Order::Progress(progress) => self.progress = progress.clamp(0.0, 1.0),
            Order::Tracking(url) => self.tracking = url,
            Order::Update { container, size } => {
                if let Some(why) = self.grants.resize(container, size) {
                    out.push(Effect::Tell(Event::UpdateFailed { id: container, why: why.to_owned() }));
                }
            }
            Order::Finish { status, diagnostics, url } => {
                self.end = Some(End { status, diagnostics, url, heard: false });
                if self.phase == Phase::Beating {
                    self.phase = Phase::Finishing;
                    self.due = now;
                    self.again = None;
                }
            }
        }
    }

    fn call_if_due(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.phase == Phase::Over || self.call.is_some() || now < self.next_at() {
            return;
        }
        self.began = (self.phase == Phase::Beating).then_some(now);
        let (call, effect) = match self.phase {
            Phase::Registering => (Call::Register, Effect::Register { tracking: self.tracking.clone() }),
            Phase::Beating | Phase::Over => {
                let heartbeat = self.again.take().unwrap_or_else(|| self.heartbeat());
                (Call::Beat(heartbeat.clone()), Effect::Beat(heartbeat))
            }
            Phase::Finishing => (Call::Finish, self.finish()),
        };
        self.call = Some(call);
        out.push(effect);
    }

    fn heartbeat(&mut self) -> Heartbeat {
        let avoid = self.avoided.difference(&self.avoided_there).cloned().collect();
        let avoid_no_more = self.avoided_there.difference(&self.avoided).cloned().collect();
        Heartbeat {
            response_id: self.response_id,
            asks: self.asks.lines(self.nodes.racks()),
            release: self.grants.to_release(),
            avoid,
            avoid_no_more,
            resizes: self.grants.to_resize(),
            progress: self.progress,
            tracking: (self.tracking != self.tracking_there).then(|| self.tracking.clone()),
        }
    }

    fn finish(&self) -> Effect {
        let end = self.end.as_ref();
        Effect::Finish {
            status: end.map_or(FinalStatus::Undefined, |end| end.status),
            diagnostics: end.map(|end| end.diagnostics.clone()).unwrap_or_default(),
            url: end.map(|end| end.url.clone()).unwrap_or_default(),
        }
    }

    /// The ResourceManager answers.
    fn reached(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.due = now;
        if self.away.take().is_some_and(|away| away.told) {
            out.push(Effect::Tell(Event::Recovered));
        }
    }

    fn registered(&mut self, now: Millis, welcome: Welcome, out: &mut Vec<Effect>) {
        self.call = None;
        self.reached(now, out);
        out.extend(welcome.tokens.into_iter().map(|(node, token)| Effect::NodeToken(node, token)));
        self.response_id = 0;
        self.tracking_there.clone_from(&self.tracking);
        self.phase = if self.end.is_some() { Phase::Finishing } else { Phase::Beating };
        // The first heartbeat carries what was asked for meanwhile.
        self.began = None;
        self.last_change = now;
        self.due = if self.asks.any() { now } else { now.after(FIRST_ASK) };
        self.max = welcome.max.or(self.max);
        self.counts_cpus = welcome.counts_cpus;
        let previous = self.take_new(welcome.previous);
        if self.registered_before {
            out.push(Effect::Tell(Event::Restarted));
            self.tell_found(previous, out);
        } else {
            let max = self.max.unwrap_or(Resources { cpu_milli: u32::MAX, memory: u64::MAX });
            out.push(Effect::Tell(Event::Registered { max, queue: welcome.queue, previous }));
        }
        self.registered_before = true;
        self.refuse_too_large(out);
    }

    fn refuse_too_large(&mut self, out: &mut Vec<Effect>) {
        let Some(max) = self.max else { return };
        for wish in self.asks.take_larger_than(max) {
            let why = format!(
                "it asks for {} cpus and {}, and the largest container of this cluster has {} and {}",
                dybox_model::format_cpus(wish.size.cpu_milli),
                dybox_model::format_bytes(wish.size.memory),
                dybox_model::format_cpus(max.cpu_milli),
                dybox_model::format_bytes(max.memory),
            );
            out.push(Effect::Tell(Event::Refused { wish, why }));
        }
    }

    fn unregistered(&mut self, now: Millis, done: bool, out: &mut Vec<Effect>) {
        self.call = None;
        self.reached(now, out);
        if done {
            self.phase = Phase::Over;
            out.push(Effect::Tell(Event::Finished));
            return;
        }
        if let Some(end) = &mut self.end {
            end.heard = true;
        }
        self.due = now.after(FINISH_AGAIN);
    }
}

#[cfg(test)]
mod tests;
