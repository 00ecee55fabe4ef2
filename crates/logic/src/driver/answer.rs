//! What hooks say, and how those end that are stages of their own: such a stage ends when its answer was judged.

use dybox_model::{Decision, Fact, HookId, Millis, StageEnd, StageId};

use super::decision;
use super::ended::Ended;
use super::state::HookState;
use super::{Driver, Effect};

impl Driver {
    /// The task of a hook has ended. What it said is known to the journal, and is judged before the stage ends.
    pub(super) fn end_stage_of_hook(
        &mut self,
        (stage, hook): (StageId, HookId),
        mut how: Ended,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let node = &mut self.book.hooks[hook.0 as usize];
        match (node.state, how.end) {
            (HookState::Waiting, StageEnd::Succeeded) => {
                node.state = HookState::Running;
                self.hooks_running += 1;
                out.push(Effect::HearHook { hook, stage });
                return;
            }
            (HookState::Running, _) => return,
            (HookState::Waiting, StageEnd::Failed) if self.book.stop.is_none() => {
                self.record(Fact::HookFailed { hook, why: how.why.clone(), at: now }, out);
            }
            // The master died between the two records.
            (HookState::Failed, StageEnd::Succeeded) => {
                how = Ended::of(StageEnd::Failed, self.book.hook_failed.clone().unwrap_or_default());
            }
            _ => {}
        }
        self.record(how.of_stage(stage, now), out);
    }

    pub(super) fn end_hook(
        &mut self,
        hook: HookId,
        answer: Result<Decision, String>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let stage = match self.book.hooks.get_mut(hook.0 as usize) {
            Some(node) if node.state == HookState::Running => {
                node.state = HookState::Waiting;
                node.stage.map(StageId)
            }
            _ => return,
        };
        self.hooks_running -= 1;
        let checked = answer.and_then(|decision| decision::check(&self.book, &decision).map(|()| decision));
        let (end, why) = match (checked, &self.book.stop) {
            (Ok(decision), _) => {
                self.record(Fact::HookDecided { hook, decision, at: now }, out);
                (StageEnd::Succeeded, String::new())
            }
            // It was killed because the run stops; it runs again when the run is reopened.
            (Err(_), Some(why)) => (StageEnd::Stopped, why.clone()),
            (Err(why), None) => {
                self.record(Fact::HookFailed { hook, why: why.clone(), at: now }, out);
                (StageEnd::Failed, why)
            }
        };
        if let Some(stage) = stage {
            self.record(Ended::of(end, why).of_stage(stage, now), out);
        }
    }
}
