//! The roster as JSON. What is said of a node is kept as text until something of it is otherwise, so an answer about all
//! of a thousand nodes is put together, not made anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use dybox_logic::roster::{Brief, Question, Roster};
use dybox_model::Millis;
use dybox_model::roster::{Health, Ill, Mark, NodeFacts, Pulse, RosterView};
use serde::Serialize;

/// What was said last of each node.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// By name, as the roster has them.
    texts: Vec<(String, Text)>,
}

/// A [`dybox_model::roster::NodeView`] in short, around what is otherwise each time: how long the node is silent.
#[derive(Debug, Default)]
struct Text {
    rev: u64,
    /// Two objects, [`Before`] and [`After`], without the brackets at their ends.
    json: Vec<u8>,
    /// Where the second one begins.
    after: usize,
}

#[derive(Serialize)]
struct Before<'a> {
    host: &'a str,
    health: Health,
    ills: &'a [Ill],
    since: Millis,
}

#[derive(Serialize)]
struct After<'a> {
    clock_ahead: i64,
    mark: &'a Mark,
    pulse: &'a Pulse,
    facts: &'a NodeFacts,
    images: u32,
}

/// What of a [`dybox_model::roster::NodeView`] a master goes by; the rest is left out.
#[derive(Serialize)]
struct Advised<'a> {
    host: &'a str,
    health: Health,
    #[serde(skip_serializing_if = "<[Ill]>::is_empty")]
    ills: &'a [Ill],
    #[serde(skip_serializing_if = "Mark::is_none")]
    mark: &'a Mark,
    #[serde(skip_serializing_if = "Option::is_none")]
    pulse: Option<Pulse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<NodeFacts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    present: Vec<String>,
}

impl<'a> Advised<'a> {
    fn of(brief: Brief<'a>, images: &[String]) -> Self {
        let Brief { host, health, ills, mark, pulse: Pulse { arrivals, .. }, facts, .. } = brief;
        let pulse = || Pulse { arrivals: arrivals.clone(), ..Pulse::default() };
        Self {
            host,
            health,
            ills,
            mark,
            pulse: (!arrivals.is_empty()).then(pulse),
            facts: facts.brings.then(|| NodeFacts { brings: true, ..NodeFacts::default() }),
            present: brief.present(images),
        }
    }
}

/// JSON of a [`RosterView`] with only what a master goes by.
pub(crate) fn advice(roster: &Roster, now: Millis, images: &[String]) -> Bytes {
    let nodes: Vec<_> = roster.briefs(now).map(|brief| Advised::of(brief, images)).collect();
    let mut out = Vec::new();
    put(&mut out, &BTreeMap::from([("nodes", nodes)]));
    out.into()
}

impl Answers {
    /// JSON of a [`RosterView`].
    pub(crate) fn to(&mut self, roster: &Roster, now: Millis, question: &Question, troubles: Vec<String>) -> Bytes {
        if question.host.is_none() {
            return self.whole(roster, now, &question.images, &troubles);
        }
        let nodes = roster.view(now, question);
        let mut out = Vec::new();
        put(&mut out, &RosterView { nodes, troubles });
        out.into()
    }

    fn whole(&mut self, roster: &Roster, now: Millis, images: &[String], troubles: &[String]) -> Bytes {
        let mut out = Vec::with_capacity(self.texts.iter().map(|(_, text)| text.room()).sum());
        out.extend_from_slice(b"{\"nodes\":[");
        let mut count = 0;
        for brief in roster.briefs(now) {
            if count > 0 {
                out.push(b',');
            }
            self.text(count, &brief).write(&brief, images, &mut out);
            count += 1;
        }
        self.texts.truncate(count);
        out.extend_from_slice(b"],\"troubles\":");
        put(&mut out, &troubles);
        out.push(b'}');
        out.into()
    }

    /// The text of the node that is in this place by name. Those before it are as the roster has them.
    fn text(&mut self, place: usize, brief: &Brief<'_>) -> &Text {
        let gone = self.texts[place..].iter().take_while(|(host, _)| host.as_str() < brief.host).count();
        self.texts.drain(place..place + gone);
        if self.texts.get(place).is_none_or(|(host, _)| host != brief.host) {
            self.texts.insert(place, (brief.host.to_owned(), Text::default()));
        }
        let (_, text) = &mut self.texts[place];
        if text.rev != brief.rev {
            text.write_anew(brief);
        }
        text
    }
}

impl Text {
    /// In the memory that it has: it is about as long as before.
    fn write_anew(&mut self, brief: &Brief<'_>) {
        let Brief { host, rev, health, ills, since, clock_ahead, mark, pulse, facts, .. } = *brief;
        self.rev = rev;
        self.json.clear();
        put(&mut self.json, &Before { host, health, ills, since });
        self.json.pop();
        self.after = self.json.len();
        put(&mut self.json, &After { clock_ahead, mark, pulse, facts, images: brief.images() });
        self.json.pop();
    }

    fn write(&self, brief: &Brief<'_>, images: &[String], out: &mut Vec<u8>) {
        let (before, after) = self.json.split_at(self.after);
        out.extend_from_slice(before);
        out.extend_from_slice(b",\"silent\":");
        put(out, &brief.silent);
        out.push(b',');
        out.extend_from_slice(&after[1..]);
        let present = brief.present(images);
        if !present.is_empty() {
            out.extend_from_slice(b",\"present\":");
            put(out, &present);
        }
        out.push(b'}');
    }

    /// With room for the rest of a node's text.
    fn room(&self) -> usize {
        self.json.len() + 40
    }
}

fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("a roster is JSON");
}

#[cfg(test)]
mod tests {
    use dybox_logic::master::Advice;
    use dybox_logic::roster::{Event, Rules, Session};
    use dybox_model::roster::{Arrival, NodeImage};

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
                let troubles = vec!["a \"trouble\"".to_owned()];
                let said = self.answers.to(&self.roster, now, &question, troubles.clone());
                let anew = RosterView { nodes: self.roster.view(now, &question), troubles };
                assert_eq!(String::from_utf8_lossy(&said), serde_json::to_string(&anew).unwrap());
                let told = RosterView::read(&advice(&self.roster, now, &question.images)).unwrap();
                let advised = |view: &RosterView| view.nodes.iter().map(Advice::of).collect::<Vec<_>>();
                assert_eq!(advised(&told), advised(&anew), "a master hears the same");
            }
            assert_eq!(self.answers.texts.len(), self.roster.briefs(Millis(self.now)).count());
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
        assert!(world.answers.texts.is_empty());
        world.open("n1", 9);
    }
}
