//! One sub-DAG of a run as its journal adds up.

use std::collections::{BTreeMap, VecDeque};

use dybox_model::{
    AttemptId, Cause, Decision, GrantId, HookId, Millis, Peak, Published, Resources, RunId, StageEnd, StageId,
    SubDagId, TaskId, Usage,
};

use crate::bill::Bill;
use crate::images::Brought;
use crate::stage::{Stage, Task};

/// What a hook came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It decided.
    Decided {
        /// What.
        decision: Decision,
        /// When.
        at: Millis,
    },
    /// It failed.
    Failed {
        /// Why.
        why: String,
        /// When.
        at: Millis,
    },
}

/// A wish that the run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopAsked {
    /// Why.
    pub why: String,
    /// When.
    pub at: Millis,
}

/// The end of the sub-DAG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub end: StageEnd,
    /// Why; empty for a success.
    pub why: String,
    /// When.
    pub at: Millis,
}

/// An attempt that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Where it is.
    pub grant: GrantId,
    /// When it was given to the grant.
    pub given: Millis,
    /// When its container was seen running.
    pub runs: Option<Millis>,
    /// The engine's id of its container; empty before it runs.
    pub container: String,
    /// Where its ports are reached.
    pub ports: Vec<Published>,
    /// What it used so far, as last noted.
    pub used: Peak,
    /// Memory that it uses now, in bytes.
    pub memory: u64,
    /// All that was read at the last look; zeros before the first.
    pub now: Usage,
}

/// Where a grant is or was, on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Where {
    /// The machine, as the ResourceManager names it.
    pub host: String,
    /// The YARN container.
    pub container: String,
}

/// An image on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pull {
    /// Bytes that are here.
    pub have: u64,
    /// Bytes in all, as far as known.
    pub total: u64,
}

/// A sub-DAG, for whoever reads: made of facts by [`Run::apply`] and coloured by notes with [`Run::note`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// The run.
    pub run: Option<RunId>,
    /// The job's name.
    pub job: String,
    /// Which sub-DAG this is.
    pub subdag: Option<SubDagId>,
    /// When the user submitted.
    pub submitted: Option<Millis>,
    /// Number of the last master; 0 before the first.
    pub epoch: u32,
    /// Process id of the last master.
    pub pid: u32,
    /// When the first master took control.
    pub opened: Option<Millis>,
    /// Its stages, by id.
    pub stages: Vec<Stage>,
    /// Hooks that have run.
    pub hooks: BTreeMap<HookId, HookState>,
    /// What image names stand for.
    pub pins: BTreeMap<String, String>,
    /// Images that were not there and came, or did not, in order.
    pub brought: Vec<Brought>,
    /// Grants that are not over.
    pub grants: BTreeMap<GrantId, Resources>,
    /// What all grants came to over time.
    pub bill: Bill,
    /// Where every grant is or was, also those that are over; empty on one machine.
    pub places: BTreeMap<GrantId, Where>,
    /// Attempts that have not ended.
    pub live: BTreeMap<AttemptId, Live>,
    /// The first wish that it ends, since it was last reopened.
    pub stop: Option<StopAsked>,
    /// Its end, since it was last reopened.
    pub end: Option<Ended>,
    /// Images on their way (from notes).
    pub pulls: BTreeMap<String, Pull>,
    /// The last warnings (from notes).
    pub warnings: VecDeque<(String, Option<Cause>)>,
    /// Facts that fit nothing: of unknown stages, of attempts that were over.
    pub strays: u64,
}

impl Run {
    /// The stage of this id, if it is in this sub-DAG.
    #[must_use]
    pub fn stage(&self, id: StageId) -> Option<&Stage> {
        self.place(id).map(|at| &self.stages[at])
    }

    /// The stage of this name.
    #[must_use]
    pub fn stage_named(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.outline.name == name)
    }

    /// A task of a stage that has started.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.stage(id.stage)?.tasks.get(id.index as usize)
    }

    /// The live attempt of a task.
    #[must_use]
    pub fn live_of(&self, id: TaskId) -> Option<(AttemptId, &Live)> {
        let of_task = AttemptId { task: id, number: 0 }..=AttemptId { task: id, number: u32::MAX };
        self.live.range(of_task).next_back().map(|(&attempt, live)| (attempt, live))
    }

    /// Where the last attempt of a task ran or runs; nothing on one machine and before the first.
    #[must_use]
    pub fn place_of(&self, id: TaskId) -> Option<&Where> {
        self.places.get(&self.task(id)?.grant?)
    }

    /// Where the ports of a stage's live tasks are reached, in the order of the tasks.
    pub fn published(&self, stage: StageId) -> impl Iterator<Item = (AttemptId, &Published)> {
        let id = |index, number| AttemptId { task: TaskId { stage, index }, number };
        let live = self.live.range(id(0, 0)..=id(u32::MAX, u32::MAX));
        live.flat_map(|(attempt, live)| live.ports.iter().map(|port| (*attempt, port)))
    }

    pub(crate) fn stage_mut(&mut self, id: StageId) -> Option<&mut Stage> {
        self.place(id).map(|at| &mut self.stages[at])
    }

    fn place(&self, id: StageId) -> Option<usize> {
        self.stages.binary_search_by_key(&id, |stage| stage.outline.id).ok()
    }
}
