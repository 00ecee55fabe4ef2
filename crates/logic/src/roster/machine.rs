//! The machine: lines, reports, marks, silence.

use std::collections::BTreeMap;

use dybox_model::Millis;
use dybox_model::roster::{BringOrder, Health, Mark, NodeChange, NodeFacts, NodeView, Pulse};
use dybox_model::sweep::{Sweep, SweepOrder};

use super::event::{Effect, Event, LOOK, Question, Refusal, Session};
use super::images::Images;
use super::judge::Rules;
use super::node::{Brief, Line, Node};

/// Machines that one wish for an image may name.
const MOST_BRING: usize = 32;

/// Knows every node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roster {
    rules: Rules,
    nodes: BTreeMap<String, Node>,
    images: Images,
    /// The greatest that a node has.
    rev: u64,
    /// Whose line each is; the nodes know the same the other way round.
    lines: BTreeMap<Session, String>,
    looked: Millis,
    swept: Swept,
}

/// What agents told of their sweeps in this server's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sweeps that removed what is to go.
    pub sweeps: u64,
    /// What went, by kind.
    pub removed: BTreeMap<&'static str, u64>,
    /// Bytes of images that went.
    pub bytes: u64,
}

impl Swept {
    fn add(&mut self, sweep: &Sweep) {
        if sweep.dry_run {
            return;
        }
        self.sweeps += 1;
        self.bytes = self.bytes.saturating_add(sweep.bytes);
        for (what, count) in sweep.removed.parts().into_iter().chain([("images", sweep.images)]) {
            *self.removed.entry(what).or_default() += u64::from(count);
        }
    }
}

impl Roster {
    /// One that knows nobody.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes back what an earlier server kept of a node. Its agent has not been heard since.
    pub fn restore(&mut self, now: Millis, host: &str, mark: Mark, history: Vec<NodeChange>) {
        let most = self.rules.history;
        let node = self.node(now, host);
        node.mark = mark;
        node.history = history;
        trim(&mut node.history, most);
    }

