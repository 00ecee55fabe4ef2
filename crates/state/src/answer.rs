//! What is told of the roster. A node's text is kept until something of it is otherwise, so an answer about all of a
//! thousand nodes is put together, not made anew.

use dybox_logic::roster::{Brief, Question, Roster};
use dybox_model::Millis;
use dybox_model::roster::{NodeFacts, NodeView, Pulse, RosterView};
use dybox_wire::roster::{NodeText, NodeTold};
use serde::Serialize;

/// What was said last of each node.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    told: Kept<NodeText>,
    /// JSON of each [`NodeView`] up to the figure with which it ends: how long the node is silent.
    shown: Kept<Vec<u8>>,
}

/// A text of each node, by name, as the roster has them; each with its [`Brief::rev`].
#[derive(Debug)]
struct Kept<T>(Vec<(String, u64, T)>);

/// Of each node only what a master goes by.
pub(crate) fn advice(roster: &Roster, now: Millis, images: &[String]) -> Vec<NodeTold> {
    roster.briefs(now).map(|brief| advised(&brief, images).into()).collect()
}

fn advised(brief: &Brief<'_>, images: &[String]) -> NodeView {
    NodeView {
        host: brief.host.to_owned(),
        health: brief.health,
        ills: brief.ills.to_vec(),
        mark: brief.mark.clone(),
        pulse: Pulse { arrivals: brief.pulse.arrivals.clone(), ..Pulse::default() },
        facts: NodeFacts { brings: brief.facts.brings, ..NodeFacts::default() },
        present: brief.present(images),
        ..NodeView::default()
    }
}

impl Answers {
    /// What is known of one node, or of all in short.
    pub(crate) fn to(&mut self, roster: &Roster, now: Millis, question: &Question) -> Vec<NodeTold> {
        if question.host.is_some() {
            return roster.view(now, question).into_iter().map(NodeTold::from).collect();
        }
        let mut all = Vec::with_capacity(self.told.0.len());
        let write = |brief: &Brief<'_>| NodeText::of(brief.view());
        self.told.each(roster.briefs(now), write, |brief, node| {
            let present = brief.present(&question.images);
            all.push(NodeTold { node: node.clone(), silent: brief.silent, present });
        });
        all
    }

    /// The same as JSON of a [`RosterView`].
    pub(crate) fn page(
        &mut self,
        roster: &Roster,
        now: Millis,
        host: Option<String>,
        troubles: Vec<String>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        if host.is_some() {
            let nodes = roster.view(now, &Question { host, images: Vec::new() });
            put(&mut out, &RosterView { nodes, troubles });
            return out;
        }
        out.reserve(self.shown.0.iter().map(|(.., text)| text.len() + FIGURE).sum());
        out.extend_from_slice(b"{\"nodes\":[");
        let empty = out.len();
        self.shown.each(roster.briefs(now), up_to_silent, |brief, text| {
            if out.len() > empty {
                out.push(b',');
            }
            out.extend_from_slice(text);
            put(&mut out, &brief.silent);
            out.push(b'}');
        });
        out.extend_from_slice(b"],\"troubles\":");
        put(&mut out, &troubles);
        out.push(b'}');
        out
    }
}

/// Room for how long a node is silent.
const FIGURE: usize = 16;

fn up_to_silent(brief: &Brief<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    put(&mut text, &NodeView { silent: Millis(0), ..brief.view() });
    text.truncate(text.len() - b"0}".len());
    text
}

fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("a roster is JSON");
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Kept<T> {
    /// Each node with its text, which is written anew where something is otherwise.
    fn each<'a>(
        &mut self,
        briefs: impl Iterator<Item = Brief<'a>>,
        write: impl Fn(&Brief<'_>) -> T,
        mut take: impl FnMut(&Brief<'_>, &T),
    ) {
        let mut place = 0;
        for brief in briefs {
            let gone = self.0[place..].iter().take_while(|(host, ..)| host.as_str() < brief.host).count();
            self.0.drain(place..place + gone);
            if self.0.get(place).is_none_or(|(host, ..)| host != brief.host) {
                self.0.insert(place, (brief.host.to_owned(), brief.rev, write(&brief)));
            }
            let (_, rev, text) = &mut self.0[place];
            if *rev != brief.rev {
                (*rev, *text) = (brief.rev, write(&brief));
            }
            take(&brief, text);
            place += 1;
        }
        self.0.truncate(place);
    }
}

#[cfg(test)]
mod tests {
    use dybox_logic::master::Advice;
    use dybox_logic::roster::{Event, Rules, Session};
    use dybox_model::roster::{Arrival, NodeImage};
    use dybox_wire::roster::RosterTold;

    use super::*;

    struct World {
        roster: Roster,
        answers: Answers,
        now: u64,
        seq: u64,
    }

    impl World {
        fn new() -> Self {
            Self { roster: Roster::new(Rules::default()), answers: Answers::default(), now: 1000, seq: 0 }
        }

        /// Lets the roster hear this, and compares what is put together with what is made anew, twice.
        fn hear(&mut self, event: Event) {
            self.now += 10;
            self.roster.handle(Millis(self.now), event, &mut Vec::new());
            for images in [Vec::new(), vec!["busybox:1".to_owned(), "alpine:3".to_owned()]] {
                self.now += 1;
                let (now, question) = (Millis(self.now), Question { host: None, images });
                let read = |nodes| RosterTold { nodes, ..RosterTold::default() }.read().unwrap();
                let troubles = vec!["a \"trouble\"".to_owned()];
                let page = self.answers.page(&self.roster, now, None, troubles.clone());
                let blank = Question { images: Vec::new(), ..question.clone() };
                let shown = RosterView { nodes: self.roster.view(now, &blank), troubles };
                assert_eq!(String::from_utf8(page).unwrap(), serde_json::to_string(&shown).unwrap());
                let anew = RosterView { nodes: self.roster.view(now, &question), ..RosterView::default() };
                assert_eq!(read(self.answers.to(&self.roster, now, &question)), anew);
                let told = read(advice(&self.roster, now, &question.images));
                let advised = |view: &RosterView| view.nodes.iter().map(Advice::of).collect::<Vec<_>>();
                assert_eq!(advised(&told), advised(&anew), "a master hears the same");
            }
            let count = self.roster.briefs(Millis(self.now)).count();
            assert_eq!((self.answers.told.0.len(), self.answers.shown.0.len()), (count, count));
        }

        fn open(&mut self, host: &str, session: u64) {
            self.hear(Event::Opened { session: Session(session), host: host.to_owned() });
        }

        fn report(&mut self, host: &str, session: u64, pulse: Pulse, facts: Option<NodeFacts>) {
            self.seq += 1;
            let (session, host, pulse) = (Session(session), host.to_owned(), Box::new(pulse));
            self.hear(Event::Reported { session, host, seq: self.seq, pulse, facts });
        }
    }

    #[test]
    fn what_is_put_together_is_what_would_be_made_anew() {
        let mut world = World::new();
        world.hear(Event::Tick);
        let well = || Pulse { at: Millis(7), ping: Some(Millis(1)), list: Some(Millis(2)), ..Pulse::default() };
        let image = |name: &str| NodeImage { id: format!("sha256:{name}"), names: vec![name.to_owned()], size: 5 };
        let facts = |images| NodeFacts { engine: "20".to_owned(), brings: true, images, ..NodeFacts::default() };
        let arrival =
            Arrival { image: "busybox:1".to_owned(), took: Millis(9), at: Millis(8), why: "no room".to_owned() };
        world.open("n2", 1);
        world.open("n1", 2);
        world.report("n1", 2, well(), Some(facts(vec![image("busybox:1")])));
        world.report("n2", 1, well(), Some(facts(vec![image("busybox:1"), image("x:1")])));
        for _ in 0..3 {
            world.report("n1", 2, Pulse { list: None, trouble: "\"quoted\"".to_owned(), ..well() }, None);
            world.report("n2", 1, Pulse { arrivals: vec![arrival.clone()], ..well() }, None);
        }
        let mark =
            |drained| Event::Marked { host: "n2".to_owned(), drained, why: "disk".to_owned(), by: "ann".to_owned() };
        world.hear(mark(true));
        world.hear(mark(false));
        world.report("n1", 2, well(), Some(facts(Vec::new())));
        // A report that does not count.
        world.report("n2", 2, well(), None);
        world.hear(Event::Closed { session: Session(1) });
        world.now += Rules::default().silent_after.0;
        world.hear(Event::Tick);
        world.now += Rules::default().forget_after.0;
        world.hear(Event::Tick);
        assert!(world.answers.told.0.is_empty());
        world.open("n1", 9);
    }
}
