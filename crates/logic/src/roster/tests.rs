//! The roster as a value.

use dybox_model::Millis;
use dybox_model::roster::{BringOrder, Canary, Disk, Health, NodeFacts, NodeImage, NodeView, Pressure, Pulse};
use dybox_model::sweep::{Sweep, SweepOrder, Tally};
use proptest::prelude::*;

use super::*;

const BEAT: u64 = 3000;

fn pulse(at: u64) -> Pulse {
    Pulse { at: Millis(at), ping: Some(Millis(2)), list: Some(Millis(5)), ..Pulse::default() }
}

fn hangs(at: u64) -> Pulse {
    Pulse { list: None, ..pulse(at) }
}

/// One agent and one server, whose clocks are apart.
struct Pair {
    roster: Roster,
    now: u64,
    ahead: i64,
    seq: u64,
    session: u64,
    out: Vec<Effect>,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            roster: Roster::new(Rules::default()),
            now: 10_000_000,
            ahead: 0,
            seq: 0,
            session: 0,
            out: Vec::new(),
        };
        pair.open();
        pair
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.roster.handle(Millis(self.now), event, &mut out);
        self.roster.check().unwrap();
        self.out.extend(out.clone());
        out
    }

    fn open(&mut self) {
        self.session += 1;
        self.handle(Event::Opened { session: Session(self.session), host: "n1".to_owned() });
    }

    fn say(&mut self, mut pulse: Pulse) -> Vec<Effect> {
        self.now += BEAT;
        self.seq += 1;
        pulse.at = Millis(self.now.saturating_add_signed(self.ahead));
        let (session, seq) = (Session(self.session), self.seq);
        let facts = Some(NodeFacts::default());
        self.handle(Event::Reported { session, host: "n1".to_owned(), seq, pulse: Box::new(pulse), facts })
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.handle(Event::Tick);
    }

    fn view(&self) -> NodeView {
        let question = Question { host: Some("n1".to_owned()), images: Vec::new() };
        self.roster.view(Millis(self.now), &question).remove(0)
    }

    fn health(&self) -> Health {
        self.view().health
    }
}

fn refused(out: &[Effect]) -> Option<&Refusal> {
    out.iter().find_map(|effect| match effect {
        Effect::Refuse { why, .. } => Some(why),
        _ => None,
    })
}

#[test]
fn a_node_is_what_its_first_report_says_and_then_what_several_say() {
    let mut pair = Pair::new();
    assert_eq!(pair.health(), Health::Unknown);
    pair.say(pulse(0));
    assert_eq!(pair.health(), Health::Healthy);
    pair.say(hangs(0));
    assert_eq!(pair.health(), Health::Healthy, "one bad report is none");
    pair.say(hangs(0));
    assert_eq!(pair.health(), Health::Unusable);
    pair.say(pulse(0));
    pair.say(pulse(0));
    assert_eq!(pair.health(), Health::Unusable, "two good ones are not enough");
    pair.say(hangs(0));
    pair.say(pulse(0));
    pair.say(pulse(0));
    assert_eq!(pair.health(), Health::Unusable, "and they must be in a row");
    pair.say(pulse(0));
    assert_eq!(pair.health(), Health::Healthy);
    let history: Vec<_> = pair.view().history.iter().map(|change| change.to.clone()).collect();
    assert_eq!(history, ["healthy", "unusable", "healthy"]);
}

#[test]
fn of_several_kinds_of_bad_the_mildest_counts() {
    let mut pair = Pair::new();
    pair.say(pulse(0));
    pair.say(hangs(0));
    pair.say(Pulse { list: Some(Millis(4000)), ..pulse(0) });
    assert_eq!(pair.health(), Health::Degraded);
    assert_eq!(pair.view().ills[0].to_string(), "the engine took 4.0s for an answer");
    pair.say(hangs(0));
    pair.say(hangs(0));
    assert_eq!(pair.health(), Health::Unusable);
}

