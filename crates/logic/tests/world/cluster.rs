//! A fake YARN: machines in racks, pinned asks, nodes that are lost and come back.

use std::collections::{BTreeMap, BTreeSet};

use dybox_logic::master::Advice;
use dybox_model::{GrantId, Node, Resources, Wish};

use super::rng::Rng;

/// All machines, and what is given on them.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) black: BTreeSet<String>,
    pub(crate) held: BTreeMap<GrantId, (String, Resources)>,
    /// Sizes are rounded up to multiples of so many bytes.
    pub(crate) step: u64,
    /// What the roster says.
    pub(crate) roster: Vec<Advice>,
    /// The engine of this machine does not answer.
    pub(crate) broken: Option<String>,
}

impl Cluster {
    /// Machines of one size, by name and rack.
    pub(crate) fn of(nodes: &[(&str, &str)], capacity: Resources) -> Self {
        let node = |&(host, rack): &(&str, &str)| Node {
            host: host.to_owned(),
            rack: rack.to_owned(),
            labels: Vec::new(),
            capacity,
            used: Resources::default(),
            usable: true,
        };
        Self { nodes: nodes.iter().map(node).collect(), step: 64 << 20, ..Self::default() }
    }

    /// What the master is told of them.
    pub(crate) fn told(&self) -> Vec<Node> {
        let with_used = |node: &Node| Node { used: self.used(&node.host), ..node.clone() };
        self.nodes.iter().map(with_used).collect()
    }

    fn used(&self, host: &str) -> Resources {
        let here = self.held.values().filter(|(at, _)| at == host);
        here.fold(Resources::default(), |sum, (_, size)| sum + *size)
    }

    /// A machine for this wish that has room, and what is given there.
    pub(crate) fn find(&self, wish: &Wish) -> Option<(String, Resources)> {
        let memory = wish.size.memory.div_ceil(self.step) * self.step;
        let size = Resources { memory, ..wish.size };
        let room = |node: &&Node| {
            node.usable && !self.black.contains(&node.host) && (self.used(&node.host) + size).fits(node.capacity)
        };
        let named = |node: &&Node| wish.hosts.contains(&node.host) || wish.racks.contains(&node.rack);
        let anywhere = wish.hosts.is_empty() && wish.racks.is_empty();
        let mut fitting = self.nodes.iter().filter(room);
        let found = if anywhere { fitting.next() } else { fitting.find(named) };
        let found = found.or_else(|| self.nodes.iter().find(room).filter(|_| wish.relaxed));
        found.map(|node| (node.host.clone(), size))
    }

    /// Whether a grant may have this size on its machine.
    pub(crate) fn has_room(&self, grant: GrantId, size: Resources) -> bool {
        let Some((host, held)) = self.held.get(&grant) else { return false };
        let capacity = self.nodes.iter().find(|node| node.host == *host).map(|node| node.capacity).unwrap_or_default();
        (self.used(host) - *held + size).fits(capacity)
    }

    pub(crate) fn host_of(&self, grant: GrantId) -> &str {
        self.held.get(&grant).map_or("", |(host, _)| host)
    }

    pub(crate) fn rack_of(&self, host: &str) -> &str {
        self.nodes.iter().find(|node| node.host == host).map_or("", |node| &node.rack)
    }

    pub(crate) fn is_usable(&self, host: &str) -> bool {
        self.nodes.iter().any(|node| node.host == host && node.usable)
    }

    pub(crate) fn set_usable(&mut self, host: &str, usable: bool) {
        self.nodes.iter_mut().filter(|node| node.host == host).for_each(|node| node.usable = usable);
    }
}

/// What a roster may say that changes its mind and knows machines that are none; now and then it closes all.
pub(crate) fn any_advice(rng: &mut Rng) -> Vec<Advice> {
    let all = rng.percent(20);
    let mut said = Vec::new();
    for host in ["n1", "n2", "n3", "n4", "n9"] {
        let closed = all || rng.percent(35);
        let (poor, there) = (rng.percent(30), rng.percent(40));
        said.push(Advice {
            host: host.to_owned(),
            closed: closed.then(|| "drained by ann".to_owned()),
            poor: (poor && !closed).then(|| "/d is tight".to_owned()),
            images: if there { vec!["busybox:latest".to_owned()] } else { Vec::new() },
            brings: !closed && !poor && rng.percent(50),
            arrivals: Vec::new(),
        });
    }
    said
}
