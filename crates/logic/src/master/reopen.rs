//! A run that had ended and goes on (`resume`).

use dybox_model::{StageEnd, StageId, TaskId};

use super::retry::Tries;
use super::tasks::{Phase, State, Tasks};

impl Tasks {
    /// What did not succeed may start again.
    pub(super) fn reopen(&mut self) {
        self.shapes.clear();
        (self.touched, self.condemned, self.fresh) = (Vec::new(), Vec::new(), Vec::new());
        self.rests.clear();
        for (id, stage) in (0u32..).zip(&mut self.stages).filter(|(_, stage)| stage.ours) {
            if stage.phase == Phase::Ended(StageEnd::Succeeded) && !stage.last {
                continue;
            }
            stage.phase = Phase::Unstarted;
            (stage.waiting, stage.resting, stage.verdict, stage.lots) = (0, 0, None, None);
            self.shapes.expect(stage.shape, 1, 0);
            if stage.hook {
                self.results.remove(&TaskId { stage: StageId(id), index: 0 });
            }
            for task in &mut self.tasks[stage.first as usize..][..stage.tasks as usize] {
                task.tries = Tries::default();
                let again = (stage.last || stage.hook) && task.state == State::Succeeded;
                if again || matches!(task.state, State::Resting | State::Over) {
                    stage.succeeded -= u32::from(again);
                    task.state = State::Waiting;
                }
            }
        }
    }
}
