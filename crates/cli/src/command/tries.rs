//! Every try of one task, as the journal tells them.

use std::collections::{BTreeMap, VecDeque};

use dybox_model::{AttemptId, Exit, Fact, GrantId, Millis, Published, TaskId, TaskState};
use dybox_store::archive::Stream;
use dybox_store::logs::{LineItem, Lines, Select};

use super::Context;
use super::look::{Looked, facts};
use crate::report::Failure;
use crate::report::safe::safe;
use crate::report::state::task_word;

/// Lines of stderr that are shown with a failure.
const LINES: usize = 10;

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
    /// Where its ports are reached, or were.
    pub ports: Vec<Published>,
    /// How it ended, and whether the task was tried again.
    pub exit: Option<(Exit, bool)>,
    /// Who looked into it.
    pub visits: Vec<Visited>,
    /// Nobody drives it any more: what became of it, since no record tells.
    pub gone: Option<TaskState>,
}

impl Try {
    /// The word for where it stands.
    pub(crate) fn word(&self) -> &'static str {
        match (&self.exit, self.gone) {
            (None, Some(gone)) => task_word(gone),
            (None, None) if self.runs.is_some() => "running",
            (None, None) => "starting",
            (Some((exit, _)), _) if exit.ok() => "succeeded",
            (Some(_), _) => "failed",
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
    let mut tries = of(facts(&context.client()?, &looked.info.run, subdag).await?, task);
    let stands = looked.seen(task.stage).and_then(|stage| stage.tasks.get(task.index as usize)).map(|task| task.state);
    let gone = stands.filter(|state| matches!(state, TaskState::Stopped | TaskState::Lost));
    tries.values_mut().filter(|one| one.exit.is_none()).for_each(|one| one.gone = gone);
    Ok(tries)
}

fn of(facts: Vec<Fact>, task: TaskId) -> BTreeMap<u32, Try> {
    let mut tries = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::AttemptStarted { attempt, grant, at } if attempt.task == task => {
                let (container, ports, visits) = Default::default();
                let one = Try { grant, given: at, runs: None, container, ports, exit: None, visits, gone: None };
                tries.insert(attempt.number, one);
            }
            Fact::AttemptRuns { attempt, container, at, ports } if attempt.task == task => {
                if let Some(one) = tries.get_mut(&attempt.number) {
                    one.runs = Some(at);
                    one.container = container;
                    one.ports = ports;
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

/// The last lines of stderr of a try.
pub(crate) async fn last_lines(context: &Context, looked: &Looked, attempt: AttemptId) -> Result<Vec<String>, Failure> {
    let task = attempt.task;
    let select = |stream| Select {
        stage: Some(task.stage),
        task: Some(task.index),
        attempt: Some(attempt.number),
        stream: Some(stream),
        since: None,
        until: None,
    };
    let client = context.client()?;
    let mut logs = client.logs(&looked.info.run, select(Stream::Stderr)).await?;
    logs.tail(LINES).await?;
    let (mut lines, mut ready) = (Lines::new(), VecDeque::new());
    while let Some(item) = logs.next().await? {
        lines.push(item, &mut ready);
    }
    lines.flush(&mut ready);
    Ok(ready
        .into_iter()
        .filter_map(|item| match item {
            LineItem::Line(line) => Some(safe(&line.text).into_owned()),
            LineItem::Gap(_) => None,
        })
        .collect())
}
