//! Images along the DAG.

use dybox_logic::master::{Advice, Effect, Event, Master};
use dybox_model::roster::Arrival;
use dybox_model::{
    Fact, GrantId, Millis, Need, Node, Placement, PullPolicy, Resources, Spread, StageEnd, StageId, SubDagId,
};

use crate::world::World;
use crate::world::plans::{self, mib, stage};

const AFTER: Need = Need::Succeeded;

/// A job of these stages, each with the image named here.
fn world(stages: Vec<(dybox_job::Stage, &str)>) -> World {
    let stages = stages.into_iter().map(|(stage, image)| dybox_job::Stage { image: image.to_owned(), ..stage });
    World::of(plans::of(stages.collect::<Vec<_>>()))
}

fn stages_of(brought: &[(GrantId, StageId)]) -> Vec<u32> {
    brought.iter().map(|(_, stage)| stage.0).collect()
}

#[test]
fn the_next_image_comes_while_the_stage_before_runs() {
    let mut world = world(vec![
        (stage("a", 1, &[]), "one"),
        (stage("b", 1, &[(0, AFTER)]), "two"),
        (stage("c", 1, &[(1, AFTER)]), "three"),
        (stage("d", 1, &[(2, AFTER)]), "three"),
        (stage("e", 1, &[(3, AFTER)]), "two"),
    ]);
    world.until(|world| world.running() == 1);
    assert_eq!(stages_of(&world.brought), [1], "b is next, c is not");
    world.until_done();
    assert_eq!(stages_of(&world.brought), [1, 2], "d finds its image, and e what b's was");
    world.assert_nothing_left();
}

#[test]
fn a_stage_that_waits_for_two_is_next_once_both_have_begun() {
    let mut world = world(vec![
        (stage("a", 1, &[]), "one"),
        (stage("b", 1, &[(0, AFTER)]), "one"),
        (stage("c", 1, &[]), "one"),
        (stage("d", 1, &[(1, AFTER), (2, AFTER)]), "two"),
    ]);
    world.until(|world| world.running() == 2);
    assert!(stages_of(&world.brought).is_empty());
    world.until_done();
    assert_eq!(stages_of(&world.brought), [3]);
}

#[test]
fn what_is_never_pulled_is_not_pulled_in_advance() {
    let never = dybox_job::Stage { pull: PullPolicy::Never, ..stage("b", 1, &[(0, AFTER)]) };
    let mut world = world(vec![(stage("a", 1, &[]), "one"), (never, "two")]);
    world.until_done();
    assert!(stages_of(&world.brought).is_empty());
}

#[test]
fn one_proxy_of_a_machine_brings_it_for_all() {
    let mut world = world(vec![(stage("a", 6, &[]), "one"), (stage("b", 6, &[(0, AFTER)]), "two")]);
    world.until_done();
    assert_eq!(stages_of(&world.brought), [1]);
}

#[test]
fn a_new_master_says_it_again() {
    let mut world = world(vec![(stage("a", 1, &[]), "one"), (stage("b", 1, &[(0, AFTER)]), "two")]);
    world.until(|world| world.running() == 1);
    world.crash_at = Some(world.journal.len());
    world.until(|world| world.crash_at.is_none());
    world.until_done();
    assert_eq!(stages_of(&world.brought), [1, 1]);
    world.assert_nothing_left();
}

#[test]
fn a_resumed_run_has_brought_again_what_its_failed_stages_need() {
    let job = || {
        vec![
            (stage("a", 1, &[]), "one"),
            (stage("b", 1, &[(0, Need::Finished)]), "two"),
            (stage("c", 1, &[(1, AFTER)]), "three"),
        ]
    };
    let stages = job().into_iter().map(|(stage, image)| dybox_job::Stage { image: image.to_owned(), ..stage });
    let plan = plans::of(stages.collect::<Vec<_>>());
    let (grant, mut out) = (GrantId::compose(SubDagId(0), 2, 1), Vec::new());
    let started = |stage| Fact::StageStarted { stage: StageId(stage), tasks: 1, at: Millis(1) };
    let failed = |stage| Fact::StageEnded {
        stage: StageId(stage),
        end: StageEnd::Failed,
        why: String::new(),
        cause: None,
        at: Millis(2),
    };
    let mut master = Master::new(&plan, SubDagId(0));
    // The first life: both a and b began and failed.
    for fact in [started(0), failed(0), started(1), failed(1), Fact::Reopened { at: Millis(3) }] {
        master.apply(&fact);
    }
    let brings = |out: &[Effect]| {
        let stage = |effect: &Effect| match effect {
            Effect::Prefetch { stage, .. } => Some(stage.0),
            _ => None,
        };
        out.iter().filter_map(stage).collect::<Vec<_>>()
    };
    master.handle(Millis(4), Event::Opened, &mut out);
    let (host, container) = (String::new(), String::new());
    let size = mib(256);
    master.handle(Millis(4), Event::Granted { grant, size, host, container, wish: None }, &mut out);
    master.handle(Millis(5), Event::ProxyJoined { grant, attempts: Vec::new() }, &mut out);
    assert_eq!(brings(&out), [0u32; 0], "a has not begun again");
    master.handle(Millis(6), Event::StageStarted { stage: StageId(0), tasks: 1 }, &mut out);
    assert_eq!(brings(&out), [1], "b began before the end, and its image is brought all the same");
}