#[test]
fn each_trouble_is_seen_for_what_it_is() {
    let rules = Rules::default();
    let disk = |free| Disk { of: "engine".to_owned(), path: "/d".to_owned(), free, total: 1000 };
    let with = |free| Pulse { disks: vec![disk(free)], ..pulse(0) };
    assert_eq!(judge(&with(500), &rules, &[]), (Health::Healthy, vec![]));
    assert_eq!(judge(&with(50), &rules, &[]).0, Health::Degraded);
    let (health, ills) = judge(&with(10), &rules, &[]);
    assert_eq!((health, ills[0].to_string().as_str()), (Health::Unusable, "/d has 10B (1 %) free for engine"));
    let canary = |why: &str| Pulse { canary: Some(Canary { at: Millis(1), why: why.to_owned() }), ..pulse(0) };
    assert_eq!(judge(&canary(""), &rules, &[]).0, Health::Healthy);
    assert_eq!(judge(&canary("no shim"), &rules, &[]).0, Health::Unusable);
    let away = Pulse { ping: None, list: None, trouble: "refused".to_owned(), disks: vec![disk(50)], ..pulse(0) };
    let names: Vec<_> = judge(&away, &rules, &[]).1.iter().map(dybox_model::roster::Ill::name).collect();
    assert_eq!(names, ["engine_away", "disk_tight"], "the worst first");
}

#[test]
fn a_pressed_machine_is_degraded_until_the_pressure_has_clearly_gone() {
    let pressed = |cpu, io| Pulse { pressure: Pressure { cpu: Some(cpu), io: Some(io), memory: None }, ..pulse(0) };
    let mut pair = Pair::new();
    pair.say(pressed(799, 199));
    assert_eq!(pair.health(), Health::Healthy);
    pair.say(pressed(0, 340));
    assert_eq!(pair.health(), Health::Healthy, "one look is none");
    pair.say(pressed(0, 380));
    let seen = pair.view();
    let words = "the disks do not keep up: everything waited for them for 30 % of the last minute or more";
    assert_eq!((seen.health, seen.ills[0].to_string().as_str()), (Health::Degraded, words));
    assert!(!seen.ills[0].is_fatal());
    // Around the line it was judged by, it stays what it is: no matter how often it crosses.
    for share in [190, 210, 150, 100, 199] {
        pair.say(pressed(0, share));
        assert_eq!(pair.health(), Health::Degraded, "at {share}");
    }
    for _ in 0..3 {
        pair.say(pressed(790, 99));
    }
    assert_eq!(pair.health(), Health::Healthy, "and cpus have a line of their own");
    assert_eq!(pair.view().history.len(), 3, "{:?}", pair.view().history);
}

#[test]
fn a_kernel_that_tells_no_pressure_is_under_none() {
    let all = |share| Pressure { cpu: share, io: share, memory: share };
    let ills = |share| judge(&Pulse { pressure: all(share), ..pulse(0) }, &Rules::default(), &[]).1;
    assert_eq!(ills(None), []);
    let names: Vec<_> = ills(Some(1000)).iter().map(dybox_model::roster::Ill::name).collect();
    assert_eq!(names, ["cpu_pressed", "io_pressed", "memory_pressed"]);
}

#[test]
fn who_is_silent_is_unknown_until_the_next_word() {
    let mut pair = Pair::new();
    pair.say(hangs(0));
    assert_eq!(pair.health(), Health::Unusable);
    pair.wait(15_000);
    assert_eq!(pair.health(), Health::Unusable);
    pair.wait(1);
    assert_eq!(pair.health(), Health::Unknown);
    pair.wait(60_000);
    pair.say(pulse(0));
    assert_eq!(pair.health(), Health::Healthy);
    let unknown = pair.view().history[1].clone();
    assert_eq!((unknown.to.as_str(), unknown.why.as_str()), ("unknown", "its agent is silent"));
}

