//! Stages and their tasks: who waits, who is tried, who is done. Knows nothing of grants and of the resource manager.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use dybox_job::{Plan, Retry};
use dybox_model::{AttemptId, Cause, Declared, Exit, Millis, StageEnd, StageId, SubDagId, TaskId};

use super::ladder::{self, Ladder};
use super::lots::{Lots, Room, Sizes};
use super::rests::{self, Rest};
use super::retry::{self, Next, Tries};
use super::shapes::{Form, Place, Shapes};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    /// Pauses before its next try.
    Resting,
    /// Given to a grant.
    Live,
    /// Its container runs.
    Runs,
    Succeeded,
    /// Ended otherwise.
    Over,
}

/// One task: twelve bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    /// Number of its last attempt; 0 = none yet.
    pub(super) last: u32,
    /// Exit code of the last attempt that ended.
    pub(super) code: i16,
    pub(super) ended: bool,
    pub(super) state: State,
    pub(super) tries: Tries,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Unstarted,
    Running,
    Ended(StageEnd),
}

/// How a stage will end once nothing of it is live.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) end: StageEnd,
    pub(super) why: String,
    /// What it fails of, where no attempt of it tells that.
    pub(super) cause: Option<Cause>,
}

/// One stage of the plan. Those of other sub-DAGs never start.
#[derive(Debug)]
pub(super) struct Stage {
    /// The shape of its asks; where its tasks ask for different ones, that of the plan.
    pub(super) shape: u32,
    pub(super) lots: Option<Box<Lots>>,
    /// It has a sandbox beside each task.
    pub(super) bridge: bool,
    pub(super) phase: Phase,
    pub(super) ours: bool,
    /// Where its tasks lie in the array of all.
    pub(super) first: u32,
    pub(super) tasks: u32,
    /// Tasks below this one were looked at; those of them that wait are in `again`.
    pub(super) next: u32,
    pub(super) again: Vec<u32>,
    pub(super) waiting: u32,
    pub(super) resting: u32,
    pub(super) live: u32,
    pub(super) succeeded: u32,
    pub(super) verdict: Option<Box<Verdict>>,
    pub(super) rules: Retry,
    /// The shapes that its asks may have.
    pub(super) ladder: Ladder,
    /// Somebody sits at its terminal.
    pub(super) watched: bool,
    pub(super) reuse: bool,
    /// What its tasks ask for, where that is known late.
    pub(super) late_sizes: Option<dybox_job::Sizes>,
    /// What its tasks have to write.
    pub(super) results: Option<Declared>,
    /// It runs after everything: when the run is reopened all of it runs again.
    pub(super) last: bool,
    /// It is a hook: what it said is judged before it ends, so a success of its task may be none of its own.
    pub(super) hook: bool,
}

/// All stages and tasks.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) stages: Vec<Stage>,
    pub(super) tasks: Vec<Task>,
    pub(super) shapes: Shapes,
    pub(super) rests: BinaryHeap<Reverse<Rest>>,
    /// Pauses that no clock has seen yet: due as if they began when the attempt ended.
    pub(super) fresh: Vec<Rest>,
    /// Stages that may have ended.
    pub(super) touched: Vec<u32>,
    /// Stages of which what is live is to be ended.
    pub(super) condemned: Vec<u32>,
    pub(super) results: BTreeMap<TaskId, Box<str>>,
    /// When the containers began that run now.
    pub(super) since: BTreeMap<TaskId, Millis>,
    /// Of stages whose tasks differ.
    pub(super) sizes: BTreeMap<u32, Sizes>,
    pub(super) room: Room,
}