#[test]
fn how_an_image_came_is_written_down_once_for_each_machine_and_stage() {
    let plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, AFTER)])]);
    let (grant, mut out) = (GrantId::compose(SubDagId(0), 1, 1), Vec::new());
    let mut master = Master::on_cluster(&plan, SubDagId(0));
    let came = |stage, took| Event::ImageBrought {
        grant,
        image: "busybox".to_owned(),
        stage,
        took: Millis(took),
        why: String::new(),
    };
    let size = mib(256);
    master.handle(Millis(1), Event::Opened, &mut out);
    master.handle(Millis(1), came(None, 5), &mut out);
    master.handle(Millis(1), Event::StageStarted { stage: StageId(0), tasks: 1 }, &mut out);
    let (host, container) = ("n1".to_owned(), "container_1".to_owned());
    master.handle(Millis(2), Event::Granted { grant, size, host, container, wish: None }, &mut out);
    for event in [came(None, 10), came(None, 20), came(Some(StageId(0)), 30)] {
        master.handle(Millis(3), event, &mut out);
    }
    let facts: Vec<Fact> = out
        .iter()
        .filter_map(|effect| match effect {
            Effect::Record(fact @ Fact::ImageBrought { .. }) => Some(fact.clone()),
            _ => None,
        })
        .collect();
    let told: Vec<(&str, Option<StageId>, u64)> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::ImageBrought { host, stage, took, .. } => Some((host.as_str(), *stage, took.0)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [("n1", None, 10), ("n1", Some(StageId(0)), 30)], "a grant that nobody has says nothing");
    // A new master knows what is written down.
    let (mut next, mut out) = (Master::on_cluster(&plan, SubDagId(0)), Vec::new());
    let got = Fact::GrantGot { grant, size, at: Millis(2), host: "n1".to_owned(), container: String::new() };
    [got].iter().chain(&facts).for_each(|fact| next.apply(fact));
    next.handle(Millis(4), came(None, 40), &mut out);
    assert_eq!(out, []);
}

/// A cluster of machines with room for so many tasks of 64 MiB.
fn nodes(rooms: &[(&str, u64)]) -> Event {
    let node = |&(host, room): &(&str, u64)| Node {
        host: host.to_owned(),
        rack: "/default-rack".to_owned(),
        labels: Vec::new(),
        capacity: Resources { cpu_milli: 64_000, memory: 8 << 30 },
        used: Resources { cpu_milli: 0, memory: (8 << 30) - room * (64 << 20) },
        usable: true,
    };
    Event::Nodes(rooms.iter().map(node).collect())
}

fn brings(host: &str) -> Advice {
    Advice { host: host.to_owned(), brings: true, ..Advice::default() }
}

/// A master whose first stage has one task, on `n1`, when its proxy has come, and what it has agents bring then.
fn wishes(next: dybox_job::Stage, cluster: Event, advice: Vec<Advice>) -> (Master, Vec<Vec<String>>) {
    let next = dybox_job::Stage { image: "two".to_owned(), ..next };
    let (mut master, mut out) = (Master::on_cluster(&plans::of([stage("a", 1, &[]), next]), SubDagId(0)), Vec::new());
    let grant = GrantId::compose(SubDagId(0), 1, 1);
    let (host, container) = ("n1".to_owned(), "container_1".to_owned());
    let events = [
        Event::Roster(advice),
        cluster,
        Event::Opened,
        Event::StageStarted { stage: StageId(0), tasks: 1 },
        Event::Granted { grant, size: mib(64), host, container, wish: None },
        Event::ProxyJoined { grant, attempts: Vec::new() },
    ];
    let mut all = Vec::new();
    for (at, event) in (1..).zip(events) {
        out.clear();
        master.handle(Millis(at), event, &mut out);
        all.extend(wished(&out));
    }
    (master, all)
}

fn wished(out: &[Effect]) -> Vec<Vec<String>> {
    let hosts = |effect: &Effect| match effect {
        Effect::Bring { stage: StageId(1), hosts } => Some(hosts.clone()),
        _ => None,
    };
    out.iter().filter_map(hosts).collect()
}

const N123: [(&str, u64); 3] = [("n1", 9), ("n2", 5), ("n3", 7)];

#[test]
fn agents_bring_an_image_where_the_next_stage_will_be_asked_for_and_the_run_holds_nothing() {
    let all = || vec![brings("n1"), brings("n2"), brings("n3")];
    let of = |tasks| wishes(stage("b", tasks, &[(0, AFTER)]), nodes(&N123), all()).1;
    assert_eq!(of(1), Vec::<Vec<String>>::new(), "the one grant takes it");
    assert_eq!(of(2), [["n3"]], "the largest");
    assert_eq!(of(30), [vec!["n3", "n2"]], "a proxy brings it to n1");
}