#[test]
fn replayed_wrong_and_unknown_reports_do_not_count() {
    let mut pair = Pair::new();
    pair.say(pulse(0));
    let report = |session, host: &str, seq, facts| Event::Reported {
        session: Session(session),
        host: host.to_owned(),
        seq,
        pulse: Box::new(hangs(0)),
        facts,
    };
    let facts = Some(NodeFacts::default());
    assert_eq!(refused(&pair.handle(report(77, "n1", 9, facts.clone()))), Some(&Refusal::NoAgent));
    let other = pair.handle(report(1, "n2", 9, facts.clone()));
    assert_eq!(refused(&other), Some(&Refusal::OtherHost { own: "n1".to_owned(), said: "n2".to_owned() }));
    // The line that lied is cut: what comes next over it is nobody's.
    assert_eq!(refused(&pair.handle(report(1, "n1", 10, facts.clone()))), Some(&Refusal::NoAgent));
    pair.open();
    assert_eq!(refused(&pair.handle(report(2, "n1", 11, None))), Some(&Refusal::NoFacts));
    pair.open();
    pair.say(pulse(0));
    let last = pair.seq;
    let again = pair.handle(report(3, "n1", last, facts));
    assert_eq!(refused(&again), Some(&Refusal::Replayed { seq: last, last }));
    assert_eq!(pair.health(), Health::Healthy);
}

#[test]
fn a_newer_line_of_a_host_takes_the_place_of_the_older() {
    let mut pair = Pair::new();
    pair.say(pulse(0));
    pair.session += 1;
    let out = pair.handle(Event::Opened { session: Session(2), host: "n1".to_owned() });
    assert_eq!(out, [Effect::Refuse { session: Session(1), why: Refusal::NoAgent }]);
    // The news that the old one is cut comes late, and does no harm.
    pair.handle(Event::Closed { session: Session(1) });
    assert_eq!(refused(&pair.say(pulse(0))), None);
}

#[test]
fn an_order_to_sweep_goes_to_whose_agent_has_a_line() {
    let mut pair = Pair::new();
    pair.say(pulse(0));
    pair.handle(Event::Marked { host: "n2".to_owned(), drained: true, why: String::new(), by: "ann".to_owned() });
    let order = SweepOrder { id: "o1".to_owned(), dry_run: false, by: "ann".to_owned() };
    let wanted = |host: Option<&str>| Event::Wanted { host: host.map(str::to_owned), order: order.clone() };
    let told = Effect::Sweep { session: Session(1), host: "n1".to_owned(), order: order.clone() };
    assert_eq!(pair.handle(wanted(None)), std::slice::from_ref(&told));
    assert_eq!(pair.handle(wanted(Some("n1"))), [told]);
    assert_eq!((pair.handle(wanted(Some("n2"))), pair.handle(wanted(Some("n9")))), (vec![], vec![]));
}

#[test]
fn a_sweep_is_counted_once_however_often_it_is_told() {
    let mut pair = Pair::new();
    let swept = |number, dry_run| {
        let removed = Tally { containers: 2, ..Tally::default() };
        let sweep = Sweep { number, at: Millis(number), dry_run, removed, bytes: 10, ..Sweep::default() };
        Pulse { sweep: Some(sweep), ..pulse(0) }
    };
    // Of another server's life: it has been counted there.
    pair.say(swept(1, false));
    assert_eq!(pair.roster.swept().0.sweeps, 0);
    for number in [1, 2, 2, 3] {
        pair.say(swept(number, false));
    }
    pair.say(swept(4, true));
    let (seen, left) = pair.roster.swept();
    assert_eq!((seen.sweeps, seen.removed["containers"], seen.bytes), (2, 4, 20));
    assert_eq!(left, [("unproven", 0), ("trouble", 0)]);
    assert_eq!(pair.view().pulse.sweep.map(|sweep| sweep.number), Some(4));
}