    /// Takes one event in; what is to be done about it is put into `out`, in order.
    pub fn handle(&mut self, now: Millis, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Opened { session, host } => self.open(now, session, host, out),
            Event::Reported { session, host, seq, pulse, facts } => {
                if let Err(why) = self.report((now, session, host), seq, (*pulse, facts), out) {
                    self.close(session);
                    out.push(Effect::Refuse { session, why });
                }
            }
            Event::Closed { session } => self.close(session),
            Event::Marked { host, drained, why, by } => self.mark(now, host, (drained, why, by), out),
            Event::Wanted { host, order } => self.order(host.as_deref(), &order, out),
            Event::Missed { hosts, order } => self.bring(&hosts, &order, out),
            Event::Tick => self.look(now, out),
        }
    }

    /// When to call `handle(now, Event::Tick)` next.
    #[must_use]
    pub fn wake(&self) -> Millis {
        Millis(self.looked.0 + LOOK.0)
    }

    /// What is known.
    #[must_use]
    pub fn view(&self, now: Millis, question: &Question) -> Vec<NodeView> {
        match &question.host {
            Some(host) => self.nodes.get(host).map(|node| node.view(now, host, question)).into_iter().collect(),
            None => self.nodes.iter().map(|(host, node)| node.view(now, host, question)).collect(),
        }
    }

    /// What must outlive the server of what it knows of a node; [`Self::restore`] takes it back.
    #[must_use]
    pub fn lasting(&self, host: &str) -> Option<(Mark, Vec<NodeChange>)> {
        self.nodes.get(host).map(|node| (node.mark.clone(), node.history.clone()))
    }

    /// Every node in short, by name.
    pub fn briefs(&self, now: Millis) -> impl Iterator<Item = Brief<'_>> {
        self.nodes.iter().map(move |(host, node)| node.brief(now, host))
    }

    /// How many nodes are how healthy, and how many are drained.
    #[must_use]
    pub fn counts(&self) -> (BTreeMap<Health, u32>, u32) {
        let mut counts = BTreeMap::new();
        for node in self.nodes.values() {
            *counts.entry(node.health()).or_default() += 1;
        }
        let drained = self.nodes.values().filter(|node| node.mark.drained).count();
        (counts, u32::try_from(drained).unwrap_or(u32::MAX))
    }

    /// What was swept, and of how many nodes' last sweeps something is left that nobody proves, or went wrong.
    #[must_use]
    pub fn swept(&self) -> (&Swept, [(&'static str, u64); 2]) {
        let last = |of: &dyn Fn(&Sweep) -> bool| {
            self.nodes.values().filter(|node| node.sweep().is_some_and(of)).count() as u64
        };
        let unproven = last(&|sweep| !sweep.unproven.is_none());
        (&self.swept, [("unproven", unproven), ("trouble", last(&|sweep| !sweep.troubles.is_empty()))])
    }

    fn node(&mut self, now: Millis, host: &str) -> &mut Node {
        if !self.nodes.contains_key(host) {
            self.nodes.insert(host.to_owned(), Node::silent(now));
        }
        let node = self.nodes.get_mut(host).expect("it was put there just now");
        self.rev += 1;
        node.rev = self.rev;
        node
    }

    fn open(&mut self, now: Millis, session: Session, host: String, out: &mut Vec<Effect>) {
        let node = self.node(now, &host);
        let before = node.line.replace(Line::new(session));
        let known = node.mark.clone();
        if let Some(before) = before {
            self.lines.remove(&before.session);
            out.push(Effect::Refuse { session: before.session, why: Refusal::NoAgent });
        }
        if !known.is_none() {
            out.push(Effect::Tell { session, mark: known });
        }
        self.lines.insert(session, host);
    }

    fn report(
        &mut self,
        (now, session, said): (Millis, Session, String),
        seq: u64,
        (pulse, facts): (Pulse, Option<NodeFacts>),
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let own = self.lines.get(&session).ok_or(Refusal::NoAgent)?;
        if *own != said {
            return Err(Refusal::OtherHost { own: own.clone(), said });
        }
        let node = self.nodes.get_mut(&said).ok_or(Refusal::NoAgent)?;
        self.rev += 1;
        node.rev = self.rev;
        let carried = pulse.mark.clone();
        // The first report to this server may tell of a sweep of another server's life.
        let fresh = pulse.sweep.as_ref().filter(|sweep| node.is_news(sweep)).cloned();
        let change = node.hear(now, seq, (pulse, facts), (&self.rules, &mut self.images))?;
        if let Some(change) = change {
            record(node, &said, change, (self.rules.history, out));
        }
        if let Some(sweep) = fresh {
            self.swept.add(&sweep);
        }
        if carried > node.mark {
            let change = marked(now, &carried);
            node.mark = carried;
            out.push(Effect::Keep { host: said.clone(), mark: node.mark.clone() });
            record(node, &said, change, (self.rules.history, out));
        } else if carried < node.mark {
            out.push(Effect::Tell { session, mark: node.mark.clone() });
        }
        Ok(())
    }

    fn close(&mut self, session: Session) {
        let Some(host) = self.lines.remove(&session) else { return };
        if let Some(node) = self.nodes.get_mut(&host) {
            node.line = node.line.filter(|line| line.session != session);
        }
    }

    fn mark(&mut self, now: Millis, host: String, said: (bool, String, String), out: &mut Vec<Effect>) {
        let most = self.rules.history;
        let (drained, why, by) = said;
        let node = self.node(now, &host);
        let mark = Mark { rev: node.mark.rev.saturating_add(1), drained, why, by, at: now };
        let change = marked(now, &mark);
        node.mark = mark.clone();
        if let Some(line) = &node.line {
            out.push(Effect::Tell { session: line.session, mark: mark.clone() });
        }
        out.push(Effect::Keep { host: host.clone(), mark });
        record(node, &host, change, (most, out));
    }

    fn order(&self, host: Option<&str>, order: &SweepOrder, out: &mut Vec<Effect>) {
        let meant = self.nodes.iter().filter(|(name, _)| host.is_none_or(|host| host == name.as_str()));
        out.extend(meant.filter_map(|(name, node)| {
            Some(Effect::Sweep { session: node.line?.session, host: name.clone(), order: order.clone() })
        }));
    }

    /// Who wants an image may not know what this server knows of a machine.
    fn bring(&self, hosts: &[String], order: &BringOrder, out: &mut Vec<Effect>) {
        let meant = hosts.iter().take(MOST_BRING).filter_map(|host| self.nodes.get_key_value(host));
        out.extend(meant.filter(|(_, node)| node.brings()).filter_map(|(host, node)| {
            Some(Effect::Bring { session: node.line?.session, host: host.clone(), order: order.clone() })
        }));
    }

    fn look(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.looked = now;
        let rules = &self.rules;
        for (host, node) in &mut self.nodes {
            if let Some(change) = node.grow_silent(now, rules) {
                self.rev += 1;
                node.rev = self.rev;
                record(node, host, change, (rules.history, out));
            }
        }
        let over = self.nodes.extract_if(.., |_, node| node.is_over(now, rules));
        for (host, node) in over {
            self.images.release(node.into_images());
            out.push(Effect::Forget { host });
        }
    }

    /// How many different images its nodes have.
    #[cfg(test)]
    pub(super) fn images(&self) -> usize {
        self.images.count()
    }

    /// What must always hold.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self) -> Result<(), String> {
        for (session, host) in &self.lines {
            let line = self.nodes.get(host).and_then(|node| node.line);
            if line.is_none_or(|line| line.session != *session) {
                return Err(format!("line {session:?} of {host} is not its line"));
            }
        }
        let open = self.nodes.values().filter(|node| node.line.is_some()).count();
        if open != self.lines.len() {
            return Err(format!("{open} nodes have a line, and {} lines are open", self.lines.len()));
        }
        match self.nodes.iter().find(|(_, node)| node.history.len() > self.rules.history) {
            Some((host, _)) => Err(format!("the history of {host} is too long")),
            None => Ok(()),
        }
    }
}

fn marked(now: Millis, mark: &Mark) -> NodeChange {
    let to = if mark.drained { "drained" } else { "undrained" };
    let why = if mark.why.is_empty() { format!("by {}", mark.by) } else { format!("by {}: {}", mark.by, mark.why) };
    NodeChange { at: now, to: to.to_owned(), why }
}

fn record(node: &mut Node, host: &str, change: NodeChange, (most, out): (usize, &mut Vec<Effect>)) {
    node.history.push(change.clone());
    trim(&mut node.history, most);
    out.push(Effect::Record { host: host.to_owned(), change });
}

fn trim(history: &mut Vec<NodeChange>, most: usize) {
    let surplus = history.len().saturating_sub(most);
    history.drain(..surplus);
}
