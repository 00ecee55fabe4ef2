//! What earlier runs came to, stage by stage; and plans that take it instead of running it again.

use std::collections::{BTreeMap, BTreeSet};

use dybox_job::{Plan, Taken};
use dybox_model::{Fact, RunId, StageEnd, StageId, SubDagId};

use crate::{Client, ClientError};

/// A run as later ones may use it.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// Which.
    pub run: RunId,
    /// What was planned, and what its hooks added.
    pub plan: Plan,
    /// What the stages came to that succeeded.
    pub done: BTreeMap<StageId, Done>,
}

/// What a stage came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// The run in which it ran: another one, where this run took it from there.
    pub from: Option<RunId>,
    /// What each task wrote as its result, as JSON.
    pub results: Vec<Option<String>>,
}

/// What a plan takes from where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rest {
    /// Stages that are taken, each with the run.
    pub taken: Vec<(String, RunId)>,
    /// Stages that are left out: they never succeeded.
    pub left_out: Vec<String>,
    /// Those of them that something that runs needs.
    pub missing: Vec<String>,
}

impl Client {
    /// What a run came to.
    ///
    /// # Errors
    /// The store's or the cluster's.
    pub async fn earlier(&self, run: &RunId) -> Result<Earlier, ClientError> {
        let plan = self.plan(run).await?;
        let mut facts = Vec::new();
        for subdag in (0..u32::try_from(plan.subdags.len()).unwrap_or(0)).map(SubDagId) {
            facts.extend(self.facts_of(run, subdag).await?);
        }
        Ok(Earlier::of(run.clone(), plan, facts))
    }
}

impl Earlier {
    /// By its facts.
    #[must_use]
    pub fn of(run: RunId, plan: Plan, facts: Vec<Fact>) -> Self {
        let mut earlier = Self { run, plan, done: BTreeMap::new() };
        let mut begun: BTreeMap<StageId, Done> = BTreeMap::new();
        for fact in facts {
            match fact {
                Fact::StageStarted { stage, tasks, .. } => {
                    let done = begun.entry(stage).or_default();
                    done.results.resize(tasks as usize, None);
                }
                Fact::AttemptEnded { attempt, exit, .. } if exit.ok() => {
                    let done = begun.get_mut(&attempt.task.stage);
                    if let Some(slot) = done.and_then(|done| done.results.get_mut(attempt.task.index as usize)) {
                        *slot = exit.result;
                    }
                }
                // What was left out has come to nothing.
                Fact::StageTaken { stage, from: None, .. } => drop(begun.remove(&stage)),
                Fact::StageTaken { stage, from, results, .. } => {
                    begun.insert(stage, Done { from, results });
                }
                Fact::StageEnded { stage, end: StageEnd::Succeeded, .. } => {
                    earlier.done.extend(begun.get(&stage).cloned().map(|done| (stage, done)));
                }
                Fact::HookDecided { hook, decision, .. } => earlier.plan.grow(hook, &decision.add),
                _ => {}
            }
        }
        earlier
    }

    /// The stage of a name, where it succeeded, and where it ran.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<(StageId, &Done, RunId)> {
        let id = stage_named(&self.plan, name)?;
        let done = self.done.get(&id)?;
        Some((id, done, done.from.clone().unwrap_or_else(|| self.run.clone())))
    }
}

/// The stage of a name.
#[must_use]
pub fn stage_named(plan: &Plan, name: &str) -> Option<StageId> {
    let at = plan.stages.iter().position(|stage| stage.name == name)?;
    Some(StageId(u32::try_from(at).unwrap_or(u32::MAX)))
}

/// These stages and all that follow them.
#[must_use]
pub fn following(plan: &Plan, from: &BTreeSet<StageId>) -> BTreeSet<StageId> {
    let mut all = from.clone();
    loop {
        let known = all.len();
        for (id, stage) in (0..).map(StageId).zip(&plan.stages) {
            if stage.needs.iter().any(|(need, _)| all.contains(need)) {
                all.insert(id);
            }
        }
        if all.len() == known {
            return all;
        }
    }
}

