//! Tasks of one stage that ask for different sizes: each is of a shape of its own.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{Network, Resources, StageId};

use super::shapes::{Form, Shapes};
use super::tasks::{Stage, State, Task, Tasks};

/// What is asked for a task of this size on this network.
pub(super) type Room = fn(Resources, &Network) -> Resources;

/// How many tasks in a row, and what each of them asks for.
pub(super) type Sizes = Vec<(u32, Resources)>;

/// The tasks of a stage by their shapes.
#[derive(Debug, Default)]
pub(super) struct Lots {
    of: Vec<u32>,
    waiting: BTreeMap<u32, BTreeSet<u32>>,
}

impl Lots {
    /// Nothing where the sizes are not those of as many tasks.
    fn of(sizes: &Sizes, tasks: &[Task], mut shape_of: impl FnMut(Resources) -> u32) -> Option<Self> {
        let rows = sizes.iter().map(|&(row, size)| (row, shape_of(size)));
        let of: Vec<u32> = rows.flat_map(|(row, shape)| (0..row).map(move |_| shape)).collect();
        let mut waiting: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for ((index, task), shape) in (0u32..).zip(tasks).zip(&of) {
            if task.state == State::Waiting {
                waiting.entry(*shape).or_default().insert(index);
            }
        }
        (of.len() == tasks.len()).then_some(Self { of, waiting })
    }

    /// A task begins to wait, or no longer does; its shape, and how many wait in it then.
    fn turn(&mut self, index: u32, waits: bool) -> (u32, u32) {
        let shape = self.of.get(index as usize).copied().unwrap_or_default();
        let lot = self.waiting.entry(shape).or_default();
        if waits {
            lot.insert(index);
        } else {
            lot.remove(&index);
        }
        (shape, count(lot))
    }
}

fn count(lot: &BTreeSet<u32>) -> u32 {
    u32::try_from(lot.len()).unwrap_or(u32::MAX)
}

impl Stage {
    /// The shape of a task's asks.
    pub(super) fn shape_of(&self, index: u32) -> u32 {
        let own = self.lots.as_ref().and_then(|lots| lots.of.get(index as usize));
        own.copied().unwrap_or(self.shape)
    }

    /// The shapes of its tasks' asks.
    pub(super) fn shapes(&self) -> Vec<u32> {
        match &self.lots {
            Some(lots) => lots.of.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect(),
            None => vec![self.shape],
        }
    }

    /// How many of its tasks wait in a shape.
    pub(super) fn waiting_in(&self, shape: u32) -> u32 {
        match &self.lots {
            Some(lots) => lots.waiting.get(&shape).map_or(0, count),
            None if shape == self.shape => self.waiting,
            None => 0,
        }
    }

    /// The first of its tasks that wait in a shape, where they have shapes of their own.
    pub(super) fn first_in(&self, shape: u32) -> Option<Option<u32>> {
        let lots = self.lots.as_ref()?;
        Some(lots.waiting.get(&shape).and_then(|lot| lot.first().copied()))
    }
}

impl Tasks {
    /// What the tasks of a stage ask for that is about to begin.
    pub(super) fn sized(&mut self, stage: StageId, sizes: Sizes) {
        self.sizes.insert(stage.0, sizes);
    }

    /// Enters all tasks of a stage that wait, each in its line.
    pub(super) fn line_up(&mut self, id: u32) {
        let stage = &mut self.stages[id as usize];
        let mine = &self.tasks[stage.first as usize..][..stage.tasks as usize];
        let base = self.shapes.get(stage.shape);
        let (place, priority) = (base.place.as_deref().cloned(), base.priority);
        let (room, network) = (self.room, if stage.bridge { Network::Bridge } else { Network::None });
        let shapes = &mut self.shapes;
        let shape_of =
            |size: Resources| shapes.enter(Form { size: room(size, &network), place: place.clone(), priority });
        stage.lots = self.sizes.get(&id).and_then(|sizes| Lots::of(sizes, mine, shape_of)).map(Box::new);
        in_lines(stage, |shape, waiting| self.shapes.wait(shape, id, (waiting, 0), waiting));
    }

    /// A task of a stage begins to wait, or no longer does.
    pub(super) fn turn(&mut self, id: u32, index: u32, waits: bool) {
        let stage = &mut self.stages[id as usize];
        stage.waiting = stage.waiting + u32::from(waits) - u32::from(!waits);
        let (shape, all) = match &mut stage.lots {
            Some(lots) => lots.turn(index, waits),
            None => (stage.shape, stage.waiting),
        };
        self.shapes.wait(shape, id, (u32::from(waits), u32::from(!waits)), all);
    }

    /// None of a stage's tasks waits any more.
    pub(super) fn leave_lines(&mut self, id: u32) {
        let stage = &mut self.stages[id as usize];
        let shapes: &mut Shapes = &mut self.shapes;
        in_lines(stage, |shape, waiting| shapes.wait(shape, id, (0, waiting), 0));
        if let Some(lots) = &mut stage.lots {
            lots.waiting.clear();
        }
        stage.waiting = 0;
    }
}

/// The shapes of a stage, with the tasks that wait in each.
fn in_lines(stage: &Stage, mut each: impl FnMut(u32, u32)) {
    match &stage.lots {
        Some(lots) => lots.waiting.iter().for_each(|(shape, lot)| each(*shape, count(lot))),
        None => each(stage.shape, stage.waiting),
    }
}
