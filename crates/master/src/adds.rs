//! Stages that a hook adds: planned when the hook has ended, against the run as it is then; on the record before they are
//! anything to anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use dybox_driver::{Answer, HookEnd};
use dybox_job::{Adding, Plan, render};
use dybox_logic::driver;
use dybox_model::{Added, Decision, Fact, HookId, StageEnd, StageId, SubDagId};

use crate::actor::{Actor, Batch};
use crate::mind::Mind;
use crate::perform::Ports;
use crate::recover::{upstream_ends, upstream_results};
use crate::world::Here;

impl Actor {
    /// A hook has ended. What adds stages is the last of its batch, so that each is planned on all that came before.
    pub(crate) fn hook_ended(&mut self, end: HookEnd, batch: &mut Batch) {
        let HookEnd { hook, answer } = end;
        self.ports.hooks.remove(&hook);
        let answer = match answer {
            Ok(Answer { decision, adds: Some(said) }) => {
                batch.full = true;
                self.with_added(hook, decision, &said, batch)
            }
            answer => answer.map(|answer| answer.decision),
        };
        batch.events.push(driver::Event::HookEnded { hook, answer }.into());
    }

    fn with_added(
        &mut self,
        hook: HookId,
        decision: Decision,
        said: &str,
        batch: &mut Batch,
    ) -> Result<Decision, String> {
        let add = self.ports.planned(hook, &decision, said, &self.mind)?;
        let mut grown = Plan::clone(&self.ports.plan);
        grown.grow(hook, &add);
        for id in add.iter().map(|added| added.outline.id) {
            // The number may have been that of a stage whose hook failed.
            self.mind.refused.remove(&id);
            self.mind.refused.extend(self.ports.policy.refuses_stage(&grown, id).map(|why| (id, why)));
        }
        // What they need or read of other sub-DAGs, that nobody needed or read before.
        let (own, upstream) = (self.ports.rest.own, &self.ports.upstream);
        batch.events.extend(upstream_results(&grown, own, upstream));
        batch.events.extend(upstream_ends(&grown, own, upstream));
        Ok(Decision { add, ..decision })
    }
}

impl Ports {
    /// The stages that a hook adds, or all that is wrong with them.
    fn planned(&self, hook: HookId, decision: &Decision, said: &str, mind: &Mind) -> Result<Vec<Added>, String> {
        let after = self.plan.hooks.get(hook.0 as usize).map(|hook| hook.after.as_slice()).unwrap_or_default();
        let mut params: BTreeMap<String, String> = after.iter().flat_map(|id| mind.driver.params_of(*id)).collect();
        params.extend(decision.params.clone());
        let results = self.plan.numbered().filter(|(_, stage)| stage.hook.is_none()).filter_map(|(id, stage)| {
            let of = self.upstream.get(&stage.subdag).unwrap_or(mind);
            let ok = of.driver.end_of(id) == Some(StageEnd::Succeeded);
            Some((stage.name.clone(), self.story(id, mind).filter(|_| ok)?.result()))
        });
        let (results, dir) = (results.collect(), self.job_dir());
        let adding = Adding { plan: &self.plan, hook, said, dir: &dir, params: &params, results: &results };
        let world = Here::of(self, &dir);
        dybox_job::add(&adding, &world).map_err(|problems| {
            let all: String = problems.iter().map(|problem| format!("\n{}", render(problem).trim_end())).collect();
            format!("it adds stages that can't run:{all}")
        })
    }

    /// Takes in what was written down.
    pub(crate) fn grow(&mut self, fact: &Fact) {
        grow(&mut self.plan, std::slice::from_ref(fact));
        if let Fact::HookDecided { decision, .. } = fact {
            self.rm.need_images(decision.add.iter().map(|added| added.outline.image.clone()));
        }
    }
}

/// The same of all facts of a journal.
pub(crate) fn grow(plan: &mut Arc<Plan>, facts: &[Fact]) {
    for fact in facts {
        if let Fact::HookDecided { hook, decision, .. } = fact
            && !decision.add.is_empty()
        {
            Arc::make_mut(plan).grow(*hook, &decision.add);
        }
    }
}

/// Tasks that a sub-DAG is planned to have.
pub(crate) fn tasks_of(plan: &Plan, subdag: SubDagId) -> u32 {
    let own = plan.subdags.get(subdag.0 as usize).map(|own| own.stages.as_slice()).unwrap_or_default();
    own.iter().map(|&StageId(id)| plan.stages[id as usize].tasks).fold(0, u32::saturating_add)
}
