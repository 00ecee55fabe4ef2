//! Stages that a hook adds while the tasks of others wait, run and end.

use std::collections::BTreeMap;

use dybox_job::{Stage, room_for, wish_of};
use dybox_model::{Added, Network, StageId};

use super::Master;
use super::ladder::{self, Ladder};
use super::liking::as_listed;
use super::shapes::{Form, Place};
use super::taken::{Apart, apart_among};
use super::tasks::{self, Tasks};

/// The shape of the asks of a stage on a cluster.
pub(super) fn shape_on_cluster(id: u32, stage: &Stage, apart: &BTreeMap<u32, Vec<Apart>>) -> Form {
    let (placement, apart) = (stage.placement.clone(), apart.get(&id).cloned().unwrap_or_default());
    let matters = !placement.is_anywhere() || !apart.is_empty();
    let mut place = matters.then_some(Place { placement, stage: id, apart });
    if let Some(place) = place.as_mut().filter(|place| !place.is_kept_apart()) {
        place.stage = 0;
    }
    Form { size: wish_of(stage), place, priority: stage.priority }
}

/// The same on one machine: placements are passed over, there is no choice.
pub(super) fn shape_here(stage: &Stage) -> Form {
    Form { size: room_for(stage.ask, &stage.network), place: None, priority: stage.priority }
}

/// Whether a stage whose memory may grow has all of it from the beginning, where grants keep their size.
pub(super) fn is_fixed(stage: &Stage) -> bool {
    stage.elastic.is_some_and(|elastic| !elastic.learns)
}

impl Master {
    /// Takes new stages of this sub-DAG in. What is known already stays as it is.
    pub(super) fn grow(&mut self, added: &[Added]) {
        let known = |id: u32| self.tasks.stages.get(id as usize).is_some_and(|stage| stage.ours);
        let new = added.iter().filter(|added| !known(added.outline.id.0));
        let new: BTreeMap<u32, Stage> =
            new.filter_map(|added| Some((added.outline.id.0, Stage::of_added(added)?))).collect();
        if new.is_empty() {
            return;
        }
        let apart = apart_among(new.iter().map(|(id, stage)| (*id, stage)));
        let far = self.resizes;
        let shape_of =
            |id: u32, stage: &Stage| if far { shape_on_cluster(id, stage, &apart) } else { shape_here(stage) };
        self.tasks.add_stages(&new, shape_of);
        for (&id, stage) in &new {
            let top = self.tasks.stage(StageId(id)).and_then(|stage| stage.ladder.top());
            if let Some(top) = top.filter(|_| !far && is_fixed(stage)) {
                self.tasks.reshape(StageId(id), top);
            }
            if far {
                let count = self.images.len().max(id as usize + 1);
                self.images.resize(count, String::new());
                self.images[id as usize] = as_listed(&stage.image);
            }
            self.starved.add(StageId(id), stage);
            let tasks = &self.tasks;
            let began = |id: StageId| tasks.stage(id).is_some_and(|stage| stage.phase != tasks::Phase::Unstarted);
            self.prefetch.add(StageId(id), stage, began);
        }
    }
}

impl tasks::Stage {
    /// One of which nothing has begun.
    pub(super) fn new(stage: &Stage, ours: bool, (shape, ladder): (u32, Ladder)) -> Self {
        Self {
            shape,
            lots: None,
            bridge: stage.network == Network::Bridge,
            phase: tasks::Phase::Unstarted,
            ours,
            first: 0,
            tasks: 0,
            next: 0,
            again: Vec::new(),
            waiting: 0,
            resting: 0,
            live: 0,
            succeeded: 0,
            verdict: None,
            rules: stage.retry.clone(),
            ladder,
            watched: stage.attach.is_some(),
            reuse: stage.reuse,
            late_sizes: stage.late.sizes.clone(),
            results: stage.results.clone(),
            last: stage.late.last,
            hook: stage.hook.is_some(),
        }
    }
}

impl Tasks {
    /// New stages, with the shapes that they bring.
    fn add_stages(&mut self, new: &BTreeMap<u32, Stage>, shape_of: impl Fn(u32, &Stage) -> Form) {
        for (&id, stage) in new {
            for form in ladder::forms(stage) {
                let _ = self.shapes.enter(shape_of(id, &form));
            }
            let find = |form: &Stage| self.shapes.find(&shape_of(id, form)).unwrap_or(0);
            let (shape, ladder) = (find(stage), Ladder::of(stage, find));
            self.shapes.expect(shape, 1, 0);
            let entry = tasks::Stage::new(stage, true, (shape, ladder));
            while self.stages.len() < id as usize {
                // The number of a stage that another sub-DAG may add.
                self.stages.push(tasks::Stage::new(stage, false, (0, Ladder::default())));
            }
            match self.stages.get_mut(id as usize) {
                Some(gap) => *gap = entry,
                None => self.stages.push(entry),
            }
        }
    }
}
