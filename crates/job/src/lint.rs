//! What may not be meant, though it can be done.

use dybox_model::Need;

use crate::diagnostic::{Diagnostic, Severity};
use crate::graph::Graph;
use crate::plan::Plan;

/// Sub-DAGs above which a machine has more masters than it needs.
const MANY_SUBDAGS: usize = 16;

/// Warnings about a plan that is to run on one machine. Those that have a place in the file come with
/// [`crate::check`] already.
#[must_use]
pub fn lint(plan: &Plan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut warn = |code, message: String, help: &str| {
        found.push(Diagnostic {
            code,
            severity: Severity::Warning,
            message,
            place: None,
            label: String::new(),
            notes: Vec::new(),
            help: help.to_owned(),
        });
    };
    const CLUSTER: &str = "it counts on a cluster only";
    if let Some(queue) = &plan.queue {
        warn("W0901", format!("queue {queue}: one machine has none"), CLUSTER);
    }
    if let Some(priority) = plan.priority {
        warn("W0901", format!("priority {priority}: one machine has none"), CLUSTER);
    }
    if let Some(label) = &plan.node_label {
        warn("W0901", format!("node_label {label}: one machine has none"), CLUSTER);
    }
    if plan.subdags.len() > MANY_SUBDAGS {
        let message = format!("{} sub-DAGs: each has a master process of its own", plan.subdags.len());
        warn("W0902", message, "write split: auto, or fewer names of subdag");
    }
    found
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
