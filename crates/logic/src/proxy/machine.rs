//! The choices.

use std::collections::BTreeSet;
use std::sync::Arc;

use dybox_model::{AttemptId, Cause, Exit, Millis, Note, TaskSpec, format_duration};

use super::warm::{ASKED, Ahead, Warm};
pub use super::work::{LEASE_DEAD, LOST_AFTER, LOST_AFTER_FAR};
use super::work::{LOST_GRACE, Phase, Step, TELL_AFTER, Work};
use super::{Effect, Ending, Event, Signal};

/// The line to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Nobody answered since then.
    Down { since: Millis, noticed: bool },
    /// The master answered.
    Up,
}

/// Decides what a proxy does. One attempt at a time; ends are kept until the master has written them down.
#[derive(Debug)]
pub struct Proxy {
    pub(super) line: Line,
    pub(super) work: Option<Work>,
    pub(super) unacked: Vec<(AttemptId, Exit)>,
    /// How many of those, the last ones, the master was never told.
    pub(super) untold: usize,
    pub(super) repeat_at: Millis,
    pub(super) warm: Option<Warm>,
    pub(super) ahead: Ahead,
    /// Every attempt that was ever given or halted here: a late second order must not start it again.
    seen: BTreeSet<AttemptId>,
    pub(super) leaving: Option<String>,
    left: bool,
    patience: Millis,
}

