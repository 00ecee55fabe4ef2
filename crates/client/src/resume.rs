//! Going on with a run: what finished stays, the rest runs again.

use dybox_job::Plan;
use dybox_model::{RunId, StageEnd, SubDagId};
use dybox_store::layout::RunDir;

use crate::{Client, ClientError, Way};

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

enum Todo {
    Nothing,
    Continue,
    Reopen,
}

impl Client {
    /// Starts masters for all of a run that has not succeeded. All or nothing is decided before any is started.
    ///
    /// # Errors
    /// `Held` when a master of the run lives; `Damaged` when a journal is; the store's; `Spawn`.
    pub async fn resume(&self, run: &RunId, plan: &Plan) -> Result<Resumed, ClientError> {
        let count = u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX);
        if let Some(subdag) = (0..count).map(SubDagId).find(|&subdag| self.is_held(run, subdag).unwrap_or(true)) {
            return Err(ClientError::Held { run: run.clone(), subdag, pid: self.holder(run, subdag) });
        }
        let mut todo = Vec::new();
        for (n, sub) in (0..).zip(&plan.subdags) {
            todo.push((SubDagId(n), self.todo(run, SubDagId(n)).await?, &sub.needs));
        }
        // An earlier stop must not end it again.
        if todo.iter().any(|(_, todo, _)| !matches!(todo, Todo::Nothing)) {
            self.store.remove(&RunDir::new(run).stop()).await?;
        }
        let mut resumed = Resumed::default();
        for (subdag, what, needs) in &todo {
            let reopen = matches!(what, Todo::Reopen);
            let unmet = needs.iter().any(|need| !matches!(todo[need.0 as usize].1, Todo::Nothing));
            match what {
                Todo::Nothing => continue,
                Todo::Continue => resumed.continued.push(*subdag),
                Todo::Reopen => resumed.reopened.push(*subdag),
            }
            let past = self.store.len(&RunDir::new(run).sub(*subdag).journal()).await?.unwrap_or(0);
            resumed.way.past.insert(*subdag, past);
            // One that has never run and waits for another one is started by that one's master, as ever.
            if reopen || !unmet || past > 0 {
                resumed.way.masters.push((*subdag, self.start_master(run, *subdag, reopen)?));
            }
        }
        resumed.way.supervise = true;
        Ok(resumed)
    }

    async fn todo(&self, run: &RunId, subdag: SubDagId) -> Result<Todo, ClientError> {
        let (folded, damage) = self.folded(run, subdag).await?;
        if let Some(why) = damage {
            return Err(ClientError::Damaged { what: format!("the journal of sub-DAG {}", subdag.0), why });
        }
        Ok(match folded.end.map(|ended| ended.end) {
            None => Todo::Continue,
            Some(StageEnd::Succeeded | StageEnd::Skipped) => Todo::Nothing,
            Some(StageEnd::Failed | StageEnd::Stopped | StageEnd::Lost) => Todo::Reopen,
        })
    }
}
