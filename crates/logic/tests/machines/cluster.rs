//! What the machines promise on a cluster, one sentence a test.

use std::collections::BTreeSet;

use dybox_logic::master::{Effect, Event, Master};
use dybox_model::{Fact, GrantId, Millis, Node, Placement, Resources, Spread, StageEnd, StageId, SubDagId, Wish};

use crate::world::plans::{self, mib, stage};
use crate::world::{Cluster, World};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);
const FOUR: [(&str, &str); 4] = [("n1", "r1"), ("n2", "r1"), ("n3", "r2"), ("n4", "r2")];

fn four() -> Cluster {
    Cluster::of(&FOUR, Resources { cpu_milli: 8000, memory: 1 << 30 })
}

fn placed(tasks: u32, placement: Placement) -> dybox_job::Stage {
    dybox_job::Stage { placement, ..stage("a", tasks, &[]) }
}

fn spread(spread: Spread, hard: bool) -> Placement {
    Placement { spread: Some(spread), hard, ..Placement::default() }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Hosts of all grants that the journal tells of.
fn hosts(world: &World) -> BTreeSet<String> {
    let host = |fact: &Fact| match fact {
        Fact::GrantGot { host, .. } => Some(host.clone()),
        _ => None,
    };
    world.journal.iter().filter_map(host).collect()
}

#[test]
fn tasks_that_are_spread_run_on_machines_of_their_own_at_once() {
    let mut world = World::on(four(), plans::of([placed(4, spread(Spread::Host, true))]));
    world.until(|world| world.running() == 4);
    assert_eq!(world.hosts_of(0), FOUR.map(|(host, _)| host));
    world.until_done();
    assert_eq!((world.end("a"), world.launched), (OK, 4));
    world.assert_nothing_left();
}

#[test]
fn when_machines_run_out_the_rest_waits_and_says_so() {
    let mut world = World::on(four(), plans::of([placed(6, spread(Spread::Host, true))]));
    world.until(|world| world.running() == 4);
    let why: Vec<String> = world.master.why().into_iter().map(|waiting| waiting.why).collect();
    assert_eq!(why, ["2 of them wait for a machine without a task of this stage"]);
    world.until_done();
    // The grants of the first four take the last two as well.
    assert_eq!((world.end("a"), world.launched), (OK, 4));
}

#[test]
fn when_machines_run_out_a_soft_rest_goes_anywhere() {
    let mut world = World::on(four(), plans::of([placed(6, spread(Spread::Host, false))]));
    world.until(|world| world.running() == 6);
    let different: BTreeSet<String> = world.hosts_of(0).into_iter().collect();
    assert_eq!(different.len(), 4);
    world.until_done();
    assert_eq!(world.end("a"), OK);
}

#[test]
fn racks_are_kept_apart_like_machines() {
    let mut world = World::on(four(), plans::of([placed(3, spread(Spread::Rack, true))]));
    world.until(|world| world.running() == 2);
    world.until_done();
    assert_eq!(world.end("a"), OK);
    world.assert_nothing_left();
}

#[test]
fn what_is_avoided_is_never_used_and_what_is_named_is() {
    let avoid = Placement { avoid: names(&["n1", "n2"]), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([placed(8, avoid)]));
    world.until_done();
    assert_eq!((world.end("a"), hosts(&world).is_disjoint(&["n1".into(), "n2".into()].into())), (OK, true));
    let named = Placement { nodes: names(&["n4"]), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([placed(3, named)]));
    world.until_done();
    assert_eq!((world.end("a"), hosts(&world)), (OK, ["n4".to_owned()].into()));
    let rack = Placement { racks: names(&["r2"]), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([placed(3, rack)]));
    world.until_done();
    assert_eq!((world.end("a"), hosts(&world).is_subset(&["n3".into(), "n4".into()].into())), (OK, true));
}

#[test]
fn a_grant_that_fits_takes_the_next_task_of_any_stage() {
    let named = Placement { nodes: names(&["n2"]), hard: true, ..Placement::default() };
    let mut next = stage("b", 1, &[(0, dybox_model::Need::Succeeded)]);
    next.placement = Placement { avoid: names(&["n3"]), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([placed(1, named), next]));
    world.until_done();
    assert_eq!((world.end("b"), world.launched), (OK, 1));
}

#[test]
fn a_lost_node_costs_no_try_of_the_user() {
    let mut world = World::on(four(), plans::of([placed(4, spread(Spread::Host, true))]));
    world.until(|world| world.running() == 4);
    world.lose_node("n3");
    world.until_done();
    assert_eq!((world.tries("a"), world.end("a")), (5, OK));
    world.assert_nothing_left();
}

#[test]
fn a_preempted_grant_costs_no_try_of_the_user_and_its_cause_is_told() {
    let mut world = World::on(four(), plans::of([stage("a", 2, &[])]));
    world.until(|world| world.running() == 2);
    let grant = world.master.grants().next().expect("two run");
    world.preempt(grant);
    world.until_done();
    assert_eq!((world.tries("a"), world.end("a")), (3, OK));
    let cause = world.journal.iter().find_map(|fact| match fact {
        Fact::AttemptEnded { exit, .. } => exit.cause,
        _ => None,
    });
    assert_eq!(cause, Some(dybox_model::Cause::Preempted));
    world.assert_nothing_left();
}

#[test]
fn a_machine_whose_engine_fails_twice_is_left_out_for_a_while() {
    let mut cluster = four();
    cluster.broken = Some("n1".to_owned());
    let mut world = World::on(cluster, plans::of([stage("a", 3, &[])]));
    let is_black = |world: &World| world.cluster.as_ref().is_some_and(|cluster| cluster.black.contains("n1"));
    world.until(is_black);
    world.until_done();
    assert_eq!(world.end("a"), OK);
    assert!(hosts(&world).len() > 1, "it went elsewhere");
    world.assert_nothing_left();
    // Five minutes later it may be used again.
    let (at, mut out) = (world.master.wake().expect("it is left out for a while only"), Vec::new());
    assert!(at.0 >= world.now + 290_000, "{at:?} is about five minutes after {}", world.now);
    world.master.handle(at, Event::Tick, &mut out);
    assert_eq!(out, [Effect::Forgive { host: "n1".to_owned() }]);
}

#[test]
fn the_only_machine_is_never_left_out() {
    let mut cluster = Cluster::of(&[("n1", "r1")], mib(1024));
    cluster.broken = Some("n1".to_owned());
    let mut world = World::on(cluster, plans::of([stage("a", 1, &[])]));
    world.until_done();
    assert_eq!(world.end("a"), Some(StageEnd::Lost));
    world.assert_nothing_left();
}

fn node(host: &str) -> Node {
    Node {
        host: host.to_owned(),
        rack: "/default-rack".to_owned(),
        labels: Vec::new(),
        capacity: Resources { cpu_milli: 8000, memory: 8 << 30 },
        used: Resources::default(),
        usable: true,
    }
}

/// A machine of one stage that has started, on a cluster of which nothing is known yet, and its first effects.
fn started(stage: dybox_job::Stage) -> (Master, Vec<Effect>) {
    let (mut plan, mut out) = (plans::of([stage]), Vec::new());
    plan.subdags[0].queue = Some("etl".to_owned());
    let (mut master, tasks) = (Master::on_cluster(&plan, SubDagId(0)), plan.stages[0].tasks);
    for event in [Event::Opened, Event::StageStarted { stage: StageId(0), tasks }] {
        master.handle(Millis(1), event, &mut out);
    }
    (master, out)
}

fn why(master: &Master) -> String {
    master.why().into_iter().map(|waiting| waiting.why).collect()
}

#[test]
fn asks_are_whole_vcores_and_have_room_for_the_proxy() {
    let mut small = stage("a", 2, &[]);
    small.ask = Resources { cpu_milli: 500, memory: 10 << 20 };
    let (master, out) = started(small);
    assert_eq!(out, [Effect::Ask { wish: Wish::anywhere(mib(64)), count: 2 }]);
    assert_eq!(why(&master), "no room: 2 tasks want 1 cpu, 64MiB in queue etl");
}

#[test]
fn what_is_spread_waits_for_the_list_of_machines_and_then_pins_one_ask_to_each() {
    let (mut master, mut out) = started(placed(2, spread(Spread::Host, true)));
    assert_eq!(out, []);
    assert_eq!(why(&master), "it waits for the list of the cluster's machines");
    let mut busy = node("n1");
    busy.used = busy.capacity;
    master.handle(Millis(2), Event::Nodes(vec![busy, node("n2"), node("n3")]), &mut out);
    let pin = |host: &str| Wish { hosts: names(&[host]), ..Wish::anywhere(mib(64)) };
    let ask = |host: &str, count: u32| Effect::Ask { wish: pin(host), count };
    assert_eq!(out, [ask("n2", 1), ask("n3", 1)], "the full machine is asked last");
    assert_eq!(why(&master), "no room: 2 tasks want 1 cpu, 64MiB on n2 or n3 in queue etl");
    out.clear();
    // One of them goes: the ask moves.
    let gone = Node { usable: false, ..node("n3") };
    master.handle(Millis(3), Event::Nodes(vec![node("n1"), node("n2"), gone]), &mut out);
    assert_eq!(out, [ask("n3", 0), ask("n1", 1)]);
}

#[test]
fn a_pin_that_no_machine_answers_to_is_named() {
    let nowhere = Placement { nodes: names(&["n9"]), hard: true, ..Placement::default() };
    let (mut master, mut out) = started(placed(1, nowhere));
    master.handle(Millis(2), Event::Nodes(vec![node("n1")]), &mut out);
    let want = "no room: 1 task wants 1 cpu, 64MiB on n9 in queue etl; no machine of the cluster answers to n9";
    assert_eq!(why(&master), want);
}

#[test]
fn where_nothing_is_left_to_go_to_that_is_the_reason() {
    let nowhere = Placement { avoid: names(&["n1"]), hard: true, ..Placement::default() };
    let (mut master, mut out) = started(placed(1, nowhere));
    master.handle(Millis(2), Event::Nodes(vec![node("n1")]), &mut out);
    assert_eq!((out.len(), why(&master)), (0, "no machine of the cluster fits its placement".to_owned()));
}

#[test]
fn a_grant_counts_down_the_ask_that_it_says_it_answers() {
    let mut large = stage("b", 1, &[]);
    large.ask = mib(100);
    let plan = plans::of([stage("a", 1, &[]), large]);
    let (mut master, mut out) = (Master::on_cluster(&plan, SubDagId(0)), Vec::new());
    let begin = |stage| Event::StageStarted { stage: StageId(stage), tasks: 1 };
    for event in [Event::Opened, begin(0), begin(1)] {
        master.handle(Millis(1), event, &mut out);
    }
    out.clear();
    let grant = GrantId::compose(SubDagId(0), 1, 1);
    let (host, container, size) = ("n1".to_owned(), "container_1".to_owned(), mib(1024));
    // By its size it would be the larger one's.
    let event = Event::Granted { grant, size, host, container, wish: Some(Wish::anywhere(mib(64))) };
    master.handle(Millis(2), event, &mut out);
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Ask { .. })), "{out:?}");
}

