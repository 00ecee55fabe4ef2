//! Where tasks that may go anywhere go rather: machines that the roster calls well, and that have their images. Only as
//! long as such machines have room for all of them: nobody waits for the better one.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use dybox_model::{ImageRef, Node, Wish};

use super::Master;
use super::asks::WishId;
use super::places::copies;

/// Machines that one ask names at most.
const MOST_NAMED: usize = 20;

/// Whether the roster calls a machine poor, and whether an image is missing there.
pub(super) type Rank = (bool, bool);

/// An image of the plan as an engine lists it.
pub(super) fn as_listed(image: &str) -> String {
    ImageRef::parse(image).map_or_else(|_| image.to_owned(), |image| image.listed())
}

impl Master {
    /// What a shape without a placement wants now. Where it goes rather is looked at when more waits, or the roster has
    /// news.
    pub(super) fn want_anywhere(&mut self, shape: u32) {
        let waiting = self.tasks.shapes.get(shape).waiting;
        let plain = self.asks.id_of(&self.tasks.shapes.get(shape).anywhere());
        let (asked, last) = {
            let before = self.asks.of_shape(shape);
            (before.iter().map(|(_, count)| count).sum::<u32>(), before.last().map_or(plain, |(id, _)| *id))
        };
        let best = if self.advised.remove(&shape) || waiting > asked {
            let like = if self.hosts.roster.prefers() { self.like(shape) } else { None };
            like.map_or(plain, |wish| self.asks.id_of(&wish))
        } else {
            last
        };
        if self.asks.of_shape(shape).iter().all(|(id, _)| *id == best) {
            return self.asks.want_one(shape, best, waiting);
        }
        // What is on its way as the answer to another ask is as good, and is not asked for twice.
        let others: Vec<WishId> =
            self.asks.of_shape(shape).iter().map(|(id, _)| *id).filter(|id| *id != best).collect();
        let (mut wants, mut rest) = (Vec::new(), waiting);
        for id in others {
            let count = self.pool.away(id).min(rest);
            wants.extend((count > 0).then_some((id, count)));
            rest -= count;
        }
        wants.extend((rest > 0).then_some((best, rest)));
        self.asks.want(shape, wants);
    }

    /// The machines that are better for what waits in a shape, where that makes a difference and they have the room.
    fn like(&self, shape: u32) -> Option<Wish> {
        let (size, images) = (self.tasks.shapes.get(shape).size, self.images_of(shape));
        let open = self.hosts.of_size(size).filter(|node| !self.hosts.is_left_out(&node.host));
        let ranked: Vec<(Rank, &Node)> = open.map(|node| (self.rank_of(&node.host, &images), node)).collect();
        let ranks: BTreeSet<Rank> = ranked.iter().map(|(rank, _)| *rank).collect();
        let better = ranks.iter().take(ranks.len().saturating_sub(1));
        better.copied().find_map(|least| {
            let good = ranked.iter().filter(|(rank, _)| *rank <= least).map(|(_, node)| *node).collect();
            self.with_room(shape, good)
        })
    }

    /// Those of these machines that have room for all that waits in a shape, as one ask.
    fn with_room(&self, shape: u32, good: Vec<&Node>) -> Option<Wish> {
        let (size, waiting) = (self.tasks.shapes.get(shape).size, self.tasks.shapes.get(shape).waiting);
        let room = |node: &Node| copies(size, node.capacity - node.used);
        let mut rooms: Vec<(u32, &str)> = good.iter().map(|node| (room(node), node.host.as_str())).collect();
        let sum = |hosts: &[String]| {
            let named = rooms.iter().filter(|(_, host)| hosts.iter().any(|name| name == host));
            named.fold(0u32, |sum, (room, _)| sum.saturating_add(*room))
        };
        let known = |host: &String| good.iter().any(|node| node.host == *host);
        // The ask that is out stays as long as it is good enough.
        let out = self.asks.of_shape(shape).iter().map(|&(id, _)| (id, self.asks.get(id)));
        let stays = out.into_iter().find(|(id, wish)| {
            let good = !wish.hosts.is_empty() && wish.hosts.iter().all(known);
            good && sum(&wish.hosts).saturating_add(self.pool.away(*id)) >= waiting
        });
        if let Some((_, wish)) = stays {
            return Some(wish.clone());
        }
        rooms.retain(|(room, _)| *room > 0);
        rooms.sort_by_key(|&(room, host)| (Reverse(room), host));
        rooms.truncate(MOST_NAMED);
        let all = rooms.iter().fold(0u32, |sum, (room, _)| sum.saturating_add(*room));
        let mut hosts: Vec<String> = rooms.into_iter().map(|(_, host)| host.to_owned()).collect();
        hosts.sort();
        let plain = self.tasks.shapes.get(shape).anywhere();
        (all >= waiting).then_some(Wish { hosts, relaxed: true, ..plain })
    }

    /// The images of what waits in a shape.
    pub(super) fn images_of(&self, shape: u32) -> BTreeSet<&str> {
        let stages = self.tasks.shapes.stages(shape).iter();
        stages.filter_map(|&stage| self.images.get(stage as usize)).map(String::as_str).collect()
    }

    /// How good a machine is for tasks with these images; less is better.
    pub(super) fn rank_of(&self, host: &str, images: &BTreeSet<&str>) -> Rank {
        (self.hosts.roster.poor(host).is_some(), !self.hosts.roster.has(host, images))
    }
}
