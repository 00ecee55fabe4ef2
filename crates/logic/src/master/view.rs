//! What the actor reads.

use std::collections::BTreeSet;

use dybox_model::{AttemptId, GrantId, Resources, StageId, TaskId};

use super::Master;
use super::tasks::State;

impl Master {
    /// Every grant that is held, in order. Empty after the run: nothing is left.
    pub fn grants(&self) -> impl Iterator<Item = GrantId> + '_ {
        self.pool.iter().map(|(id, _)| id)
    }

    /// How large a held grant is.
    #[must_use]
    pub fn size_of(&self, grant: GrantId) -> Option<Resources> {
        self.pool.get(grant).map(|grant| grant.size)
    }

    /// The attempt that a grant works on, and those that it was given to do after that.
    pub fn attempts_at(&self, grant: GrantId) -> impl Iterator<Item = AttemptId> {
        self.pool.get(grant).into_iter().flat_map(|grant| grant.loads())
    }

    /// The grant that works on an attempt; nothing when the attempt is not live. Walks over the grants.
    #[must_use]
    pub fn grant_of(&self, attempt: AttemptId) -> Option<GrantId> {
        self.pool.bearer(attempt)
    }

    /// How many tasks a started stage has; 0 before.
    #[must_use]
    pub fn tasks_of(&self, stage: StageId) -> u32 {
        self.tasks.stage(stage).map_or(0, |stage| stage.tasks)
    }

    /// The exit code (as `docker run` would give it) of a task's last attempt that ended.
    #[must_use]
    pub fn code_of(&self, task: TaskId) -> Option<i32> {
        self.tasks.task(task).filter(|task| task.ended).map(|task| i32::from(task.code))
    }

    /// The memory limit of a task of a stage in a grant, where a want of memory makes the next ones larger.
    #[must_use]
    pub fn step_of(&self, stage: StageId, grant: GrantId) -> Option<u64> {
        let memory = self.pool.get(grant)?.size.memory;
        self.tasks.stage(stage)?.ladder.step_in(memory)
    }

    /// Whether a task succeeded.
    #[must_use]
    pub fn succeeded(&self, task: TaskId) -> bool {
        self.tasks.task(task).is_some_and(|task| task.state == State::Succeeded)
    }

    /// What a succeeded task wrote to `$DYBOX_RESULT`, as JSON text.
    #[must_use]
    pub fn result_of(&self, task: TaskId) -> Option<&str> {
        self.tasks.result_of(task)
    }

    /// The images of the sub-DAG's stages, as an engine lists them; none on one machine.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        let ours = self.tasks.stages.iter().zip(&self.images).filter(|(stage, _)| stage.ours);
        let images: BTreeSet<&String> = ours.map(|(_, image)| image).collect();
        images.into_iter().cloned().collect()
    }

    /// The id that this run has pinned for an image name.
    #[must_use]
    pub fn pinned(&self, image: &str) -> Option<&str> {
        self.pinned.get(image).map(String::as_str)
    }
}
