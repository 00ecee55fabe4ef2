//! Queues, labels and counts of a cluster.

use dybox_model::{Node, Resources};

/// A queue and what it may use. Shares are of the whole cluster's parent queue, 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Queue {
    /// Its name, as jobs give it.
    pub name: String,
    /// Its whole path, `root.etl`; empty when the ResourceManager does not tell.
    pub path: String,
    /// Whether it takes applications.
    pub running: bool,
    /// Its guaranteed share.
    pub capacity: f32,
    /// The most that it can use.
    pub max_capacity: f32,
    /// How much of its guaranteed share is in use; above 1 when it borrows.
    pub used_capacity: f32,
    /// Queues inside it.
    pub children: Vec<Queue>,
    /// Node labels that it may use; `*` = all.
    pub labels: Vec<String>,
    /// The label of asks without one.
    pub default_label: Option<String>,
    /// Whether others can't take from it.
    pub preemption_disabled: bool,
    /// The scheduler's kind, where told: `CapacityScheduler`.
    pub scheduler: Option<String>,
    /// How many applications may run at once.
    pub max_running: Option<u32>,
    /// Counts.
    pub load: QueueLoad,
    /// The most that it can have, where told.
    pub max: Option<Resources>,
}

/// What goes on in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueueLoad {
    /// Applications that run.
    pub running: u64,
    /// Applications that wait for their master.
    pub waiting: u64,
    /// Given.
    pub allocated: Resources,
    /// Asked for and not given.
    pub pending: Resources,
    /// What it could still give.
    pub available: Resources,
}

/// What this user may do in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRights {
    /// Its name or path.
    pub queue: String,
    /// Submit applications.
    pub submit: bool,
    /// Stop others' applications.
    pub administer: bool,
}

/// A node label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Whether its nodes take nobody else.
    pub exclusive: bool,
}

/// How many nodes there are, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ClusterMetrics {
    /// All that registered.
    pub nodes: u32,
    /// That work.
    pub active: u32,
    /// That do not answer.
    pub lost: u32,
    /// That say that they are unwell.
    pub unhealthy: u32,
    /// Taken out by an operator.
    pub decommissioned: u32,
}

/// A node of the cluster with what the ResourceManager says about its health.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// Name, rack, labels, capacity, use.
    pub node: Node,
    /// Its NodeManager.
    pub id: crate::NodeId,
    /// YARN's word for its state: `RUNNING`, `UNHEALTHY`, `LOST`.
    pub state: &'static str,
    /// Its web page, `host:port`.
    pub http: String,
    /// YARN containers on it.
    pub containers: u32,
    /// What is wrong with it, in the node's words.
    pub health: String,
}
