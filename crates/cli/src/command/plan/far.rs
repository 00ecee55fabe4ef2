//! What a run would ask of a live cluster, and what that would give.

use dybox_job::{Cluster, Plan, QueueFacts, Stage, wish_of};
use dybox_model::{Resources, format_bytes, format_cpus};
use serde_json::{Value, json};

/// The plan with what it asks of the cluster.
pub(super) fn json(plan: &Plan, cluster: &Cluster) -> Result<Value, serde_json::Error> {
    let mut item = serde_json::to_value(plan)?;
    let size = |size: Resources| json!({ "cpus": f64::from(size.cpu_milli) / 1000.0, "memory": size.memory });
    let ask = |stage: &Stage| {
        let asked = wish_of(stage);
        json!({ "stage": stage.name, "tasks": stage.tasks, "queue": queue_of(plan, cluster, stage),
                "task": size(stage.ask), "asked": size(asked), "granted": size(cluster.given(asked)),
                "rounding_known": cluster.minimum.is_some() })
    };
    item["asks"] = plan.stages.iter().map(ask).collect();
    let usable = cluster.nodes.iter().filter(|node| node.usable).count();
    item["cluster"] = json!({
        "largest": size(cluster.max), "smallest": cluster.minimum.map(size), "nodes": cluster.nodes.len(),
        "nodes_usable": usable, "labels": cluster.labels,
        "queues": queues(plan, cluster).into_iter().map(queue_json).collect::<Vec<_>>(),
    });
    Ok(item)
}

/// What holds for the whole cluster, for people; the printed plan says the rest.
pub(super) fn text(cluster: &Cluster) -> String {
    let mut text = String::from("\n");
    text.push_str(&format!("largest grant: {}\n", words(cluster.max)));
    match cluster.minimum {
        Some(least) => text.push_str(&format!("smallest grant and step: {}\n", words(least))),
        None => text.push_str("smallest grant: not in the configuration here; the scheduler may round up\n"),
    }
    text.push_str(&nodes(cluster));
    if !cluster.labels.is_empty() {
        text.push_str(&format!("node labels: {}\n", cluster.labels.join(", ")));
    }
    text
}

fn nodes(cluster: &Cluster) -> String {
    let usable: Vec<_> = cluster.nodes.iter().filter(|node| node.usable).collect();
    let sum = |of: &dyn Fn(&dybox_model::Node) -> Resources| {
        usable.iter().fold(Resources::default(), |sum, node| {
            let size = of(node);
            Resources { cpu_milli: sum.cpu_milli.saturating_add(size.cpu_milli), memory: sum.memory + size.memory }
        })
    };
    let (all, used) = (sum(&|node| node.capacity), sum(&|node| node.used));
    let free = Resources {
        cpu_milli: all.cpu_milli.saturating_sub(used.cpu_milli),
        memory: all.memory.saturating_sub(used.memory),
    };
    let count = usable.len();
    let away = cluster.nodes.len() - count;
    let gone = if away > 0 { format!(" ({away} more do not work now)") } else { String::new() };
    let word = if count == 1 { "node" } else { "nodes" };
    format!("{count} {word}{gone} with {}; free now: {}\n", words(all), words(free))
}

/// The queue that a stage's asks go to.
fn queue_of(plan: &Plan, cluster: &Cluster, stage: &Stage) -> String {
    let subdag = plan.subdags.get(stage.subdag.0 as usize).and_then(|subdag| subdag.queue.clone());
    subdag
        .or_else(|| plan.queue.clone())
        .or_else(|| cluster.default_queue.clone())
        .unwrap_or_else(|| "default".to_owned())
}

/// The queues of the plan.
fn queues<'a>(plan: &Plan, cluster: &'a Cluster) -> Vec<&'a QueueFacts> {
    let mut names: Vec<_> = plan.stages.iter().map(|stage| queue_of(plan, cluster, stage)).collect();
    names.sort();
    names.dedup();
    names.iter().filter_map(|name| cluster.queue(name)).collect()
}

fn queue_json(queue: &QueueFacts) -> Value {
    json!({ "name": queue.name, "path": queue.path, "state": queue.state, "may_submit": queue.may_submit,
            "capacity": queue.capacity, "max_capacity": queue.max_capacity, "used": queue.used })
}

fn words(size: Resources) -> String {
    let word = if size.cpu_milli == 1000 { "cpu" } else { "cpus" };
    format!("{} {word}, {}", format_cpus(size.cpu_milli), format_bytes(size.memory))
}
