//! The grants of a session, and which run has which: a plain value between YARN, the agents and the runs.
//!
//! ```text
//! agent:  starting -> idle <-> lent to a run -> idle ... -> leaving -> over
//! ```
//!
//! Runs get what is idle in the order in which they came; YARN is asked for what is missing, never for more than the
//! session may have.

mod give;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dybox_model::{GrantId, GrantState, SessionGrant, SessionSpec, Wish};
use dybox_wire::AgentEnd;
use tokio::time::Instant;

use crate::rm::Room;

pub(crate) use words::{In, Key, Out, Told};

/// An agent without a line leaves by itself after 45 s; one that does not is given back.
const CUT: Duration = Duration::from_secs(60);
/// An agent that never says a word: the program comes to the machine first.
const BIRTH: Duration = Duration::from_secs(300);
/// A run whose grants nobody else says are gone is told of an unclean end with this.
const UNCLEAN: i32 = 1;

#[derive(Debug)]
struct Agent {
    room: Room,
    state: State,
    since: Instant,
    /// When its line was cut, or it should have said its first word.
    silent: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Launched; no word of it yet.
    Starting,
    /// An earlier master's; no word of it yet.
    Unknown,
    Idle,
    /// Of a run; with the run's grant, once a proxy was ordered.
    Lent(Key, Option<GrantId>),
    Leaving,
}

/// What a run wants.
#[derive(Debug, Default)]
struct Claim {
    /// Who came first is served first.
    turn: u64,
    asks: BTreeMap<Wish, u32>,
    avoids: BTreeSet<String>,
    said: String,
}

/// All grants of a session.
#[derive(Debug)]
pub(crate) struct Pool {
    spec: SessionSpec,
    agents: BTreeMap<String, Agent>,
    claims: BTreeMap<Key, Claim>,
    turns: u64,
    racks: give::Racks,
    /// What YARN was asked for and has not given.
    asked: BTreeMap<Wish, u32>,
    /// Since when no run is here.
    quiet: Option<Instant>,
    /// Nobody came for the idle time: nothing is kept warm until somebody does.
    left: bool,
    closing: bool,
}

impl Pool {
    pub(crate) fn new(spec: SessionSpec, now: Instant) -> Self {
        let (agents, claims, asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            spec,
            agents,
            claims,
            turns: 0,
            racks: BTreeMap::new(),
            asked,
            quiet: Some(now),
            left: false,
            closing: false,
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, event: In, out: &mut Vec<Out>) {
        match event {
            In::Registered { previous } => previous.into_iter().for_each(|room| self.enter(room, State::Unknown, now)),
            In::Granted { room, wish } => self.take(room, &wish, now, out),
            In::Refused { wish, why } => self.refused(&wish, &why, out),
            In::Completed { container, exit, how } => self.completed(&container, exit, how, out),
            In::Hello { container, serving, last } => self.hello(&container, serving, (last, now), out),
            In::Cut { container } => self.on(&container, |agent| agent.silent = Some(now + CUT)),
            In::Ended { container, end } => self.ended(&container, &end, now, out),
            In::Began { key, known } => self.began(key, &known, out),
            In::Asked { key, wish, count } => {
                let asks = &mut self.claim(key).asks;
                match count {
                    0 => drop(asks.remove(&wish)),
                    _ => drop(asks.insert(wish, count)),
                }
            }
            In::Avoids { key, add, remove } => {
                let avoids = &mut self.claim(key).avoids;
                avoids.extend(add);
                avoids.retain(|host| !remove.contains(host));
            }
            In::Started { key, grant, container } => self.on(&container, |agent| {
                if agent.state == State::Lent(key.clone(), None) {
                    agent.state = State::Lent(key, Some(grant));
                }
            }),
            In::Released { key, container } => self.released(&key, &container, now, out),
            In::Over { key } => self.over(&key, now),
            In::Racks(racks) => self.racks = racks,
            In::Close => self.closing = true,
            In::Tick => self.tick(now, out),
        }
        self.give(now, out);
    }

    /// When to call `handle` with [`In::Tick`] next.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let silent = self.agents.values().filter_map(|agent| agent.silent);
        let idle = self.agents.values().filter(|agent| agent.state == State::Idle);
        let idle = idle.map(|agent| agent.since + self.idle()).filter(|_| self.left || self.live() > self.spec.warm);
        let quiet = self.quiet.filter(|_| !self.left).map(|quiet| quiet + self.idle());
        silent.chain(idle).chain(quiet).min()
    }

    /// Since when no run is here.
    pub(crate) const fn quiet(&self) -> Option<Instant> {
        self.quiet
    }

    /// Whether it has no grant at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// For people.
    pub(crate) fn grants(&self) -> Vec<SessionGrant> {
        let grant = |(container, agent): (&String, &Agent)| {
            let (state, run) = match &agent.state {
                State::Starting | State::Unknown => (GrantState::Starting, None),
                State::Idle => (GrantState::Idle, None),
                State::Lent((run, _), _) => (GrantState::Busy, Some(run.clone())),
                State::Leaving => (GrantState::Leaving, None),
            };
            let Room { host, size, .. } = agent.room.clone();
            SessionGrant { container: container.clone(), host, size, state, run }
        };
        self.agents.iter().map(grant).collect()
    }

