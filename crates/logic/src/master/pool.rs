//! The grants that are held. Knows nothing of runs, stages and tasks: a grant's load is of any type.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dybox_model::{Cause, GrantId, Millis, Resources};

use super::ahead::Pace;
use super::asks::WishId;

/// Where a grant stands. After a recovery every grant is `Away` until the world tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// Its proxy has not said Hello to this master.
    Away,
    /// Its proxy is there.
    Here,
    /// It gets no more loads; its proxy ends.
    Leaving,
    /// Its proxy is dead, and what it left is being ended.
    Sweeping,
}

/// One grant.
#[derive(Debug)]
pub(super) struct Grant<T> {
    pub(super) size: Resources,
    /// Its machine; empty on one machine.
    pub(super) host: String,
    /// The ask that it answers.
    pub(super) asked: WishId,
    pub(super) stand: Stand,
    pub(super) load: Option<T>,
    /// What it does after that.
    pub(super) next: VecDeque<T>,
    /// How fast it is.
    pub(super) pace: Pace,
    /// Whether its proxy was told to end the load.
    pub(super) halted: bool,
    /// Whether it ever had a load, or was told to leave: it was of use.
    pub(super) used: bool,
    /// Why the resource manager took it, where it did.
    pub(super) taken: Option<Cause>,
    idle: Option<Millis>,
}

impl<T: Copy + PartialEq> Grant<T> {
    /// What it does, and what it was given to do after that.
    pub(super) fn loads(&self) -> impl Iterator<Item = T> {
        self.load.into_iter().chain(self.next.iter().copied())
    }

    /// Whether this load is one of its.
    pub(super) fn has(&self, load: T) -> bool {
        self.load == Some(load) || self.next.contains(&load)
    }
}

/// All grants.
#[derive(Debug)]
pub(super) struct Pool<T> {
    grants: BTreeMap<GrantId, Grant<T>>,
    /// Grants without a load whose proxies are there, the longest idle first.
    idle: BTreeSet<(Millis, GrantId)>,
    /// Grants that lost their load or whose proxy came, and were not looked at yet.
    pub(super) free: Vec<GrantId>,
    /// How many grants are on their way, by the ask that they answer.
    away: BTreeMap<WishId, u32>,
    /// The asks for which that number changed and was not looked at yet.
    pub(super) moved: Vec<WishId>,
    held: Resources,
    /// How many there are on each machine; empty on one machine.
    by_host: BTreeMap<String, u32>,
}

impl<T: Copy + PartialEq> Pool<T> {
    pub(super) fn new() -> Self {
        Self {
            grants: BTreeMap::new(),
            idle: BTreeSet::new(),
            free: Vec::new(),
            away: BTreeMap::new(),
            moved: Vec::new(),
            held: Resources::default(),
            by_host: BTreeMap::new(),
        }
    }

    /// Takes in a grant of `size` that answers the ask for `asked`.
    pub(super) fn add(&mut self, id: GrantId, size: Resources, host: &str, asked: WishId) {
        let grant = Grant {
            size,
            host: host.to_owned(),
            asked,
            stand: Stand::Away,
            load: None,
            next: VecDeque::new(),
            pace: Pace::default(),
            halted: false,
            used: false,
            taken: None,
            idle: None,
        };
        if self.grants.insert(id, grant).is_none() {
            if !host.is_empty() {
                *self.by_host.entry(host.to_owned()).or_default() += 1;
            }
            *self.away.entry(asked).or_default() += 1;
            self.moved.push(asked);
            self.held = self.held + size;
        }
    }

    /// Forgets a grant.
    pub(super) fn remove(&mut self, id: GrantId) {
        self.change(id, |grant| grant.stand = Stand::Leaving);
        if let Some(grant) = self.grants.remove(&id) {
            self.held = self.held - grant.size;
            if let Some(count) = self.by_host.get_mut(&grant.host) {
                *count -= 1;
                if *count == 0 {
                    self.by_host.remove(&grant.host);
                }
            }
        }
    }

    /// It has another size from now on.
    pub(super) fn resize(&mut self, id: GrantId, size: Resources) {
        if let Some(grant) = self.grants.get_mut(&id) {
            self.held = self.held - grant.size + size;
            grant.size = size;
        }
    }

