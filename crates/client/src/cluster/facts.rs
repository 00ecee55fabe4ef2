//! What a plan must know of the cluster, asked of its ResourceManager.

use dybox_job::{Cluster as Facts, QueueFacts};
use dybox_model::{Node, Resources, format_bytes, format_cpus};
use dybox_yarn::{Queue, QueueRights};

use super::Cluster;
use crate::ClientError;

impl Cluster {
    /// The cluster as it stands now.
    pub(crate) async fn facts(&self) -> Result<Facts, ClientError> {
        let rm = &self.conf.rm;
        let (new, nodes, root, rights, labels) =
            tokio::join!(rm.new_application(), rm.nodes(), rm.queue("root"), rm.queue_rights(), rm.labels());
        // Rights and labels may be closed to this user; submission says the rest then.
        let (rights, labels) = (rights.unwrap_or_default(), labels.unwrap_or_default());
        let mut queues = Vec::new();
        if let Some(root) = root? {
            gather(&root, "", &rights, &mut queues);
        }
        Ok(Facts {
            max: new?.max,
            minimum: self.conf.minimum,
            increment: None,
            nodes: nodes?.into_iter().map(|report| report.node).collect(),
            queues,
            default_queue: Some(self.conf.queue.clone().unwrap_or_else(|| "default".to_owned())),
            labels: labels.into_iter().map(|label| label.name).collect(),
        })
    }
}

impl Cluster {
    /// What a queue and the cluster have left, in sentences; nothing of what does not answer.
    pub(crate) async fn room(&self, queue: &str) -> Vec<String> {
        // `root.etl` in reports, `etl` in questions.
        let name = queue.rsplit('.').next().unwrap_or(queue);
        let (queue, nodes) = tokio::join!(self.conf.rm.queue(name), self.conf.rm.nodes());
        let mut said = Vec::new();
        if let Ok(Some(queue)) = queue {
            let load = queue.load;
            // What it says to have left is of its own share, which it may exceed.
            let room = queue.max.map_or_else(
                || format!("{} of its share left", words(load.available)),
                |max| format!("at most {}", words(max)),
            );
            let waiting =
                if load.waiting > 0 { format!(", {} applications wait", load.waiting) } else { String::new() };
            let (used, pending) = (words(load.allocated), words(load.pending));
            said.push(format!("queue {name}: {used} in use, {room}, {pending} asked for{waiting}"));
        }
        if let Ok(nodes) = nodes {
            let usable: Vec<_> = nodes.iter().map(|report| &report.node).filter(|node| node.usable).collect();
            let free = |node: &&Node| Resources {
                cpu_milli: node.capacity.cpu_milli.saturating_sub(node.used.cpu_milli),
                memory: node.capacity.memory.saturating_sub(node.used.memory),
            };
            let all = usable.iter().map(free).fold(Resources::default(), |sum, one| Resources {
                cpu_milli: sum.cpu_milli.saturating_add(one.cpu_milli),
                memory: sum.memory.saturating_add(one.memory),
            });
            let most = usable.iter().map(free).map(|free| free.memory).max().unwrap_or(0);
            said.push(format!(
                "the cluster: {} free on {} nodes, at most {} on one",
                words(all),
                usable.len(),
                format_bytes(most)
            ));
        }
        said
    }
}

fn words(size: Resources) -> String {
    let one = if size.cpu_milli == 1000 { "cpu" } else { "cpus" };
    format!("{} {one} and {}", format_cpus(size.cpu_milli), format_bytes(size.memory))
}

/// A queue and all inside it.
fn gather(queue: &Queue, above: &str, rights: &[QueueRights], into: &mut Vec<QueueFacts>) {
    let path = match (queue.path.as_str(), above) {
        ("", "") => queue.name.clone(),
        ("", above) => format!("{above}.{}", queue.name),
        (path, _) => path.to_owned(),
    };
    let own = rights.iter().find(|right| right.queue == queue.name || right.queue == path);
    into.push(QueueFacts {
        name: queue.name.clone(),
        path: path.clone(),
        state: if queue.running { "RUNNING" } else { "STOPPED" }.to_owned(),
        may_submit: (!rights.is_empty()).then(|| own.is_some_and(|right| right.submit)),
        parent: !queue.children.is_empty(),
        capacity: queue.capacity,
        max_capacity: queue.max_capacity,
        used: queue.used_capacity,
    });
    queue.children.iter().for_each(|child| gather(child, &path, rights, into));
}
