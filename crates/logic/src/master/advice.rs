//! What a master may know of the roster, and for how long it believes it.

use std::collections::BTreeMap;

use dybox_model::Millis;
use dybox_model::roster::{Arrival, Health, NodeView, words};

/// What was said of a machine is believed for so long after the last word of it.
const BELIEVED: Millis = Millis::from_secs(60);

/// What the roster says of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advice {
    /// The machine, as the ResourceManager names it.
    pub host: String,
    /// Why nothing new is to be put there; nothing = it may.
    pub closed: Option<String>,
    /// Why others are better.
    pub poor: Option<String>,
    /// The images that are there, of those that were asked about.
    pub images: Vec<String>,
    /// Its agent brings images, and the machine is well.
    pub brings: bool,
    /// Images that its agent brought of late, or could not.
    pub arrivals: Vec<Arrival>,
}

impl Advice {
    /// What a line of the roster comes to.
    #[must_use]
    pub fn of(node: &NodeView) -> Self {
        let closed = node.closed();
        let poor = (closed.is_none() && node.health == Health::Degraded).then(|| words(&node.ills));
        let brings = node.facts.brings && closed.is_none() && node.health == Health::Healthy;
        let (images, arrivals) = (node.present.clone(), node.pulse.arrivals.clone());
        Self { host: node.host.clone(), closed, poor, images, brings, arrivals }
    }

    /// Whether it changes nothing.
    fn is_silent(&self) -> bool {
        let says = !self.images.is_empty() || self.brings || !self.arrivals.is_empty();
        self.closed.is_none() && self.poor.is_none() && !says
    }
}

/// Keeps what was said last of each machine: a state server that does not answer, or that has just started and knows
/// nobody yet, takes nothing back for a while.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advisor {
    said: BTreeMap<String, (Millis, Advice)>,
    told: Vec<Advice>,
}

impl Advisor {
    /// A state server has answered.
    pub fn hear(&mut self, now: Millis, nodes: &[NodeView]) {
        for node in nodes {
            // Nobody hears of a silent machine whether its engine works; a drain is a person's word and stays.
            if node.health != Health::Unknown || node.mark.drained {
                self.said.insert(node.host.clone(), (now, Advice::of(node)));
            }
        }
    }

    /// All that is believed now, where that is something else than the last time.
    pub fn news(&mut self, now: Millis) -> Option<Vec<Advice>> {
        self.said.retain(|_, (said, _)| now.since(*said) <= BELIEVED);
        let all = self.said.values().map(|(_, advice)| advice).filter(|advice| !advice.is_silent());
        if all.clone().eq(self.told.iter()) {
            return None;
        }
        self.told = all.cloned().collect();
        Some(self.told.clone())
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::roster::{Disk, Ill, Mark};

    use super::*;

    fn view(host: &str, health: Health, ills: Vec<Ill>) -> NodeView {
        NodeView { host: host.to_owned(), health, ills, ..NodeView::default() }
    }

    fn hangs(host: &str) -> NodeView {
        view(host, Health::Unusable, vec![Ill::EngineHangs])
    }

    fn closed(advisor: &mut Advisor, at: u64) -> Option<Vec<String>> {
        let news = advisor.news(Millis(at))?;
        Some(news.into_iter().filter(|advice| advice.closed.is_some()).map(|advice| advice.host).collect())
    }

    #[test]
    fn what_is_unusable_or_drained_is_closed_and_what_is_degraded_is_poor() {
        let disk = Disk { of: "engine".into(), path: "/d".into(), free: 5, total: 100 };
        let mut drained = view("a", Health::Healthy, Vec::new());
        drained.mark = Mark { rev: 1, drained: true, why: "new disk".into(), by: "ann".into(), at: Millis(1) };
        assert_eq!(Advice::of(&drained).closed.as_deref(), Some("drained by ann: new disk"));
        let tight = Advice::of(&view("b", Health::Degraded, vec![Ill::DiskTight { disk }]));
        assert_eq!((tight.closed, tight.poor.as_deref()), (None, Some("/d has 5B (5 %) free for engine")));
        assert!(Advice::of(&hangs("c")).closed.is_some_and(|why| why.contains("no list")));
        assert!(Advice::of(&view("d", Health::Unknown, Vec::new())).is_silent());
    }

    #[test]
    fn a_machine_that_fell_silent_is_believed_to_be_as_it_was_for_a_minute() {
        let mut advisor = Advisor::default();
        advisor.hear(Millis(0), &[hangs("a"), hangs("b")]);
        assert_eq!(closed(&mut advisor, 0), Some(vec!["a".into(), "b".into()]));
        advisor.hear(Millis(30_000), &[view("a", Health::Unknown, Vec::new()), hangs("b")]);
        assert_eq!(closed(&mut advisor, 60_000), None, "nothing new");
        assert_eq!(closed(&mut advisor, 60_001), Some(vec!["b".into()]));
        // No server answers any more.
        assert_eq!(closed(&mut advisor, 90_000), None);
        assert_eq!(closed(&mut advisor, 90_001), Some(Vec::new()));
    }

    #[test]
    fn a_machine_that_is_well_again_is_open_at_once() {
        let mut advisor = Advisor::default();
        advisor.hear(Millis(0), &[hangs("a")]);
        assert_eq!(closed(&mut advisor, 0), Some(vec!["a".into()]));
        advisor.hear(Millis(3_000), &[view("a", Health::Healthy, Vec::new())]);
        assert_eq!(closed(&mut advisor, 3_000), Some(Vec::new()));
    }
}