impl Proxy {
    /// A proxy that has just started and has no line yet.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self::patient(now, LOST_AFTER)
    }

    /// Like [`Proxy::new`], for one that does without a master for so long.
    #[must_use]
    pub fn patient(now: Millis, patience: Millis) -> Self {
        Self {
            line: Line::Down { since: now, noticed: false },
            work: None,
            unacked: Vec::new(),
            untold: 0,
            repeat_at: now,
            warm: None,
            ahead: Ahead::default(),
            seen: BTreeSet::new(),
            leaving: None,
            left: false,
            patience,
        }
    }

    /// Whether `Leave` was said: nothing comes after it.
    #[must_use]
    pub const fn left(&self) -> bool {
        self.left
    }

    /// Takes one fact in and tells what must be done about it, in order.
    pub fn handle(&mut self, now: Millis, event: Event, out: &mut Vec<Effect>) {
        if self.left {
            return;
        }
        match event {
            Event::Dialed => out.push(Effect::Hello(self.in_hand().collect())),
            Event::Welcomed => self.line_up(out),
            Event::Cut => self.line_down(now),
            Event::Ordered(spec) => self.take(spec, now, out),
            Event::HaltAsked { attempt, now: at_once } => self.halt(attempt, at_once, now, out),
            Event::Acked(attempt) => self.forget(attempt, out),
            Event::LeaveAsked => self.leave_when_done(ASKED),
            Event::Signalled => self.give_back(now, out),
            Event::EngineLost { why } => self.leave_when_done(&why),
            Event::ImageReady { attempt, id } => self.start(attempt, id, now, out),
            Event::Started { attempt, container } => self.runs(attempt, container, now, out),
            Event::NotStarted { attempt, exit } => self.not_started(attempt, exit, out),
            Event::KillFailed(attempt) => self.kill_failed(attempt, now, out),
            Event::Wrote(attempt) => self.wrote(attempt, now),
            Event::Used(attempt, usage) => self.used(attempt, usage, now, out),
            Event::StoreFails { attempt, text } => self.store_fails(attempt, text, now, out),
            Event::Ended { attempt, exit } => self.ended((attempt, false), exit, now, out),
            Event::Rests { attempt, exit } => self.ended((attempt, true), exit, now, out),
            Event::Cold(attempt) => self.cold(attempt, now, out),
            Event::Put { attempt, moved, failed } => self.put(attempt, moved, failed),
            Event::Drained { attempt, problem } => self.drained(attempt, problem, out),
            Event::Tick => {}
        }
        self.go_on(now, out);
        self.let_time_pass(now, out);
        self.leave_if_done(now, out);
    }

    /// When to call `handle` with `Tick` next, if nothing else comes.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        let line = match self.line {
            Line::Down { since, noticed: false } => Some(since.after(self.patience)),
            Line::Up if !self.unacked.is_empty() => Some(self.repeat_at),
            _ => None,
        };
        let work = self.work.as_ref();
        let told = work.and_then(|work| work.tell_at);
        [line, work.and_then(Work::due), told, self.ahead.wake()].into_iter().flatten().min()
    }

    /// What is in its hands: given, and not acknowledged as ended.
    pub fn in_hand(&self) -> impl Iterator<Item = AttemptId> {
        let given = self.work.iter().map(Work::attempt).chain(self.ahead.attempts());
        given.chain(self.unacked.iter().map(|(attempt, _)| *attempt))
    }

    /// What must always hold.
    ///
    /// # Errors
    /// What does not, in words.
    pub fn check(&self) -> Result<(), String> {
        for attempt in self.in_hand() {
            if !self.seen.contains(&attempt) {
                return Err(format!("{attempt} is in hand and was never seen"));
            }
            if self.in_hand().filter(|other| *other == attempt).count() > 1 {
                return Err(format!("{attempt} is in hand twice"));
            }
        }
        if self.left && self.work.is_some() { Err("left with work in hand".to_owned()) } else { Ok(()) }
    }

    fn line_up(&mut self, out: &mut Vec<Effect>) {
        self.line = Line::Up;
        self.say_running(out);
        // A new master must hear all ends at once, not at the next repetition.
        self.repeat_at = Millis(0);
    }

    fn line_down(&mut self, now: Millis) {
        if self.line == Line::Up {
            self.line = Line::Down { since: now, noticed: false };
        }
    }

    fn take(&mut self, spec: Arc<TaskSpec>, now: Millis, out: &mut Vec<Effect>) {
        let attempt = spec.attempt;
        if !self.seen.insert(attempt) {
            return self.say_again(attempt, out);
        }
        if self.queue(&spec, now) {
            return;
        }
        let refused = match (&self.work, &self.leaving) {
            (Some(work), _) => Some((Cause::Internal, format!("the grant is busy with {}", work.attempt()))),
            (_, Some(why)) => Some((Cause::GrantLost, format!("the proxy leaves: {why}"))),
            _ => None,
        };
        if let Some((cause, text)) = refused {
            return self.end(attempt, Exit::not_started(cause, text, now), out);
        }
        self.begin(spec, now, out);
    }

    fn halt(&mut self, attempt: AttemptId, at_once: bool, now: Millis, out: &mut Vec<Effect>) {
        if self.seen.insert(attempt) || self.drop_ahead(attempt) {
            // The order to start it was overtaken, or it waits behind another: it ends before it begins.
            return self.end(attempt, Exit::not_started(Cause::Stopped, "", now), out);
        }
        if self.work.as_ref().is_some_and(|work| work.attempt() == attempt) {
            let ending = Ending { cause: Cause::Stopped, text: String::new() };
            self.stop(ending, if at_once { None } else { Some(Millis(u64::MAX)) }, now, out);
        } else {
            self.say_again(attempt, out);
        }
    }

    /// Ends the work in hand. `grace` bounds the payload's own; nothing = KILL.
    pub(super) fn stop(&mut self, ending: Ending, grace: Option<Millis>, now: Millis, out: &mut Vec<Effect>) {
        let Some(work) = &mut self.work else { return };
        let attempt = work.attempt();
        let first = work.ending.is_none();
        let ending = work.ending.get_or_insert(ending).clone();
        match &mut work.phase {
            Phase::Fetching { .. } => {
                out.push(Effect::CancelFetch(attempt));
                self.work = None;
                self.end(attempt, Exit::not_started(ending.cause, ending.text, now), out);
            }
            Phase::Starting { .. } => {
                if first {
                    out.push(Effect::HaltStart(attempt));
                }
                work.hurry_start(grace.is_none(), now);
            }
            Phase::Running { stop, .. } => match (*stop, grace) {
                (Step::None, Some(most)) => {
                    *stop = Step::term(now, work.spec.stop_grace.min(most));
                    out.push(Effect::Kill { attempt, signal: Signal::Term, why: ending });
                }
                (Step::None | Step::Term { .. }, None) => {
                    *stop = Step::at_once(now);
                    out.push(Effect::Kill { attempt, signal: Signal::Now, why: ending });
                }
                (Step::Term { now_at }, Some(most)) => {
                    let sooner = Step::term(now, work.spec.stop_grace.min(most));
                    if matches!(sooner, Step::Term { now_at: at } if at < now_at) {
                        *stop = sooner;
                    }
                }
                _ => {}
            },
            Phase::Cancelling { .. } | Phase::Draining { .. } => {}
        }
    }

    fn start(&mut self, attempt: AttemptId, id: String, now: Millis, out: &mut Vec<Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        if matches!(work.phase, Phase::Fetching { .. }) {
            out.push(Effect::Start { spec: Arc::clone(&work.spec), image: id.clone() });
            work.starting(id, now);
        }
    }

    fn runs(&mut self, attempt: AttemptId, container: String, now: Millis, out: &mut Vec<Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        if !matches!(work.phase, Phase::Starting { .. }) {
            return;
        }
        work.running(container, now);
        let ending = work.ending.clone();
        match work.from {
            Some(_) => work.tell_at = Some(now.after(TELL_AFTER)),
            None => self.say_running(out),
        }
        if let Some(ending) = ending {
            self.stop(ending, Some(LOST_GRACE), now, out);
        }
    }

    fn not_started(&mut self, attempt: AttemptId, mut exit: Exit, out: &mut Vec<Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        let made = match work.phase {
            Phase::Fetching { .. } => false,
            Phase::Starting { .. } | Phase::Cancelling { .. } => true,
            Phase::Running { .. } | Phase::Draining { .. } => return,
        };
        if let Some(ending) = work.ending.take() {
            exit = Exit::not_started(ending.cause, ending.text, exit.ended);
        }
        if made {
            out.push(Effect::Remove { attempt, keep: false });
        }
        self.work = None;
        self.end(attempt, exit, out);
    }

    fn wrote(&mut self, attempt: AttemptId, now: Millis) {
        if let Some(Phase::Running { wrote, .. }) = self.work_on(attempt).map(|work| &mut work.phase) {
            *wrote = now;
        }
    }

    /// Output that is lost may be what the work was for: better no work than that.
    fn store_fails(&mut self, attempt: AttemptId, text: String, now: Millis, out: &mut Vec<Effect>) {
        if self.work_on(attempt).is_some() {
            self.stop(Ending { cause: Cause::StoreFailed, text }, Some(Millis(u64::MAX)), now, out);
        }
    }

    /// `rests`: its container waits.
    pub(super) fn ended(
        &mut self,
        (attempt, rests): (AttemptId, bool),
        exit: Exit,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(work) = self.work_on(attempt) else { return };
        if matches!(work.phase, Phase::Running { .. }) {
            work.tell_at = None;
            // A signal may still be on its way to a container in which somebody wanted an end.
            let rests = rests && work.ending.is_none();
            work.draining(exit, rests, now);
            out.push(Effect::Drain(attempt));
        }
    }

    fn drained(&mut self, attempt: AttemptId, problem: Option<String>, out: &mut Vec<Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        if !matches!(work.phase, Phase::Draining { .. }) {
            return;
        }
        let Some(Work { spec, image, phase: Phase::Draining { exit, rests, .. }, .. }) = self.work.take() else {
            return;
        };
        let (mut exit, rests) = (*exit, rests && problem.is_none());
        if let Some(problem) = problem {
            out.push(Effect::Note(Note::Warns { text: problem.clone(), cause: Some(Cause::StoreFailed) }));
            // A success whose output is lost is none; a failure stays what it was.
            if exit.cause.is_none() {
                exit.cause = Some(Cause::StoreFailed);
                exit.text = problem;
            }
        }
        let keep = spec.keep_failed && exit.cause.is_some_and(|cause| cause != Cause::Stopped);
        self.end(attempt, exit, out);
        match image.filter(|_| rests) {
            Some(image) => self.warm = Some(Warm { spec, image }),
            None => out.push(Effect::Remove { attempt, keep }),
        }
    }

    fn leave_when_done(&mut self, why: &str) {
        self.leaving.get_or_insert_with(|| why.to_owned());
    }

    /// The grant is taken back: what runs is stopped with its grace, then the proxy goes.
    fn give_back(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.leave_when_done("it was told to end by a signal");
        let ending = Ending { cause: Cause::GrantLost, text: "the proxy was told to end by a signal".to_owned() };
        self.stop(ending, Some(LOST_GRACE), now, out);
    }

    fn let_time_pass(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.notice_lost_master(now, out);
        self.repeat_ends(now, out);
        if self.work.as_mut().is_some_and(|work| work.tell_at.take_if(|at| *at <= now).is_some()) {
            self.say_running(out);
        }
        let Some(work) = &mut self.work else { return };
        let attempt = work.attempt();
        if let Some(cause) = work.passed(now) {
            let limit = if cause == Cause::RunTimeout { work.spec.timeout.run } else { work.spec.timeout.silence };
            let text = format!("the limit is {}", format_duration(limit.unwrap_or_default()));
            return self.stop(Ending { cause, text }, Some(Millis(u64::MAX)), now, out);
        }
        if work.due().is_none_or(|due| now < due) {
            return;
        }
        match &mut work.phase {
            Phase::Fetching { .. } => {
                let text =
                    work.spec.timeout.pull.map_or(String::new(), |t| format!("the limit is {}", format_duration(t)));
                self.stop(Ending { cause: Cause::PullTimeout, text }, None, now, out);
            }
            Phase::Starting { .. } => {
                work.cancelling(now);
                out.push(Effect::CancelStart(attempt));
            }
            Phase::Cancelling { .. } => {
                let exit = Exit::not_started(Cause::EngineDown, "the engine did not say whether it started", now);
                self.not_started(attempt, exit, out);
            }
            Phase::Running { .. } => self.go_on_stopping(now, out),
            Phase::Draining { .. } => {
                self.drained(attempt, Some("the store did not answer; the rest of the logs is lost".to_owned()), out);
            }
        }
    }

    fn notice_lost_master(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if !self.lost(now) {
            return;
        }
        if let Line::Down { noticed, .. } = &mut self.line
            && !std::mem::replace(noticed, true)
        {
            self.leave_when_done("its master is gone");
            let text = format!("no master for {}", format_duration(self.patience));
            self.stop(Ending { cause: Cause::MasterLost, text }, Some(LOST_GRACE), now, out);
        }
    }

    fn lost(&self, now: Millis) -> bool {
        matches!(self.line, Line::Down { since, .. } if now >= since.after(self.patience))
    }

    fn leave_if_done(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let nobody_listens = self.lost(now);
        let Some(why) = &self.leaving else { return };
        if self.work.is_none() && self.ahead.is_empty() && (self.unacked.is_empty() || nobody_listens) {
            let why = why.clone();
            self.left = true;
            self.cool_down(&why, out);
            out.push(Effect::Leave { why });
        }
    }

    pub(super) fn work_on(&mut self, attempt: AttemptId) -> Option<&mut Work> {
        self.work.as_mut().filter(|work| work.attempt() == attempt)
    }
}
