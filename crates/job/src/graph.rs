//! The DAG of stages: order, levels, circles, the longest way.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use dybox_model::StageId;
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::Plan;

/// Edges of a graph in both directions, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    /// What each node needs.
    pub(crate) up: Vec<Vec<u32>>,
    /// What needs each node.
    pub(crate) down: Vec<Vec<u32>>,
}

impl Graph {
    /// From what each node needs.
    pub(crate) fn new(up: Vec<Vec<u32>>) -> Self {
        let mut down = vec![Vec::new(); up.len()];
        for (node, needs) in up.iter().enumerate() {
            for &need in needs {
                down[need as usize].push(node as u32);
            }
        }
        Self { up, down }
    }

    /// The graph of a plan's stages.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self::new(plan.stages.iter().map(|stage| stage.needs.iter().map(|(id, _)| id.0).collect()).collect())
    }

    fn petgraph(&self) -> DiGraph<(), ()> {
        let edges = self.up.iter().map(Vec::len).sum();
        let mut graph = DiGraph::with_capacity(self.up.len(), edges);
        for _ in &self.up {
            graph.add_node(());
        }
        for (node, needs) in self.up.iter().enumerate() {
            for &need in needs {
                graph.add_edge(NodeIndex::new(need as usize), NodeIndex::new(node), ());
            }
        }
        graph
    }

    /// All nodes, each after what it needs; nothing when there is a circle.
    pub(crate) fn order(&self) -> Option<Vec<u32>> {
        let sorted = toposort(&self.petgraph(), None).ok()?;
        Some(sorted.into_iter().map(|node| node.index() as u32).collect())
    }

    /// One shortest circle of each knot: each node needs the next, the last needs the first.
    pub(crate) fn circles(&self) -> Vec<Vec<u32>> {
        let mut knot_of = vec![u32::MAX; self.up.len()];
        let mut circles = Vec::new();
        for (number, knot) in kosaraju_scc(&self.petgraph()).into_iter().enumerate() {
            let first = knot.iter().map(|node| node.index() as u32).min().unwrap_or_default();
            if knot.len() < 2 && !self.up[first as usize].contains(&first) {
                continue;
            }
            for node in knot {
                knot_of[node.index()] = number as u32;
            }
            circles.push(self.circle(first, &knot_of));
        }
        circles.sort();
        circles
    }

    /// The shortest way from a node along its needs back to itself, within its knot.
    fn circle(&self, first: u32, knot_of: &[u32]) -> Vec<u32> {
        let knot = knot_of[first as usize];
        let mut from: BTreeMap<u32, u32> = BTreeMap::new();
        let mut queue = VecDeque::from([first]);
        while let Some(node) = queue.pop_front() {
            for &need in self.up[node as usize].iter().filter(|&&need| knot_of[need as usize] == knot) {
                if need == first {
                    return way_to(node, &from);
                }
                if let Entry::Vacant(free) = from.entry(need) {
                    free.insert(node);
                    queue.push_back(need);
                }
            }
        }
        vec![first]
    }

    /// How many stages must come before each: 0 for one that needs nothing.
    pub(crate) fn depths(&self, order: &[u32]) -> Vec<u32> {
        let mut depths = vec![0; self.up.len()];
        for &node in order {
            let needs = self.up[node as usize].iter();
            depths[node as usize] = needs.map(|&need| depths[need as usize] + 1).max().unwrap_or(0);
        }
        depths
    }

    /// Which nodes can be reached from some nodes along `edges`, those included.
    pub(crate) fn reach(edges: &[Vec<u32>], from: &[u32]) -> Vec<bool> {
        let mut seen = vec![false; edges.len()];
        let mut stack = from.to_vec();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut seen[node as usize], true) {
                stack.extend(&edges[node as usize]);
            }
        }
        seen
    }
}

/// The way from the start to a node, by the node before each.
fn way_to(node: u32, from: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut way: Vec<u32> = std::iter::successors(Some(node), |node| from.get(node).copied()).collect();
    way.reverse();
    way
}

/// The stages of a plan by level: those of the first level need nothing, each other one needs one of the level before.
#[must_use]
pub fn levels(plan: &Plan) -> Vec<Vec<StageId>> {
    let graph = Graph::of(plan);
    let depths = graph.depths(&graph.order().unwrap_or_default());
    let mut levels = vec![Vec::new(); depths.iter().max().map_or(0, |&most| most as usize + 1)];
    for (node, depth) in depths.into_iter().enumerate() {
        levels[depth as usize].push(StageId(node as u32));
    }
    levels
}

/// The longest chain of stages, first to last. Of equal ones, that with the stages that come first in the file.
#[must_use]
pub fn critical_path(plan: &Plan) -> Vec<StageId> {
    let graph = Graph::of(plan);
    let depths = graph.depths(&graph.order().unwrap_or_default());
    let deepest = (0..depths.len()).max_by_key(|&node| (depths[node], usize::MAX - node));
    let mut path: Vec<StageId> = Vec::new();
    let mut next = deepest.map(|node| node as u32);
    while let Some(node) = next {
        path.push(StageId(node));
        let needs = graph.up[node as usize].iter().copied();
        next = needs.filter(|&need| depths[need as usize] + 1 == depths[node as usize]).min();
    }
    path.reverse();
    path
}
