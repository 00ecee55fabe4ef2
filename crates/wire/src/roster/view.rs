//! What a state server tells of its nodes, as fields: of a thousand at once, while somebody waits.

use bytes::Bytes;
use dybox_model::Millis;
use dybox_model::roster::{Health, Ill, NodeChange, NodeFacts, NodeImage, NodeView, RosterView};
use prost::Message;

use super::pulse::{mark_in, mark_out, pulse_in, pulse_out};
use crate::proto::node::{Change, Health as Said};
use crate::proto::nodes_reply::Told;
use crate::proto::{Facts, Node, NodesReply, facts};

/// A [`NodeView`] as it travels, but for what is otherwise each time: `silent` and `present`. A server keeps it until
/// something of the node is otherwise; a copy costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeText(Bytes);

impl NodeText {
    /// Writes it.
    #[must_use]
    pub fn of(node: NodeView) -> Self {
        let NodeView { host, health, ills, since, clock_ahead, mark, pulse, facts, images, history, .. } = node;
        let health = match health {
            Health::Healthy => Said::Healthy,
            Health::Degraded => Said::Degraded,
            Health::Unusable => Said::Unusable,
            Health::Unknown => Said::Unknown,
        };
        let ill = |ill: Ill| serde_json::to_vec(&ill).expect("an ill is JSON").into();
        let change = |NodeChange { at, to, why }| Change { at: at.0, to, why };
        let node = Node {
            host,
            health: health.into(),
            ills: ills.into_iter().map(ill).collect(),
            since: since.0,
            clock_ahead,
            mark: (!mark.is_none()).then(|| mark_out(mark)),
            pulse: Some(pulse_out(pulse)),
            facts: Some(facts_out(facts)),
            images,
            history: history.into_iter().map(change).collect(),
        };
        Self(node.encode_to_vec().into())
    }
}

/// What is told of a node.
#[derive(Debug, Clone)]
pub struct NodeTold {
    /// The node.
    pub node: NodeText,
    /// How long ago its last report came.
    pub silent: Millis,
    /// Which of the images that were asked about are there.
    pub present: Vec<String>,
}

impl From<NodeView> for NodeTold {
    fn from(mut node: NodeView) -> Self {
        let (silent, present) = (node.silent, std::mem::take(&mut node.present));
        Self { node: NodeText::of(node), silent, present }
    }
}

/// A [`RosterView`] as it travels.
#[derive(Debug, Clone, Default)]
pub struct RosterTold {
    /// The nodes, by name.
    pub nodes: Vec<NodeTold>,
    /// What is wrong with the server itself.
    pub troubles: Vec<String>,
}

impl RosterTold {
    /// What the other end makes of it.
    ///
    /// # Errors
    /// Why it is no roster.
    pub fn read(self) -> Result<RosterView, String> {
        roster_in(self.into())
    }
}

impl From<RosterTold> for NodesReply {
    fn from(RosterTold { nodes, troubles }: RosterTold) -> Self {
        let told = |NodeTold { node: NodeText(node), silent, present }| Told { node, silent: silent.0, present };
        Self { nodes: nodes.into_iter().map(told).collect(), troubles }
    }
}

/// What was told.
///
/// # Errors
/// What of it can't be understood.
pub(super) fn roster_in(NodesReply { nodes, troubles }: NodesReply) -> Result<RosterView, String> {
    Ok(RosterView { nodes: nodes.into_iter().map(node_in).collect::<Result<_, _>>()?, troubles })
}

fn node_in(Told { node, silent, present }: Told) -> Result<NodeView, String> {
    let node = Node::decode(node).map_err(|error| error.to_string())?;
    let Node { host, health, ills, since, clock_ahead, mark, pulse, facts, images, history } = node;
    let health = match Said::try_from(health).map_err(|_| format!("health {health}"))? {
        Said::Healthy => Health::Healthy,
        Said::Degraded => Health::Degraded,
        Said::Unusable => Health::Unusable,
        Said::Unknown => Health::Unknown,
    };
    let ill = |ill: Bytes| serde_json::from_slice(&ill).map_err(|error| error.to_string());
    let change = |Change { at, to, why }| NodeChange { at: Millis(at), to, why };
    Ok(NodeView {
        host,
        health,
        ills: ills.into_iter().map(ill).collect::<Result<_, _>>()?,
        since: Millis(since),
        silent: Millis(silent),
        clock_ahead,
        mark: mark.map(mark_in).unwrap_or_default(),
        pulse: pulse.map(pulse_in).transpose()?.unwrap_or_default(),
        facts: facts.map(facts_in).transpose()?.unwrap_or_default(),
        images,
        present,
        history: history.into_iter().map(change).collect(),
    })
}

