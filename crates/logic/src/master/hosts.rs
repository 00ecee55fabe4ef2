//! The machines of the cluster: which there are, which fit a placement, which are left out for a while.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{Cause, Exit, Millis, Node, Placement, Resources, Wish};

use super::heed::{Heeded, PATIENCE};
use super::{Advice, Effect};

/// Failures of the platform on one machine, with nothing that ran between them, until it is left out.
const MOST_FAULTS: u32 = 2;
/// For how long a machine is left out.
const LEFT_OUT: Millis = Millis::from_secs(300);

/// What went wrong on one machine.
#[derive(Debug, Default)]
struct Faults {
    count: u32,
    /// In words: the last one.
    how: String,
    /// It is to be left out until then.
    until: Option<Millis>,
    /// It is left out: not too many are.
    out: bool,
}

/// All machines. Empty and silent on one machine.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// The node label that the asks bear.
    pub(super) label: Option<String>,
    nodes: BTreeMap<String, Node>,
    faults: BTreeMap<String, Faults>,
    pub(super) roster: Heeded,
    /// Machines that the resource manager was told to leave out.
    told: BTreeSet<String>,
    /// The roster's advice is another one than when that was looked at.
    advised: bool,
}

impl Hosts {
    /// Takes the view of the cluster in.
    pub(super) fn put(&mut self, nodes: Vec<Node>) {
        self.nodes = nodes.into_iter().map(|node| (node.host.clone(), node)).collect();
    }

    /// Whether the machines are known.
    pub(super) fn known(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Whether the cluster has a machine of this name.
    pub(super) fn has(&self, host: &str) -> bool {
        self.nodes.contains_key(host)
    }

    /// Whether the cluster has a rack of this name.
    pub(super) fn has_rack(&self, rack: &str) -> bool {
        self.nodes.values().any(|node| node.rack == rack)
    }

    /// The rack of a machine; empty = not known.
    pub(super) fn rack_of(&self, host: &str) -> &str {
        self.nodes.get(host).map_or("", |node| &node.rack)
    }

    /// Whether a placement allows a machine, whatever runs there.
    pub(super) fn allows(&self, placement: &Placement, host: &str) -> bool {
        let named = |list: &[String], name: &str| list.iter().any(|own| own == name);
        let anywhere = placement.nodes.is_empty() && placement.racks.is_empty();
        let here = named(&placement.nodes, host) || named(&placement.racks, self.rack_of(host));
        !named(&placement.avoid, host) && (anywhere || here)
    }

    /// Machines on which such a grant could be, now or later.
    pub(super) fn fitting<'a>(
        &'a self,
        placement: &'a Placement,
        size: Resources,
    ) -> impl Iterator<Item = &'a Node> + 'a {
        let open = self.of_size(size).filter(move |node| !self.is_left_out(&node.host));
        open.filter(move |node| self.allows(placement, &node.host))
    }

    /// Machines that are large enough and can be asked for.
    pub(super) fn of_size(&self, size: Resources) -> impl Iterator<Item = &Node> {
        let any_bare = self.nodes.values().any(|node| node.labels.is_empty());
        self.nodes.values().filter(move |node| {
            let label = match &self.label {
                Some(label) => node.labels.contains(label),
                None => node.labels.is_empty() || !any_bare,
            };
            node.usable && label && size.fits(node.capacity)
        })
    }

    /// The one ask of a placement that is not spread; nothing = no machine fits, or they are not known yet.
    pub(super) fn ask_for(&self, placement: &Placement, size: Resources) -> Option<Wish> {
        let relaxed = !placement.hard;
        let wish = if placement.avoid.is_empty() {
            let (hosts, racks) = (placement.nodes.clone(), placement.racks.clone());
            Wish { hosts, racks, relaxed, ..Wish::anywhere(size) }
        } else {
            // YARN knows no "not there" for one ask alone: the others are named.
            let hosts = self.fitting(placement, size).map(|node| node.host.clone()).collect();
            Wish { hosts, relaxed, ..Wish::anywhere(size) }
        };
        match wish.hosts.is_empty() && wish.racks.is_empty() {
            true if placement.avoid.is_empty() || !placement.hard => Some(Wish::anywhere(size)),
            true => None,
            false => Some(wish),
        }
    }

