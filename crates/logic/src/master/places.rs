//! What placed shapes want, and which grants may run them. Nothing here is called for a stage without a placement.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use dybox_model::{GrantId, Node, Resources, Spread, Wish};

use super::Master;
use super::asks::WishId;
use super::liking::Rank;
use super::shapes::Place;
use super::taken::Apart;

/// Pinned asks of one shape that are out at once, where no number of its tasks a machine is too many.
const MOST_PINS: u32 = 1_000;

/// A machine or a rack that a task may be asked for.
struct Pin {
    wish: Wish,
    /// A task of another stage lives there that had better not be near.
    near: bool,
    /// Such a stage asks for it too.
    claimed: bool,
    /// Grants that are on their way for it, that were asked for, and for which there is room now.
    counts: (u32, u32, u32),
    /// Tasks of the stage that live there.
    level: u32,
    /// How many more may.
    limit: u32,
    /// Machines with many of the stage come first, not those with few: it leaves room for what it is kept apart from.
    packs: bool,
    /// What the roster says of it.
    worse: Rank,
    /// All grants that are held there.
    held: u32,
}

impl Pin {
    /// How good the next ask is after `made` others; less is better. What is on its way is kept; then comes what is
    /// not too near, has room, has the fewest of the stage (or any of it), is called well, has the image, was asked for
    /// already, has the fewest own grants.
    fn rank(&self, made: u32) -> (bool, bool, bool, bool, u32, Rank, (bool, u32)) {
        let (away, asked, room) = self.counts;
        let there = self.level + made;
        let level = if self.packs { u32::from(there == 0) } else { there };
        (made >= away, self.near, self.claimed, made >= room, level, self.worse, (made >= asked, self.held))
    }
}

impl Master {
    /// What a placed shape wants now: all its tasks that wait, or as many as there are machines for.
    pub(super) fn wants_of(&mut self, shape: u32) -> Vec<(WishId, u32)> {
        let entry = self.tasks.shapes.get(shape);
        let (size, waiting, priority) = (entry.size, entry.waiting, entry.priority);
        let Some(place) = entry.place.clone().filter(|_| waiting > 0) else { return Vec::new() };
        let pins = match place.placement.spread {
            _ if !place.is_kept_apart() => Vec::new(),
            Some(Spread::Rack) => self.free_racks(shape, &place, size),
            _ => self.free_hosts(shape, &place, size),
        };
        let most = if place.placement.most_on_host().is_some() { waiting } else { waiting.min(MOST_PINS) };
        let mut wants: BTreeMap<WishId, u32> = BTreeMap::new();
        let mut rest = waiting;
        for (pin, count) in in_turns(pins, most) {
            *wants.entry(self.asks.id_of(&pin)).or_default() += count;
            rest -= count;
        }
        let goes_anywhere = !place.is_kept_apart() || place.is_soft();
        if let Some(wish) = self.hosts.ask_for(&place.placement, size).filter(|_| rest > 0 && goes_anywhere) {
            *wants.entry(self.asks.id_of(&Wish { priority, ..wish })).or_default() += rest;
        }
        wants.into_iter().collect()
    }

    /// The machines that may take more tasks of a stage.
    fn free_hosts(&self, shape: u32, place: &Place, size: Resources) -> Vec<Pin> {
        // Its own number may be left aside where something else may not: then it only says which machine is better.
        let counts = place.placement.hard || place.is_soft();
        let most = place.placement.most_on_host().filter(|_| counts);
        let free = self.hosts.fitting(&place.placement, size).filter(|node| !self.is_barred(place, &node.host));
        let claimed = self.claimed(place);
        let plain = self.tasks.shapes.get(shape).anywhere();
        let pins = free.map(|node| {
            let wish = Wish { hosts: vec![node.host.clone()], relaxed: place.is_soft(), ..plain.clone() };
            let level = self.taken.on(place.stage, &node.host);
            let limit = most.unwrap_or(u32::MAX).saturating_sub(level).min(copies(size, node.capacity));
            let pin = self.pin_to(shape, wish, &[node], size);
            let near = place.apart.iter().any(|apart| self.taken.is_near(apart, &node.host, &self.hosts));
            let packs = !place.apart.is_empty() && place.placement.spread.is_none();
            Pin { near, claimed: claimed.contains(node.host.as_str()), level, limit, packs, ..pin }
        });
        pins.collect()
    }

