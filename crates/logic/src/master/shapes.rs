//! The distinct shapes of this sub-DAG's asks (a size, and a placement where a stage has one), and for each what waits
//! and what may still come.

use std::collections::BTreeSet;

use dybox_model::{Placement, Resources};

use super::taken::Apart;

/// Where the tasks of a shape may run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) placement: Placement,
    /// The stage whose tasks are kept apart; stages of which none is share a shape and have 0 here.
    pub(super) stage: u32,
    /// Other stages beside which its tasks must not be.
    pub(super) apart: Vec<Apart>,
}

impl Place {
    /// Whether it matters where other tasks are.
    pub(super) fn is_kept_apart(&self) -> bool {
        self.placement.most_on_host().is_some() || !self.apart.is_empty()
    }

    /// Whether all of it may be left aside.
    pub(super) fn is_soft(&self) -> bool {
        !self.placement.hard && self.apart.iter().all(|apart| !apart.hard)
    }

    /// Whether the machines that it names are only the better ones.
    pub(super) fn may_go_anywhere(&self) -> bool {
        !self.placement.hard && (!self.is_kept_apart() || self.is_soft())
    }
}

/// One shape.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) size: Resources,
    /// Nothing = anywhere.
    pub(super) place: Option<Box<Place>>,
    /// Tasks that wait for a grant of it.
    pub(super) waiting: u32,
    /// Stages that may still start, and tasks that pause before their next try.
    pub(super) expected: u32,
    /// Stages with waiting tasks.
    stages: BTreeSet<u32>,
}

/// All shapes, from small to large; of one size those without a placement come first.
#[derive(Debug)]
pub(super) struct Shapes {
    list: Vec<Shape>,
    /// Shapes for which something waits.
    active: BTreeSet<u32>,
    /// Those of them that have a placement.
    placed: BTreeSet<u32>,
    /// Shapes for which something may come.
    may: BTreeSet<u32>,
    /// Shapes whose asks must be looked at again.
    pub(super) changed: BTreeSet<u32>,
    /// Whether something began to wait that idle grants were not offered yet.
    pub(super) news: bool,
}

impl Shapes {
    /// The distinct ones of these.
    pub(super) fn of(all: impl Iterator<Item = (Resources, Option<Place>)>) -> Self {
        let all: BTreeSet<(Resources, Option<Place>)> = all.collect();
        let shape = |(size, place): (Resources, Option<Place>)| Shape {
            size,
            place: place.map(Box::new),
            waiting: 0,
            expected: 0,
            stages: BTreeSet::new(),
        };
        Self {
            list: all.into_iter().map(shape).collect(),
            active: BTreeSet::new(),
            placed: BTreeSet::new(),
            may: BTreeSet::new(),
            changed: BTreeSet::new(),
            news: false,
        }
    }

    pub(super) fn get(&self, shape: u32) -> &Shape {
        &self.list[shape as usize]
    }

    /// The shape of exactly this size and placement.
    pub(super) fn find(&self, size: Resources, place: Option<&Place>) -> Option<u32> {
        self.list.binary_search_by(|shape| (shape.size, shape.place.as_deref()).cmp(&(size, place))).ok().map(number)
    }

    /// The size of the ask that a grant of this size answers, as far as its size tells: its own, else the largest that
    /// fits into it.
    pub(super) fn answered_by(&self, room: Resources) -> Option<Resources> {
        let fitting = (0..self.above(room)).rev().map(|shape| self.get(shape).size).find(|size| size.fits(room));
        self.find(room, None).map(|_| room).or(fitting)
    }

    /// Shapes from here on are larger than `room` in one way at least.
    fn above(&self, room: Resources) -> u32 {
        number(self.list.partition_point(|shape| shape.size <= room))
    }

