//! How fast proxies start on each machine. A start costs cpu that the tasks there want too, and short tasks may be done
//! before a late proxy could take one: so grants wait here until their machine has coped with those before them.
//!
//! Each machine has a window of starts at a time, of proxies and of tasks; a start is over when the task runs. The window
//! grows while that goes quickly, and shrinks when it is slow: the machine has no more to give then, and one proxy more
//! would only share it. Where nothing at all has begun to run for two seconds one may start whatever the window says:
//! some starts are slow for reasons that others don't share, such as a pull. What waits here is not written down: it can
//! be given back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dybox_model::{GrantId, Wish};
use tokio::time::Instant;

use super::words::Room;

/// Starts at a time on a machine that nothing is known of.
const FIRST: usize = 2;
/// Starts at a time on a machine that copes.
const MOST: usize = 16;
/// A start that took no longer was quick.
const QUICK: Duration = Duration::from_millis(600);
/// One that took longer was slow.
const SLOW: Duration = Duration::from_millis(1200);
/// A proxy is due where nothing began for this time, whatever is on its way.
const LONGEST: Duration = Duration::from_secs(2);

/// One machine.
#[derive(Debug)]
struct Host {
    starting: BTreeMap<GrantId, Instant>,
    window: usize,
    /// When the last proxy was started, or the last task ran.
    last: Instant,
}

impl Host {
    fn is_open(&self, now: Instant) -> bool {
        self.starting.len() < self.window || self.last + LONGEST <= now
    }
}

/// Grants that wait, and what the machines do.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waiting: VecDeque<(Room, Wish)>,
    hosts: BTreeMap<String, Host>,
}

impl Pace {
    /// A grant that answers this wish.
    pub(super) fn push(&mut self, room: Room, wish: Wish) {
        self.waiting.push_back((room, wish));
    }

    /// The first one whose machine is ready for it.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Room, Wish)> {
        let open = |(room, _): &(Room, Wish)| self.hosts.get(&room.host).is_none_or(|host| host.is_open(now));
        let place = self.waiting.iter().position(open)?;
        self.waiting.remove(place)
    }

    /// Its proxy is being started.
    pub(super) fn starts(&mut self, grant: GrantId, host: &str, now: Instant) {
        let host = self.host(host, now);
        host.last = now;
        host.starting.insert(grant, now);
    }

    /// A task is being started by its proxy: with that one, or later.
    pub(super) fn task_starts(&mut self, grant: GrantId, host: &str, now: Instant) {
        self.host(host, now).starting.entry(grant).or_insert(now);
    }

    fn host(&mut self, host: &str, now: Instant) -> &mut Host {
        let new = || Host { starting: BTreeMap::new(), window: FIRST, last: now };
        self.hosts.entry(host.to_owned()).or_insert_with(new)
    }

    /// A task of its proxy runs, or has ended.
    pub(super) fn works(&mut self, grant: GrantId, host: &str, now: Instant) {
        let Some(host) = self.hosts.get_mut(host) else { return };
        let Some(since) = host.starting.remove(&grant) else { return };
        host.last = now;
        match now - since {
            took if took <= QUICK => host.window = (host.window + 1).min(MOST),
            took if took > SLOW => host.window = (host.window / 2).max(1),
            _ => {}
        }
    }

    /// Its proxy never came, or nobody waits for it any more.
    pub(super) fn is_gone(&mut self, grant: GrantId, host: &str) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.starting.remove(&grant);
        }
    }

    /// How many wait that answer this wish.
    pub(super) fn count(&self, wish: &Wish) -> u32 {
        let all = self.waiting.iter().filter(|(_, answered)| answered == wish).count();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// Takes out the newest of those that answer this wish, until so many are left.
    pub(super) fn keep(&mut self, wish: &Wish, most: u32) -> Vec<Room> {
        let mut over = self.count(wish).saturating_sub(most);
        let mut out = Vec::new();
        while over > 0
            && let Some(place) = self.waiting.iter().rposition(|(_, answered)| answered == wish)
        {
            out.extend(self.waiting.remove(place).map(|(room, _)| room));
            over -= 1;
        }
        out
    }

    /// Takes one out: the wish that it answered, if it waited here.
    pub(super) fn remove(&mut self, container: &str) -> Option<Wish> {
        let place = self.waiting.iter().position(|(room, _)| room.container == container)?;
        self.waiting.remove(place).map(|(_, wish)| wish)
    }

    /// Whether it waits here.
    pub(super) fn has(&self, container: &str) -> bool {
        self.waiting.iter().any(|(room, _)| room.container == container)
    }

    /// When the next one is due, whatever its machine does.
    pub(super) fn wake(&self) -> Option<Instant> {
        let due = self.waiting.iter().filter_map(|(room, _)| self.hosts.get(&room.host));
        due.map(|host| host.last + LONGEST).min()
    }
}
