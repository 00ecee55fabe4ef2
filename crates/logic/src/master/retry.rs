//! What follows the end of an attempt.

use dybox_job::{Retry, RetryOn};
use dybox_model::{AttemptId, Cause, Exit, Millis, Owner, Phase, Reaction, StageEnd};

/// Most further tries of one task after failures of the platform. They use up nothing of the user's `max`.
pub(super) const MOST_INFRA_TRIES: u8 = 8;
/// The same where somebody sits at a terminal.
const MOST_WATCHED_TRIES: u8 = 1;
/// A program that ran for so long was none that fails at once wherever it is: what the platform did to it before is over.
const LONG_RUN: Millis = Millis::from_secs(24 * 60 * 60);
const LONGEST_PAUSE: Millis = Millis::from_secs(300);
const INFRA_PAUSE: Millis = Millis::from_secs(1);
const LONGEST_INFRA_PAUSE: Millis = Millis::from_secs(30);

/// How many further tries a task had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tries {
    /// Those that count on the stage's `retry.max`.
    pub(super) own: u8,
    /// Those after failures of the platform, since an attempt last ran for [`LONG_RUN`].
    pub(super) infra: u8,
}

impl Tries {
    /// These at the end of an attempt whose program ran from `since` on, as far as its end does not tell.
    pub(super) fn at_end(self, exit: &Exit, since: Option<Millis>) -> Self {
        let ran = exit.started.or(since).map_or(Millis(0), |since| exit.ended.since(since));
        if ran >= LONG_RUN { Self { infra: 0, ..self } } else { self }
    }

