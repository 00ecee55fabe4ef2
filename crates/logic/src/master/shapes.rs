//! The distinct shapes of this sub-DAG's asks (a size, and a placement where a stage has one), and for each what waits
//! and what may still come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{Placement, Resources, Wish};

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
    /// Those of more come first where room is short.
    pub(super) priority: i32,
    /// Nothing = anywhere.
    pub(super) place: Option<Box<Place>>,
    /// Tasks that wait for a grant of it.
    pub(super) waiting: u32,
    /// Stages that may still start, and tasks that pause before their next try.
    pub(super) expected: u32,
    /// Stages with waiting tasks.
    stages: BTreeSet<u32>,
}

/// What tells a shape from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    pub(super) size: Resources,
    pub(super) place: Option<Place>,
    pub(super) priority: i32,
}

/// All shapes; of one size those without a placement come first.
#[derive(Debug)]
pub(super) struct Shapes {
    list: Vec<Shape>,
    ids: BTreeMap<Form, u32>,
    /// All of them, from small to large.
    by_size: BTreeSet<(Resources, u32)>,
    /// Shapes for which something waits, by priority, from small to large.
    active: BTreeMap<Reverse<i32>, BTreeSet<(Resources, u32)>>,
    /// Those of them that have a placement.
    placed: BTreeSet<u32>,
    /// Shapes for which something may come, from small to large.
    may: BTreeSet<(Resources, u32)>,
    /// Shapes whose asks must be looked at again.
    pub(super) changed: BTreeSet<u32>,
    /// Whether something began to wait that idle grants were not offered yet.
    pub(super) news: bool,
}

impl Shape {
    /// Its ask, as if it had no placement.
    pub(super) fn anywhere(&self) -> Wish {
        Wish { priority: self.priority, ..Wish::anywhere(self.size) }
    }
}

impl Shapes {
    /// The distinct ones of these.
    pub(super) fn of(all: impl Iterator<Item = Form>) -> Self {
        let all: BTreeSet<Form> = all.collect();
        let mut shapes = Self {
            list: Vec::with_capacity(all.len()),
            ids: BTreeMap::new(),
            by_size: BTreeSet::new(),
            active: BTreeMap::new(),
            placed: BTreeSet::new(),
            may: BTreeSet::new(),
            changed: BTreeSet::new(),
            news: false,
        };
        for form in all {
            let _ = shapes.enter(form);
        }
        shapes
    }

    /// The shape of a form, a new one where there was none.
    pub(super) fn enter(&mut self, form: Form) -> u32 {
        if let Some(&id) = self.ids.get(&form) {
            return id;
        }
        let id = number(self.list.len());
        let (size, priority, place) = (form.size, form.priority, form.place.clone().map(Box::new));
        self.list.push(Shape { size, priority, place, waiting: 0, expected: 0, stages: BTreeSet::new() });
        self.by_size.insert((size, id));
        self.ids.insert(form, id);
        id
    }

    pub(super) fn get(&self, shape: u32) -> &Shape {
        &self.list[shape as usize]
    }

    /// The shape of exactly this form.
    pub(super) fn find(&self, form: &Form) -> Option<u32> {
        self.ids.get(form).copied()
    }

    /// The shape whose ask a grant of this size answers, as far as its size tells: one of its own size, else of the
    /// largest that fits into it; of those one for which something waits.
    pub(super) fn answered_by(&self, room: Resources) -> Option<u32> {
        let of = |set: &BTreeSet<(Resources, u32)>, size| set.range((size, 0)..=(size, u32::MAX)).next().copied();
        let fitting = || self.by_size.range(..=(room, u32::MAX)).rev().map(|(size, _)| *size).find(|s| s.fits(room));
        let size = of(&self.by_size, room).map(|(size, _)| size).or_else(fitting)?;
        let waits = self.active.values().find_map(|set| of(set, size));
        waits.or_else(|| of(&self.by_size, size)).map(|(_, shape)| shape)
    }

