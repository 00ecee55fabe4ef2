//! Who gets what: idle grants to runs, asks to YARN, and back to YARN what nobody wants.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use dybox_model::{Resources, Wish};
use tokio::time::Instant;

use super::{Agent, Claim, Key, Out, Pool, State, Told};
use crate::rm::Room;

/// What a session asks YARN for where a run asks for this.
pub(super) fn of_yarn(wish: &Wish, base: Resources) -> Wish {
    let size =
        Resources { cpu_milli: base.cpu_milli.max(wish.size.cpu_milli), memory: base.memory.max(wish.size.memory) };
    Wish { size, ..wish.clone() }
}

/// Racks of the hosts.
pub(super) type Racks = BTreeMap<String, String>;

/// Whether a grant answers a wish.
fn answers(room: &Room, wish: &Wish, claim: &Claim, racks: &Racks) -> bool {
    let anywhere = wish.relaxed || wish.hosts.is_empty() && wish.racks.is_empty();
    let racked = || racks.get(&room.host).is_some_and(|rack| wish.racks.contains(rack));
    let there = anywhere || wish.hosts.contains(&room.host) || racked();
    wish.size.fits(room.size) && there && !claim.avoids.contains(&room.host)
}

impl Pool {
    /// After every event.
    pub(super) fn give(&mut self, now: Instant, out: &mut Vec<Out>) {
        self.lend(now, out);
        let missing = self.ask(out);
        self.let_go(now, missing, out);
        self.say(out);
    }

    /// Claims in the order in which they came.
    fn in_turn(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.claims.iter().map(|(key, claim)| (claim.turn, key.clone())).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn lend(&mut self, now: Instant, out: &mut Vec<Out>) {
        for key in self.in_turn() {
            let wishes: Vec<_> = self.claims.get(&key).map(in_line).unwrap_or_default();
            for (wish, _) in wishes {
                while let Some(container) = self.lend_one(&key, &wish, now) {
                    out.push(Out::Tell(key.clone(), Told::Granted { container, wish: wish.clone() }));
                }
            }
        }
    }

    /// Lends an agent for one ask of a claim, where there is one for it.
    fn lend_one(&mut self, key: &Key, wish: &Wish, now: Instant) -> Option<String> {
        let claim = self.claims.get_mut(key)?;
        let left = claim.asks.get(wish)?.saturating_sub(1);
        let container = best(&self.agents, wish, claim, &self.racks)?;
        match left {
            0 => claim.asks.remove(wish),
            _ => claim.asks.insert(wish.clone(), left),
        };
        if let Some(agent) = self.agents.get_mut(&container) {
            (agent.state, agent.since) = (State::Lent(key.clone(), None), now);
        }
        Some(container)
    }

    /// Asks YARN for what is missing; how many more would be wanted than the session may have.
    fn ask(&mut self, out: &mut Vec<Out>) -> u32 {
        let mut coming: Vec<&Room> =
            self.agents.values().filter(|agent| agent.state == State::Starting).map(|agent| &agent.room).collect();
        let (mut wanted, mut missing) = (BTreeMap::<Wish, u32>::new(), 0);
        let mut room = if self.closing { 0 } else { self.spec.most.saturating_sub(self.live()) };
        for key in self.in_turn() {
            let claim = &self.claims[&key];
            for (wish, mut count) in in_line(claim) {
                while count > 0
                    && let Some(at) = coming.iter().position(|room| answers(room, &wish, claim, &self.racks))
                {
                    coming.swap_remove(at);
                    count -= 1;
                }
                let asked = count.min(room);
                (room, missing) = (room - asked, missing + count - asked);
                if asked > 0 {
                    *wanted.entry(of_yarn(&wish, self.spec.size)).or_default() += asked;
                }
            }
        }
        let there = self.live() + wanted.values().sum::<u32>();
        if !self.closing && !self.left && there < self.spec.warm {
            *wanted.entry(Wish::anywhere(self.spec.size)).or_default() += (self.spec.warm - there).min(room);
        }
        let gone = self.asked.keys().filter(|wish| !wanted.contains_key(wish)).cloned().collect::<Vec<_>>();
        out.extend(gone.into_iter().map(|wish| Out::Ask { wish, count: 0 }));
        let new = wanted.iter().filter(|(wish, count)| self.asked.get(wish) != Some(count));
        out.extend(new.map(|(wish, &count)| Out::Ask { wish: wish.clone(), count }));
        self.asked = wanted;
        missing
    }

    /// Grants that nobody wants go back; and idle ones of which none is what is missing.
    fn let_go(&mut self, now: Instant, missing: u32, out: &mut Vec<Out>) {
        let idle = self.idle();
        let mut live = self.live();
        let mut misfits = missing;
        let mut all: Vec<_> = self.agents.iter_mut().filter(|(_, agent)| agent.state == State::Idle).collect();
        all.sort_by_key(|(_, agent)| agent.since);
        for (container, agent) in all {
            let stale = agent.since + idle <= now && (live > self.spec.warm || self.left);
            if self.closing || stale || misfits > 0 {
                misfits = misfits.saturating_sub(1);
                live -= 1;
                agent.state = State::Leaving;
                out.push(Out::Leave(container.clone()));
            }
        }
    }

    /// Why asks wait.
    fn say(&mut self, out: &mut Vec<Out>) {
        let (live, most, name) = (self.live(), self.spec.most, self.spec.name.clone());
        let asked: u32 = self.asked.values().sum();
        for (key, claim) in &mut self.claims {
            let text = match (claim.asks.is_empty(), asked) {
                (true, _) => String::new(),
                (false, 0) => {
                    format!("session {name} has all of its {live} grants in use, and {most} is the most it may have")
                }
                (false, asked) => {
                    format!("session {name} has {live} grants, none free, and waits for {asked} more of YARN")
                }
            };
            if text != claim.said {
                claim.said.clone_from(&text);
                out.push(Out::Tell(key.clone(), Told::Waits(text)));
            }
        }
    }
}

/// What a run asks for, the highest priority first.
fn in_line(claim: &Claim) -> Vec<(Wish, u32)> {
    let mut asks: Vec<_> = claim.asks.iter().map(|(wish, count)| (wish.clone(), *count)).collect();
    asks.sort_by_key(|(wish, _)| Reverse(wish.priority));
    asks
}

/// The idle grant that wastes least; of several the one that worked last, for a container may wait there.
fn best(agents: &BTreeMap<String, Agent>, wish: &Wish, claim: &Claim, racks: &Racks) -> Option<String> {
    let free = agents.iter().filter(|(_, agent)| agent.state == State::Idle && agent.silent.is_none());
    let fits = free.filter(|(_, agent)| answers(&agent.room, wish, claim, racks));
    let best = fits.min_by_key(|(_, agent)| (agent.room.size.memory, agent.room.size.cpu_milli, Reverse(agent.since)));
    best.map(|(container, _)| container.clone())
}
