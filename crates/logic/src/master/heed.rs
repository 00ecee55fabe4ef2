//! What the roster advises, as far as it is heeded. It never keeps a run from its end: where only machines that it
//! closes could run what waits, it is left aside for them after a while.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::roster::Arrival;
use dybox_model::{Millis, Node};

use super::explain::listed;
use super::hosts::Hosts;
use super::shapes::Shape;
use super::{Advice, Effect, Master};

/// For so long something may wait for nothing but machines that the roster closes.
pub(super) const PATIENCE: Millis = Millis::from_secs(120);

/// The roster's advice.
#[derive(Debug, Default)]
pub(super) struct Heeded {
    by_host: BTreeMap<String, Advice>,
    /// Machines that it closes and that are used all the same, until it opens them.
    aside: BTreeSet<String>,
    /// Since when something waits for nothing but closed machines.
    pub(super) stuck: Option<Millis>,
}

impl Heeded {
    /// Takes the whole roster in.
    pub(super) fn put(&mut self, all: Vec<Advice>) {
        self.by_host = all.into_iter().map(|advice| (advice.host.clone(), advice)).collect();
        let by_host = &self.by_host;
        self.aside.retain(|host| by_host.get(host).is_some_and(|advice| advice.closed.is_some()));
    }

    /// The machines that it closes, with the reason.
    pub(super) fn closed(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.by_host.values().filter(|advice| !self.aside.contains(&advice.host));
        all.filter_map(|advice| Some((advice.host.as_str(), advice.closed.as_deref()?)))
    }

    /// The machines that others are better than, with the reason.
    pub(super) fn all_poor(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_host.values().filter_map(|advice| Some((advice.host.as_str(), advice.poor.as_deref()?)))
    }

    /// Whether it closes a machine.
    pub(super) fn closes(&self, host: &str) -> bool {
        self.by_host.get(host).is_some_and(|advice| advice.closed.is_some()) && !self.aside.contains(host)
    }

    /// Why others are better than a machine.
    pub(super) fn poor(&self, host: &str) -> Option<&str> {
        self.by_host.get(host)?.poor.as_deref()
    }

    /// Whether all these images are on a machine, as far as anybody knows.
    pub(super) fn has(&self, host: &str, images: &BTreeSet<&str>) -> bool {
        let there = self.by_host.get(host).map(|advice| advice.images.as_slice()).unwrap_or_default();
        images.iter().all(|image| there.iter().any(|known| known == image))
    }

    /// Whether an agent brings images to a machine.
    pub(super) fn brings(&self, host: &str) -> bool {
        self.by_host.get(host).is_some_and(|advice| advice.brings)
    }

    /// What agents brought, each with its machine.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = (String, Arrival)> {
        let of = |advice: &Advice| {
            let host = advice.host.clone();
            advice.arrivals.clone().into_iter().map(move |arrival| (host.clone(), arrival))
        };
        self.by_host.values().flat_map(of)
    }

    /// What was said last of an image's coming to a machine.
    pub(super) fn arrival(&self, host: &str, image: &str) -> Option<&Arrival> {
        self.by_host.get(host)?.arrivals.iter().rev().find(|arrival| arrival.image == image)
    }

    /// Whether it makes any difference between machines that are open.
    pub(super) fn prefers(&self) -> bool {
        self.by_host.values().any(|advice| advice.poor.is_some() || !advice.images.is_empty())
    }

    /// A machine that it closes, with the reason.
    pub(super) fn reason(&self, host: &str) -> Option<String> {
        let why = self.by_host.get(host)?.closed.as_ref()?;
        Some(format!("{host} ({why})"))
    }

    /// Uses these machines, whatever it says, until it opens them.
    pub(super) fn set_aside(&mut self, hosts: BTreeSet<String>) {
        self.aside.extend(hosts);
        self.stuck = None;
    }
}

impl Hosts {
    /// Machines that could run tasks of a shape, whatever is wrong with them now.
    fn could_run<'a>(&'a self, shape: &'a Shape) -> impl Iterator<Item = &'a Node> {
        let bound = shape.place.as_ref().filter(|place| !place.may_go_anywhere()).map(|place| &place.placement);
        self.of_size(shape.size).filter(move |node| bound.is_none_or(|placement| self.allows(placement, &node.host)))
    }

    /// Whether machines could run tasks of a shape, and the roster closes them all.
    fn is_shut(&self, shape: &Shape) -> bool {
        let mut could = self.could_run(shape).peekable();
        could.peek().is_some() && could.all(|node| self.roster.closes(&node.host))
    }
}

impl Master {
    /// The roster has news.
    pub(super) fn take_advice(&mut self, all: Vec<Advice>, now: Millis, out: &mut Vec<Effect>) {
        self.hosts.advise(all);
        self.place_anew();
        self.prefetch.look();
        self.heard_of_arrivals(now, out);
        // What goes anywhere may go better elsewhere.
        self.advised = self.tasks.shapes.active().collect();
        self.tasks.shapes.changed.extend(self.advised.iter().copied());
    }

    /// Whether what waits in a shape could run on machines that the roster closes, and nowhere else.
    pub(super) fn is_shut(&self, shape: u32) -> bool {
        self.hosts.is_shut(self.tasks.shapes.get(shape))
    }

    /// Leaves the roster aside for machines that something has waited for too long.
    pub(super) fn heed(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.hosts.roster.closed().next().is_none() {
            self.hosts.roster.stuck = None;
            return;
        }
        let shut: Vec<u32> = self.tasks.shapes.active().filter(|&shape| self.is_shut(shape)).collect();
        if shut.is_empty() {
            self.hosts.roster.stuck = None;
            return;
        }
        let since = *self.hosts.roster.stuck.get_or_insert(now);
        if now < since.after(PATIENCE) {
            return;
        }
        let mut hosts = BTreeSet::new();
        for shape in shut {
            hosts.extend(self.hosts.could_run(self.tasks.shapes.get(shape)).map(|node| node.host.clone()));
        }
        let reasons: Vec<String> = hosts.iter().filter_map(|host| self.hosts.roster.reason(host)).collect();
        let text = format!(
            "tasks have waited for {} s for machines that the roster closes: they are used all the same: {}",
            PATIENCE.0 / 1000,
            listed(reasons.iter().map(String::as_str), "and")
        );
        out.push(Effect::Warn { text });
        self.hosts.set_aside(hosts);
    }
}
