//! Pauses before further tries.

use std::cmp::Reverse;

use dybox_model::{AttemptId, Millis, TaskId};

use super::retry::Tries;
use super::tasks::{Phase, Stage, State, Task, Tasks};

/// A pause of one task. It counts only as long as the attempt before it is the task's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rest {
    pub(super) due: Millis,
    pub(super) before: AttemptId,
    pub(super) pause: Millis,
    /// The last try of the task, if each one ends as the one before the pause.
    pub(super) most: u32,
}

impl Tasks {
    /// Ends the pauses that are over.
    pub(super) fn wake_up(&mut self, now: Millis) {
        for rest in std::mem::take(&mut self.fresh) {
            // A clock that jumped must not make the pause longer.
            let due = rest.due.min(now.after(rest.pause));
            if self.rests_still(&rest) {
                self.rests.push(Reverse(Rest { due, ..rest }));
            }
        }
        while let Some(&Reverse(rest)) = self.rests.peek()
            && rest.due <= now
        {
            self.rests.pop();
            if self.rests_still(&rest) {
                self.wait_again(rest.before.task);
            }
        }
    }

    fn rests_still(&self, rest: &Rest) -> bool {
        let open = self
            .stage(rest.before.task.stage)
            .is_some_and(|stage| stage.phase == Phase::Running && stage.verdict.is_none());
        open && self
            .task(rest.before.task)
            .is_some_and(|task| task.state == State::Resting && task.last == rest.before.number)
    }

    fn wait_again(&mut self, id: TaskId) {
        let Some(place) = self.place(id) else { return };
        let stage = &mut self.stages[id.stage.0 as usize];
        self.tasks[place].state = State::Waiting;
        stage.resting -= 1;
        if id.index < stage.next {
            stage.again.push(id.index);
        }
        self.shapes.expect(stage.shape, 0, 1);
        self.turn(id.stage.0, id.index, true);
    }

    /// When the next pause ends.
    pub(super) fn wake(&self) -> Option<Millis> {
        self.rests.peek().map(|Reverse(rest)| rest.due)
    }

    /// The pauses that count, in no order.
    pub(super) fn rests(&self) -> impl Iterator<Item = Rest> + '_ {
        let seen = self.rests.iter().map(|Reverse(rest)| *rest);
        seen.chain(self.fresh.iter().copied()).filter(|rest| self.rests_still(rest))
    }
}

/// Gives a stage its place in the array of all tasks; what was known of them moves along.
pub(super) fn allot(stage: &mut Stage, tasks: &mut Vec<Task>, count: u32) {
    let (from, kept) = (stage.first as usize, stage.tasks.min(count) as usize);
    stage.first = u32::try_from(tasks.len()).expect("a sub-DAG has less than 2^32 tasks");
    stage.tasks = count;
    tasks.extend_from_within(from..from + kept);
    let tries = Tries::default();
    let new = Task { last: 0, code: 0, ended: false, state: State::Waiting, tries };
    tasks.resize(stage.first as usize + count as usize, new);
}