    /// It answers another ask than was thought.
    pub(super) fn answers(&mut self, id: GrantId, asked: WishId) {
        let Some(grant) = self.grants.get_mut(&id).filter(|grant| grant.asked != asked) else { return };
        let thought = std::mem::replace(&mut grant.asked, asked);
        if counts_as_away(grant) {
            *self.away.entry(asked).or_default() += 1;
            let count = self.away.entry(thought).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.away.remove(&thought);
            }
            self.moved.extend([asked, thought]);
        }
    }

    /// The resource manager took it.
    pub(super) fn taken(&mut self, id: GrantId, why: Cause) {
        self.change(id, |grant| grant.taken = Some(why));
    }

    /// How many grants there are on a machine.
    pub(super) fn held_on(&self, host: &str) -> u32 {
        self.by_host.get(host).copied().unwrap_or(0)
    }

    pub(super) fn get(&self, id: GrantId) -> Option<&Grant<T>> {
        self.grants.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (GrantId, &Grant<T>)> + '_ {
        self.grants.iter().map(|(&id, grant)| (id, grant))
    }

    pub(super) fn len(&self) -> usize {
        self.grants.len()
    }

    /// The sum of all grants.
    pub(super) fn held(&self) -> Resources {
        self.held
    }

    /// Changes one grant and keeps the indexes right.
    fn change(&mut self, id: GrantId, by: impl FnOnce(&mut Grant<T>)) {
        let Some(grant) = self.grants.get_mut(&id) else { return };
        let was_away = counts_as_away(grant);
        by(grant);
        if grant.stand != Stand::Here || grant.load.is_some() {
            if let Some(since) = grant.idle.take() {
                self.idle.remove(&(since, id));
            }
        } else if grant.idle.is_none() {
            self.free.push(id);
        }
        let is_away = counts_as_away(grant);
        if was_away == is_away {
            return;
        }
        self.moved.push(grant.asked);
        let count = self.away.entry(grant.asked).or_default();
        *count = *count + u32::from(is_away) - u32::from(was_away);
        if *count == 0 {
            self.away.remove(&grant.asked);
        }
    }

    /// It is given back.
    pub(super) fn leave(&mut self, id: GrantId) {
        self.change(id, |grant| {
            grant.stand = Stand::Leaving;
            grant.used = true;
        });
    }

    /// Its proxy is dead.
    pub(super) fn sweep(&mut self, id: GrantId) {
        self.change(id, |grant| grant.stand = Stand::Sweeping);
    }

    /// Its proxy says that it goes, without being told: of no use unless it had a load.
    pub(super) fn goes(&mut self, id: GrantId) {
        self.change(id, |grant| {
            if grant.stand != Stand::Sweeping {
                grant.stand = Stand::Leaving;
            }
        });
    }

    /// Its proxy is there: for the first time, or again after it may have missed something.
    pub(super) fn hello(&mut self, id: GrantId) {
        self.change(id, |grant| {
            grant.halted = false;
            if grant.stand == Stand::Away {
                grant.stand = Stand::Here;
            }
        });
    }

    /// Gives it a load, behind those that it has.
    pub(super) fn load(&mut self, id: GrantId, load: T) {
        self.change(id, |grant| {
            if grant.load.is_some() {
                return grant.next.push_back(load);
            }
            grant.load = Some(load);
            grant.used = true;
            grant.halted = false;
        });
    }

    /// It no longer has this load.
    pub(super) fn unload(&mut self, id: GrantId, load: T) {
        self.change(id, |grant| {
            if grant.load == Some(load) {
                grant.load = grant.next.pop_front();
            } else {
                grant.next.retain(|other| *other != load);
            }
        });
    }

    /// A load of it ended by itself.
    pub(super) fn paced(&mut self, id: GrantId, well: bool, now: Millis) {
        if let Some(grant) = self.grants.get_mut(&id) {
            grant.pace.ended(well, now);
        }
    }

    /// Its proxy was told to end the load.
    pub(super) fn halted(&mut self, id: GrantId) {
        self.change(id, |grant| grant.halted = true);
    }

    /// It is to be told again.
    pub(super) fn unhalt(&mut self, id: GrantId) {
        self.change(id, |grant| grant.halted = false);
    }

    /// The grant that carries a load. Walks over the grants.
    pub(super) fn bearer(&self, load: T) -> Option<GrantId> {
        self.iter().find(|(_, grant)| grant.has(load)).map(|(id, _)| id)
    }

    /// Whether a grant could take a load now.
    pub(super) fn is_free(&self, id: GrantId) -> bool {
        self.get(id).is_some_and(|grant| grant.stand == Stand::Here && grant.load.is_none())
    }

    /// Enters that a free grant found nothing to do.
    pub(super) fn idle_since(&mut self, id: GrantId, now: Millis) {
        if let Some(grant) = self.grants.get_mut(&id)
            && grant.idle.is_none()
        {
            grant.idle = Some(now);
            self.idle.insert((now, id));
        }
    }

    /// Idle grants, the longest idle first.
    pub(super) fn idle(&self) -> impl Iterator<Item = (Millis, GrantId)> + '_ {
        self.idle.iter().copied()
    }

    /// How many grants without a load are on their way as the answer to this ask.
    pub(super) fn away(&self, asked: WishId) -> u32 {
        self.away.get(&asked).copied().unwrap_or(0)
    }

    /// What must always hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let idle = self.grants.iter().filter(|(_, grant)| grant.idle.is_some()).count();
        if idle != self.idle.len() {
            return Err(format!("{idle} grants think that they are idle, {} are listed", self.idle.len()));
        }
        for (&id, grant) in &self.grants {
            let free = grant.stand == Stand::Here && grant.load.is_none();
            if grant.load.is_none() && !grant.next.is_empty() {
                return Err(format!("grant {id} does nothing and has something to do next"));
            }
            if grant.idle.is_some_and(|since| !free || !self.idle.contains(&(since, id))) {
                return Err(format!("grant {id} is listed as idle and is not"));
            }
            if free && grant.idle.is_none() && !self.free.contains(&id) {
                return Err(format!("grant {id} is free and nobody knows"));
            }
        }
        let mut away = BTreeMap::new();
        for grant in self.grants.values().filter(|grant| counts_as_away(grant)) {
            *away.entry(grant.asked).or_insert(0u32) += 1;
        }
        if away != self.away {
            return Err("the grants on their way are counted wrongly".to_owned());
        }
        Ok(())
    }
}

fn counts_as_away<T>(grant: &Grant<T>) -> bool {
    grant.stand == Stand::Away && grant.load.is_none()
}
