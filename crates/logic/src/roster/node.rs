//! One node: what was heard, and what it counts as.

use dybox_model::Millis;
use dybox_model::roster::{Health, Ill, Mark, NodeChange, NodeFacts, NodeImage, NodeView, Pulse, words};
use dybox_model::sweep::Sweep;

use super::event::{Question, Refusal, Session};
use super::images::{Images, Shared};
use super::judge::{Rules, judge};

/// Everything that is known of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) history: Vec<NodeChange>,
    pub(super) line: Option<Line>,
    /// A greater one than before with everything that [`Brief`] would show otherwise, silence aside.
    pub(super) rev: u64,
    health: Health,
    ills: Vec<Ill>,
    since: Millis,
    heard: Option<Millis>,
    clock_ahead: i64,
    pulse: Pulse,
    /// Without the images.
    facts: NodeFacts,
    images: Shared,
    run: Option<Run>,
}

/// A node in short, as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Brief<'a> {
    /// The machine.
    pub host: &'a str,
    /// Another one than before where anything of the node is otherwise than before, `silent` aside. Never repeats.
    pub rev: u64,
    /// Whether tasks can run there.
    pub health: Health,
    /// What is wrong.
    pub ills: &'a [Ill],
    /// Since when it is so.
    pub since: Millis,
    /// How long ago the last report came.
    pub silent: Millis,
    /// How far its clock is ahead of the server's, in milliseconds.
    pub clock_ahead: i64,
    /// Whether new tasks are wanted there.
    pub mark: &'a Mark,
    /// The last that was heard.
    pub pulse: &'a Pulse,
    /// The same, without images.
    pub facts: &'a NodeFacts,
    images: &'a Shared,
}

impl Brief<'_> {
    /// The same with names of its own: without images, and without history.
    #[must_use]
    pub fn view(&self) -> NodeView {
        NodeView {
            host: self.host.to_owned(),
            health: self.health,
            ills: self.ills.to_vec(),
            since: self.since,
            silent: self.silent,
            clock_ahead: self.clock_ahead,
            mark: self.mark.clone(),
            pulse: self.pulse.clone(),
            facts: self.facts.clone(),
            images: self.images(),
            present: Vec::new(),
            history: Vec::new(),
        }
    }

    /// How many images are there.
    #[must_use]
    pub fn images(&self) -> u32 {
        u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    /// Which of these images are there.
    #[must_use]
    pub fn present(&self, asked: &[String]) -> Vec<String> {
        asked.iter().filter(|name| self.has(name)).cloned().collect()
    }

    fn has(&self, name: &str) -> bool {
        self.images.iter().any(|image| image.id == name || image.names.iter().any(|known| known == name))
    }
}

/// The agent's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) session: Session,
    last: Option<u64>,
}

/// Reports in a row that are all worse, or all better, than what the node counts as.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    worse: bool,
    count: u32,
    /// The one of them that is nearest to what the node counts as, and what it said.
    mildest: (Health, Vec<Ill>),
}

impl Line {
    pub(super) const fn new(session: Session) -> Self {
        Self { session, last: None }
    }
}

impl Node {
    /// A node of which nothing was heard yet.
    pub(super) fn silent(now: Millis) -> Self {
        Self {
            mark: Mark::default(),
            history: Vec::new(),
            line: None,
            rev: 0,
            health: Health::Unknown,
            ills: Vec::new(),
            since: now,
            heard: None,
            clock_ahead: 0,
            pulse: Pulse::default(),
            facts: NodeFacts::default(),
            images: Shared::default(),
            run: None,
        }
    }

    /// Takes a report of the line that is open.
    pub(super) fn hear(
        &mut self,
        now: Millis,
        seq: u64,
        (pulse, facts): (Pulse, Option<NodeFacts>),
        (rules, images): (&Rules, &mut Images),
    ) -> Result<Option<NodeChange>, Refusal> {
        let line = self.line.as_mut().ok_or(Refusal::NoAgent)?;
        match line.last {
            Some(last) if seq <= last => return Err(Refusal::Replayed { seq, last }),
            None if facts.is_none() => return Err(Refusal::NoFacts),
            _ => line.last = Some(seq),
        }
        let (health, ills) = judge(&pulse, rules, &self.ills);
        self.clock_ahead = i64::try_from(i128::from(pulse.at.0) - i128::from(now.0)).unwrap_or(i64::MAX);
        self.pulse = pulse;
        if let Some(mut facts) = facts {
            let new = images.share(std::mem::take(&mut facts.images));
            images.release(std::mem::replace(&mut self.images, new));
            self.facts = facts;
        }
        self.heard = Some(now);
        Ok(self.follow(now, health, ills, rules))
    }