/// Lets only these stages run, and what runs after everything. The others are taken from the first of the earlier runs in
/// which they succeeded, or left out.
pub fn run_only(plan: &mut Plan, runs: &BTreeSet<StageId>, earlier: &[Earlier]) -> Rest {
    let needed: BTreeSet<StageId> =
        runs.iter().flat_map(|id| plan.stages[id.0 as usize].needs.iter().map(|(need, _)| *need)).collect();
    let mut rest = Rest::default();
    for (id, stage) in (0..).map(StageId).zip(&mut plan.stages) {
        if runs.contains(&id) || stage.late.last || stage.hook.is_some() {
            // A person wants it to run; hooks decide anew.
            (stage.taken, stage.cache) = (None, false);
            continue;
        }
        let found = earlier.iter().find_map(|earlier| earlier.stage(&stage.name));
        let taken = match found {
            Some((_, done, run)) => {
                rest.taken.push((stage.name.clone(), run.clone()));
                Taken { from: Some(run), results: done.results.clone() }
            }
            None => {
                rest.left_out.push(stage.name.clone());
                if needed.contains(&id) {
                    rest.missing.push(stage.name.clone());
                }
                Taken { from: None, results: vec![None; stage.tasks as usize] }
            }
        };
        stage.tasks = u32::try_from(taken.results.len()).unwrap_or(stage.tasks);
        stage.taken = Some(taken);
    }
    rest
}

#[cfg(test)]
mod tests {
    use dybox_job::{ShellJob, Stage, shell_plan};
    use dybox_model::Need;

    use super::*;

    /// A plan of stages that need each other one after another.
    fn chain(names: &[&str]) -> Plan {
        let world = crate::Here::new(None, dybox_job::Policy::none("p"));
        let job = ShellJob { image: "i:1".to_owned(), command: vec!["c".to_owned()], ..ShellJob::default() };
        let mut plan = shell_plan(&job, &world).plan.expect("a plan");
        let one = Stage { attach: None, cache: true, ..plan.stages[0].clone() };
        let stage = |(at, name): (u32, &&str)| {
            let needs = if at == 0 { Vec::new() } else { vec![(StageId(at - 1), Need::Succeeded)] };
            Stage { name: (*name).to_owned(), needs, ..one.clone() }
        };
        plan.stages = (0..).zip(names).map(stage).collect();
        plan
    }

    fn run(n: u8) -> RunId {
        format!("01jd00000000000000000000{n:02}").parse().expect("a run id")
    }

    /// A run of this plan in which everything succeeded.
    fn earlier(n: u8, plan: Plan) -> Earlier {
        let result = |id: u32| Done { from: None, results: vec![Some(format!("{id}"))] };
        let done = (0..u32::try_from(plan.stages.len()).expect("few")).map(|id| (StageId(id), result(id))).collect();
        Earlier { run: run(n), plan, done }
    }

    #[test]
    fn a_part_of_a_plan_takes_the_rest_from_the_newest_that_has_it() {
        let mut old = earlier(1, chain(&["a", "b", "c"]));
        old.done.remove(&StageId(2));
        let mut new = earlier(2, chain(&["a", "b", "c"]));
        new.done.remove(&StageId(1));
        let mut plan = chain(&["a", "b", "c", "d"]);
        let runs = following(&plan, &[StageId(2)].into());
        assert_eq!(runs, [StageId(2), StageId(3)].into());
        let rest = run_only(&mut plan, &runs, &[new, old]);
        assert_eq!(rest.taken, [("a".to_owned(), run(2)), ("b".to_owned(), run(1))]);
        assert!(rest.missing.is_empty() && rest.left_out.is_empty());
        // What a person wants to run is not taken by the cache.
        assert_eq!(plan.stages.iter().map(|stage| stage.cache).collect::<Vec<_>>(), [true, true, false, false]);
        let rest = run_only(&mut plan, &[StageId(1)].into(), &[]);
        assert_eq!((rest.left_out.len(), rest.missing), (3, vec!["a".to_owned()]));
        assert_eq!(plan.stages[0].taken.as_ref().map(|taken| taken.from.clone()), Some(None));
        let mut plan = chain(&["a"]);
        plan.stages[0].late.last = true;
        assert_eq!(run_only(&mut plan, &[].into(), &[earlier(1, chain(&["a"]))]), Rest::default());
    }
}
