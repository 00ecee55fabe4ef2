//! The cluster's nodes, as far as told.

use std::collections::BTreeMap;

use dybox_model::Node;

use super::asks::Racks;
use crate::ids::NodeId;

/// By NodeManager: one host may have had several, of which the old ones are lost.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    all: BTreeMap<NodeId, Node>,
    racks: Racks,
    told: Vec<Node>,
}

impl Nodes {
    pub(super) fn replace(&mut self, nodes: Vec<(NodeId, Node)>) {
        self.all = nodes.into_iter().collect();
    }

    pub(super) fn update(&mut self, nodes: Vec<(NodeId, Node)>) {
        self.all.extend(nodes);
    }

    pub(super) const fn racks(&self) -> &Racks {
        &self.racks
    }

    /// All hosts, each once, when something changed since the last time.
    pub(super) fn news(&mut self) -> Option<Vec<Node>> {
        let mut by_host: BTreeMap<&str, &Node> = BTreeMap::new();
        for node in self.all.values() {
            let known = by_host.entry(&node.host).or_insert(node);
            if node.usable && !known.usable {
                *known = node;
            }
        }
        let now: Vec<Node> = by_host.into_values().cloned().collect();
        if now == self.told {
            return None;
        }
        self.racks = now.iter().map(|node| (node.host.clone(), node.rack.clone())).collect();
        self.told.clone_from(&now);
        Some(now)
    }
}
