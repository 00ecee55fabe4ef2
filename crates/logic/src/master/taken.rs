//! Where tasks that are kept apart live, and from what.

use std::collections::BTreeMap;

use dybox_job::{Plan, Stage};
use dybox_model::{Spread, SubDagId};

use super::hosts::Hosts;

/// Another stage beside whose tasks a stage's must not be. What one stage says holds for both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Apart {
    pub(super) stage: u32,
    pub(super) name: String,
    /// Within one machine, or one rack.
    pub(super) within: Spread,
    /// Whether a task rather waits.
    pub(super) hard: bool,
}

/// From what the stages of a sub-DAG are kept apart: by stage.
pub(super) fn apart_in(plan: &Plan, subdag: SubDagId) -> BTreeMap<u32, Vec<Apart>> {
    apart_among((0u32..).zip(&plan.stages).filter(|(_, stage)| stage.subdag == subdag))
}

/// The same of these stages alone.
pub(super) fn apart_among<'a>(stages: impl Iterator<Item = (u32, &'a Stage)>) -> BTreeMap<u32, Vec<Apart>> {
    let stages: BTreeMap<u32, &Stage> = stages.collect();
    let mut all: BTreeMap<u32, Vec<Apart>> = BTreeMap::new();
    for (&own, stage) in &stages {
        let (within, hard) = (stage.placement.apart_within(), stage.placement.hard);
        for other in stage.placement.apart_from.iter().map(|other| other.0).filter(|&other| other != own) {
            let Some(named) = stages.get(&other) else { continue };
            let mut enter = |stage: u32, other: u32, name: &str| {
                all.entry(stage).or_default().push(Apart { stage: other, name: name.to_owned(), within, hard });
            };
            enter(own, other, &named.name);
            enter(other, own, &stage.name);
        }
    }
    for list in all.values_mut() {
        list.sort();
        list.dedup();
    }
    all
}

/// On which machines tasks of such stages live: by stage.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<u32, BTreeMap<String, u32>>);

impl Taken {
    pub(super) fn add(&mut self, stage: u32, host: &str) {
        *self.0.entry(stage).or_default().entry(host.to_owned()).or_default() += 1;
    }

    pub(super) fn remove(&mut self, stage: u32, host: &str) {
        if let Some(hosts) = self.0.get_mut(&stage)
            && let Some(count) = hosts.get_mut(host)
        {
            *count -= 1;
            if *count == 0 {
                hosts.remove(host);
            }
        }
    }

    /// How many live on one machine.
    pub(super) fn on(&self, stage: u32, host: &str) -> u32 {
        self.0.get(&stage).and_then(|hosts| hosts.get(host)).copied().unwrap_or(0)
    }

    /// Whether one lives in a rack.
    pub(super) fn in_rack(&self, stage: u32, rack: &str, hosts: &Hosts) -> bool {
        self.0.get(&stage).is_some_and(|taken| taken.keys().any(|host| hosts.rack_of(host) == rack))
    }

    /// Whether a task of another stage lives too near to a machine.
    pub(super) fn is_near(&self, apart: &Apart, host: &str, hosts: &Hosts) -> bool {
        match apart.within {
            Spread::Host => self.on(apart.stage, host) > 0,
            Spread::Rack => self.in_rack(apart.stage, hosts.rack_of(host), hosts),
        }
    }

    /// Every machine with a task of such a stage, and how many.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, u32)> {
        self.0.iter().flat_map(|(&stage, hosts)| hosts.iter().map(move |(host, &count)| (stage, host.as_str(), count)))
    }
}