    /// An attempt ran there: its engine works.
    pub(super) fn works(&mut self, host: &str) {
        if self.faults.get(host).is_some_and(|faults| faults.until.is_none()) {
            self.faults.remove(host);
        }
    }

    /// An attempt ended there.
    pub(super) fn ended(&mut self, host: &str, exit: &Exit) {
        match exit.cause {
            Some(Cause::EngineDown | Cause::EngineFailed | Cause::DiskFull) => {
                self.fault(host, exit.words(), exit.ended);
            }
            None => self.works(host),
            Some(_) => {}
        }
    }

    /// Something of the platform failed on a machine.
    pub(super) fn fault(&mut self, host: &str, how: String, at: Millis) {
        if host.is_empty() {
            return;
        }
        let faults = self.faults.entry(host.to_owned()).or_default();
        faults.count += 1;
        faults.how = how;
        if faults.count >= MOST_FAULTS {
            faults.until = faults.until.or(Some(at.after(LEFT_OUT)));
        }
    }

    /// The roster has news.
    pub(super) fn advise(&mut self, all: Vec<Advice>) {
        self.roster.put(all);
        self.advised = true;
    }

    /// Uses machines that the roster closes.
    pub(super) fn set_aside(&mut self, hosts: BTreeSet<String>) {
        self.roster.set_aside(hosts);
        self.advised = true;
    }

    /// Whether nothing is to be put there.
    pub(super) fn is_left_out(&self, host: &str) -> bool {
        self.told.contains(host)
    }

    /// Machines that are left out for what failed there, with the reason.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        let out = self.faults.iter().filter(|(_, faults)| faults.out);
        out.map(|(host, faults)| (host.as_str(), faults.how.as_str()))
    }

    /// Leaves machines out and takes others back: those that the roster closes, and those where too much failed. Tells
    /// whether anything changed.
    pub(super) fn judge(&mut self, now: Millis, out: &mut Vec<Effect>) -> bool {
        let failed = !self.faults.is_empty() && self.judge_faults(now);
        if !std::mem::take(&mut self.advised) && !failed {
            return false;
        }
        let wanted: BTreeMap<&str, &str> = self.left_out().chain(self.roster.closed()).collect();
        let before = out.len();
        for (&host, &why) in wanted.iter().filter(|(host, _)| !self.told.contains(**host)) {
            out.push(Effect::Blacklist { host: host.to_owned(), why: why.to_owned() });
        }
        for host in self.told.iter().filter(|host| !wanted.contains_key(host.as_str())) {
            out.push(Effect::Forgive { host: host.clone() });
        }
        self.told = wanted.into_keys().map(str::to_owned).collect();
        out.len() > before
    }

    /// Never leaves out more than half of those that could be used. Tells whether anything changed.
    fn judge_faults(&mut self, now: Millis) -> bool {
        let open = self.nodes.values().filter(|node| node.usable && !self.roster.closes(&node.host));
        let most = open.count() / 2;
        let (mut left_out, mut changed) = (self.left_out().count(), false);
        for faults in self.faults.values_mut() {
            let Some(until) = faults.until else { continue };
            if until <= now {
                if std::mem::take(&mut faults.out) {
                    (left_out, changed) = (left_out - 1, true);
                }
                // It is on probation: one more failure is enough.
                (faults.until, faults.count) = (None, MOST_FAULTS - 1);
            } else if !faults.out && left_out < most {
                (left_out, changed) = (left_out + 1, true);
                faults.out = true;
            }
        }
        changed
    }

    /// When the first machine may be given again.
    pub(super) fn wake(&self) -> Option<Millis> {
        let faults = self.faults.values().filter_map(|faults| faults.until).min();
        [faults, self.roster.stuck.map(|since| since.after(PATIENCE))].into_iter().flatten().min()
    }
}