#[test]
fn at_most_so_many_run_on_one_machine_and_the_emptiest_comes_first() {
    let two = Placement { max_per_host: Some(2), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([placed(10, two)]));
    world.until(|world| world.running() == 8);
    assert_eq!(world.hosts_of(0), ["n1", "n1", "n2", "n2", "n3", "n3", "n4", "n4"]);
    let why: Vec<String> = world.master.why().into_iter().map(|waiting| waiting.why).collect();
    assert_eq!(why, ["2 of them wait for a machine with less than 2 tasks of this stage"]);
    world.until_done();
    assert_eq!((world.end("a"), world.launched), (OK, 8));
    world.assert_nothing_left();
    let few = Placement { spread: Some(Spread::Host), max_per_host: Some(3), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([placed(4, few)]));
    world.until(|world| world.running() == 4);
    assert_eq!(world.hosts_of(0), ["n1", "n2", "n3", "n4"], "spread first, though three would be allowed");
    world.until_done();
}

fn apart(name: &str, tasks: u32, from: u32, hard: bool) -> dybox_job::Stage {
    let placement = Placement { apart_from: vec![StageId(from)], hard, ..Placement::default() };
    dybox_job::Stage { placement, ..stage(name, tasks, &[]) }
}

#[test]
fn stages_that_are_kept_apart_share_no_machine_whichever_of_them_says_so() {
    let mut world = World::on(four(), plans::of([stage("a", 6, &[]), apart("b", 6, 0, true)]));
    world.until(|world| world.running() == 12);
    let (a, b): (BTreeSet<_>, BTreeSet<_>) =
        (world.hosts_of(0).into_iter().collect(), world.hosts_of(1).into_iter().collect());
    assert!(a.is_disjoint(&b) && !a.is_empty() && !b.is_empty(), "{a:?} {b:?}");
    world.until_done();
    assert_eq!((world.end("a"), world.end("b")), (OK, OK));
    world.assert_nothing_left();
}