    /// Shapes for which something waits.
    pub(super) fn active(&self) -> impl Iterator<Item = u32> + '_ {
        self.active.iter().copied()
    }

    /// The stages of which tasks of this shape wait.
    pub(super) fn stages(&self, shape: u32) -> &BTreeSet<u32> {
        &self.get(shape).stages
    }

    /// Enters that `more` or `fewer` tasks of a stage wait; `all` are those of the stage that wait then.
    pub(super) fn wait(&mut self, shape: u32, stage: u32, change: (u32, u32), all: u32) {
        let (more, fewer) = change;
        let entry = &mut self.list[shape as usize];
        entry.waiting = entry.waiting + more - fewer;
        if all > 0 {
            entry.stages.insert(stage);
        } else {
            entry.stages.remove(&stage);
        }
        if entry.waiting > 0 {
            self.active.insert(shape);
        } else {
            self.active.remove(&shape);
            self.placed.remove(&shape);
        }
        if entry.waiting > 0 && entry.place.is_some() {
            self.placed.insert(shape);
        }
        self.changed.insert(shape);
        self.news |= more > 0;
    }

    /// Enters that `more` or `fewer` things of this shape may still come.
    pub(super) fn expect(&mut self, shape: u32, more: u32, fewer: u32) {
        let entry = &mut self.list[shape as usize];
        entry.expected = entry.expected + more - fewer;
        if entry.expected > 0 {
            self.may.insert(shape);
        } else {
            self.may.remove(&shape);
        }
    }

    /// The shape whose task a grant of this size takes next: the largest that fits and that it `may` run.
    pub(super) fn pick(&self, room: Resources, may: impl Fn(u32) -> bool) -> Option<u32> {
        let below = self.active.range(..self.above(room)).rev().copied();
        below.into_iter().find(|&shape| self.get(shape).size.fits(room) && may(shape))
    }

    /// The size of each shape.
    pub(super) fn sizes(&self) -> impl Iterator<Item = Resources> + '_ {
        self.list.iter().map(|shape| shape.size)
    }

    /// Shapes with a placement for which something waits.
    pub(super) fn placed(&self) -> impl Iterator<Item = u32> + '_ {
        self.placed.iter().copied()
    }

    /// Whether something that fits into `room` may still come.
    pub(super) fn may_fit(&self, room: Resources) -> bool {
        self.may.range(..self.above(room)).rev().any(|&shape| self.get(shape).size.fits(room))
    }

    /// How many tasks wait and may come, by shape: for checks.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.list.iter().map(|shape| (shape.waiting, shape.expected))
    }

    /// Back to nothing.
    pub(super) fn clear(&mut self) {
        for shape in (0u32..).take(self.list.len()) {
            if self.get(shape).waiting > 0 {
                self.changed.insert(shape);
            }
            let entry = &mut self.list[shape as usize];
            (entry.waiting, entry.expected) = (0, 0);
            entry.stages.clear();
        }
        self.active.clear();
        self.placed.clear();
        self.may.clear();
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("there are no more shapes than stages")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(cpu_milli: u32, memory: u64) -> Resources {
        Resources { cpu_milli, memory }
    }

    fn some() -> Shapes {
        let mut shapes = Shapes::of(
            [size(1000, 10), size(500, 90), size(1000, 50), size(500, 90)].map(|size| (size, None)).into_iter(),
        );
        for stage in 0..3 {
            shapes.wait(stage, stage, (1, 0), 1);
        }
        shapes
    }

    #[test]
    fn a_grant_takes_the_largest_that_fits() {
        let shapes = some();
        assert_eq!(shapes.pick(size(1000, 50), |_| true), Some(2));
        assert_eq!(shapes.pick(size(1000, 20), |_| true), Some(1));
        assert_eq!(shapes.pick(size(700, 90), |_| true), Some(0));
        assert_eq!(shapes.pick(size(700, 80), |_| true), None);
    }

    #[test]
    fn a_grant_that_was_rounded_up_answers_the_largest_ask_in_it() {
        let shapes = some();
        assert_eq!(shapes.answered_by(size(1000, 10)), Some(size(1000, 10)));
        assert_eq!(shapes.answered_by(size(2000, 30)), Some(size(1000, 10)));
        assert_eq!(shapes.answered_by(size(100, 5)), None);
    }
}
