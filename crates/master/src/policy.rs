//! What the administrator allows, asked by the master when the plan arrives and again for every task: a stage that a
//! policy refuses fails before anything is asked for.

use std::path::{Path, PathBuf};

use dybox_job::Plan;
use dybox_model::policy::{Asks, Refusal, Rules, Submitter};
use dybox_model::{Cause, Mount, StageId, TaskSpec};
use dybox_store::policy::{BadPolicy, of_machine, of_store};
use dybox_store::{RunInfo, Store, StoreError};

use crate::world::as_planned;

/// What is a path of a machine; named volumes are DYbox's own.
fn paths(mounts: &[Mount]) -> Vec<&Path> {
    mounts.iter().filter(|mount| mount.named.is_none()).map(|mount| mount.source.as_path()).collect()
}

/// All policies that count for a run.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    /// Of this machine.
    here: Option<Rules>,
    /// Of the cluster, in the store.
    there: Option<Rules>,
    /// Why nothing is allowed: one of them can't be used.
    broken: Option<String>,
    who: (String, u32, u32),
}

impl Policy {
    /// This machine's, and the store's where that is a cluster's.
    pub(crate) async fn load(store: &Store, info: &RunInfo) -> Result<Self, StoreError> {
        let mut policy = Self { who: (info.user.clone(), info.uid, info.gid), ..Self::default() };
        let there = if store.is_remote() { of_store(store).await? } else { None };
        policy.here = policy.used(of_machine());
        policy.there = policy.used(there.transpose());
        Ok(policy)
    }

    fn used(&mut self, found: Result<Option<Rules>, BadPolicy>) -> Option<Rules> {
        found.unwrap_or_else(|bad| {
            self.broken = Some(bad.to_string());
            None
        })
    }

    /// As the reader of job files has it: the cluster's, or this machine's; `roots` may be mounted where there is none.
    pub(crate) fn planning(&self, roots: Vec<PathBuf>, far: bool) -> dybox_job::Policy {
        let rules = self.there.iter().chain(&self.here).cloned().collect();
        as_planned(rules, (roots, far), self.who.clone())
    }

    /// Why a stage of the plan may not run; nothing where it may.
    pub(crate) fn refuses_stage(&self, plan: &Plan, stage: StageId) -> Option<String> {
        let stage = plan.stages.get(stage.0 as usize)?;
        // What is known late is judged task by task.
        let (cpu_milli, memory) = match stage.late.sizes {
            Some(_) => (0, 0),
            None => (stage.ask.cpu_milli, stage.most_memory()),
        };
        let asks = Asks {
            image: if stage.late.image { "" } else { &stage.image },
            user: stage.user.as_deref(),
            cpu_milli,
            memory,
            paths: paths(&stage.volumes),
            ports: &stage.ports,
        };
        // No attempt of it will tell its cause.
        self.refuses(&asks).map(|why| format!("{why} ({})", Cause::Policy.info().code))
    }

    /// The same of an attempt, with all that only now is known of it.
    pub(crate) fn refuses_task(&self, spec: &TaskSpec) -> Option<String> {
        self.refuses(&Asks { paths: paths(&spec.volumes), ..Asks::of(spec) })
    }

    /// What the engine is left to choose of an attempt's ports is within what is allowed.
    pub(crate) fn narrow(&self, spec: &mut TaskSpec) {
        for rules in self.there.iter().chain(&self.here) {
            spec.ports.iter_mut().for_each(|port| *port = rules.within(port));
        }
    }

    fn refuses(&self, asks: &Asks<'_>) -> Option<String> {
        let (name, uid, gid) = (self.who.0.as_str(), self.who.1, self.who.2);
        let who = Submitter { name, uid, gid };
        // What lies at a path of a machine is that machine's to say.
        let pathless = Asks { paths: Vec::new(), ..asks.clone() };
        let here = self.here.iter().flat_map(|rules| rules.refuse(who, &pathless));
        let there = self.there.iter().flat_map(|rules| rules.refuse(who, asks));
        let mut said: Vec<String> = here.chain(there).map(|refusal: Refusal| refusal.to_string()).collect();
        said.extend(self.broken.clone());
        (!said.is_empty()).then(|| format!("{}: {}", Cause::Policy.info().phrase, said.join("; ")))
    }
}
