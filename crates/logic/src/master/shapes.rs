//! The distinct sizes of this sub-DAG's asks, and for each what waits and what may still come.

use std::collections::BTreeSet;

use dybox_model::Resources;

/// One size.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) size: Resources,
    /// Tasks that wait for a grant of it.
    pub(super) waiting: u32,
    /// Stages that may still start, and tasks that pause before their next try.
    pub(super) expected: u32,
    /// Stages with waiting tasks.
    stages: BTreeSet<u32>,
}

/// All sizes, from small to large.
#[derive(Debug)]
pub(super) struct Shapes {
    list: Vec<Shape>,
    /// Sizes for which something waits.
    active: BTreeSet<u32>,
    /// Sizes for which something may come.
    may: BTreeSet<u32>,
    /// Sizes whose asks must be looked at again.
    pub(super) changed: BTreeSet<u32>,
    /// Whether something began to wait that idle grants were not offered yet.
    pub(super) news: bool,
}

impl Shapes {
    /// The distinct ones of `sizes`.
    pub(super) fn of(sizes: impl Iterator<Item = Resources>) -> Self {
        let mut sizes: Vec<Resources> = sizes.collect();
        sizes.sort_unstable();
        sizes.dedup();
        let shape = |size| Shape { size, waiting: 0, expected: 0, stages: BTreeSet::new() };
        let (active, may, changed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { list: sizes.into_iter().map(shape).collect(), active, may, changed, news: false }
    }

    pub(super) fn get(&self, shape: u32) -> &Shape {
        &self.list[shape as usize]
    }

    /// The shape of exactly this size.
    pub(super) fn find(&self, size: Resources) -> Option<u32> {
        self.list.binary_search_by(|shape| shape.size.cmp(&size)).ok().map(number)
    }

    /// The ask that a grant of this size answers: of its size, else the largest that fits into it.
    pub(super) fn answered_by(&self, room: Resources) -> Option<u32> {
        self.find(room).or_else(|| (0..self.above(room)).rev().find(|&shape| self.get(shape).size.fits(room)))
    }

    /// Shapes from here on are larger than `room` in one way at least.
    fn above(&self, room: Resources) -> u32 {
        number(self.list.partition_point(|shape| shape.size <= room))
    }

    /// Sizes for which something waits.
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
        }
        self.changed.insert(shape);
        self.news |= more > 0;
    }

    /// Enters that `more` or `fewer` things of this size may still come.
    pub(super) fn expect(&mut self, shape: u32, more: u32, fewer: u32) {
        let entry = &mut self.list[shape as usize];
        entry.expected = entry.expected + more - fewer;
        if entry.expected > 0 {
            self.may.insert(shape);
        } else {
            self.may.remove(&shape);
        }
    }

    /// The stage whose task a grant of this size takes next: the largest that fits, then the first in the file.
    pub(super) fn pick(&self, room: Resources) -> Option<u32> {
        let mut below = self.active.range(..self.above(room)).rev();
        let shape = below.find(|&&shape| self.get(shape).size.fits(room))?;
        self.get(*shape).stages.first().copied()
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
        let mut shapes = Shapes::of([size(1000, 10), size(500, 90), size(1000, 50), size(500, 90)].into_iter());
        for stage in 0..3 {
            shapes.wait(stage, stage, (1, 0), 1);
        }
        shapes
    }

    #[test]
    fn a_grant_takes_the_largest_that_fits() {
        let shapes = some();
        assert_eq!(shapes.pick(size(1000, 50)), Some(2));
        assert_eq!(shapes.pick(size(1000, 20)), Some(1));
        assert_eq!(shapes.pick(size(700, 90)), Some(0));
        assert_eq!(shapes.pick(size(700, 80)), None);
    }

    #[test]
    fn a_grant_that_was_rounded_up_answers_the_largest_ask_in_it() {
        let shapes = some();
        assert_eq!(shapes.answered_by(size(1000, 10)), Some(1));
        assert_eq!(shapes.answered_by(size(2000, 30)), Some(1));
        assert_eq!(shapes.answered_by(size(100, 5)), None);
    }
}