pub(super) fn facts_out(facts: NodeFacts) -> Facts {
    let NodeFacts { agent, yarn, engine, storage, cgroup, kernel, images, brings } = facts;
    let image = |NodeImage { id, names, size }| facts::Image { id, names, size };
    let images = images.into_iter().map(image).collect();
    Facts { agent, yarn, engine, storage, cgroup: cgroup.into(), kernel, images, brings }
}

pub(super) fn facts_in(message: Facts) -> Result<NodeFacts, String> {
    let Facts { agent, yarn, engine, storage, cgroup, kernel, images, brings } = message;
    let cgroup = u8::try_from(cgroup).map_err(|_| format!("cgroup version {cgroup}"))?;
    let image = |facts::Image { id, names, size }| NodeImage { id, names, size };
    let images = images.into_iter().map(image).collect();
    Ok(NodeFacts { agent, yarn, engine, storage, cgroup, kernel, images, brings })
}

#[cfg(test)]
mod tests {
    use dybox_model::roster::{Mark, Pulse};

    use super::*;

    /// One in which every field is otherwise than in a new one, and than its neighbours.
    fn full() -> NodeView {
        let word = |n: u32| format!("word {n}");
        let image = NodeImage { id: word(1), names: vec![word(2), word(3)], size: u64::MAX };
        NodeView {
            host: word(0),
            health: Health::Unusable,
            ills: vec![Ill::EngineHangs, Ill::NoStart { why: "\"no\"".to_owned() }],
            since: Millis(4),
            silent: Millis(5),
            clock_ahead: -6,
            mark: Mark { rev: 7, drained: true, why: word(8), by: word(9), at: Millis(10) },
            pulse: Pulse { at: Millis(11), running: 12, ..Pulse::default() },
            facts: NodeFacts {
                agent: word(13),
                yarn: Some(word(14)),
                engine: word(15),
                storage: word(16),
                cgroup: 2,
                kernel: word(17),
                images: vec![image],
                brings: true,
            },
            images: 18,
            present: vec![word(19)],
            history: vec![NodeChange { at: Millis(20), to: word(21), why: word(22) }],
        }
    }

    fn over_the_line(told: RosterTold) -> Result<RosterView, String> {
        roster_in(NodesReply::decode(NodesReply::from(told).encode_to_vec().as_slice()).unwrap())
    }

    #[test]
    fn what_is_told_is_what_is_heard() {
        let healths = [Health::Healthy, Health::Degraded, Health::Unusable, Health::Unknown];
        let mut nodes: Vec<_> = healths.into_iter().map(|health| NodeView { health, ..NodeView::default() }).collect();
        nodes.push(full());
        let view = RosterView { nodes, troubles: vec!["the disk is full".to_owned()] };
        let told = || RosterTold {
            nodes: view.nodes.iter().cloned().map(NodeTold::from).collect(),
            troubles: view.troubles.clone(),
        };
        assert_eq!(over_the_line(told()).as_ref(), Ok(&view));
        assert_eq!(told().read().as_ref(), Ok(&view));
        let later = NodeTold { silent: Millis(99), present: Vec::new(), ..NodeTold::from(full()) };
        let heard = over_the_line(RosterTold { nodes: vec![later], ..RosterTold::default() });
        let expected = NodeView { silent: Millis(99), present: Vec::new(), ..full() };
        assert_eq!(heard.map(|view| view.nodes), Ok(vec![expected]), "a text that was kept");
    }

    #[test]
    fn what_is_no_roster_is_said_to_be_none() {
        let heard = |change: fn(&mut Node)| {
            let NodeText(bytes) = NodeText::of(full());
            let mut node = Node::decode(bytes).unwrap();
            change(&mut node);
            let told = Told { node: node.encode_to_vec().into(), silent: 0, present: Vec::new() };
            roster_in(NodesReply { nodes: vec![told], troubles: Vec::new() }).map(|_| ()).unwrap_err()
        };
        assert_eq!(heard(|node| node.health = 4), "health 4");
        assert_eq!(heard(|node| node.facts.as_mut().unwrap().cgroup = 256), "cgroup version 256");
        assert!(heard(|node| node.ills = vec!["{}".into()]).starts_with("missing field"));
        let told = Told { node: vec![0xff].into(), silent: 0, present: Vec::new() };
        assert!(roster_in(NodesReply { nodes: vec![told], troubles: Vec::new() }).is_err());
    }
}
