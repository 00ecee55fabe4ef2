//! What containers use, limits that change, and a resource manager that changes sizes or does not.

use dybox_logic::master;
use dybox_model::{AttemptId, Cause, GrantId, Peak, Resources, Usage};

use super::{Mail, World};

const MIB: u64 = 1 << 20;

impl World {
    /// What an attempt is seen to use, in bytes: never the same for long, where nobody says.
    fn working(&mut self, attempt: AttemptId, limit: u64) -> u64 {
        match self.uses {
            Some(uses) => (uses(attempt) * MIB).min(limit),
            None => limit / 100 * self.rng.of(&[5, 5, 5, 30, 80, 99]),
        }
    }

    /// What stays of it at its end.
    pub(super) fn measured(&mut self, attempt: AttemptId) -> Peak {
        let working = match self.uses {
            Some(uses) => uses(attempt) * MIB,
            None => self.rng.below(256) * MIB,
        };
        Peak { samples: 1, working_max: working, memory: working, ..Peak::default() }
    }

    pub(super) fn sample(&mut self, grant: GrantId, attempt: AttemptId) {
        let runs = |proxy: &&super::proxies::Proxy| proxy.alive && proxy.container == Some(attempt);
        let Some(limit) = self.machine.proxies.get(&grant).filter(runs).map(|proxy| proxy.limit) else { return };
        let working_set = self.working(attempt, limit);
        let used = Box::new(Usage { working_set, memory: working_set, limit, ..Usage::default() });
        self.news(grant, master::Event::Used { grant, attempt, used });
        self.post(50, Mail::Sample(grant, attempt));
    }

    /// A proxy has the engine change a limit.
    pub(super) fn limit(&mut self, grant: GrantId, attempt: AttemptId, memory: u64) {
        let done = !self.rng.percent(self.faults.infra);
        let Some(proxy) = self.machine.proxies.get_mut(&grant) else { return };
        let done = done && proxy.container == Some(attempt);
        if done {
            proxy.limit = memory;
            if memory > proxy.size.memory {
                self.fail(&format!("broken: {attempt} may use {memory} bytes, more than its grant {grant}"));
            }
        }
        self.news(grant, master::Event::Limited { grant, attempt, memory: done.then_some(memory) });
    }

    /// Whether no machine has so much, even with nothing else on it.
    pub(super) fn is_too_large(&self, size: Resources) -> bool {
        match &self.cluster {
            Some(cluster) => !cluster.nodes.iter().any(|node| size.fits(node.capacity)),
            None => !size.fits(self.machine.budget),
        }
    }

    /// The resource manager changes a size, where there is room and luck.
    pub(super) fn resize(&mut self, grant: GrantId, size: Resources) {
        let refused = self.refuses || self.rng.percent(self.faults.infra);
        let Some(proxy) = self.machine.proxies.get_mut(&grant) else { return };
        let grows = size.memory > proxy.size.memory;
        let on_node = self.cluster.as_ref().is_none_or(|cluster| cluster.has_room(grant, size));
        if grows && (refused || !on_node) {
            let size = proxy.size;
            self.post(30, Mail::Master(master::Event::NotResized { grant }));
            return self.post(30, Mail::Master(master::Event::Resized { grant, size }));
        }
        let (limit, before) = (proxy.limit, proxy.size);
        proxy.size = size;
        let container = proxy.container;
        self.machine.used = self.machine.used - before + size;
        if let Some((_, held)) = self.cluster.as_mut().and_then(|cluster| cluster.held.get_mut(&grant)) {
            *held = size;
        }
        if container.is_some() && limit > size.memory {
            self.fail(&format!("broken: {container:?} may use {limit} bytes, and its grant was made smaller"));
        }
        self.post(30, Mail::Master(master::Event::Resized { grant, size }));
        self.post(31, Mail::Room);
    }

    /// Sizes of the grants that the journal tells of, in MiB: as they were given, or made later.
    pub(crate) fn sizes(&self, resized: bool) -> Vec<u64> {
        use dybox_model::Fact::{GrantGot, GrantResized};
        let size = |fact: &dybox_model::Fact| match fact {
            GrantGot { size, .. } if !resized => Some(size.memory / MIB),
            GrantResized { size, .. } if resized => Some(size.memory / MIB),
            _ => None,
        };
        self.journal.iter().filter_map(size).collect()
    }
}

/// The first try finds too little memory.
pub(crate) fn first_is_too_small(attempt: AttemptId) -> Option<Cause> {
    (attempt.number == 1).then_some(Cause::Oom)
}