#[test]
fn where_there_is_no_other_machine_stages_that_are_kept_apart_run_in_turns_and_say_so() {
    let one = || Cluster::of(&[("n1", "r1")], mib(1024));
    let mut world = World::on(one(), plans::of([stage("a", 1, &[]), apart("b", 1, 0, true)]));
    world.until(|world| world.running() == 1);
    let why: Vec<String> = world.master.why().into_iter().map(|waiting| waiting.why).collect();
    let other = if world.hosts_of(0).is_empty() { "b" } else { "a" };
    assert_eq!(why, [format!("1 of them wait for a machine without a task of {other}")]);
    world.until_done();
    assert_eq!((world.end("a"), world.end("b")), (OK, OK));
    // Where it may be left aside nobody waits.
    let room = Cluster::of(&[("n1", "r1")], Resources { cpu_milli: 8000, memory: 1 << 30 });
    let mut world = World::on(room, plans::of([stage("a", 1, &[]), apart("b", 1, 0, false)]));
    world.until(|world| world.running() == 2);
    world.until_done();
    world.assert_nothing_left();
}

#[test]
fn a_task_that_is_lost_is_placed_again_by_the_same_rule() {
    let two = Placement { max_per_host: Some(1), apart_from: vec![StageId(1)], hard: true, ..Placement::default() };
    let pinned = Placement { nodes: names(&["n4"]), hard: true, ..Placement::default() };
    let other = dybox_job::Stage { placement: pinned, ..stage("b", 1, &[]) };
    let mut world = World::on(four(), plans::of([placed(2, two), other]));
    world.until(|world| world.running() == 3);
    assert_eq!(world.hosts_of(1), ["n4"]);
    let lost = world.hosts_of(0)[0].clone();
    world.lose_node(&lost);
    world.until(|world| world.running() == 2);
    world.until(|world| world.running() == 3);
    let hosts = world.hosts_of(0);
    assert!(hosts[0] != hosts[1] && !hosts.contains(&lost) && !hosts.contains(&"n4".to_owned()), "{hosts:?}");
    world.until_done();
    assert_eq!((world.tries("a"), world.end("a"), world.end("b")), (3, OK, OK));
    world.assert_nothing_left();
}

#[test]
fn a_stage_that_is_kept_apart_leaves_machines_for_the_other() {
    let two = || Cluster::of(&FOUR[..2], Resources { cpu_milli: 8000, memory: 1 << 30 });
    for most in [None, Some(2)] {
        let mut pairs = apart("a", 2, 1, true);
        pairs.placement.max_per_host = most;
        let mut world = World::on(two(), plans::of([pairs, stage("b", 2, &[])]));
        world.until(|world| world.running() == 4);
        let hosts = |stage| world.hosts_of(stage).into_iter().collect::<BTreeSet<_>>();
        assert_eq!((hosts(0).len(), hosts(1).len()), (1, 1), "{:?} {:?}", hosts(0), hosts(1));
        world.until_done();
    }
}
