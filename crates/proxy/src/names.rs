//! Names and proofs of what this proxy makes on the engine.

use dybox_engine::{Identity, Role};
use dybox_model::{AttemptId, GrantId, RunId, TaskSpec};

/// Of an attempt's container: the same at every try of one order, so that no second one can be made.
pub(crate) fn task(spec: &TaskSpec) -> String {
    let AttemptId { task, number } = spec.attempt;
    format!("dybox-{}-{}-{}-{number}", spec.run.short(), spec.stage, task.index)
}

pub(crate) fn sandbox(run: &RunId, grant: GrantId) -> String {
    format!("dybox-{}-{grant}-sandbox", run.short())
}

pub(crate) fn network(run: &RunId, name: &str) -> String {
    format!("dybox-{}-{name}", run.short())
}

pub(crate) fn task_identity(spec: &TaskSpec, grant: GrantId) -> Identity {
    let (grant, attempt) = (Some(grant), Some(spec.attempt));
    Identity { role: Role::Task, run: spec.run.clone(), grant, attempt, name: task(spec) }
}

pub(crate) fn sandbox_identity(run: &RunId, grant: GrantId) -> Identity {
    let name = sandbox(run, grant);
    Identity { role: Role::Sandbox, run: run.clone(), grant: Some(grant), attempt: None, name }
}

pub(crate) fn network_identity(run: &RunId, name: &str) -> Identity {
    let name = network(run, name);
    Identity { role: Role::Network, run: run.clone(), grant: None, attempt: None, name }
}