#[test]
fn a_drain_reaches_a_server_that_was_away_through_the_agent() {
    let (mut one, mut two) = (Pair::new(), Pair::new());
    one.say(pulse(0));
    two.say(pulse(0));
    let said = Event::Marked { host: "n1".to_owned(), drained: true, why: "new disk".to_owned(), by: "ann".to_owned() };
    let out = one.handle(said);
    let Some(Effect::Tell { mark, .. }) = out.first() else { panic!("{out:?}") };
    let kept = two.say(Pulse { mark: mark.clone(), ..pulse(0) });
    assert!(kept.contains(&Effect::Keep { host: "n1".to_owned(), mark: mark.clone() }), "{kept:?}");
    assert_eq!(two.view().closed().as_deref(), Some("drained by ann: new disk"));
    assert_eq!(two.view().history.last().unwrap().to, "drained");
    // An agent that knows less is told, and teaches nobody.
    let told = two.say(pulse(0));
    assert_eq!(told, [Effect::Tell { session: Session(1), mark: mark.clone() }]);
    let end = Event::Marked { host: "n1".to_owned(), drained: false, why: String::new(), by: "ann".to_owned() };
    two.handle(end);
    let mark = two.view().mark;
    assert!(one.say(Pulse { mark: mark.clone(), ..pulse(0) }).len() > 1);
    assert_eq!((one.view().mark, one.view().closed()), (mark, None));
}

#[test]
fn what_was_kept_comes_back() {
    let mut pair = Pair::new();
    pair.say(pulse(0));
    pair.handle(Event::Marked { host: "n1".to_owned(), drained: true, why: String::new(), by: "ann".to_owned() });
    let view = pair.view();
    let mut later = Roster::new(Rules::default());
    let (mark, history) = pair.roster.lasting("n1").unwrap();
    later.restore(Millis(99), "n1", mark, history);
    let question = Question { host: Some("n1".to_owned()), images: Vec::new() };
    let again = later.view(Millis(99), &question).remove(0);
    assert_eq!((again.health, again.mark, again.history), (Health::Unknown, view.mark, view.history));
    assert_eq!(later.lasting("n2"), None);
}

#[test]
fn who_is_gone_for_long_is_forgotten_but_not_who_is_drained() {
    let mut pair = Pair::new();
    pair.say(pulse(0));
    pair.handle(Event::Marked { host: "n9".to_owned(), drained: true, why: String::new(), by: "ann".to_owned() });
    pair.handle(Event::Closed { session: Session(1) });
    pair.wait(20_000);
    pair.out.clear();
    pair.wait(Rules::default().forget_after.0);
    assert_eq!(pair.out, [Effect::Forget { host: "n1".to_owned() }]);
    let left = pair.roster.view(Millis(pair.now), &Question::default());
    assert_eq!(left.iter().map(|node| node.host.as_str()).collect::<Vec<_>>(), ["n9"]);
}

#[test]
fn an_image_that_many_nodes_have_is_kept_once_and_goes_with_the_last() {
    let image = |n: u8| NodeImage { id: format!("sha256:{n}"), names: vec![format!("a:{n}")], size: 1 };
    let (mut roster, mut out) = (Roster::new(Rules::default()), Vec::new());
    let mut seq = 0;
    let mut has = |roster: &mut Roster, host: u64, images: &[u8]| {
        seq += 1;
        let facts = Some(NodeFacts { images: images.iter().copied().map(image).collect(), ..NodeFacts::default() });
        let (session, host, pulse) = (Session(host), format!("n{host}"), Box::new(pulse(5)));
        roster.handle(Millis(5), Event::Reported { session, host: host.clone(), seq, pulse, facts }, &mut out);
        let whole = Question { host: Some(host), images: Vec::new() };
        let seen = roster.view(Millis(5), &whole).remove(0).facts.images;
        assert_eq!(seen, images.iter().copied().map(image).collect::<Vec<_>>());
        roster.images()
    };
    for host in 0..3 {
        roster.handle(Millis(1), Event::Opened { session: Session(host), host: format!("n{host}") }, &mut Vec::new());
        assert_eq!(has(&mut roster, host, &[1, 2]), 2);
    }
    assert_eq!(has(&mut roster, 0, &[1]), 2);
    assert_eq!(has(&mut roster, 1, &[1, 3]), 3);
    assert_eq!(has(&mut roster, 2, &[1, 1]), 2, "the second is nowhere any more");
    for host in 0..3 {
        roster.handle(Millis(6), Event::Closed { session: Session(host) }, &mut Vec::new());
    }
    roster.handle(Millis(100_000), Event::Tick, &mut Vec::new());
    roster.handle(Millis(200_000 + Rules::default().forget_after.0), Event::Tick, &mut Vec::new());
    assert_eq!(roster.images(), 0, "nobody is left");
}

