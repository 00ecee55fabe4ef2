//! One stage as its facts add up.

use dybox_model::cache::Missed;
use dybox_model::{AttemptId, Cause, Exit, GrantId, Millis, Owner, Peak, RunId, StageEnd, StageOutline, TaskState};

/// Failures that a stage keeps in full; further ones are only counted.
pub(crate) const FAILURES_KEPT: usize = 32;

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StageState {
    /// Its needs are not met yet.
    Waiting,
    /// Its tasks may run.
    Running,
    /// It is over.
    Ended(StageEnd),
}

/// How many tasks are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Not given to a grant, or to be tried again.
    pub waiting: u32,
    /// Given to a grant; their containers do not run yet.
    pub starting: u32,
    /// Their containers run.
    pub running: u32,
    /// Ended well.
    pub succeeded: u32,
    /// Used up their tries.
    pub failed: u32,
    /// Stopped, before or while they ran.
    pub stopped: u32,
    /// Lost to the platform after its retries.
    pub lost: u32,
}

impl Counts {
    /// All tasks.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.waiting + self.starting + self.running + self.ended()
    }

    /// Tasks that will not change any more.
    #[must_use]
    pub const fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.stopped + self.lost
    }

    pub(crate) fn of(&mut self, state: TaskState) -> &mut u32 {
        match state {
            TaskState::Waiting => &mut self.waiting,
            TaskState::Starting => &mut self.starting,
            TaskState::Running => &mut self.running,
            TaskState::Succeeded => &mut self.succeeded,
            TaskState::Failed => &mut self.failed,
            TaskState::Stopped => &mut self.stopped,
            TaskState::Lost => &mut self.lost,
        }
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            waiting: self.waiting + other.waiting,
            starting: self.starting + other.starting,
            running: self.running + other.running,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            stopped: self.stopped + other.stopped,
            lost: self.lost + other.lost,
        }
    }
}

/// One task, compact: a run may have a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Task {
    /// Where it stands.
    pub state: TaskState,
    /// Number of its last attempt; 0 before the first.
    pub attempt: u32,
    /// The grant of its last attempt.
    pub grant: Option<GrantId>,
    /// What `docker run` would have returned for its last ended attempt.
    pub code: Option<i32>,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub attempt: AttemptId,
    /// Where it was; [`crate::Run::places`] tells the machine.
    pub grant: GrantId,
    /// How it ended.
    pub exit: Exit,
    /// Whether the task was tried again.
    pub again: bool,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What was planned.
    pub outline: StageOutline,
    /// Where it stands.
    pub state: StageState,
    /// Why it ended as it did; empty for a success.
    pub why: String,
    /// What it failed of, where its end says that: no attempt of it does.
    pub fault: Option<Cause>,
    /// Why it waits now, as the master last said; empty when it does not.
    pub waits: String,
    /// Its tasks by state. Before it starts: the planned number.
    pub counts: Counts,
    /// Its tasks by index; empty before it starts.
    pub tasks: Vec<Task>,
    /// When its tasks could first start.
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Attempts that were started.
    pub tries: u32,
    /// Cpu time of all ended attempts together, and the highest memory of any.
    pub used: Peak,
    /// It did not run: from which run it was taken; nothing inside = it was left out.
    pub taken: Option<Option<RunId>>,
    /// Whether the cache found that when the stage began.
    pub cached: bool,
    /// Why it ran although it might have been taken from an earlier run.
    pub missed: Option<Missed>,
    /// The first success that a person should know more of, and what: parts of it were killed.
    pub odd: Option<(AttemptId, String)>,
    /// Failed attempts in all.
    pub failures: u32,
    /// The first of them in full (at most 32; of these the first is the first failure).
    pub failed: Vec<Failure>,
}

