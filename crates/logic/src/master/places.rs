//! What placed shapes want, and which grants may run them. Nothing here is called for a stage without a placement.

use std::collections::BTreeMap;

use dybox_model::{GrantId, Node, Resources, Spread, Wish};

use super::Master;
use super::asks::WishId;
use super::shapes::Place;

impl Master {
    /// What a placed shape wants now: all its tasks that wait, or as many as there are machines for.
    pub(super) fn wants_of(&mut self, shape: u32) -> Vec<(WishId, u32)> {
        let entry = self.tasks.shapes.get(shape);
        let (size, waiting) = (entry.size, entry.waiting);
        let Some(place) = entry.place.clone().filter(|_| waiting > 0) else { return Vec::new() };
        let pins = match place.placement.spread {
            None => Vec::new(),
            Some(Spread::Host) => self.free_hosts(shape, &place, size),
            Some(Spread::Rack) => self.free_racks(shape, &place, size),
        };
        let mut wants: BTreeMap<WishId, u32> = BTreeMap::new();
        let mut rest = waiting;
        for pin in pins.into_iter().take(waiting as usize) {
            *wants.entry(self.asks.id_of(&pin)).or_default() += 1;
            rest -= 1;
        }
        let goes_anywhere = place.placement.spread.is_none() || !place.placement.hard;
        if let Some(wish) = self.hosts.ask_for(&place.placement, size).filter(|_| rest > 0 && goes_anywhere) {
            *wants.entry(self.asks.id_of(&wish)).or_default() += rest;
        }
        wants.into_iter().collect()
    }

    /// One pinned ask for each machine without a live task of the stage, best first.
    fn free_hosts(&self, shape: u32, place: &Place, size: Resources) -> Vec<Wish> {
        let free =
            self.hosts.fitting(&place.placement, size).filter(|node| self.taken.on(place.stage, &node.host) == 0);
        let pins = free.map(|node| {
            let wish = Wish { size, hosts: vec![node.host.clone()], racks: Vec::new(), relaxed: !place.placement.hard };
            (self.rank(shape, &wish, size, std::slice::from_ref(&node)), wish)
        });
        sorted(pins.collect())
    }

    /// The same for racks.
    fn free_racks(&self, shape: u32, place: &Place, size: Resources) -> Vec<Wish> {
        let mut racks: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
        for node in self.hosts.fitting(&place.placement, size) {
            racks.entry(&node.rack).or_default().push(node);
        }
        racks.retain(|rack, _| !self.taken.in_rack(place.stage, rack, &self.hosts));
        let whole = place.placement.nodes.is_empty() && place.placement.avoid.is_empty();
        let pins = racks.into_iter().map(|(rack, nodes)| {
            let (hosts, racks) = match whole {
                true => (Vec::new(), vec![rack.to_owned()]),
                false => (nodes.iter().map(|node| node.host.clone()).collect(), Vec::new()),
            };
            let wish = Wish { size, hosts, racks, relaxed: !place.placement.hard };
            (self.rank(shape, &wish, size, &nodes), wish)
        });
        sorted(pins.collect())
    }

    /// How good a pin is; less is better. What is on its way or asked for already is kept, unless it is full there and
    /// not elsewhere; then the machine with the fewest own grants comes first.
    fn rank(&self, shape: u32, wish: &Wish, size: Resources, nodes: &[&Node]) -> (bool, bool, bool, u32) {
        let id = self.asks.find(wish);
        let comes = id.is_some_and(|id| self.pool.away(id) > 0);
        let full = !nodes.iter().any(|node| size.fits(node.capacity - node.used));
        let asked = id.is_some_and(|id| self.asks.wants(shape, id));
        (!comes, full, !asked, nodes.iter().map(|node| self.pool.held_on(&node.host)).sum())
    }

    /// Whether a grant may run a task of a placed shape.
    pub(super) fn may_run(&self, shape: u32, place: &Place, grant: GrantId) -> bool {
        let Some(grant) = self.pool.get(grant) else { return false };
        let apart = match place.placement.spread {
            None => true,
            Some(Spread::Host) => self.taken.on(place.stage, &grant.host) == 0,
            Some(Spread::Rack) => !self.taken.in_rack(place.stage, self.hosts.rack_of(&grant.host), &self.hosts),
        };
        let fits = apart && self.hosts.allows(&place.placement, &grant.host);
        // A wish that may be left aside was left aside when the grant was given.
        fits || (!place.placement.hard && self.asks.wants(shape, grant.asked))
    }

    /// The shape whose task a free grant takes next: one that asked for this very grant, then the largest that fits.
    pub(super) fn shape_for(&self, id: GrantId) -> Option<u32> {
        let (shapes, grant) = (&self.tasks.shapes, self.pool.get(id)?);
        let may = |shape: u32| shapes.get(shape).place.as_ref().is_none_or(|place| self.may_run(shape, place, id));
        let asked = |shape: &u32| self.asks.wants(*shape, grant.asked) && shapes.get(*shape).size.fits(grant.size);
        let own = shapes.placed().filter(asked).find(|&shape| may(shape));
        own.or_else(|| shapes.pick(grant.size, may))
    }

    /// All placed shapes are to be looked at: the machines changed.
    pub(super) fn place_anew(&mut self) {
        let shapes = &mut self.tasks.shapes;
        let placed: Vec<u32> = shapes.placed().collect();
        shapes.news |= !placed.is_empty();
        shapes.changed.extend(placed);
    }
}

fn sorted(mut pins: Vec<((bool, bool, bool, u32), Wish)>) -> Vec<Wish> {
    pins.sort();
    pins.into_iter().map(|(_, wish)| wish).collect()
}
