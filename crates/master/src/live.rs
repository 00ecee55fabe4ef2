//! The grants that live, and how much of the work is done, as the facts say it: for those who ask.

use std::collections::BTreeMap;

use dybox_model::{Fact, GrantId};
use dybox_wire::LiveGrant;

use crate::links::Links;

/// Kept beside the machines, from the same facts.
#[derive(Debug, Default)]
pub(crate) struct Live {
    grants: BTreeMap<GrantId, LiveGrant>,
    /// Tasks of stages that have begun, and those of them that have ended for good.
    begun: u32,
    done: u32,
}

impl Live {
    pub(crate) fn of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut live = Self::default();
        facts.into_iter().for_each(|fact| live.apply(fact));
        live
    }

    pub(crate) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::GrantGot { grant, size, at, host, container } => {
                let container = Some(container.clone()).filter(|container| !container.is_empty());
                let (grant, host, size) = (*grant, host.clone(), *size);
                self.grants.insert(grant, LiveGrant { grant, host, container, size, since: *at, linked: false });
            }
            Fact::GrantEnded { grant, .. } => drop(self.grants.remove(grant)),
            Fact::StageStarted { tasks, .. } => self.begun += tasks,
            Fact::AttemptEnded { again: false, .. } => self.done += 1,
            Fact::Reopened { .. } => (self.begun, self.done) = (0, 0),
            _ => {}
        }
    }

    /// All of them, each with whether its proxy has a line.
    pub(crate) fn grants(&self, links: &Links) -> Vec<LiveGrant> {
        let told = |live: &LiveGrant| LiveGrant { linked: links.is_linked(live.grant), ..live.clone() };
        self.grants.values().map(told).collect()
    }

    /// From 0 to 1, of `tasks` in all.
    #[expect(clippy::cast_precision_loss, reason = "a part of a whole, for people")]
    pub(crate) fn progress(&self, tasks: u32) -> f32 {
        let all = tasks.max(self.begun).max(1);
        (self.done as f32 / all as f32).min(1.0)
    }
}