impl Stage {
    pub(crate) fn new(outline: StageOutline) -> Self {
        let counts = Counts { waiting: outline.tasks, ..Counts::default() };
        Self {
            outline,
            state: StageState::Waiting,
            why: String::new(),
            fault: None,
            waits: String::new(),
            counts,
            tasks: Vec::new(),
            started: None,
            ended: None,
            tries: 0,
            used: Peak::default(),
            taken: None,
            cached: false,
            missed: None,
            odd: None,
            failures: 0,
            failed: Vec::new(),
        }
    }

    /// The failures that it keeps, but for tasks that were stopped: a stage that fails stops those that still run.
    pub fn failures_of_its_own(&self) -> impl Iterator<Item = &Failure> {
        self.failed.iter().filter(|failure| failure.exit.cause != Some(Cause::Stopped))
    }

    /// The failure that ended a task (or the stage's first that was not tried again). Of a stage that was stopped: how
    /// its first task was.
    #[must_use]
    pub fn final_failure(&self) -> Option<&Failure> {
        let own = || self.failures_of_its_own();
        let failed = matches!(self.state, StageState::Ended(StageEnd::Failed | StageEnd::Lost));
        let stopped = || self.failed.iter().find(|failure| !failure.again).or(self.failed.first());
        own().find(|failure| !failure.again).or(own().next()).or_else(|| if failed { None } else { stopped() })
    }

