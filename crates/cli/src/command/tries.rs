//! Every try of one task, as the journal tells them.

use std::collections::BTreeMap;

use dybox_model::{Exit, Fact, GrantId, Millis, TaskId};

use super::Context;
use super::look::{Looked, facts};
use crate::report::Failure;

/// Somebody who looked into a try.
#[derive(Debug)]
pub(crate) struct Visited {
    /// Who.
    pub by: String,
    /// What for, in short.
    pub want: String,
    /// When.
    pub at: Millis,
}

/// One try, as the facts tell it.
#[derive(Debug)]
pub(crate) struct Try {
    /// Where it is or was.
    pub grant: GrantId,
    /// When it was given to the grant.
    pub given: Millis,
    /// When its container was seen running.
    pub runs: Option<Millis>,
    /// The engine's id of its container.
    pub container: String,
    /// How it ended, and whether the task was tried again.
    pub exit: Option<(Exit, bool)>,
    /// Who looked into it.
    pub visits: Vec<Visited>,
}

impl Try {
    /// The word for where it stands.
    pub(crate) fn word(&self) -> &'static str {
        match &self.exit {
            None if self.runs.is_some() => "running",
            None => "starting",
            Some((exit, _)) if exit.ok() => "succeeded",
            Some(_) => "failed",
        }
    }

    /// How long its payload ran.
    pub(crate) fn wall(&self) -> Option<Millis> {
        let (exit, _) = self.exit.as_ref()?;
        Some(exit.ended.since(exit.started?))
    }
}

/// The tries of a task by number, from the journal of its sub-DAG.
pub(crate) async fn tries(context: &Context, looked: &Looked, task: TaskId) -> Result<BTreeMap<u32, Try>, Failure> {
    let subdag = looked.plan.stages.get(task.stage.0 as usize).map_or(dybox_model::SubDagId(0), |stage| stage.subdag);
    Ok(of(facts(&context.client()?, &looked.info.run, subdag).await?, task))
}

fn of(facts: Vec<Fact>, task: TaskId) -> BTreeMap<u32, Try> {
    let mut tries = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::AttemptStarted { attempt, grant, at } if attempt.task == task => {
                let one =
                    Try { grant, given: at, runs: None, container: String::new(), exit: None, visits: Vec::new() };
                tries.insert(attempt.number, one);
            }
            Fact::AttemptRuns { attempt, container, at } if attempt.task == task => {
                if let Some(one) = tries.get_mut(&attempt.number) {
                    one.runs = Some(at);
                    one.container = container;
                }
            }
            Fact::Visited { attempt, by, want, at } if attempt.task == task => {
                if let Some(one) = tries.get_mut(&attempt.number) {
                    one.visits.push(Visited { by, want, at });
                }
            }
            Fact::AttemptEnded { attempt, exit, again } if attempt.task == task => {
                if let Some(one) = tries.get_mut(&attempt.number) {
                    one.exit = Some((exit, again));
                }
            }
            _ => {}
        }
    }
    tries
}
