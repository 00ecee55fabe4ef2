//! Hooks that add stages.

use dybox_job::{Plan, Stage};
use dybox_model::{Added, HookId, Need, Network, StageId};

use super::plans;
use super::rng::Rng;

/// A stage, and what it needs.
pub(crate) type New<'a> = (Stage, &'a [(&'a str, Need)]);

/// New stages as a hook's decision has them: each needs stages by name, of the plan or of the list.
pub(crate) fn added(plan: &Plan, hook: HookId, stages: &[New<'_>]) -> Vec<Added> {
    let ids: Vec<StageId> = plan.next_ids(plan.hooks[hook.0 as usize].subdag).take(stages.len()).collect();
    let find = |name: &str| {
        let new = stages.iter().position(|(stage, _)| stage.name == name).map(|at| ids[at]);
        let old = || plan.numbered().find(|(_, stage)| stage.name == name).map(|(id, _)| id);
        new.or_else(old).expect("a stage of this name")
    };
    let one = |((stage, needs), &id): (&New<'_>, &StageId)| {
        let needs = needs.iter().map(|(name, need)| (find(name), *need)).collect();
        let stage = Stage { needs, added: Some(hook), ..stage.clone() };
        Added { outline: stage.outline(id), stage: serde_json::to_string(&stage).expect("data") }
    };
    stages.iter().zip(&ids).map(one).collect()
}

/// Some stages, needing anything.
pub(super) fn any(plan: &Plan, hook: HookId, rng: &mut Rng) -> Vec<Added> {
    let ids: Vec<StageId> = plan.next_ids(plan.hooks[hook.0 as usize].subdag).take(4).collect();
    let count = rng.below(4) as usize;
    let mut all: Vec<Added> = Vec::new();
    for &id in &ids[..count] {
        let mut stage = plans::stage(&format!("n{}", id.0), rng.of(&[1, 1, 2, 9]), &[]);
        for need in plan.numbered().map(|(id, _)| id).chain(all.iter().map(|added| added.outline.id)) {
            if rng.percent(15) {
                let kind = rng.of(&[Need::Succeeded, Need::Succeeded, Need::Failed, Need::Finished]);
                stage.needs.push((need, kind));
            }
        }
        stage.ask = rng.of(&[plans::mib(64), plans::mib(96), plans::mib(200)]);
        stage.network = if rng.percent(25) { Network::Bridge } else { Network::None };
        stage.reuse = rng.percent(20);
        stage.retry.max = rng.of(&[0, 1]);
        stage.added = Some(hook);
        all.push(Added { outline: stage.outline(id), stage: serde_json::to_string(&stage).expect("data") });
    }
    all
}