    /// Shapes for which something waits.
    pub(super) fn active(&self) -> impl Iterator<Item = u32> + '_ {
        self.active.values().flatten().map(|(_, shape)| *shape)
    }

    /// Those of them of the highest priority.
    pub(super) fn first(&self) -> impl Iterator<Item = u32> + '_ {
        self.active.values().next().into_iter().flatten().map(|(_, shape)| *shape)
    }

    /// The highest priority of all that waits.
    pub(super) fn highest(&self) -> Option<i32> {
        self.active.keys().next().map(|priority| priority.0)
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
        let (key, waits) = ((entry.size, shape), entry.waiting > 0);
        if waits && entry.place.is_some() {
            self.placed.insert(shape);
        }
        let (priority, line) = (Reverse(entry.priority), self.active.entry(Reverse(entry.priority)).or_default());
        if waits {
            line.insert(key);
        } else {
            line.remove(&key);
            self.placed.remove(&shape);
        }
        if line.is_empty() {
            self.active.remove(&priority);
        }
        self.changed.insert(shape);
        self.news |= more > 0;
    }

    /// Enters that `more` or `fewer` things of this shape may still come.
    pub(super) fn expect(&mut self, shape: u32, more: u32, fewer: u32) {
        let entry = &mut self.list[shape as usize];
        entry.expected = entry.expected + more - fewer;
        let key = (entry.size, shape);
        if entry.expected > 0 {
            self.may.insert(key);
        } else {
            self.may.remove(&key);
        }
    }

    /// The shape whose task a grant of this size takes next: of the highest priority the largest that fits and that it
    /// `may` run.
    pub(super) fn pick(&self, room: Resources, may: impl Fn(u32) -> bool) -> Option<u32> {
        let good = |&(size, shape): &(Resources, u32)| (size.fits(room) && may(shape)).then_some(shape);
        self.active.values().find_map(|line| line.range(..=(room, u32::MAX)).rev().find_map(good))
    }

    /// Shapes with a placement for which something waits.
    pub(super) fn placed(&self) -> impl Iterator<Item = u32> + '_ {
        self.placed.iter().copied()
    }

    /// Whether something that fits into `room` may still come.
    pub(super) fn may_fit(&self, room: Resources) -> bool {
        self.may.range(..=(room, u32::MAX)).rev().any(|(size, _)| size.fits(room))
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

    fn form(size: Resources, priority: i32) -> Form {
        Form { size, place: None, priority }
    }

    fn some() -> Shapes {
        let sizes = [size(1000, 10), size(500, 90), size(1000, 50), size(500, 90)];
        let mut shapes = Shapes::of(sizes.map(|size| form(size, 0)).into_iter());
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
    fn a_higher_priority_comes_before_a_larger_size() {
        let mut shapes = some();
        let high = shapes.enter(form(size(1000, 10), 5));
        shapes.wait(high, 3, (2, 0), 2);
        assert_eq!(shapes.highest(), Some(5));
        assert_eq!(shapes.pick(size(1000, 50), |_| true), Some(high));
        assert_eq!(shapes.pick(size(1000, 50), |shape| shape != high), Some(2));
        assert_eq!(shapes.answered_by(size(1000, 10)), Some(high));
        shapes.wait(high, 3, (0, 2), 0);
        assert_eq!((shapes.highest(), shapes.pick(size(1000, 50), |_| true)), (Some(0), Some(2)));
    }

    #[test]
    fn a_grant_that_was_rounded_up_answers_the_largest_ask_in_it() {
        let shapes = some();
        let answered = |room| shapes.answered_by(room).map(|shape| shapes.get(shape).size);
        assert_eq!(answered(size(1000, 10)), Some(size(1000, 10)));
        assert_eq!(answered(size(2000, 30)), Some(size(1000, 10)));
        assert_eq!(answered(size(100, 5)), None);
    }
}