#[test]
fn agents_are_asked_only_where_they_bring_and_the_machine_is_well() {
    let all = || vec![brings("n1"), brings("n2"), brings("n3")];
    // The machines may be known after the first proxy is there.
    let late = |tasks, advice| {
        let (mut master, before) = wishes(stage("b", tasks, &[(0, AFTER)]), nodes(&[]), advice);
        let mut out = Vec::new();
        master.handle(Millis(9), nodes(&N123), &mut out);
        assert_eq!(before, Vec::<Vec<String>>::new());
        wished(&out)
    };
    assert_eq!(late(2, all()), [["n3"]]);
    assert_eq!(late(9, all()), [vec!["n3", "n2"]]);
    // Whose agent does not bring, is closed, worse, or has no room: not there.
    let closed = Advice { closed: Some("drained".to_owned()), brings: false, ..brings("n3") };
    assert_eq!(late(9, vec![brings("n1"), brings("n2"), closed]), [["n2"]]);
    let poor = Advice { poor: Some("/d is tight".to_owned()), brings: false, ..brings("n2") };
    assert_eq!(late(9, vec![poor]), Vec::<Vec<String>>::new());
    // Where it is, or comes, there is room already.
    let there = Advice { images: vec!["two:latest".to_owned()], ..brings("n3") };
    assert_eq!(late(8, vec![there.clone(), brings("n2")]), Vec::<Vec<String>>::new());
    assert_eq!(late(9, vec![there, brings("n2")]), [["n2"]]);
}

#[test]
fn a_placement_says_where_an_image_is_brought() {
    let all = || vec![brings("n1"), brings("n2"), brings("n3")];
    let placed = |placement| dybox_job::Stage { placement, ..stage("b", 2, &[(0, AFTER)]) };
    let on = |placement| wishes(placed(placement), nodes(&N123), all()).1;
    let named = Placement { nodes: vec!["n2".to_owned()], hard: true, ..Placement::default() };
    assert_eq!(on(named), [["n2"]]);
    assert_eq!(on(Placement { avoid: vec!["n3".to_owned()], ..Placement::default() }), [["n2"]]);
    let spread = Placement { spread: Some(Spread::Host), hard: true, ..Placement::default() };
    assert_eq!(on(spread), [["n2"]], "one on each, and n1 has a grant");
}

#[test]
fn agents_are_asked_once_and_for_no_more_than_a_few_machines() {
    let hosts: Vec<String> = (1..=40).map(|number| format!("m{number:02}")).collect();
    let rooms: Vec<(&str, u64)> = hosts.iter().map(|host| (host.as_str(), 1)).collect();
    let advice: Vec<Advice> = hosts.iter().map(|host| brings(host)).collect();
    let (mut master, all) = wishes(stage("b", 40, &[(0, AFTER)]), nodes(&rooms), advice.clone());
    assert_eq!(all, [hosts[..8].to_vec()]);
    let mut out = Vec::new();
    // One of them did not come: nobody else is asked in its place, and nobody again.
    let arrival = Arrival { image: "two".to_owned(), why: "no".to_owned(), ..Arrival::default() };
    let told = |host: &str| Advice { arrivals: vec![arrival.clone()], ..brings(host) };
    master.handle(Millis(20), Event::Roster(hosts.iter().map(|host| told(host)).collect()), &mut out);
    master.handle(Millis(21), nodes(&rooms), &mut out);
    assert_eq!(wished(&out), Vec::<Vec<String>>::new());
}

#[test]
fn what_an_agent_brought_is_written_down_where_this_run_wished_it() {
    let arrival =
        |at, why: &str| Arrival { image: "two".to_owned(), took: Millis(700), at: Millis(at), why: why.to_owned() };
    let told = |host: &str, arrival: Arrival| Advice { arrivals: vec![arrival], ..brings(host) };
    let hears = |master: &mut Master, advice: Vec<Advice>| {
        let mut out = Vec::new();
        master.handle(Millis(50), Event::Roster(advice), &mut out);
        let fact = |effect: &Effect| match effect {
            Effect::Record(Fact::ImageBrought { host, stage: None, took, at, why, .. }) => {
                Some((host.clone(), took.0, at.0, why.clone()))
            }
            _ => None,
        };
        out.iter().filter_map(fact).collect::<Vec<_>>()
    };
    let none = Vec::<(String, u64, u64, String)>::new();
    // What came to n3 before this run wished it is another run's.
    let advice = vec![brings("n2"), told("n3", arrival(5, ""))];
    let (mut master, all) = wishes(stage("b", 12, &[(0, AFTER)]), nodes(&N123[1..]), advice.clone());
    assert_eq!(all, [vec!["n3", "n2"]]);
    assert_eq!(hears(&mut master, advice), none);
    let news = vec![told("n2", arrival(80, "the registry is down")), told("n3", arrival(90, ""))];
    let two =
        [("n2", "the registry is down"), ("n3", "")].map(|(host, why)| (host.to_owned(), 700, 50, why.to_owned()));
    assert_eq!(hears(&mut master, news.clone()), two);
    assert_eq!(hears(&mut master, news), none, "once");
    // Nobody asked for it on n1.
    assert_eq!(hears(&mut master, vec![told("n1", arrival(95, ""))]), none);
}