    /// How many may follow, the next one among them, if each ends as that of which these came; `before`: these without it.
    pub(super) fn left(self, before: Self, rules: &Retry) -> u32 {
        let left = match self.infra > before.infra {
            true => u32::from(MOST_INFRA_TRIES.saturating_sub(self.infra)),
            false => rules.max.saturating_sub(u32::from(self.own)),
        };
        left.saturating_add(1)
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It succeeded.
    Done,
    /// It is tried again after a pause; `tries` count it.
    Again { pause: Millis, tries: Tries },
    /// Its tries are used up.
    Over(StageEnd),
}

/// What follows `exit` of a task that nobody asked to stop, after so many `tries`.
pub(super) fn after(exit: &Exit, rules: &Retry, tries: Tries) -> Next {
    let Some(cause) = exit.cause else { return Next::Done };
    match cause.info().reaction {
        // Stopped, and nobody here asked: the platform did it.
        _ if cause == Cause::Stopped => infra(INFRA_PAUSE, tries),
        // It never began, and not for a fault of anybody.
        _ if cause == Cause::GivenBack => Next::Again { pause: Millis(0), tries },
        Reaction::Never => Next::Over(end_of(cause)),
        Reaction::UpToMax if u32::from(tries.own) < rules.max && named(rules, cause, exit) => Next::Again {
            pause: doubled(rules.backoff, tries.own, LONGEST_PAUSE),
            tries: Tries { own: tries.own.saturating_add(1), ..tries },
        },
        Reaction::UpToMax => Next::Over(end_of(cause)),
        Reaction::Always => infra(Millis(0), tries),
        Reaction::BackOff => infra(INFRA_PAUSE, tries),
    }
}

/// A pause that differs from task to task by up to a quarter, so that many that failed at once don't come back at once.
/// The same attempt has the same pause, whoever computes it.
pub(super) fn spread(next: Next, attempt: AttemptId) -> Next {
    match next {
        Next::Again { pause, tries } => {
            let seed = [attempt.task.stage.0, attempt.task.index, attempt.number]
                .into_iter()
                .fold(0u64, |sum, part| (sum ^ u64::from(part)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
            let quarter = pause.0 / 4;
            Next::Again { pause: Millis(pause.0 - quarter + seed % (2 * quarter + 1)), tries }
        }
        other => other,
    }
}

/// What follows a want of memory that was not the user's to foresee: at once, with more, at nobody's expense.
pub(super) fn with_more(tries: Tries) -> Next {
    infra(Millis(0), tries)
}

/// Whether somebody at a terminal is told now, where a job would have more patience: the platform failed again.
pub(super) fn keeps_a_person_waiting(cause: Cause, tries: Tries) -> bool {
    cause.info().reaction == Reaction::BackOff && tries.infra >= MOST_WATCHED_TRIES
}

/// How a stage ends when one of its tasks ends for good with this cause.
pub(super) fn end_of(cause: Cause) -> StageEnd {
    match cause.info().owner {
        Owner::User => StageEnd::Failed,
        Owner::Cluster | Owner::Dybox => StageEnd::Lost,
    }
}

fn infra(pause: Millis, tries: Tries) -> Next {
    if tries.infra >= MOST_INFRA_TRIES {
        return Next::Over(StageEnd::Lost);
    }
    let pause = doubled(pause, tries.infra, LONGEST_INFRA_PAUSE);
    Next::Again { pause, tries: Tries { infra: tries.infra + 1, ..tries } }
}

/// Whether `retry.on` names this failure; an empty list names all but idleness.
fn named(rules: &Retry, cause: Cause, exit: &Exit) -> bool {
    // An idle task's room was to go back: another try takes it again, so it must be asked for by name.
    if cause == Cause::Idle {
        return rules.on.contains(&RetryOn::Idle);
    }
    let by = |on: &RetryOn| match *on {
        RetryOn::Any => true,
        RetryOn::Infra => cause.info().owner != Owner::User,
        RetryOn::Oom => cause == Cause::Oom,
        RetryOn::Image => cause.info().phase == Phase::Pull,
        RetryOn::Timeout => matches!(cause, Cause::RunTimeout | Cause::SilenceTimeout | Cause::PullTimeout),
        RetryOn::Idle => false,
        RetryOn::Exit(from, to) => {
            cause == Cause::ExitCode && exit.code.is_some_and(|code| (from..=to).contains(&code))
        }
        RetryOn::Signal(signal) => cause == Cause::Signal && exit.signal == Some(signal),
    };
    rules.on.is_empty() || rules.on.iter().any(by)
}

/// `pause` doubled `times` times, up to `most`.
fn doubled(pause: Millis, times: u8, most: Millis) -> Millis {
    let factor = 1u64.checked_shl(u32::from(times)).unwrap_or(u64::MAX);
    Millis(pause.0.saturating_mul(factor).min(most.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(cause: Cause) -> Exit {
        Exit { code: Some(75), ..Exit::not_started(cause, "", Millis(0)) }
    }

    fn rules(max: u32, on: &[RetryOn]) -> Retry {
        Retry { max, backoff: Millis::from_secs(10), on: on.to_vec(), grow: None }
    }

    #[test]
    fn the_users_tries_are_for_the_users_failures() {
        let tries = Tries { own: 1, infra: 0 };
        let again = Next::Again { pause: Millis::from_secs(20), tries: Tries { own: 2, infra: 0 } };
        assert_eq!(after(&failed(Cause::Oom), &rules(2, &[]), tries), again);
        assert_eq!(after(&failed(Cause::Oom), &rules(1, &[]), tries), Next::Over(StageEnd::Failed));
        assert_eq!(after(&failed(Cause::CommandNotFound), &rules(9, &[]), tries), Next::Over(StageEnd::Failed));
    }

    #[test]
    fn only_what_on_names_is_tried_again() {
        let again = |cause, on: &[RetryOn]| {
            matches!(after(&failed(cause), &rules(1, on), Tries::default()), Next::Again { .. })
        };
        assert!(again(Cause::ExitCode, &[RetryOn::Exit(70, 80)]));
        assert!(!again(Cause::ExitCode, &[RetryOn::Exit(1, 74), RetryOn::Oom]));
        assert!(again(Cause::PullTimeout, &[RetryOn::Timeout]));
        assert!(again(Cause::PullTimeout, &[RetryOn::Image]));
        assert!(!again(Cause::PullTimeout, &[RetryOn::Oom]));
        assert!(!again(Cause::Idle, &[]) && !again(Cause::Idle, &[RetryOn::Any, RetryOn::Timeout]));
        assert!(again(Cause::Idle, &[RetryOn::Idle]) && !again(Cause::Oom, &[RetryOn::Idle]));
    }

    #[test]
    fn failures_of_the_platform_have_a_bound_of_their_own() {
        let (mut tries, mut pauses) = (Tries::default(), Vec::new());
        while let Next::Again { pause, tries: next } = after(&failed(Cause::EngineDown), &rules(0, &[]), tries) {
            pauses.push(pause.0 / 1000);
            tries = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(after(&failed(Cause::EngineDown), &rules(5, &[]), tries), Next::Over(StageEnd::Lost));
    }

    #[test]
    fn who_ran_for_a_day_is_not_told_of_failures_before() {
        let tries = Tries { own: 3, infra: 8 };
        let day = LONG_RUN.0;
        let lost = Exit { ended: Millis(day + 50), ..failed(Cause::NodeLost) };
        let known = Exit { started: Some(Millis(51)), ..lost.clone() };
        assert_eq!(tries.at_end(&lost, None), tries);
        assert_eq!(tries.at_end(&lost, Some(Millis(51))), tries);
        assert_eq!(tries.at_end(&lost, Some(Millis(50))), Tries { own: 3, infra: 0 });
        assert_eq!(tries.at_end(&known, Some(Millis(0))), tries, "its own word counts");
    }

    #[test]
    fn how_many_tries_may_follow_depends_on_whose_they_are() {
        let (mut tries, mut left) = (Tries { own: 2, infra: 0 }, Vec::new());
        while let Next::Again { tries: next, .. } = after(&failed(Cause::RegistryDown), &rules(3, &[]), tries) {
            left.push(next.left(tries, &rules(3, &[])));
            tries = next;
        }
        assert_eq!(left, [8, 7, 6, 5, 4, 3, 2, 1]);
        let Next::Again { tries: next, .. } = after(&failed(Cause::Oom), &rules(3, &[]), tries) else { panic!() };
        assert_eq!(next.left(tries, &rules(3, &[])), 1);
    }

    #[test]
    fn who_sits_at_a_terminal_is_told_of_the_second_failure() {
        let (none, one) = (Tries::default(), Tries { own: 0, infra: 1 });
        assert!(!keeps_a_person_waiting(Cause::EngineDown, none) && keeps_a_person_waiting(Cause::EngineDown, one));
        assert!(!keeps_a_person_waiting(Cause::Preempted, one), "nothing is wrong there");
    }

    #[test]
    fn tasks_that_failed_at_once_come_back_one_after_the_other() {
        let pause = |index| {
            let again = Next::Again { pause: Millis(10_000), tries: Tries::default() };
            let attempt = AttemptId { task: dybox_model::TaskId { stage: dybox_model::StageId(3), index }, number: 1 };
            let Next::Again { pause, .. } = spread(again, attempt) else { panic!() };
            pause.0
        };
        let pauses: std::collections::BTreeSet<u64> = (0..100).map(pause).collect();
        assert!(pauses.len() > 90 && pauses.iter().all(|pause| (7_500..=12_500).contains(pause)), "{pauses:?}");
        assert_eq!(pause(7), pause(7));
    }

    #[test]
    fn pauses_end_at_five_minutes() {
        let tries = Tries { own: 90, infra: 0 };
        let Next::Again { pause, .. } = after(&failed(Cause::ExitCode), &rules(100, &[]), tries) else { panic!() };
        assert_eq!(pause, LONGEST_PAUSE);
    }
}
