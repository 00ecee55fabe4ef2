//! A run that had ended and goes on (`resume`).

use dybox_model::StageEnd;

use super::retry::Tries;
use super::tasks::{Phase, State, Tasks};

impl Tasks {
    /// What did not succeed may start again.
    pub(super) fn reopen(&mut self) {
        self.shapes.clear();
        (self.touched, self.condemned, self.fresh) = (Vec::new(), Vec::new(), Vec::new());
        self.rests.clear();
        for stage in self.stages.iter_mut().filter(|stage| stage.ours) {
            if stage.phase == Phase::Ended(StageEnd::Succeeded) && !stage.last {
                continue;
            }
            stage.phase = Phase::Unstarted;
            (stage.waiting, stage.resting, stage.verdict, stage.lots) = (0, 0, None, None);
            self.shapes.expect(stage.shape, 1, 0);
            for task in &mut self.tasks[stage.first as usize..][..stage.tasks as usize] {
                task.tries = Tries::default();
                let again = stage.last && task.state == State::Succeeded;
                if again || matches!(task.state, State::Resting | State::Over) {
                    task.state = State::Waiting;
                }
            }
        }
    }
}