    /// Grants that YARN was asked for.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.values().sum()
    }

    fn idle(&self) -> Duration {
        Duration::from_millis(self.spec.idle.0)
    }

    /// Grants that are not on their way out.
    fn live(&self) -> u32 {
        let live = self.agents.values().filter(|agent| agent.state != State::Leaving).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    fn claim(&mut self, key: Key) -> &mut Claim {
        self.turns += 1;
        (self.quiet, self.left) = (None, false);
        let turn = self.turns;
        self.claims.entry(key).or_insert_with(|| Claim { turn, ..Claim::default() })
    }

    fn on(&mut self, container: &str, change: impl FnOnce(&mut Agent)) {
        if let Some(agent) = self.agents.get_mut(container) {
            change(agent);
        }
    }

    fn enter(&mut self, room: Room, state: State, now: Instant) {
        let silent = Some(now + if state == State::Starting { BIRTH } else { CUT });
        self.agents.insert(room.container.clone(), Agent { room, state, since: now, silent });
    }

    fn take(&mut self, room: Room, wish: &Wish, now: Instant, out: &mut Vec<Out>) {
        match self.asked.get_mut(wish) {
            Some(1) => drop(self.asked.remove(wish)),
            Some(count) => *count -= 1,
            // Taken back while it was on its way.
            None => return out.push(Out::Release(room.container)),
        }
        out.push(Out::Launch(room.container.clone()));
        self.enter(room, State::Starting, now);
    }

    fn completed(&mut self, container: &str, exit: i32, how: String, out: &mut Vec<Out>) {
        let Some(agent) = self.agents.remove(container) else { return };
        if let State::Lent(key, _) = agent.state {
            out.push(Out::Tell(key, Told::Completed { container: container.to_owned(), exit, how }));
        }
    }

    fn hello(
        &mut self,
        container: &str,
        serving: Option<(dybox_model::RunId, GrantId)>,
        (last, now): (Option<AgentEnd>, Instant),
        out: &mut Vec<Out>,
    ) {
        let Some(agent) = self.agents.get_mut(container) else { return };
        agent.silent = None;
        let serving = serving.map(|(run, grant)| ((run, grant.subdag()), grant));
        match (agent.state.clone(), serving) {
            (State::Leaving, _) => {}
            // The order to serve is on its way.
            (State::Lent(_, None), None) => {}
            (State::Lent(key, Some(grant)), serving) if serving == Some((key.clone(), grant)) => {}
            (state, serving) => {
                agent.state = match serving {
                    Some((key, grant)) => State::Lent(key, Some(grant)),
                    None => State::Idle,
                };
                agent.since = now;
                if let State::Lent(key, grant) = state {
                    let end = last.filter(|last| last.run == key.0 && Some(last.grant) == grant);
                    let (exit, how) = end.map_or((UNCLEAN, "was lost with its line".to_owned()), |end| told_of(&end));
                    out.push(Out::Tell(key, Told::Completed { container: container.to_owned(), exit, how }));
                }
            }
        }
    }

    fn ended(&mut self, container: &str, end: &AgentEnd, now: Instant, out: &mut Vec<Out>) {
        let Some(agent) = self.agents.get_mut(container) else { return };
        let was = std::mem::replace(&mut agent.state, State::Idle);
        agent.since = now;
        match was {
            State::Lent(key, grant) if key.0 == end.run && grant == Some(end.grant) => {
                let (exit, how) = told_of(end);
                out.push(Out::Tell(key, Told::Completed { container: container.to_owned(), exit, how }));
            }
            // What it tells of is over already.
            State::Lent(..) | State::Leaving => agent.state = was,
            State::Starting | State::Unknown | State::Idle => {}
        }
    }

    /// A later master's run finds what an earlier one gave it, unless somebody else has that by now.
    fn began(&mut self, key: Key, known: &[(GrantId, String)], out: &mut Vec<Out>) {
        let mut lives = Vec::new();
        for (grant, container) in known {
            let Some(agent) = self.agents.get_mut(container) else { continue };
            let own = State::Lent(key.clone(), Some(*grant));
            if agent.state == State::Unknown {
                agent.state = own.clone();
            }
            if agent.state == own {
                lives.push(container.clone());
            }
        }
        self.claim(key.clone());
        out.push(Out::Tell(key, Told::Registered(lives)));
    }

    fn released(&mut self, key: &Key, container: &str, now: Instant, out: &mut Vec<Out>) {
        let Some(agent) = self.agents.get_mut(container) else { return };
        match &agent.state {
            State::Lent(of, None) if of == key => (agent.state, agent.since) = (State::Idle, now),
            // Whatever works there for this run is to end.
            State::Lent(of, Some(_)) if of == key => out.push(Out::Release(container.to_owned())),
            _ => {}
        }
    }

    fn over(&mut self, key: &Key, now: Instant) {
        self.claims.remove(key);
        if self.claims.is_empty() {
            self.quiet.get_or_insert(now);
        }
        for agent in self.agents.values_mut() {
            if agent.state == State::Lent(key.clone(), None) {
                (agent.state, agent.since) = (State::Idle, now);
            }
        }
    }

    fn refused(&mut self, refused: &Wish, why: &str, out: &mut Vec<Out>) {
        self.asked.remove(refused);
        let base = self.spec.size;
        for (key, claim) in &mut self.claims {
            for (wish, _) in claim.asks.extract_if(.., |wish, _| give::of_yarn(wish, base) == *refused) {
                out.push(Out::Tell(key.clone(), Told::Refused { wish, why: why.to_owned() }));
            }
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Out>) {
        self.left = self.quiet.is_some_and(|quiet| quiet + self.idle() <= now);
        for (container, agent) in &mut self.agents {
            if agent.silent.is_some_and(|until| until <= now) {
                agent.silent = None;
                out.push(Out::Release(container.clone()));
            }
        }
    }
}

fn told_of(end: &AgentEnd) -> (i32, String) {
    (if end.clean { 0 } else { UNCLEAN }, end.how.clone())
}
