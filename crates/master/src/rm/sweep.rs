//! After a dead proxy on a machine that may live: who looks, and how long nobody may take what it had for free.

use std::collections::BTreeSet;
use std::time::Duration;

use dybox_model::{AttemptId, Exit, GrantId, HIGHEST_PRIORITY, Resources, Wish};
use tokio::time::Instant;

use super::News;
use super::desk::Desk;
use super::held::{Held, Stand};
use super::words::{Out, Place, Room};

/// A payload without its proxy ends by itself within this time: the lease, the grace after it, and a margin.
const LEASE: Duration = Duration::from_secs(15 + 4 + 6);
/// A proxy that may live stops its containers when it has been without a master for this long.
const ORPHANED: Duration = Duration::from_secs(45);
/// For a small grant that only sweeps.
const MOST_TRIES: u32 = 2;
/// A size that nobody asks for, to tell such a grant by.
const SIZE: Resources = Resources { cpu_milli: 1000, memory: (64 << 20) + 1 };

/// One lost grant that nobody has looked after yet.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Proxies that were told to.
    ordered: BTreeSet<GrantId>,
}

fn wish(host: &str) -> Wish {
    Wish { hosts: vec![host.to_owned()], priority: HIGHEST_PRIORITY, ..Wish::anywhere(SIZE) }
}

impl Desk {
    pub(super) fn is_to_sweep(&self, asked: &Wish) -> bool {
        asked.size == SIZE
    }

    pub(super) fn begin_sweep(&mut self, grant: GrantId, now: Instant, out: &mut Vec<Out>) {
        let Some(held) = self.held.get_mut(&grant) else { return self.tell_swept(grant, Vec::new(), out) };
        if matches!(held.stand, Stand::Given | Stand::Unborn) {
            // Nothing ever ran in it.
            out.push(Out::Release(held.room.container.clone()));
            return self.tell_swept(grant, Vec::new(), out);
        }
        if held.over.is_none() && held.stand == Stand::Known {
            held.over = Some((now, false));
        }
        self.sweeps.entry(grant).or_default();
        self.look_again(grant, out);
    }

    /// Finds somebody for every sweep on the machine of `grant`.
    pub(super) fn look_again(&mut self, grant: GrantId, out: &mut Vec<Out>) {
        let hosts: BTreeSet<String> = match self.held.get(&grant) {
            Some(held) => BTreeSet::from([held.room.host.clone()]),
            None => self.sweeps.keys().filter_map(|grant| Some(self.held.get(grant)?.room.host.clone())).collect(),
        };
        for host in &hosts {
            if !self.is_unswept(host) {
                continue;
            }
            let there = |held: &Held| held.room.host == *host;
            let coming = self.held.values().any(|held| there(held) && held.sweeper && held.over.is_none());
            let workers = self.held.iter().filter(|(_, held)| there(held) && held.works());
            let workers: Vec<GrantId> = workers.map(|(worker, _)| *worker).collect();
            workers.iter().for_each(|worker| self.order_sweeps(*worker, out));
            if workers.is_empty() && !coming {
                self.ask_sweeper(host, out);
            }
        }
    }

    fn is_unswept(&self, host: &str) -> bool {
        self.sweeps.keys().any(|grant| self.held.get(grant).is_some_and(|held| held.room.host == host))
    }

    fn ask_sweeper(&mut self, host: &str, out: &mut Vec<Out>) {
        if let Some((room, None)) = &self.own
            && room.host == host
        {
            let room = room.clone();
            return self.start_sweeper(room, Place::Own, out);
        }
        let tries = self.sweepers.entry(host.to_owned()).or_default();
        if *tries < MOST_TRIES {
            *tries += 1;
            out.push(Out::Ask { wish: wish(host), count: 1 });
        }
    }

    pub(super) fn take_sweeper(&mut self, room: Room, out: &mut Vec<Out>) {
        match self.is_unswept(&room.host) {
            true => self.start_sweeper(room, Place::Container, out),
            false => out.push(Out::Release(room.container)),
        }
    }

    /// It is not written down: a later master gives back what it does not know.
    fn start_sweeper(&mut self, room: Room, place: Place, out: &mut Vec<Out>) {
        let grant = self.enter(room, place);
        if let Some(held) = self.held.get_mut(&grant) {
            held.sweeper = true;
        }
        self.launch(grant, out);
    }

    /// Tells a proxy of all that is to be swept on its machine; one that is there for nothing else leaves after it.
    pub(super) fn order_sweeps(&mut self, by: GrantId, out: &mut Vec<Out>) {
        let Some(worker) = self.held.get(&by).filter(|held| held.works()) else { return };
        let host = &worker.room.host;
        let mut told = false;
        for (&grant, sweep) in &mut self.sweeps {
            if grant != by && self.held.get(&grant).is_some_and(|held| held.room.host == *host) {
                told = true;
                sweep.ordered.insert(by);
                out.push(Out::Tell(News::OrderSweep { by, grant }));
            }
        }
        if worker.sweeper && !told {
            out.push(Out::Tell(News::OrderLeave { grant: by }));
        }
    }

    pub(super) fn swept(&mut self, by: GrantId, grant: GrantId, exits: Exits, out: &mut Vec<Out>) {
        let host = |grant| self.held.get(&grant).map(|held| held.room.host.as_str());
        if self.sweeps.contains_key(&grant) && host(by) == host(grant) {
            self.tell_swept(grant, exits, out);
        }
        if self.is_sweeper(by) {
            let host = self.held[&by].room.host.clone();
            if !self.is_unswept(&host) {
                out.push(Out::Tell(News::OrderLeave { grant: by }));
            }
        }
    }

    pub(super) fn tell_swept(&mut self, grant: GrantId, exits: Exits, out: &mut Vec<Out>) {
        self.sweeps.remove(&grant);
        let held = self.held.remove(&grant);
        out.push(Out::Tell(News::Swept { grant, exits }));
        let Some(host) = held.map(|held| held.room.host).filter(|host| !self.is_unswept(host)) else { return };
        if self.sweepers.remove(&host).is_some() {
            out.push(Out::Ask { wish: wish(&host), count: 0 });
        }
    }

    /// When what ran in the grant has certainly ended, whoever looked or not; nothing while YARN may still run it.
    pub(super) fn due(&self, grant: GrantId) -> Option<Instant> {
        let (over, dead) = self.held.get(&grant)?.over?;
        Some(over + LEASE + if dead { Duration::ZERO } else { ORPHANED })
    }

    pub(super) fn give_up_sweeps(&mut self, now: Instant, out: &mut Vec<Out>) {
        let due = |grant: &GrantId| self.due(*grant).is_some_and(|due| due <= now);
        let late: Vec<GrantId> = self.sweeps.keys().copied().filter(due).collect();
        for grant in late {
            tracing::warn!("nobody could look what {grant} left; its lease has ended it by now");
            self.tell_swept(grant, Vec::new(), out);
        }
    }
}

type Exits = Vec<(AttemptId, Option<Exit>)>;
