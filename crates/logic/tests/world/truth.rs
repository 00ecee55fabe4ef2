//! What a journal must say, whatever happened: folded here a second time, by other rules than the machines'.

use std::collections::{BTreeMap, BTreeSet};

use dybox_job::Plan;
use dybox_model::{AttemptId, Fact, GrantId, HookId, StageEnd, StageId, TaskId};

/// What the facts so far mean.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    running: BTreeMap<StageId, u32>,
    pub(crate) ends: BTreeMap<StageId, StageEnd>,
    live: BTreeMap<TaskId, AttemptId>,
    last: BTreeMap<TaskId, u32>,
    succeeded: BTreeSet<TaskId>,
    grants: BTreeSet<GrantId>,
    decided: BTreeSet<HookId>,
    stopping: bool,
    pub(crate) ended: Option<StageEnd>,
}

impl Truth {
    /// Takes one fact in.
    ///
    /// # Errors
    /// What can't be true.
    pub(crate) fn take(&mut self, plan: &Plan, fact: &Fact) -> Result<(), String> {
        let late = self.ended.is_some()
            && !matches!(fact, Fact::GrantEnded { .. } | Fact::GrantResized { .. } | Fact::Reopened { .. });
        rule(!late || matches!(fact, Fact::GrantGot { .. }), "nothing happens after the end")?;
        match fact {
            Fact::StageStarted { stage, tasks, .. } => self.start_stage(plan, *stage, *tasks)?,
            Fact::StageEnded { stage, end, .. } => self.end_stage(plan, *stage, *end)?,
            Fact::StageTaken { stage, results, .. } => {
                let tasks = self.running.get(stage).copied();
                rule(tasks.is_some_and(|tasks| tasks as usize == results.len()), "a stage that runs is taken whole")?;
                rule(!self.live.keys().any(|task| task.stage == *stage), "what is taken does not run")?;
                self.succeeded.extend((0..tasks.unwrap_or(0)).map(|index| TaskId { stage: *stage, index }));
            }
            Fact::GrantGot { grant, .. } => rule(self.grants.insert(*grant), "a grant is got once")?,
            Fact::GrantResized { grant, .. } => rule(self.grants.contains(grant), "a grant that is held is resized")?,
            Fact::GrantEnded { grant, .. } => rule(self.grants.remove(grant), "a grant ends once")?,
            Fact::AttemptStarted { attempt, grant, .. } => self.start_attempt(*attempt, *grant)?,
            Fact::AttemptRuns { attempt, .. } => {
                rule(self.live.get(&attempt.task) == Some(attempt), "only a live attempt runs")?;
            }
            Fact::AttemptEnded { attempt, exit, again } => {
                rule(self.live.remove(&attempt.task) == Some(*attempt), "only a live attempt ends")?;
                rule(!(exit.ok() && *again), "no success is tried again")?;
                if exit.ok() {
                    self.succeeded.insert(attempt.task);
                }
            }
            Fact::HookDecided { hook, .. } => rule(self.decided.insert(*hook), "a hook decides once")?,
            Fact::StopAsked { .. } => {
                rule(!self.stopping, "a stop is written down once")?;
                self.stopping = true;
            }
            Fact::Reopened { .. } => {
                self.ends.retain(|_, end| *end == StageEnd::Succeeded);
                let said = |task: &TaskId| plan.stages[task.stage.0 as usize].hook;
                self.succeeded.retain(|task| said(task).is_none_or(|hook| self.decided.contains(&hook)));
                self.running.clear();
                (self.stopping, self.ended) = (false, None);
            }
            Fact::Ended { end, .. } => self.end(plan, *end)?,
            _ => {}
        }
        Ok(())
    }

    fn start_stage(&mut self, plan: &Plan, stage: StageId, tasks: u32) -> Result<(), String> {
        rule(!self.stopping, "nothing starts after a stop")?;
        rule(!self.ends.contains_key(&stage), "a stage that ended does not start")?;
        rule(self.running.insert(stage, tasks).is_none(), "a stage starts once")?;
        for (need, kind) in &plan.stages[stage.0 as usize].needs {
            let met = self.ends.get(need).is_some_and(|end| kind.met_by(*end));
            rule(met, "a stage starts after its needs are met")?;
        }
        for (id, hook) in (0u32..).zip(&plan.hooks).filter(|(_, hook)| hook.holds.contains(&stage)) {
            let void =
                hook.after.iter().any(|after| self.ends.get(after).is_some_and(|end| *end != StageEnd::Succeeded));
            rule(void || self.decided.contains(&HookId(id)), "a stage waits for the hooks that hold it")?;
        }
        Ok(())
    }

    fn end_stage(&mut self, plan: &Plan, stage: StageId, end: StageEnd) -> Result<(), String> {
        rule(self.ends.insert(stage, end).is_none(), "a stage ends once")?;
        let tasks = self.running.remove(&stage);
        rule(tasks.is_some() != (end == StageEnd::Skipped), "what ran is not skipped, what ended otherwise ran")
            .or_else(|wrong| if end == StageEnd::Stopped { Ok(()) } else { Err(wrong) })?;
        let of = |task: &TaskId| task.stage == stage;
        rule(!self.live.keys().any(of), "a stage ends after its attempts")?;
        let done = self.succeeded.iter().filter(|task| of(task)).count();
        let all = tasks.is_some_and(|tasks| done == tasks as usize);
        match plan.stages[stage.0 as usize].hook {
            Some(hook) if end == StageEnd::Succeeded => {
                rule(all && self.decided.contains(&hook), "a hook that succeeds has decided")
            }
            Some(hook) => rule(!self.decided.contains(&hook), "a hook that decided has succeeded"),
            None => rule(all == (end == StageEnd::Succeeded), "a stage succeeds when all its tasks did"),
        }
    }

    fn start_attempt(&mut self, attempt: AttemptId, grant: GrantId) -> Result<(), String> {
        let task = attempt.task;
        let tasks = self.running.get(&task.stage).copied().unwrap_or(0);
        rule(task.index < tasks, "an attempt is of a running stage")?;
        rule(self.grants.contains(&grant), "an attempt starts in a grant that is held")?;
        rule(!self.succeeded.contains(&task), "what succeeded does not run again")?;
        rule(self.live.insert(task, attempt).is_none(), "no task has two live attempts")?;
        let last = self.last.insert(task, attempt.number).unwrap_or(0);
        rule(attempt.number > last, "numbers of attempts never repeat")
    }

    fn end(&mut self, plan: &Plan, end: StageEnd) -> Result<(), String> {
        rule(self.ended.replace(end).is_none(), "the sub-DAG ends once")?;
        let ours = plan.subdags[0].stages.iter().all(|stage| self.ends.contains_key(stage));
        rule(ours, "every stage ended before the sub-DAG")?;
        let any = |wanted| self.ends.values().any(|end| *end == wanted);
        rule(!any(StageEnd::Failed) || end == StageEnd::Failed, "a failed stage makes the run failed")?;
        rule(end != StageEnd::Succeeded || !(any(StageEnd::Lost) || self.stopping), "only what went well succeeded")
    }

    /// What must hold when all is over.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        rule(self.ended.is_some(), "the end was reached")?;
        rule(self.live.is_empty(), "no attempt is left")?;
        rule(self.grants.is_empty(), "no grant is left")
    }

    /// Whether a hook's decision is written down.
    pub(crate) fn has_decided(&self, hook: HookId) -> bool {
        self.decided.contains(&hook)
    }
}

fn rule(holds: bool, words: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("broken: {words}")) }
}
