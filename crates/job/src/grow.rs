//! A plan that grows: stages that hooks add while its run is under way, numbered so that no two masters of a run can
//! mean two stages by one number.

use dybox_model::{Added, HookId, StageId, SubDagId};

use crate::graph::Graph;
use crate::plan::{Plan, Stage};

/// Most stages of a run to which hooks add some.
pub const MOST_STAGES: usize = 10_000;
/// Most tasks of a run to which hooks add some, as planned.
pub const MOST_RUN_TASKS: u64 = 1_000_000;

impl Stage {
    /// Whether it is none: its number is kept for a stage that a hook of a certain sub-DAG may add.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.name.is_empty()
    }

    /// The stage that a hook added; nothing where a newer DYbox wrote what this one can't read.
    #[must_use]
    pub fn of_added(added: &Added) -> Option<Self> {
        serde_json::from_str(&added.stage).ok()
    }

    fn gap(like: &Self) -> Self {
        Self {
            name: String::new(),
            // Of no master.
            subdag: SubDagId(u32::MAX),
            needs: Vec::new(),
            tasks: 0,
            image: String::new(),
            late: crate::Late::default(),
            taken: None,
            cache: false,
            attach: None,
            ..like.clone()
        }
    }
}

impl Plan {
    /// The stages with their numbers; numbers that stand for none yet are left out.
    pub fn numbered(&self) -> impl Iterator<Item = (StageId, &Stage)> {
        (0..).map(StageId).zip(&self.stages).filter(|(_, stage)| !stage.is_gap())
    }

    /// The stage whose one task a hook runs as; nothing where it runs beside the master.
    #[must_use]
    pub fn stage_of_hook(&self, hook: HookId) -> Option<StageId> {
        let at = self.stages.iter().position(|stage| stage.hook == Some(hook))?;
        u32::try_from(at).ok().map(StageId)
    }

    /// How many stages the job file has, with hooks that are stages; those that hooks added come after them.
    #[must_use]
    pub fn planned(&self) -> usize {
        let grown = |stage: &Stage| stage.is_gap() || stage.added.is_some();
        self.stages.iter().position(grown).unwrap_or(self.stages.len())
    }

    /// The plan as it was before any hook added a stage.
    #[must_use]
    pub fn ungrown(&self) -> Self {
        let planned = self.planned();
        let old = |id: &StageId| (id.0 as usize) < planned;
        let mut plan = self.clone();
        plan.stages.truncate(planned);
        plan.subdags.iter_mut().for_each(|subdag| subdag.stages.retain(old));
        plan.hooks.iter_mut().for_each(|hook| hook.holds.retain(old));
        plan
    }

    /// Sub-DAGs whose hooks may add stages.
    fn adders(&self) -> Vec<SubDagId> {
        let subdags = (0..).map(SubDagId).zip(&self.subdags);
        subdags.filter(|(_, subdag)| !subdag.hooks.is_empty()).map(|(id, _)| id).collect()
    }

    /// The numbers of the stages that are added to a sub-DAG next. Each of those that have hooks has every n-th number
    /// for itself.
    pub fn next_ids(&self, subdag: SubDagId) -> impl Iterator<Item = StageId> + use<> {
        let adders = self.adders();
        let rank = adders.iter().position(|adder| *adder == subdag).unwrap_or_default();
        let stride = adders.len().max(1);
        let had = self.stages.iter().filter(|stage| stage.subdag == subdag && stage.added.is_some()).count();
        let first = self.planned() + rank;
        (had..).map(move |nth| StageId(u32::try_from(first + nth * stride).unwrap_or(u32::MAX)))
    }

    /// Takes in stages that a hook added, as its decision has them. What is there already stays as it is.
    pub fn grow(&mut self, hook: HookId, added: &[Added]) {
        let mut new = Vec::new();
        for added in added {
            let (Some(stage), at) = (Stage::of_added(added), added.outline.id.0 as usize) else { continue };
            if at >= self.planned() + MOST_STAGES * self.subdags.len().max(1) {
                continue;
            }
            self.fill_up(at);
            // Before a run has written its plan down nothing is known of it but an outline.
            let known = self.stages.get(at).is_some_and(|known| !known.is_gap());
            if known || self.stages.len() < at {
                continue;
            }
            if let Some(subdag) = self.subdags.get_mut(stage.subdag.0 as usize) {
                subdag.stages.push(added.outline.id);
            }
            new.push((added.outline.id, stage.subdag));
            match self.stages.get_mut(at) {
                Some(gap) => *gap = stage,
                None => self.stages.push(stage),
            }
        }
        self.hold(hook, &new);
    }

    /// Every number below this one has a stage or a gap.
    fn fill_up(&mut self, at: usize) {
        let Some(gap) = self.stages.first().map(Stage::gap) else { return };
        while self.stages.len() < at {
            self.stages.push(gap.clone());
        }
    }

    /// New stages wait for hooks as those of the file do, and count as held by the hook that added them: what it set
    /// parameters to holds for them.
    fn hold(&mut self, hook: HookId, new: &[(StageId, SubDagId)]) {
        let graph = Graph::of(self);
        for (id, held) in (0..).map(HookId).zip(&mut self.hooks) {
            let after: Vec<u32> = held.after.iter().map(|stage| stage.0).collect();
            let below = Graph::reach(&graph.down, &after);
            let holds = |(stage, subdag): &&(StageId, SubDagId)| {
                id == hook || (*subdag == held.subdag && below[stage.0 as usize])
            };
            let more: Vec<StageId> = new.iter().filter(holds).map(|(stage, _)| *stage).collect();
            held.holds.extend(more.into_iter().filter(|stage| !held.holds.contains(stage)).collect::<Vec<_>>());
        }
    }
}