impl Tasks {
    /// `shape_of` tells what a stage's asks are like.
    pub(super) fn new(
        plan: &Plan,
        (subdag, room): (SubDagId, Room),
        shape_of: impl Fn(u32, &dybox_job::Stage) -> Form,
    ) -> Self {
        let ours = |stage: &&dybox_job::Stage| stage.subdag == subdag;
        let numbered = || (0u32..).zip(&plan.stages);
        let forms = |(id, stage)| ladder::forms(stage).into_iter().map(move |form| (id, form));
        let all = numbered().filter(|(_, stage)| ours(stage)).flat_map(forms);
        let mut shapes = Shapes::of(all.map(|(id, form)| shape_of(id, &form)));
        let mut stages = Vec::with_capacity(plan.stages.len());
        for (id, stage) in numbered() {
            let find = |form: &dybox_job::Stage| shapes.find(&shape_of(id, form)).unwrap_or(0);
            let (shape, ladder) = (find(stage), Ladder::of(stage, find));
            if ours(&stage) {
                shapes.expect(shape, 1, 0);
            }
            stages.push(Stage::new(stage, ours(&stage), (shape, ladder)));
        }
        Self {
            stages,
            tasks: Vec::new(),
            shapes,
            rests: BinaryHeap::new(),
            fresh: Vec::new(),
            touched: Vec::new(),
            condemned: Vec::new(),
            results: BTreeMap::new(),
            since: BTreeMap::new(),
            sizes: BTreeMap::new(),
            room,
        }
    }

    pub(super) fn stage(&self, stage: StageId) -> Option<&Stage> {
        self.stages.get(stage.0 as usize)
    }

    pub(super) fn place(&self, task: TaskId) -> Option<usize> {
        let stage = self.stage(task.stage).filter(|stage| task.index < stage.tasks)?;
        Some((stage.first + task.index) as usize)
    }

    pub(super) fn task(&self, task: TaskId) -> Option<&Task> {
        self.tasks.get(self.place(task)?)
    }

    pub(super) fn result_of(&self, task: TaskId) -> Option<&str> {
        self.results.get(&task).map(|result| &**result)
    }

    /// How a running stage will end, where that is certain and not a success.
    pub(super) fn verdict(&self, stage: StageId) -> Option<&Verdict> {
        self.stage(stage)?.verdict.as_deref()
    }

    /// A stage's tasks may start.
    pub(super) fn begin(&mut self, id: StageId, count: u32) {
        let Some(stage) = self.stages.get_mut(id.0 as usize) else { return };
        if stage.phase != Phase::Unstarted || !stage.ours {
            return;
        }
        self.shapes.expect(stage.shape, 0, 1);
        stage.phase = Phase::Running;
        if stage.tasks != count {
            rests::allot(stage, &mut self.tasks, count);
        }
        let mine = &self.tasks[stage.first as usize..][..count as usize];
        let number = |state: fn(State) -> bool| mine.iter().filter(|task| state(task.state)).fold(0, |sum, _| sum + 1);
        stage.succeeded = number(|state| state == State::Succeeded);
        stage.live = number(|state| matches!(state, State::Live | State::Runs));
        stage.next = 0;
        stage.again.clear();
        stage.waiting = count - stage.succeeded - stage.live;
        self.line_up(id.0);
        self.touched.push(id.0);
    }

    /// A stage is over for the driver: it ended, or will never start.
    pub(super) fn close(&mut self, id: StageId, end: StageEnd) {
        let Some(stage) = self.stages.get_mut(id.0 as usize).filter(|stage| stage.ours) else { return };
        match stage.phase {
            Phase::Unstarted => self.shapes.expect(stage.shape, 0, 1),
            Phase::Running => self.drop_waiting(id),
            Phase::Ended(_) => return,
        }
        self.stages[id.0 as usize].phase = Phase::Ended(end);
    }

    pub(super) fn drop_waiting(&mut self, id: StageId) {
        self.leave_lines(id.0);
        let stage = &mut self.stages[id.0 as usize];
        self.shapes.expect(stage.shape, 0, stage.resting);
        stage.resting = 0;
        stage.again = Vec::new();
    }

