//! Going on with a run: what finished stays, the rest runs again.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_job::Plan;
use dybox_journal::StageState;
use dybox_model::{Login, RunId, StageEnd, SubDagId};
use dybox_store::layout::{Machine, RunDir};
use tokio::time::{Instant, sleep};

use crate::client::Place;
use crate::folded::Folded;
use crate::{Client, ClientError, Way};

/// How long a master that has ended may take to clean up.
const CLEANING: Duration = Duration::from_secs(35);
const SUCCEEDED: StageState = StageState::Ended(StageEnd::Succeeded);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What `resume` did.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Sub-DAGs that had not ended: their master was started again.
    pub continued: Vec<SubDagId>,
    /// Sub-DAGs that had ended without success: they were opened again.
    pub reopened: Vec<SubDagId>,
    /// How to follow what was started.
    pub way: Way,
}

impl Resumed {
    /// Whether there was nothing to do: the run has succeeded.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.continued.is_empty() && self.reopened.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Todo {
    /// It has succeeded; every stage of it has.
    Nothing,
    /// It has ended well with stages that did not run, at so many bytes of its journal.
    NothingYet(u64),
    /// It has not ended; so many bytes of its journal are there.
    Continue(u64),
    /// It has ended without success.
    Reopen(u64),
}

impl Client {
    /// Starts masters for all of a run that has not succeeded, in this session of the cluster where one is named. All or
    /// nothing is decided before any is started. Secrets are read again; `logins`: for the registries of its images.
    ///
    /// # Errors
    /// `Held` when a master of the run lives; `NeverBegan` when none ever did; `Damaged` when a journal is; the store's;
    /// `Spawn`; `NoSession`, `NoSessions`, `NotTaken` and `Unsure`.
    pub async fn resume(
        &self,
        run: &RunId,
        plan: &Plan,
        (session, logins): (Option<&str>, BTreeMap<String, Login>),
    ) -> Result<Resumed, ClientError> {
        if let Some(name) = session {
            self.session_named(name).await?;
        }
        let mut todo = Vec::new();
        for n in 0..u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX) {
            todo.push(self.todo(run, SubDagId(n), plan.is_last(SubDagId(n))).await?);
        }
        if self.store.is_remote() && self.store.stat(&RunDir::new(run).plan()).await?.is_none() {
            return Err(ClientError::NeverBegan);
        }
        reopen_what_waited(plan, &mut todo);
        let again = |(todo, (subdag, _)): (&Todo, (SubDagId, _))| (*todo != Todo::Nothing).then_some(subdag);
        if let Place::Machine(machine) = &self.place
            && todo.iter().any(|todo| *todo != Todo::Nothing)
        {
            let values = machine.secrets_again(&self.store, run, plan).await?;
            for subdag in todo.iter().zip(crate::client::subdags(plan)).filter_map(again) {
                machine.put_secrets(&self.store, run, (plan, subdag), &values).await?;
            }
        }
        // An earlier stop must not end it again.
        if todo.iter().any(|todo| *todo != Todo::Nothing) {
            self.store.remove(&RunDir::new(run).stop()).await?;
        }
        self.mark_again(run, &todo).await?;
        let mut resumed = Resumed::default();
        for (n, sub) in (0..).zip(&plan.subdags) {
            let waits = sub.needs.iter().any(|need| todo[need.0 as usize] != Todo::Nothing);
            self.resume_one(run, SubDagId(n), (todo[n as usize], waits), &mut resumed).await?;
            if todo[n as usize] == Todo::Nothing && self.left_something(run, SubDagId(n)).await? {
                // Killed after its end, while it cleaned up: a new master does that and ends. Nobody waits for it.
                self.begin_again(run, SubDagId(n), false, &mut Way::default()).await?;
            }
        }
        if let Place::Cluster(cluster) = &self.place {
            cluster.submit_again(run, &resumed.way.again, (session, logins)).await?;
        }
        resumed.way.supervise = true;
        Ok(resumed)
    }

    /// Whoever ends first starts what waits for all: it must not take an earlier end for the one that is to come.
    async fn mark_again(&self, run: &RunId, todo: &[Todo]) -> Result<(), ClientError> {
        let dir = RunDir::new(run);
        for (n, todo) in (0..).zip(todo) {
            if matches!(todo, Todo::Reopen(_)) {
                self.store.claim(&dir.sub(SubDagId(n)).again()).await?;
            }
        }
        Ok(())
    }

    /// `waits`: something that it needs runs again first.
    async fn resume_one(
        &self,
        run: &RunId,
        subdag: SubDagId,
        (todo, waits): (Todo, bool),
        resumed: &mut Resumed,
    ) -> Result<(), ClientError> {
        let (past, reopen) = match todo {
            Todo::Nothing | Todo::NothingYet(_) => return Ok(()),
            Todo::Continue(past) => (past, false),
            Todo::Reopen(past) => (past, true),
        };
        let list = if reopen { &mut resumed.reopened } else { &mut resumed.continued };
        list.push(subdag);
        resumed.way.past.insert(subdag, past);
        if waits && (reopen || past == 0) {
            // The master that finishes its last need starts it, as ever; for that nobody may have claimed it.
            self.store.remove(&RunDir::new(run).sub(subdag).claim()).await?;
        } else {
            self.begin_again(run, subdag, reopen, &mut resumed.way).await?;
        }
        Ok(())
    }

    /// Starts the master of a sub-DAG again.
    async fn begin_again(&self, run: &RunId, subdag: SubDagId, reopen: bool, way: &mut Way) -> Result<(), ClientError> {
        match &self.place {
            Place::Machine(machine) => way.masters.push((subdag, machine.start_master(run, subdag, reopen)?)),
            // All at once, below: they share their certificates.
            Place::Cluster(_) => way.again.push((subdag, reopen)),
        }
        Ok(())
    }

    /// Whether a sub-DAG that nobody holds still has shares of the budget. On the cluster YARN took everything back.
    async fn left_something(&self, run: &RunId, subdag: SubDagId) -> Result<bool, ClientError> {
        let own = format!("{run}.g{}-", subdag.0);
        let shares = match self.store.list(&Machine::shares()).await {
            Err(error) if error.is_missing() => return Ok(false),
            shares => shares?,
        };
        Ok(shares.iter().any(|share| share.name.starts_with(&own)) && !self.is_driven(run, subdag).await?)
    }

    /// `last`: what runs after everything does so again, where anything does.
    async fn todo(&self, run: &RunId, subdag: SubDagId, last: bool) -> Result<Todo, ClientError> {
        let patience = Instant::now() + CLEANING;
        loop {
            let held = self.is_driven(run, subdag).await?;
            let Folded { run: folded, damage, whole: past, .. } = self.folded(run, subdag).await?;
            if let Some(why) = damage {
                return Err(ClientError::Damaged { what: format!("the journal of sub-DAG {}", subdag.0), why });
            }
            match folded.end.map(|ended| ended.end) {
                Some(StageEnd::Succeeded | StageEnd::Skipped) => {
                    if !last && folded.stages.iter().all(|stage| stage.state == SUCCEEDED) {
                        return Ok(Todo::Nothing);
                    }
                    // One that cleans up would refuse its lock to the next, and may still write.
                    if !held {
                        return Ok(Todo::NothingYet(past));
                    }
                    if Instant::now() >= patience {
                        return Err(self.held(run, subdag).await);
                    }
                    sleep(LOOK_AGAIN).await;
                }
                Some(_) if !held => return Ok(Todo::Reopen(past)),
                None if !held => return Ok(Todo::Continue(past)),
                // It has ended and cleans up.
                Some(_) if Instant::now() < patience => sleep(LOOK_AGAIN).await,
                _ => return Err(self.held(run, subdag).await),
            }
        }
    }

    async fn held(&self, run: &RunId, subdag: SubDagId) -> ClientError {
        ClientError::Held { run: run.clone(), subdag, by: self.holder(run, subdag).await }
    }
}

/// Stages were skipped where what they needed failed: when that runs again, they may run after all. Nothing else that
/// ended well runs again.
fn reopen_what_waited(plan: &Plan, todo: &mut [Todo]) {
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (n, sub) in plan.subdags.iter().enumerate() {
            let again = |need: &SubDagId| matches!(todo[need.0 as usize], Todo::Continue(_) | Todo::Reopen(_));
            if let Todo::NothingYet(past) = todo[n]
                && sub.needs.iter().any(again)
            {
                todo[n] = Todo::Reopen(past);
                changed = true;
            }
        }
    }
    todo.iter_mut().filter(|todo| matches!(todo, Todo::NothingYet(_))).for_each(|todo| *todo = Todo::Nothing);
}
