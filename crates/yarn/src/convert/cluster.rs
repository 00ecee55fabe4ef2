//! Nodes, queues and counts.

use dybox_model::Node;

use super::application::entry;
use super::{node_from, resources, size_from, text};
use crate::cluster::{ClusterMetrics, NodeReport, Queue, QueueLoad, QueueRights};
use crate::proto::yarn;

const NODE_STATES: [&str; 8] =
    ["NEW", "RUNNING", "UNHEALTHY", "DECOMMISSIONED", "LOST", "REBOOTED", "DECOMMISSIONING", "SHUTDOWN"];

pub(crate) fn node(from: &yarn::NodeReportProto) -> Option<NodeReport> {
    const RUNNING: i32 = 2;
    let id = node_from(from.node_id.as_ref())?;
    let rack = text(from.rack_name.as_ref());
    Some(NodeReport {
        node: Node {
            host: id.host.clone(),
            rack: if rack.is_empty() { "/default-rack".to_owned() } else { rack },
            labels: from.node_labels.iter().filter(|label| !label.is_empty()).cloned().collect(),
            capacity: size_from(from.capability.as_ref()),
            used: size_from(from.used.as_ref()),
            usable: from.state() == RUNNING,
        },
        id,
        state: entry(&NODE_STATES, from.state()).unwrap_or("UNKNOWN"),
        http: text(from.http_address.as_ref()),
        containers: u32::try_from(from.containers()).unwrap_or(0),
        health: text(from.health_report.as_ref()),
    })
}

fn load(from: Option<&yarn::QueueStatisticsProto>) -> QueueLoad {
    let Some(from) = from else { return QueueLoad::default() };
    QueueLoad {
        running: u64::try_from(from.apps_running()).unwrap_or(0),
        waiting: u64::try_from(from.apps_pending()).unwrap_or(0),
        allocated: resources(from.allocated_memory(), from.allocated_vcores()),
        pending: resources(from.pending_memory(), from.pending_vcores()),
        available: resources(from.available_memory(), from.available_vcores()),
    }
}

/// The most that a queue can have: CapacityScheduler tells it by partition, FairScheduler in fields of its own.
fn most(from: &yarn::QueueInfoProto) -> Option<dybox_model::Resources> {
    let default_partition = from.configurations.iter().find(|entry| entry.partition.is_empty());
    let capacity = default_partition.and_then(|entry| entry.configurations.as_ref()?.effective_max_capacity.as_ref());
    match (capacity, from.max_memory) {
        (Some(size), _) if size.memory() > 0 => Some(size_from(Some(size))),
        (_, Some(memory)) if memory > 0 => Some(resources(memory, from.max_vcores().into())),
        _ => None,
    }
}

pub(crate) fn queue(from: &yarn::QueueInfoProto) -> Queue {
    const RUNNING: i32 = 2;
    // FairScheduler sends NaN where a share makes no sense.
    let share = |number: f32| if number.is_finite() { number } else { 0.0 };
    let running_apps = from.max_running_apps.or(from.max_parallel_apps);
    Queue {
        name: text(from.name.as_ref()),
        path: text(from.path.as_ref()),
        running: from.state() == RUNNING,
        capacity: share(from.capacity()),
        max_capacity: share(from.maximum_capacity()),
        used_capacity: share(from.current_capacity()),
        children: from.children.iter().map(queue).collect(),
        labels: from.accessible_labels.iter().filter(|label| !label.trim().is_empty()).cloned().collect(),
        default_label: Some(text(from.default_label.as_ref())).filter(|label| !label.is_empty()),
        preemption_disabled: from.preemption_disabled(),
        scheduler: Some(text(from.scheduler_type.as_ref())).filter(|kind| !kind.is_empty()),
        max_running: running_apps.and_then(|most| u32::try_from(most).ok()).filter(|most| *most < i32::MAX as u32),
        load: load(from.statistics.as_ref()),
        max: most(from),
    }
}

pub(crate) fn queue_rights(from: &yarn::QueueUserAclProto) -> QueueRights {
    QueueRights {
        queue: text(from.queue.as_ref()),
        submit: from.user_acls.contains(&1),
        administer: from.user_acls.contains(&2),
    }
}

pub(crate) fn metrics(from: &yarn::ClusterMetricsProto) -> ClusterMetrics {
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    ClusterMetrics {
        nodes: count(from.nodes),
        active: count(from.active),
        lost: count(from.lost),
        unhealthy: count(from.unhealthy),
        decommissioned: count(from.decommissioned),
    }
}