    /// Lets what the node counts as follow what a report says.
    fn follow(&mut self, now: Millis, health: Health, ills: Vec<Ill>, rules: &Rules) -> Option<NodeChange> {
        if health == self.health {
            self.run = None;
            let names = |ills: &[Ill]| ills.iter().map(Ill::name).collect::<Vec<_>>();
            let same = names(&ills) == names(&self.ills);
            self.ills = ills;
            return (!same).then(|| self.change(now));
        }
        if self.health == Health::Unknown {
            return Some(self.turn(now, health, ills));
        }
        let worse = health > self.health;
        let mut run = self.run.take().filter(|run| run.worse == worse).unwrap_or_else(|| Run {
            worse,
            count: 0,
            mildest: (health, ills.clone()),
        });
        run.count += 1;
        // Of the mildest ones the newest, whose words are the freshest.
        if if worse { health <= run.mildest.0 } else { health >= run.mildest.0 } {
            run.mildest = (health, ills);
        }
        let enough = if worse { rules.worse_after } else { rules.better_after };
        if run.count < enough {
            self.run = Some(run);
            return None;
        }
        Some(self.turn(now, run.mildest.0, run.mildest.1))
    }

    fn turn(&mut self, now: Millis, health: Health, ills: Vec<Ill>) -> NodeChange {
        self.run = None;
        self.health = health;
        self.ills = ills;
        self.since = now;
        self.change(now)
    }

    fn change(&self, now: Millis) -> NodeChange {
        NodeChange { at: now, to: self.health.to_string(), why: words(&self.ills) }
    }

    /// Whether its agent brings images now.
    pub(super) fn brings(&self) -> bool {
        self.facts.brings && self.health == Health::Healthy && !self.mark.drained
    }

    /// Makes it unknown where it is silent for too long.
    pub(super) fn grow_silent(&mut self, now: Millis, rules: &Rules) -> Option<NodeChange> {
        let late = self.heard.is_some_and(|heard| now.since(heard) > rules.silent_after);
        if self.health == Health::Unknown || !late {
            return None;
        }
        let mut change = self.turn(now, Health::Unknown, Vec::new());
        change.why = "its agent is silent".to_owned();
        Some(change)
    }

    /// Whether nobody would miss it.
    pub(super) fn is_over(&self, now: Millis, rules: &Rules) -> bool {
        let quiet = now.since(self.heard.unwrap_or(self.since));
        self.line.is_none() && !self.mark.drained && self.health == Health::Unknown && quiet > rules.forget_after
    }

    pub(super) fn brief<'a>(&'a self, now: Millis, host: &'a str) -> Brief<'a> {
        Brief {
            host,
            rev: self.rev,
            health: self.health,
            ills: &self.ills,
            since: self.since,
            silent: self.heard.map_or(Millis(0), |heard| now.since(heard)),
            clock_ahead: self.clock_ahead,
            mark: &self.mark,
            pulse: &self.pulse,
            facts: &self.facts,
            images: &self.images,
        }
    }

    pub(super) fn view(&self, now: Millis, host: &str, question: &Question) -> NodeView {
        let brief = self.brief(now, host);
        let mut view = NodeView { present: brief.present(&question.images), ..brief.view() };
        if question.host.is_some() {
            view.facts.images = self.images.iter().map(|image| NodeImage::clone(image)).collect();
            view.history = self.history.clone();
        }
        view
    }

    /// What it had, when it is forgotten.
    pub(super) fn into_images(self) -> Shared {
        self.images
    }

    /// The last sweep that was told.
    pub(super) const fn sweep(&self) -> Option<&Sweep> {
        self.pulse.sweep.as_ref()
    }

    /// Whether this server has not heard of this sweep, and would have heard of the one before it.
    pub(super) fn is_news(&self, sweep: &Sweep) -> bool {
        let same = self.sweep().is_some_and(|known| (known.number, known.at) == (sweep.number, sweep.at));
        self.heard.is_some() && !same
    }

    pub(super) const fn health(&self) -> Health {
        self.health
    }
}
