//! What may not be meant, though it can be done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dybox_model::Need;

use crate::diagnostic::{Diagnostic, Severity};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::report::listed;

/// Sub-DAGs above which there are more masters than anybody needs.
const MANY_SUBDAGS: usize = 16;

/// Warnings about a plan that is to run on one machine. Those that have a place in the file come with
/// [`crate::check`] already.
#[must_use]
pub fn lint(plan: &Plan) -> Vec<Diagnostic> {
    const CLUSTER: &str = "it counts on a cluster only";
    let mut found = Vec::new();
    let mut only = |message: String| found.push(warning("W0901", message, CLUSTER));
    let job = [("queue", plan.queue.as_deref()), ("node_label", plan.node_label.as_deref())];
    for (key, value) in job {
        if let Some(value) = value {
            only(format!("{key} {value}: one machine has none"));
        }
    }
    if let Some(priority) = plan.priority {
        only(format!("priority {priority}: one machine has none"));
    }
    let mut seen = BTreeSet::new();
    for subdag in &plan.subdags {
        let own = |own: &Option<String>, all: &Option<String>| own.clone().filter(|_| own != all);
        let pairs =
            [("queue", own(&subdag.queue, &plan.queue)), ("node_label", own(&subdag.node_label, &plan.node_label))];
        for (key, value) in pairs {
            if let Some(value) = value.filter(|value| seen.insert((key, value.clone()))) {
                only(format!("{key} {value}: one machine has none"));
            }
        }
    }
    let placed: Vec<&str> =
        plan.stages.iter().filter(|stage| !stage.placement.is_anywhere()).map(|stage| stage.name.as_str()).collect();
    if !placed.is_empty() {
        only(format!("placement of {}: one machine has no other to go to", listed(placed.into_iter())));
    }
    found.extend(many(plan, "a master process"));
    found.extend(priorities(plan));
    found
}

/// Warnings about a plan that is to run on a cluster.
#[must_use]
pub fn lint_on_cluster(plan: &Plan) -> Vec<Diagnostic> {
    many(plan, "a YARN application").into_iter().chain(volumes(plan)).chain(priorities(plan)).collect()
}

/// Stages that come before others, and are in another sub-DAG than those.
fn priorities(plan: &Plan) -> Option<Diagnostic> {
    let mut all = plan.stages.iter().filter(|stage| !stage.late.last);
    let first = all.next()?;
    let other = all.clone().find(|stage| stage.subdag != first.subdag && stage.priority != first.priority)?;
    let message =
        format!("priority counts among the stages of one sub-DAG: {} and {} are in two", first.name, other.name);
    Some(warning("W0909", message, "write split: none, and the same subdag, queue and node_label"))
}

/// Named volumes that several stages, or several tasks, would share: on a cluster each machine has one of its own.
fn volumes(plan: &Plan) -> impl Iterator<Item = Diagnostic> {
    let mut users: BTreeMap<&Path, u64> = BTreeMap::new();
    for stage in plan.stages.iter().filter(|stage| stage.placement.nodes.len() != 1) {
        for mount in stage.volumes.iter().filter(|mount| mount.named.is_some()) {
            *users.entry(&mount.source).or_default() += u64::from(stage.tasks);
        }
    }
    let shared = users.into_iter().filter(|(_, tasks)| *tasks > 1);
    shared.map(|(name, _)| {
        let message =
            format!("volume {} lies on one machine: each machine that the tasks run on has its own", name.display());
        warning(
            "W0908",
            message,
            "pin them to one machine (placement: { nodes: [...] }), or hand files on by outputs and inputs",
        )
    })
}

fn many(plan: &Plan, what: &str) -> Option<Diagnostic> {
    let message = format!("{} sub-DAGs: each has {what} of its own", plan.subdags.len());
    (plan.subdags.len() > MANY_SUBDAGS)
        .then(|| warning("W0902", message, "write split: auto, or fewer names of subdag"))
}

fn warning(code: &'static str, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Warning,
        message,
        place: None,
        label: String::new(),
        notes: Vec::new(),
        help: help.to_owned(),
    }
}

/// A stage that can't run, because another one would have to fail and to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Never {
    pub(crate) stage: u32,
    pub(crate) other: u32,
}

/// The first stages of each way that can never be run. What a stage needs must have run itself, so all that is asked
/// for above it holds for it too.
pub(crate) fn never_run(graph: &Graph, needs: &[Vec<(u32, Need)>]) -> Vec<Never> {
    /// Visits of stages, at most; the warning is a help, not a proof.
    const MOST_WORK: usize = 20_000_000;
    let asked = |kind: Need| {
        let mut by_stage = vec![Vec::new(); needs.len()];
        for (stage, needs) in needs.iter().enumerate() {
            for &(other, need) in needs.iter().filter(|(_, need)| *need == kind) {
                debug_assert!(need == kind);
                by_stage[other as usize].push(stage as u32);
            }
        }
        by_stage
    };
    let (failed, succeeded) = (asked(Need::Failed), asked(Need::Succeeded));
    let both = (0..needs.len()).filter(|&stage| !failed[stage].is_empty() && !succeeded[stage].is_empty());
    let mut found = Vec::new();
    for other in both.take(MOST_WORK / needs.len().max(1)) {
        let on_failure = Graph::reach(&graph.down, &failed[other]);
        let on_success = Graph::reach(&graph.down, &succeeded[other]);
        let never = |stage: u32| on_failure[stage as usize] && on_success[stage as usize];
        for stage in (0..needs.len() as u32).filter(|&stage| never(stage)) {
            if !graph.up[stage as usize].iter().any(|&need| never(need)) {
                found.push(Never { stage, other: other as u32 });
            }
        }
    }
    found.sort_by_key(|never| (never.stage, never.other));
    found.dedup_by_key(|never| never.stage);
    found
}