    /// It is certain how this stage ends: what waits no longer does, what is live is to be ended.
    pub(super) fn condemn(&mut self, id: StageId, verdict: Verdict) {
        let stage = &mut self.stages[id.0 as usize];
        if stage.phase == Phase::Running && stage.verdict.is_none() {
            stage.verdict = Some(Box::new(verdict));
            self.drop_waiting(id);
            self.condemned.push(id.0);
            self.touched.push(id.0);
        }
    }

    /// Everything is to end: stages that run are condemned, the others never start.
    pub(super) fn stop(&mut self, why: &str) {
        for stage in (0u32..).take(self.stages.len()).map(StageId) {
            match self.stages[stage.0 as usize].phase {
                Phase::Running => {
                    self.condemn(stage, Verdict { end: StageEnd::Stopped, why: why.to_owned(), cause: None });
                }
                Phase::Unstarted => self.close(stage, StageEnd::Stopped),
                Phase::Ended(_) => {}
            }
        }
    }

    /// The next task of a shape, as the attempt that it will be: of the first stage in the file.
    pub(super) fn pick(&mut self, shape: u32) -> Option<AttemptId> {
        let id = self.shapes.stages(shape).first().copied()?;
        let number = |tasks: &[Task], stage: &Stage, index: u32| {
            let number = tasks[(stage.first + index) as usize].last + 1;
            AttemptId { task: TaskId { stage: StageId(id), index }, number }
        };
        let stage = &mut self.stages[id as usize];
        if let Some(first) = stage.first_in(shape) {
            return first.map(|index| number(&self.tasks, stage, index));
        }
        let waits = |index: u32| self.tasks[(stage.first + index) as usize].state == State::Waiting;
        let again = loop {
            match stage.again.pop() {
                Some(index) if !waits(index) => {}
                found => break found,
            }
        };
        let index = again.unwrap_or_else(|| {
            while !waits(stage.next) {
                stage.next += 1;
            }
            stage.next += 1;
            stage.next - 1
        });
        Some(number(&self.tasks, stage, index))
    }

    /// An attempt was given to a grant.
    pub(super) fn started(&mut self, attempt: AttemptId) {
        let Some(place) = self.place(attempt.task) else { return };
        let id = attempt.task.stage.0;
        let (stage, task) = (&mut self.stages[id as usize], &mut self.tasks[place]);
        let mut waited = false;
        if stage.phase == Phase::Running && stage.verdict.is_none() {
            match task.state {
                State::Waiting => waited = true,
                State::Resting => {
                    stage.resting -= 1;
                    self.shapes.expect(stage.shape, 0, 1);
                }
                _ => return,
            }
        }
        stage.live += 1;
        task.last = attempt.number;
        task.state = State::Live;
        if waited {
            self.turn(id, attempt.task.index, false);
        }
    }

    /// Its container runs.
    pub(super) fn runs(&mut self, attempt: AttemptId, at: Millis) {
        if let Some(place) = self.place(attempt.task) {
            self.tasks[place].state = State::Runs;
            self.since.insert(attempt.task, at);
        }
    }

    /// What follows the end of a live attempt. `squeezed`: it had less memory than its stage may give it.
    pub(super) fn next(&self, attempt: AttemptId, exit: &Exit, squeezed: bool) -> Next {
        let Some((stage, task)) = self.stage(attempt.task.stage).zip(self.task(attempt.task)) else {
            return Next::Over(StageEnd::Stopped);
        };
        let tries = self.tries(task, attempt, exit);
        match exit.cause {
            Some(Cause::Stopped) if stage.verdict.is_some() => Next::Over(StageEnd::Stopped),
            Some(cause) if stage.verdict.is_some() => Next::Over(retry::end_of(cause)),
            Some(cause) if stage.watched && retry::keeps_a_person_waiting(cause, tries) => {
                Next::Over(retry::end_of(cause))
            }
            Some(Cause::Oom) if squeezed => retry::with_more(tries),
            _ if stage.tasks == 1 => retry::after(exit, &stage.rules, tries),
            _ => retry::spread(retry::after(exit, &stage.rules, tries), attempt),
        }
    }