    /// The racks without a task of a stage.
    fn free_racks(&self, shape: u32, place: &Place, size: Resources) -> Vec<Pin> {
        let mut racks: BTreeMap<&str, (Vec<&Node>, bool)> = BTreeMap::new();
        for node in self.hosts.fitting(&place.placement, size) {
            let (nodes, whole) = racks.entry(&node.rack).or_insert((Vec::new(), true));
            match self.is_barred(place, &node.host) {
                true => *whole = false,
                false => nodes.push(node),
            }
        }
        racks.retain(|rack, (nodes, _)| !nodes.is_empty() && !self.taken.in_rack(place.stage, rack, &self.hosts));
        let all = place.placement.nodes.is_empty() && place.placement.avoid.is_empty();
        let pins = racks.into_iter().map(|(rack, (nodes, whole))| {
            let (hosts, racks) = match all && whole {
                true => (Vec::new(), vec![rack.to_owned()]),
                false => (nodes.iter().map(|node| node.host.clone()).collect(), Vec::new()),
            };
            let wish = Wish { hosts, racks, relaxed: place.is_soft(), ..self.tasks.shapes.get(shape).anywhere() };
            let near =
                |node: &&Node| place.apart.iter().any(|apart| self.taken.is_near(apart, &node.host, &self.hosts));
            Pin { near: nodes.iter().all(near), ..self.pin_to(shape, wish, &nodes, size) }
        });
        pins.collect()
    }

    /// One ask for these machines.
    fn pin_to(&self, shape: u32, wish: Wish, nodes: &[&Node], size: Resources) -> Pin {
        let id = self.asks.find(&wish);
        let away = id.map_or(0, |id| self.pool.away(id));
        let asked = id.map_or(0, |id| self.asks.wanted_by(shape, id));
        let room = nodes.iter().map(|node| copies(size, node.capacity - node.used)).sum();
        let held = nodes.iter().map(|node| self.pool.held_on(&node.host)).sum();
        let images = self.images_of(shape);
        let worse = nodes.iter().map(|node| self.rank_of(&node.host, &images)).min().unwrap_or_default();
        let counts = (away, asked, room);
        Pin { wish, near: false, claimed: false, counts, level: 0, limit: 1, packs: false, worse, held }
    }

    /// Whether a task of another stage lives too near to a machine for a placed stage, come what may.
    fn is_barred(&self, place: &Place, host: &str) -> bool {
        let hard = place.apart.iter().filter(|apart| apart.hard);
        hard.into_iter().any(|apart| self.taken.is_near(apart, host, &self.hosts))
    }

    /// Machines that stages ask for from which a placed stage is kept apart.
    fn claimed(&self, place: &Place) -> BTreeSet<&str> {
        let shapes_of = |apart: &Apart| self.tasks.stages.get(apart.stage as usize).map(|stage| stage.shapes());
        let wishes = place.apart.iter().filter_map(shapes_of).flatten().flat_map(|shape| self.asks.of_shape(shape));
        let hosts = wishes.map(|&(id, _)| &self.asks.get(id).hosts).filter(|hosts| hosts.len() == 1);
        hosts.flatten().map(String::as_str).collect()
    }

    /// Whether a machine may have one more task of a stage.
    fn has_room(&self, place: &Place, host: &str) -> bool {
        if place.placement.spread == Some(Spread::Rack) {
            return !self.taken.in_rack(place.stage, self.hosts.rack_of(host), &self.hosts);
        }
        place.placement.most_on_host().is_none_or(|most| self.taken.on(place.stage, host) < most)
    }