#[test]
fn images_are_found_by_name_and_by_digest() {
    let mut pair = Pair::new();
    let image = NodeImage {
        id: "sha256:1".to_owned(),
        names: vec!["busybox:1".to_owned(), "busybox@sha256:2".to_owned()],
        size: 5,
    };
    let facts = Some(NodeFacts { images: vec![image], ..NodeFacts::default() });
    let (session, host) = (Session(1), "n1".to_owned());
    pair.handle(Event::Reported { session, host, seq: 1, pulse: Box::new(pulse(0)), facts });
    let images = ["alpine:3", "busybox@sha256:2", "sha256:1"].map(str::to_owned).into();
    let seen = pair.roster.view(Millis(pair.now), &Question { host: None, images }).remove(0);
    assert_eq!(
        (seen.present, seen.images, seen.facts.images.len()),
        (vec!["busybox@sha256:2".to_owned(), "sha256:1".to_owned()], 1, 0)
    );
}

#[test]
fn an_image_is_wished_only_of_agents_that_bring_and_whose_machine_is_well() {
    let mut pair = Pair::new();
    let order = BringOrder { image: "busybox:1".to_owned(), run: "one".to_owned() };
    let wish = |pair: &mut Pair, hosts: &[&str]| {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        pair.handle(Event::Missed { hosts, order: order.clone() })
    };
    let brings = |pair: &mut Pair, brings, pulse: Pulse| {
        let seq = pair.seq + 1;
        pair.seq = seq;
        let (session, host) = (Session(pair.session), "n1".to_owned());
        let facts = Some(NodeFacts { brings, ..NodeFacts::default() });
        pair.handle(Event::Reported { session, host, seq, pulse: Box::new(pulse), facts })
    };
    assert_eq!(wish(&mut pair, &["n1"]), [], "nothing was heard of it");
    brings(&mut pair, false, pulse(0));
    assert_eq!(wish(&mut pair, &["n1"]), [], "an older agent");
    brings(&mut pair, true, pulse(0));
    let told = [Effect::Bring { session: Session(1), host: "n1".to_owned(), order: order.clone() }];
    assert_eq!(wish(&mut pair, &["n1", "n2"]), told);
    let tight = Pulse { disks: vec![Disk { of: "engine".into(), path: "/d".into(), free: 5, total: 100 }], ..pulse(0) };
    for _ in 0..2 {
        brings(&mut pair, true, tight.clone());
    }
    assert_eq!(wish(&mut pair, &["n1"]), [], "its disk fills up");
    for _ in 0..3 {
        brings(&mut pair, true, pulse(0));
    }
    assert_eq!(wish(&mut pair, &["n1"]), told);
    pair.handle(Event::Marked { host: "n1".to_owned(), drained: true, why: String::new(), by: "ann".to_owned() });
    assert_eq!(wish(&mut pair, &["n1"]), [], "it is drained");
    pair.handle(Event::Marked { host: "n1".to_owned(), drained: false, why: String::new(), by: "ann".to_owned() });
    pair.handle(Event::Closed { session: Session(1) });
    assert_eq!(wish(&mut pair, &["n1"]), [], "it has no line");
}