    fn tries(&self, task: &Task, attempt: AttemptId, exit: &Exit) -> Tries {
        task.tries.at_end(exit, self.since.get(&attempt.task).copied())
    }

    /// A live attempt ended.
    pub(super) fn ended(&mut self, attempt: AttemptId, exit: &Exit, (again, squeezed): (bool, bool)) {
        let next = self.next(attempt, exit, squeezed);
        let Some(place) = self.place(attempt.task) else { return };
        let before = self.tries(&self.tasks[place], attempt, exit);
        self.since.remove(&attempt.task);
        let id = attempt.task.stage;
        let (stage, task) = (&mut self.stages[id.0 as usize], &mut self.tasks[place]);
        stage.live -= 1;
        task.code = i16::try_from(exit.shell_code()).unwrap_or(i16::MAX);
        task.ended = true;
        self.touched.push(id.0);
        match next {
            Next::Done => {
                task.state = State::Succeeded;
                stage.succeeded += 1;
                if let Some(result) = &exit.result {
                    self.results.insert(attempt.task, result.as_str().into());
                }
            }
            // Its stage is not open (the run was reopened meanwhile): it waits for that.
            _ if stage.phase != Phase::Running => task.state = State::Waiting,
            Next::Again { pause, tries } if again => {
                let most = attempt.number.saturating_add(tries.left(before, &stage.rules));
                task.state = State::Resting;
                task.tries = tries;
                stage.resting += 1;
                self.shapes.expect(stage.shape, 1, 0);
                self.fresh.push(Rest { due: exit.ended.after(pause), before: attempt, pause, most });
            }
            // The record decides; rules of another version may have decided otherwise.
            Next::Again { .. } | Next::Over(_) => {
                task.state = State::Over;
                let end = exit.cause.map_or(StageEnd::Failed, retry::end_of);
                let end = if let Next::Over(end) = next { end } else { end };
                let why = self.sentence(attempt, exit);
                self.condemn(id, Verdict { end, why, cause: None });
            }
        }
        self.learn(id, exit, squeezed);
    }

    fn sentence(&self, attempt: AttemptId, exit: &Exit) -> String {
        let what = exit.words();
        let only = self.stage(attempt.task.stage).is_some_and(|stage| stage.tasks == 1);
        if only { what } else { format!("task {}: {what}", attempt.task.index) }
    }

    /// After a recovery everything is to be looked at once.
    pub(super) fn look_at_all(&mut self) {
        self.touched = (0u32..).take(self.stages.len()).collect();
        self.ask_anew();
    }

    /// What waits is to be looked at.
    fn ask_anew(&mut self) {
        let active: Vec<u32> = self.shapes.active().collect();
        self.shapes.changed.extend(active);
    }

    /// Where the tasks of a stage may run, where it matters for it or for others where they do.
    pub(super) fn kept_apart(&self, stage: StageId) -> Option<&Place> {
        let stage = self.stage(stage).filter(|stage| stage.ours)?;
        self.shapes.get(stage.shape).place.as_deref().filter(|place| place.is_kept_apart())
    }

    /// How a stage ended, where it has and nobody was told yet. It is told once.
    pub(super) fn settle(&mut self, id: StageId) -> Option<Verdict> {
        let stage = self.stages.get_mut(id.0 as usize).filter(|stage| stage.phase == Phase::Running)?;
        let told = if stage.succeeded == stage.tasks {
            Verdict { end: StageEnd::Succeeded, why: String::new(), cause: None }
        } else {
            stage.verdict.as_deref().filter(|_| stage.live == 0)?.clone()
        };
        self.close(id, told.end);
        Some(told)
    }
}
