//! Tasks of stages with `reuse: true` that are given to a busy grant in advance, so that none of its time is lost on
//! the way. Only short ones, and only so many as are done in a moment: what waits here can start nowhere else.

use dybox_model::{AttemptId, Fact, GrantId, Millis, StageId};

use super::Effect;
use super::machine::Master;
use super::pool::Stand;
use super::tasks::Tasks;

/// The work that is given in advance: of so long a time.
const AHEAD: u64 = 100;
/// Most tasks of one grant.
const MOST: u64 = 64;

/// How fast a grant gets tasks done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    since: Millis,
    ended: u64,
    /// Tasks that it ended in the last [`AHEAD`], as far as is known.
    pub(super) tasks: u64,
}

impl Pace {
    /// A task ended; one that did not end well says nothing about those to come.
    pub(super) fn ended(&mut self, well: bool, now: Millis) {
        if !well || self.since.0 == 0 {
            *self = Self { since: now, ended: 0, tasks: 0 };
            return;
        }
        self.ended += 1;
        let took = now.since(self.since).0;
        if took >= AHEAD {
            *self = Self { since: now, ended: 0, tasks: (self.ended * AHEAD / took).min(MOST) };
        }
    }
}

impl Master {
    /// Gives the grants that have just ended a task what they can do next.
    pub(super) fn hand_ahead(&mut self, now: Millis, out: &mut Vec<Effect>) {
        for grant in std::mem::take(&mut self.paced) {
            while let Some(attempt) = self.next_for(grant) {
                self.record(Fact::AttemptStarted { attempt, grant, at: now }, out);
                out.push(Effect::Start { grant, attempt });
            }
        }
    }

    fn next_for(&mut self, id: GrantId) -> Option<AttemptId> {
        let grant = self.pool.get(id).filter(|grant| grant.stand == Stand::Here && !grant.halted)?;
        let stage = grant.load?.task.stage;
        let of = self.tasks.stage(stage).filter(|of| of.reuse && of.verdict.is_none())?;
        // The last ones are for all: nobody has two while another has none.
        let share = u64::from(of.waiting) / (self.pool.len() as u64 + 1);
        let enough = grant.next.len() as u64 >= grant.pace.tasks.min(share);
        if enough || self.others.owed || self.tasks.kept_apart(stage).is_some() || self.hosts.is_left_out(&grant.host) {
            return None;
        }
        // Nobody has two while a grant is waited for by what comes first.
        if self.tasks.shapes.highest().is_some_and(|highest| highest > self.tasks.shapes.get(of.shape).priority) {
            return None;
        }
        self.tasks.pick_of(stage)
    }
}

impl Tasks {
    /// The next task of a stage, where that stage comes first among those of its shape.
    pub(super) fn pick_of(&mut self, stage: StageId) -> Option<AttemptId> {
        let shape = self.stage(stage)?.shape;
        (self.shapes.stages(shape).first() == Some(&stage.0)).then(|| self.pick(shape)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_tasks_are_given_in_advance() {
        let pace = |step: u64, count: u64| {
            let mut pace = Pace::default();
            (0..count).for_each(|n| pace.ended(true, Millis(1_000 + n * step)));
            pace
        };
        assert_eq!((pace(2, 200).tasks, pace(10, 50).tasks, pace(100, 9).tasks), (50, 10, 1));
        assert_eq!((pace(250, 9).tasks, pace(0, 9).tasks), (0, 0));
        let mut failed = pace(2, 200);
        failed.ended(false, Millis(2_000));
        assert_eq!(failed.tasks, 0);
        let mut slow = pace(2, 200);
        slow.ended(true, Millis(9_000));
        assert_eq!(slow.tasks, 0);
    }
}