    /// Why it failed: by a failure of a task, or by what its end names where no task of it ever failed.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self.final_failure() {
            Some(failure) => failure.exit.cause,
            None => self.fault,
        }
    }

    /// The last failure of a task whose next try has not begun.
    #[must_use]
    pub fn tried_again(&self) -> Option<&Failure> {
        let last = |failure: &&Failure| {
            let task = self.tasks.get(failure.attempt.task.index as usize);
            task.is_some_and(|task| task.state == TaskState::Waiting && task.attempt == failure.attempt.number)
        };
        self.failed.iter().rev().filter(|failure| failure.again).find(last)
    }

    /// From its start to its end, or to `now`; nothing before it starts, and where nobody knows when it ended.
    #[must_use]
    pub fn wall(&self, now: Millis) -> Option<Millis> {
        let over = matches!(self.state, StageState::Ended(_));
        let until = if over { self.ended? } else { now };
        self.started.map(|started| until.since(started))
    }

    /// Nobody drives it any more, and no record tells its end: if it ran, it ended so, and so did those of its tasks
    /// that were under way. What waited still does: it runs when the run goes on.
    pub(crate) fn abandon(&mut self, end: StageEnd) {
        if self.state != StageState::Running {
            return;
        }
        self.state = StageState::Ended(end);
        self.waits.clear();
        let to = if end == StageEnd::Stopped { TaskState::Stopped } else { TaskState::Lost };
        let live = |task: &&mut Task| matches!(task.state, TaskState::Starting | TaskState::Running);
        self.tasks.iter_mut().filter(live).for_each(|task| task.state = to);
        *self.counts.of(to) += self.counts.starting + self.counts.running;
        (self.counts.starting, self.counts.running) = (0, 0);
    }

    pub(crate) fn start(&mut self, tasks: u32, at: Millis) {
        self.state = StageState::Running;
        self.started = self.started.or(Some(at));
        self.resize(tasks);
    }

    fn resize(&mut self, tasks: u32) {
        self.tasks.resize(tasks as usize, Task::default());
        self.counts = Counts::default();
        for task in &self.tasks {
            *self.counts.of(task.state) += 1;
        }
    }

    pub(crate) fn end(&mut self, (end, why, cause): (StageEnd, &str, Option<Cause>), at: Millis) {
        self.state = StageState::Ended(end);
        (self.ended, self.fault) = (Some(at), cause);
        why.clone_into(&mut self.why);
        self.waits.clear();
        if matches!(end, StageEnd::Failed | StageEnd::Stopped | StageEnd::Lost) {
            // What still waited will not run.
            for task in self.tasks.iter_mut().filter(|task| task.state == TaskState::Waiting) {
                task.state = TaskState::Stopped;
            }
            self.counts.stopped += self.counts.waiting;
            self.counts.waiting = 0;
        }
    }

    /// What did not succeed may run again.
    pub(crate) fn reopen(&mut self) {
        if self.state == StageState::Ended(StageEnd::Succeeded) {
            return;
        }
        self.state = StageState::Waiting;
        self.ended = None;
        self.why.clear();
        self.fault = None;
        self.failures = 0;
        self.failed.clear();
        // What still lives goes on: its end will be written down.
        let over = |task: &&mut Task| matches!(task.state, TaskState::Failed | TaskState::Stopped | TaskState::Lost);
        for task in self.tasks.iter_mut().filter(over) {
            task.state = TaskState::Waiting;
        }
        match u32::try_from(self.tasks.len()) {
            Ok(tasks) if tasks > 0 => self.resize(tasks),
            _ => self.counts = Counts { waiting: self.outline.tasks, ..Counts::default() },
        }
    }

    /// Moves a task of which `attempt` is the last try; `false` when the news is stale.
    /// What it came to is known without any attempt.
    pub(crate) fn taken(&mut self, from: Option<RunId>, cached: bool, tasks: usize) {
        (self.taken, self.cached, self.missed) = (Some(from), cached, None);
        self.tasks = vec![Task { state: TaskState::Succeeded, code: Some(0), ..Task::default() }; tasks];
        self.counts = Counts { succeeded: u32::try_from(tasks).unwrap_or(u32::MAX), ..Counts::default() };
    }

    pub(crate) fn move_task(&mut self, attempt: AttemptId, to: TaskState) -> bool {
        let Some(task) = self.tasks.get_mut(attempt.task.index as usize) else { return false };
        let live = matches!(task.state, TaskState::Starting | TaskState::Running);
        if task.attempt != attempt.number || !live || task.state == to {
            return false;
        }
        let from = std::mem::replace(&mut task.state, to);
        *self.counts.of(from) -= 1;
        *self.counts.of(to) += 1;
        true
    }

    pub(crate) fn attempt_started(&mut self, attempt: AttemptId, grant: GrantId) -> bool {
        let Some(task) = self.tasks.get_mut(attempt.task.index as usize) else { return false };
        if attempt.number <= task.attempt {
            return false;
        }
        *self.counts.of(task.state) -= 1;
        self.counts.starting += 1;
        *task = Task { state: TaskState::Starting, attempt: attempt.number, grant: Some(grant), code: task.code };
        self.tries += 1;
        true
    }

    pub(crate) fn attempt_ended(&mut self, attempt: AttemptId, grant: GrantId, (exit, again): (&Exit, bool)) {
        if !self.move_task(attempt, after(exit, again)) {
            return;
        }
        self.tasks[attempt.task.index as usize].code = Some(exit.shell_code());
        self.used = self.used.and(exit.used);
        if !exit.ok() {
            self.failures += 1;
            self.keep(Failure { attempt, grant, exit: exit.clone(), again });
        } else if !exit.text.is_empty() && self.odd.is_none() {
            self.odd = Some((attempt, exit.text.clone()));
        }
    }

    /// Keeps a failure while there is room. One that ended a task pushes out one that was tried again.
    fn keep(&mut self, failure: Failure) {
        if self.failed.len() >= FAILURES_KEPT {
            let tried_again = self.failed.iter().skip(1).position(|kept| kept.again);
            let Some(place) = tried_again.filter(|_| !failure.again) else { return };
            self.failed.remove(place + 1);
        }
        self.failed.push(failure);
    }
}

/// Where an ended attempt leaves its task.
fn after(exit: &Exit, again: bool) -> TaskState {
    match exit.cause {
        None => TaskState::Succeeded,
        Some(_) if again => TaskState::Waiting,
        Some(Cause::Stopped) => TaskState::Stopped,
        Some(cause) if cause.info().owner == Owner::User => TaskState::Failed,
        Some(_) => TaskState::Lost,
    }
}