/// What may happen to a node, with some weight on lies.
#[derive(Debug, Clone)]
enum Step {
    Say(u8),
    Lie(u64, u64),
    Open,
    Close(u64),
    Drain(bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4_u8).prop_map(Step::Say),
        1 => (0..9_u64, 0..9_u64).prop_map(|(session, seq)| Step::Lie(session, seq)),
        1 => Just(Step::Open),
        1 => (0..9_u64).prop_map(Step::Close),
        1 => any::<bool>().prop_map(Step::Drain),
        2 => (0..40_000_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..80)
}

fn of_kind(kind: u8) -> Pulse {
    match kind {
        0 => pulse(0),
        1 => Pulse { ping: Some(Millis(3000)), ..pulse(0) },
        2 => hangs(0),
        _ => Pulse { ping: None, list: None, ..pulse(0) },
    }
}

fn play(steps: &[Step], ahead: i64) -> (Vec<Effect>, Health) {
    let mut pair = Pair { ahead, ..Pair::new() };
    for step in steps {
        match step.clone() {
            Step::Say(kind) => drop(pair.say(of_kind(kind))),
            Step::Lie(session, seq) => {
                let host = "n1".to_owned();
                drop(pair.handle(Event::Reported {
                    session: Session(session),
                    host,
                    seq,
                    pulse: Box::new(hangs(0)),
                    facts: None,
                }));
            }
            Step::Open => pair.open(),
            Step::Close(session) => drop(pair.handle(Event::Closed { session: Session(session) })),
            Step::Drain(drained) => {
                let (why, by) = (String::new(), "ann".to_owned());
                drop(pair.handle(Event::Marked { host: "n1".to_owned(), drained, why, by }));
            }
            Step::Wait(ms) => pair.wait(ms),
        }
    }
    let health = pair.health();
    (pair.out, health)
}

proptest! {
    /// No order of events breaks what must hold (`check` is called after each), and an agent's clock changes nothing.
    #[test]
    fn clocks_that_are_apart_do_no_harm(steps in steps(), ahead in -600_000..600_000_i64) {
        prop_assert_eq!(play(&steps, 0), play(&steps, ahead));
    }

    /// A change of health needs as many reports in a row as the rules say; between two changes time has passed.
    #[test]
    fn nothing_flaps_with_every_report(kinds in proptest::collection::vec(0..4_u8, 1..80)) {
        let mut pair = Pair::new();
        let mut seen = Vec::new();
        for &kind in &kinds {
            pair.say(of_kind(kind));
            seen.push(pair.health());
        }
        let rules = Rules::default();
        for at in 1..seen.len() {
            if seen[at] != seen[at - 1] {
                let worse = seen[at] > seen[at - 1];
                let need = if worse { rules.worse_after } else { rules.better_after } as usize;
                prop_assert!(at >= need, "after {at} reports: {:?}", &kinds[..=at]);
                for &kind in &kinds[at + 1 - need..=at] {
                    let said = judge(&of_kind(kind), &rules, &[]).0;
                    let fits = if worse { said > seen[at - 1] } else { said < seen[at - 1] };
                    prop_assert!(fits, "{said} after {}", seen[at - 1]);
                }
            }
        }
    }

    /// Two servers that hear the same agent agree on the mark, whoever of them was told in whatever order.
    #[test]
    fn servers_agree_on_marks(told in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..20)) {
        let (mut one, mut two) = (Pair::new(), Pair::new());
        let mut carried = dybox_model::roster::Mark::default();
        let hear = |pair: &mut Pair, carried: &mut dybox_model::roster::Mark| {
            for effect in pair.say(Pulse { mark: carried.clone(), ..pulse(0) }) {
                if let Effect::Tell { mark, .. } = effect {
                    *carried = carried.clone().max(mark);
                }
            }
        };
        for (first, drained) in told {
            let pair = if first { &mut one } else { &mut two };
            let (why, by) = (String::new(), "ann".to_owned());
            pair.handle(Event::Marked { host: "n1".to_owned(), drained, why, by });
        }
        for _ in 0..2 {
            hear(&mut one, &mut carried);
            hear(&mut two, &mut carried);
        }
        prop_assert_eq!(one.view().mark, two.view().mark);
    }
}
