//! What a plan must know about a live cluster, and what the scheduler makes of what a stage asks for.

use dybox_model::{Network, Node, Resources};

use crate::plan::Stage;

/// What each grant of a stage with a bridge network has on top of the task's memory, for its sandbox container.
pub const SANDBOX_MEMORY: u64 = 8 << 20;

/// The least memory of a YARN container: the proxy lives in it.
pub const LEAST_GRANT: u64 = 64 << 20;

const MIB: u64 = 1 << 20;

/// A YARN queue, as far as its ResourceManager told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueueFacts {
    /// Its own name (`etl`).
    pub name: String,
    /// From the root (`root.etl`).
    pub path: String,
    /// The ResourceManager's word for its state: `RUNNING`, `STOPPED`, `DRAINING`.
    pub state: String,
    /// Whether this user may submit to it; nothing = not known.
    pub may_submit: Option<bool>,
    /// Whether it holds other queues: applications go to leaves alone.
    pub parent: bool,
    /// Its guaranteed part of the cluster, 0 to 1.
    pub capacity: f32,
    /// The most that it may grow to, 0 to 1.
    pub max_capacity: f32,
    /// What it uses of its guaranteed part; above 1 it has grown.
    pub used: f32,
}

impl QueueFacts {
    /// Whether it takes jobs at all, as far as is known.
    pub(crate) fn is_running(&self) -> bool {
        self.state.is_empty() || self.state == "RUNNING"
    }
}

/// A live cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cluster {
    /// The largest container that the scheduler gives.
    pub max: Resources,
    /// The smallest; nothing = not known. 0 cpus = the scheduler does not count them.
    pub minimum: Option<Resources>,
    /// Sizes are rounded up to multiples of this; nothing = of the smallest.
    pub increment: Option<Resources>,
    /// Its machines.
    pub nodes: Vec<Node>,
    /// All queues, the inner ones too.
    pub queues: Vec<QueueFacts>,
    /// The queue of a job that names none.
    pub default_queue: Option<String>,
    /// Node labels that exist; empty where labels are off.
    pub labels: Vec<String>,
}

/// Room that a task needs: its own and, on a bridge, its sandbox container's.
#[must_use]
pub fn room_for(ask: Resources, network: &Network) -> Resources {
    let more = if *network == Network::Bridge { SANDBOX_MEMORY } else { 0 };
    Resources { memory: ask.memory.saturating_add(more), ..ask }
}

/// What is asked of YARN for each task of a stage: whole vcores and MiB, with room for the proxy. What the task is
/// limited to stays as the job file says.
#[must_use]
pub fn wish_of(stage: &Stage) -> Resources {
    wish_for(stage.ask, &stage.network)
}

/// The same for a task of this size.
#[must_use]
pub fn wish_for(ask: Resources, network: &Network) -> Resources {
    let room = room_for(ask, network);
    Resources {
        cpu_milli: room.cpu_milli.max(1).div_ceil(1_000).saturating_mul(1_000),
        memory: room.memory.max(LEAST_GRANT).div_ceil(MIB).saturating_mul(MIB),
    }
}

impl Cluster {
    /// What the scheduler gives for an ask of this size: no less than the smallest, rounded up to the next step.
    #[must_use]
    pub fn given(&self, asked: Resources) -> Resources {
        let Some(least) = self.minimum else { return asked };
        let step = self.increment.unwrap_or(least);
        let round = |asked: u64, least: u64, step: u64| match step {
            0 => asked.max(least),
            step => asked.max(least).div_ceil(step).saturating_mul(step),
        };
        let cpus = round(asked.cpu_milli.into(), least.cpu_milli.into(), step.cpu_milli.into());
        Resources {
            cpu_milli: u32::try_from(cpus).unwrap_or(u32::MAX).min(self.max.cpu_milli.max(asked.cpu_milli)),
            memory: round(asked.memory, least.memory, step.memory).min(self.max.memory.max(asked.memory)),
        }
    }

    /// The queue of this name or path.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&QueueFacts> {
        self.queues.iter().find(|queue| queue.path == name || queue.name == name)
    }

    /// The machine of this name.
    #[must_use]
    pub fn node(&self, host: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.host == host)
    }

    /// The most that one of the usable machines with this label has.
    #[must_use]
    pub fn largest_node(&self, label: Option<&str>) -> Option<Resources> {
        let has = |node: &&Node| node.usable && has_label(node, label);
        let most = |one: Resources, two: Resources| Resources {
            cpu_milli: one.cpu_milli.max(two.cpu_milli),
            memory: one.memory.max(two.memory),
        };
        self.nodes.iter().filter(has).map(|node| node.capacity).reduce(most)
    }
}

/// Whether a machine serves what asks for this label.
pub(crate) fn has_label(node: &Node, label: Option<&str>) -> bool {
    label.is_none_or(|label| node.labels.iter().any(|own| own == label))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mib(cpu_milli: u32, memory: u64) -> Resources {
        Resources { cpu_milli, memory: memory << 20 }
    }

    #[test]
    fn sizes_are_rounded_as_the_scheduler_does() {
        let cluster = Cluster { max: mib(4_000, 8192), minimum: Some(mib(1_000, 1024)), ..Cluster::default() };
        assert_eq!(cluster.given(mib(1_000, 64)), mib(1_000, 1024));
        assert_eq!(cluster.given(mib(2_000, 1025)), mib(2_000, 2048));
        let fair = Cluster { increment: Some(mib(1_000, 512)), ..cluster.clone() };
        assert_eq!(fair.given(mib(1_000, 1100)), mib(1_000, 1536));
        assert_eq!(Cluster::default().given(mib(1_000, 64)), mib(1_000, 64));
    }
}