    /// Whether a grant may run a task of a placed shape.
    pub(super) fn may_run(&self, shape: u32, place: &Place, grant: GrantId) -> bool {
        let Some(grant) = self.pool.get(grant) else { return false };
        let host = grant.host.as_str();
        let own = self.has_room(place, host) && self.hosts.allows(&place.placement, host);
        let near = place.apart.iter().any(|apart| self.taken.is_near(apart, host, &self.hosts));
        let firm = (own || !place.placement.hard) && !self.is_barred(place, host);
        // A wish that may be left aside was left aside when the grant was given.
        firm && ((own && !near) || self.asks.wants(shape, grant.asked))
    }

    /// The shape whose task a free grant takes next: of the highest priority one that asked for this very grant, then
    /// the largest that fits.
    pub(super) fn shape_for(&self, id: GrantId) -> Option<u32> {
        let (shapes, grant) = (&self.tasks.shapes, self.pool.get(id)?);
        let may = |shape: u32| shapes.get(shape).place.as_ref().is_none_or(|place| self.may_run(shape, place, id));
        let asked = |shape: &u32| self.asks.wants(*shape, grant.asked) && shapes.get(*shape).size.fits(grant.size);
        let own = shapes.placed().filter(asked).filter(|&shape| may(shape));
        let own = own.max_by_key(|&shape| (shapes.get(shape).priority, Reverse(shape)));
        let Some(own) = own else { return shapes.pick(grant.size, may) };
        let priority = shapes.get(own).priority;
        let before = |shape: u32| shapes.get(shape).priority > priority && may(shape);
        let other =
            shapes.highest().filter(|highest| *highest > priority).and_then(|_| shapes.pick(grant.size, before));
        Some(other.unwrap_or(own))
    }

    /// All placed shapes are to be looked at: the machines changed.
    pub(super) fn place_anew(&mut self) {
        let shapes = &mut self.tasks.shapes;
        let placed: Vec<u32> = shapes.placed().collect();
        shapes.news |= !placed.is_empty();
        shapes.changed.extend(placed);
    }

    /// No two tasks live where a hard rule keeps them apart. Racks are left out: a lost machine has none.
    pub(super) fn check_apart(&self) -> Result<(), String> {
        for (stage, host, count) in self.taken.iter() {
            let shape = self.tasks.stages[stage as usize].shape;
            let Some(place) = self.tasks.shapes.get(shape).place.as_deref() else { continue };
            let most = place.placement.most_on_host().filter(|_| place.placement.hard);
            if most.is_some_and(|most| count > most) {
                return Err(format!("{count} tasks of stage {stage} live on {host}"));
            }
            let near = |apart: &&Apart| apart.hard && self.taken.on(apart.stage, host) > 0;
            if let Some(apart) = place.apart.iter().find(near) {
                return Err(format!("tasks of stages {stage} and {} live on {host}", apart.stage));
            }
        }
        Ok(())
    }
}

/// How many of one size fit.
pub(super) fn copies(size: Resources, room: Resources) -> u32 {
    let by_memory = room.memory.checked_div(size.memory).map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
    by_memory.min(room.cpu_milli.checked_div(size.cpu_milli).unwrap_or(u32::MAX))
}

/// Asks for so many tasks: always the best pin next, of which each ask makes the next one a little worse.
fn in_turns(pins: Vec<Pin>, most: u32) -> Vec<(Wish, u32)> {
    let mut made = vec![0; pins.len()];
    let open = pins.iter().enumerate().filter(|(_, pin)| pin.limit > 0);
    let mut next: BinaryHeap<_> = open.map(|(at, pin)| Reverse((pin.rank(0), at))).collect();
    for _ in 0..most {
        let Some(Reverse((_, at))) = next.pop() else { break };
        made[at] += 1;
        if made[at] < pins[at].limit {
            next.push(Reverse((pins[at].rank(made[at]), at)));
        }
    }
    pins.into_iter().zip(made).filter(|(_, count)| *count > 0).map(|(pin, count)| (pin.wish, count)).collect()
}
