//! Fake proxies with fake containers: what they have in their hands survives their master.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dybox_model::{AttemptId, Exit, GrantId, Resources, TaskId};

/// One proxy's process.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) size: Resources,
    /// The memory limit of its container.
    pub(crate) limit: u64,
    pub(crate) alive: bool,
    /// It said Hello to the present master.
    pub(crate) joined: bool,
    /// Counts its lines: what was sent on an older one is lost.
    pub(crate) line: u32,
    /// News and orders keep their order on a line: the last one's time of arrival.
    pub(crate) last_news: u64,
    pub(crate) last_order: u64,
    pub(crate) container: Option<AttemptId>,
    /// What it was given in advance.
    pub(crate) ahead: VecDeque<(AttemptId, Resources)>,
    /// Ends that the master has not acknowledged.
    pub(crate) unheard: BTreeMap<AttemptId, Exit>,
    /// All that it was ever given.
    given: BTreeSet<AttemptId>,
    /// Verdicts that lie on its disk.
    pub(crate) verdicts: BTreeMap<AttemptId, Exit>,
    pub(crate) leaving: bool,
}

impl Proxy {
    /// Whether it was not given this attempt before.
    pub(crate) fn is_new(&self, attempt: AttemptId) -> bool {
        !self.given.contains(&attempt) && !self.ahead.iter().any(|(ahead, _)| *ahead == attempt)
    }
}

/// All proxies, the machine's budget, and what runs on it.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) budget: Resources,
    pub(crate) used: Resources,
    pub(crate) proxies: BTreeMap<GrantId, Proxy>,
    /// Every container that really runs.
    pub(crate) live: BTreeMap<TaskId, AttemptId>,
    /// How often each task really ran to a good end that its master heard of.
    pub(crate) ran: BTreeMap<AttemptId, u32>,
}

impl Machine {
    /// Gives room if there is some.
    pub(crate) fn grant(&mut self, size: Resources) -> bool {
        let fits = (self.used + size).fits(self.budget);
        if fits {
            self.used = self.used + size;
        }
        fits
    }

    pub(crate) fn spawn(&mut self, grant: GrantId, size: Resources) {
        let proxy = Proxy {
            size,
            limit: 0,
            alive: true,
            joined: false,
            line: 0,
            last_news: 0,
            last_order: 0,
            container: None,
            ahead: VecDeque::new(),
            unheard: BTreeMap::new(),
            given: BTreeSet::new(),
            verdicts: BTreeMap::new(),
            leaving: false,
        };
        assert!(self.proxies.insert(grant, proxy).is_none(), "broken: grant {grant} is launched twice");
    }

    /// A proxy starts a container; false when it was given before.
    pub(crate) fn start(&mut self, grant: GrantId, attempt: AttemptId, room: Resources) -> bool {
        let Some(proxy) = self.proxies.get_mut(&grant) else { return false };
        if !proxy.given.insert(attempt) {
            return false;
        }
        assert!(proxy.container.is_none(), "broken: grant {grant} has two tasks");
        assert!(room.fits(proxy.size), "broken: {attempt} is larger than its grant");
        proxy.container = Some(attempt);
        proxy.limit = room.memory;
        let other = self.live.insert(attempt.task, attempt);
        assert!(other.is_none(), "broken: {other:?} and {attempt} live at once");
        *self.ran.entry(attempt).or_default() += 1;
        true
    }

    /// Something given in advance goes back without having begun.
    pub(crate) fn drop_ahead(&mut self, grant: GrantId, attempt: AttemptId, exit: &Exit) -> bool {
        let Some(proxy) = self.proxies.get_mut(&grant).filter(|proxy| proxy.alive) else { return false };
        let before = proxy.ahead.len();
        proxy.ahead.retain(|(ahead, _)| *ahead != attempt);
        if proxy.ahead.len() == before {
            return false;
        }
        proxy.given.insert(attempt);
        proxy.unheard.insert(attempt, exit.clone());
        true
    }

    /// A container ends.
    pub(crate) fn end(&mut self, grant: GrantId, attempt: AttemptId, exit: &Exit) -> bool {
        let Some(proxy) = self.proxies.get_mut(&grant).filter(|proxy| proxy.container == Some(attempt)) else {
            return false;
        };
        proxy.container = None;
        proxy.verdicts.insert(attempt, exit.clone());
        if proxy.alive {
            proxy.unheard.insert(attempt, exit.clone());
        }
        self.live.remove(&attempt.task);
        true
    }

    /// Ends what a dead proxy left, and tells the verdicts.
    pub(crate) fn sweep(&mut self, grant: GrantId) -> Vec<(AttemptId, Option<Exit>)> {
        let Some(proxy) = self.proxies.remove(&grant) else { return Vec::new() };
        self.used = self.used - proxy.size;
        assert!(!proxy.alive, "broken: the sweep of {grant} meets a living proxy");
        if let Some(attempt) = proxy.container {
            self.live.remove(&attempt.task);
        }
        proxy.given.iter().map(|attempt| (*attempt, proxy.verdicts.get(attempt).cloned())).collect()
    }

    /// After a crash of the master: room that was given and not used by a proxy is free again.
    pub(crate) fn recount(&mut self) {
        self.used = self.proxies.values().fold(Resources::default(), |sum, proxy| sum + proxy.size);
    }

    /// What a proxy would say in its Hello.
    pub(crate) fn hands(&self, grant: GrantId) -> Vec<AttemptId> {
        let of = |proxy: &Proxy| {
            let ahead = proxy.ahead.iter().map(|(attempt, _)| *attempt);
            proxy.unheard.keys().copied().chain(proxy.container).chain(ahead).collect()
        };
        self.proxies.get(&grant).map(of).unwrap_or_default()
    }
}
