//! What masters make of the roster, one sentence a test.

use dybox_logic::master::{Advice, Effect, Event, Master};
use dybox_model::roster::{Ill, Scarce};
use dybox_model::{
    Cause, Exit, Fact, GrantId, Millis, Need, Node, Placement, Resources, Spread, StageEnd, StageId, SubDagId, Wish,
};

use crate::world::plans::{self, mib, stage};
use crate::world::{Cluster, World};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);

fn four() -> Cluster {
    Cluster::of(
        &[("n1", "r1"), ("n2", "r1"), ("n3", "r2"), ("n4", "r2")],
        Resources { cpu_milli: 4000, memory: 1 << 30 },
    )
}

fn closed(host: &str) -> Advice {
    Advice { host: host.to_owned(), closed: Some("drained by ann: new disk".to_owned()), ..Advice::default() }
}

fn poor(host: &str) -> Advice {
    Advice { host: host.to_owned(), poor: Some("/d is tight".to_owned()), ..Advice::default() }
}

fn has_image(host: &str) -> Advice {
    Advice { host: host.to_owned(), images: vec!["busybox:latest".to_owned()], ..Advice::default() }
}

/// A cluster of large machines with these names.
fn nodes(hosts: &[&str]) -> Event {
    let node = |host: &&str| Node {
        host: (*host).to_owned(),
        rack: "/default-rack".to_owned(),
        labels: Vec::new(),
        capacity: Resources { cpu_milli: 8000, memory: 8 << 30 },
        used: Resources::default(),
        usable: true,
    };
    Event::Nodes(hosts.iter().map(node).collect())
}

/// A master of one stage that has heard this before it starts, and its effects.
fn started(stage: dybox_job::Stage, heard: Vec<Event>) -> (Master, Vec<Effect>) {
    let (plan, mut out) = (plans::of([stage]), Vec::new());
    let (mut master, tasks) = (Master::on_cluster(&plan, SubDagId(0)), plan.stages[0].tasks);
    let start = [Event::Opened, Event::StageStarted { stage: StageId(0), tasks }];
    for event in heard.into_iter().chain(start) {
        master.handle(Millis(1), event, &mut out);
    }
    (master, out)
}

fn why(master: &Master) -> String {
    master.why().into_iter().map(|waiting| waiting.why).collect()
}

fn handle(master: &mut Master, at: u64, event: Event) -> Vec<Effect> {
    let mut out = Vec::new();
    master.handle(Millis(at), event, &mut out);
    out
}

fn rather(hosts: &[&str]) -> Wish {
    let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    Wish { hosts, relaxed: true, ..Wish::anywhere(mib(64)) }
}

fn black(host: &str) -> Effect {
    Effect::Blacklist { host: host.to_owned(), why: "drained by ann: new disk".to_owned() }
}

fn granted(number: u32, host: &str, wish: Wish) -> Event {
    let grant = GrantId::compose(SubDagId(0), 1, number);
    let (host, container) = (host.to_owned(), format!("container_{number}"));
    Event::Granted { grant, size: wish.size, host, container, wish: Some(wish) }
}

/// Machines that were given tasks from this fact on.
fn given_since(world: &World, from: usize) -> Vec<String> {
    let host_of = |wanted: GrantId| {
        world.journal.iter().find_map(|fact| match fact {
            Fact::GrantGot { grant, host, .. } if *grant == wanted => Some(host.clone()),
            _ => None,
        })
    };
    let started = |fact: &Fact| match fact {
        Fact::AttemptStarted { grant, .. } => host_of(*grant),
        _ => None,
    };
    world.journal[from..].iter().filter_map(started).collect()
}

#[test]
fn a_closed_machine_is_left_out_before_the_first_ask_and_why_says_so() {
    let heard = vec![Event::Roster(vec![closed("n1")]), nodes(&["n1", "n2"])];
    let (mut master, out) = started(stage("a", 2, &[]), heard);
    assert_eq!(out, [black("n1"), Effect::Ask { wish: Wish::anywhere(mib(64)), count: 2 }]);
    assert!(why(&master).ends_with("; the roster closes n1 (drained by ann: new disk)"), "{}", why(&master));
    // Its words may change: it stays as it is.
    let other = Advice { closed: Some("the engine does not answer".to_owned()), ..closed("n1") };
    assert_eq!(handle(&mut master, 2, Event::Roster(vec![other])), []);
    assert_eq!(handle(&mut master, 3, Event::Roster(Vec::new())), [Effect::Forgive { host: "n1".to_owned() }]);
    assert!(!why(&master).contains("roster"), "{}", why(&master));
}

#[test]
fn a_grant_that_comes_on_a_closed_machine_gets_no_task() {
    let heard = vec![Event::Roster(vec![closed("n1")]), nodes(&["n1", "n2"])];
    let (mut master, _) = started(stage("a", 1, &[]), heard);
    let grant = GrantId::compose(SubDagId(0), 1, 1);
    handle(&mut master, 2, granted(1, "n1", Wish::anywhere(mib(64))));
    let out = handle(&mut master, 3, Event::ProxyJoined { grant, attempts: Vec::new() });
    assert!(out.contains(&Effect::Leave { grant }), "{out:?}");
    assert!(!out.iter().any(|effect| matches!(effect, Effect::Start { .. })), "{out:?}");
}

#[test]
fn on_a_drained_machine_what_runs_ends_and_nothing_new_starts() {
    let mut world = World::on(four(), plans::of([stage("a", 60, &[])]));
    world.until(|world| world.running() >= 16);
    assert!(world.hosts_of(0).contains(&"n1".to_owned()));
    world.advise(vec![closed("n1")]);
    world.until(|world| world.cluster.as_ref().is_some_and(|cluster| cluster.black.contains("n1")));
    let from = world.journal.len();
    world.until_done();
    assert_eq!((world.end("a"), world.tries("a"), world.warned), (OK, 60, 0), "what ran was not disturbed");
    let later = given_since(&world, from);
    assert!(!later.is_empty() && !later.contains(&"n1".to_owned()), "{later:?}");
    world.assert_nothing_left();
}

#[test]
fn pins_go_round_a_closed_machine() {
    let spread = Placement { spread: Some(Spread::Host), hard: true, ..Placement::default() };
    let mut world = World::on(four(), plans::of([dybox_job::Stage { placement: spread, ..stage("a", 4, &[]) }]));
    world.advise(vec![closed("n3")]);
    world.until(|world| world.running() == 3);
    assert_eq!(world.hosts_of(0), ["n1", "n2", "n4"]);
    world.until_done();
    assert_eq!((world.end("a"), world.warned), (OK, 0));
}

#[test]
fn where_every_machine_is_closed_the_roster_is_left_aside_after_two_minutes() {
    let mut world = World::on(four(), plans::of([stage("a", 3, &[])]));
    world.advise(["n1", "n2", "n3", "n4"].map(closed).to_vec());
    world.until(|world| why(&world.master).contains("that is every machine it could go to"));
    let (said, at): (String, u64) = (why(&world.master), world.now);
    assert!(said.ends_with(": after 120 s it goes there all the same"), "{said}");
    assert_eq!(world.cluster.as_ref().map(|cluster| cluster.black.len()), Some(4));
    world.until_done();
    assert_eq!((world.end("a"), world.warned), (OK, 1));
    assert!((120_000..140_000).contains(&(world.now - at)), "{} ms", world.now - at);
    world.assert_nothing_left();
}

#[test]
fn a_pin_to_a_closed_machine_waits_and_goes_there_in_the_end() {
    let pin = Placement { nodes: vec!["n2".to_owned()], hard: true, ..Placement::default() };
    let pinned = dybox_job::Stage { placement: pin, ..stage("a", 1, &[]) };
    let heard = vec![Event::Roster(vec![closed("n1"), closed("n2")]), nodes(&["n1", "n2", "n3"])];
    let (mut master, _) = started(pinned, heard);
    let said = why(&master);
    assert!(said.contains("the roster closes n2 (drained by ann: new disk); that is every machine"), "{said}");
    assert_eq!(master.wake(), Some(Millis(120_001)));
    assert_eq!(handle(&mut master, 120_000, Event::Tick), []);
    let out = handle(&mut master, 120_001, Event::Tick);
    assert!(matches!(out.first(), Some(Effect::Warn { text }) if text.contains("n2 (drained by ann")), "{out:?}");
    assert!(out.contains(&Effect::Forgive { host: "n2".to_owned() }), "only the one that is needed: {out:?}");
    assert!(!out.contains(&Effect::Forgive { host: "n1".to_owned() }), "{out:?}");
    // Once the roster has opened it, its word counts again.
    handle(&mut master, 120_002, Event::Roster(vec![closed("n1")]));
    assert_eq!(handle(&mut master, 120_003, Event::Roster(vec![closed("n1"), closed("n2")]))[0], black("n2"));
}

#[test]
fn a_machine_that_has_the_image_is_asked_for_first_where_it_has_room_for_all() {
    let heard = || vec![nodes(&["n1", "n2", "n3"]), Event::Roster(vec![has_image("n2")])];
    let (_, out) = started(stage("a", 8, &[]), heard());
    assert_eq!(out, [Effect::Ask { wish: rather(&["n2"]), count: 8 }]);
    // More than it has room for: nobody waits for it.
    let (_, out) = started(stage("a", 9, &[]), heard());
    assert_eq!(out, [Effect::Ask { wish: Wish::anywhere(mib(64)), count: 9 }]);
    // All have it: it makes no difference.
    let all = vec![nodes(&["n1", "n2"]), Event::Roster(vec![has_image("n1"), has_image("n2")])];
    let (_, out) = started(stage("a", 1, &[]), all);
    assert_eq!(out, [Effect::Ask { wish: Wish::anywhere(mib(64)), count: 1 }]);
}

#[test]
fn a_machine_that_is_called_poor_comes_last_and_why_says_so() {
    let heard = vec![nodes(&["n1", "n2", "n3"]), Event::Roster(vec![poor("n1")])];
    let (master, out) = started(stage("a", 3, &[]), heard.clone());
    assert_eq!(out, [Effect::Ask { wish: rather(&["n2", "n3"]), count: 3 }]);
    assert!(why(&master).ends_with("; others come before n1 (/d is tight)"), "{}", why(&master));
    // A tight machine that has the image is not better than one that is well.
    let both = Advice { images: has_image("n1").images, ..poor("n1") };
    let (_, out) = started(stage("a", 3, &[]), vec![nodes(&["n1", "n2"]), Event::Roster(vec![both])]);
    assert_eq!(out, [Effect::Ask { wish: rather(&["n2"]), count: 3 }]);
    // Tasks that are spread go there after all others.
    let spread = Placement { spread: Some(Spread::Host), hard: true, ..Placement::default() };
    let (_, out) = started(dybox_job::Stage { placement: spread, ..stage("a", 2, &[]) }, heard);
    let pin = |host: &str| Effect::Ask { wish: Wish { relaxed: false, ..rather(&[host]) }, count: 1 };
    assert_eq!(out, [pin("n2"), pin("n3")]);
}

#[test]
fn of_two_machines_with_room_the_pressed_one_gets_fewer() {
    let pressed = Ill::Pressed { by: Scarce::Io, tenths: 3 };
    let advice = Advice { host: "n1".to_owned(), poor: Some(pressed.to_string()), ..Advice::default() };
    let two = Cluster::of(&[("n1", "r1"), ("n2", "r1")], Resources { cpu_milli: 8000, memory: 1 << 30 });
    // The first task holds its machine until the roster is heard.
    let mut world = World::on(two, plans::of([stage("a", 1, &[]), stage("b", 6, &[(0, Need::Succeeded)])]));
    world.advise(vec![advice.clone()]);
    world.until(|world| world.end("a") == OK);
    let from = world.journal.len();
    world.until_done();
    let given = given_since(&world, from);
    assert_eq!(world.end("b"), OK);
    let on = |host: &str| given.iter().filter(|name| *name == host).count();
    assert!(on("n1") < on("n2"), "{given:?}");
    let (master, out) = started(stage("a", 6, &[]), vec![nodes(&["n1", "n2"]), Event::Roster(vec![advice.clone()])]);
    assert_eq!(out, [Effect::Ask { wish: rather(&["n2"]), count: 6 }], "all six go to the other, which has room");
    assert!(why(&master).contains("others come before n1 (the disks do not keep up"), "{}", why(&master));
    // It is last, not closed: what the other has no room for goes there.
    let (_, out) = started(stage("a", 300, &[]), vec![nodes(&["n1", "n2"]), Event::Roster(vec![advice])]);
    assert_eq!(out, [Effect::Ask { wish: Wish::anywhere(mib(64)), count: 300 }]);
}

#[test]
fn what_is_on_its_way_is_not_asked_for_twice_when_the_roster_changes_its_mind() {
    let heard = vec![nodes(&["n1", "n2", "n3"]), Event::Roster(vec![has_image("n2")])];
    let (mut master, _) = started(stage("a", 3, &[]), heard);
    for number in 1..3 {
        handle(&mut master, 2, granted(number, "n2", rather(&["n2"])));
    }
    let out = handle(&mut master, 3, Event::Roster(vec![has_image("n3")]));
    let ask = |hosts: &[&str], count| Effect::Ask { wish: rather(hosts), count };
    assert_eq!(out, [ask(&["n2"], 0), ask(&["n3"], 1)]);
    let out = handle(&mut master, 4, Event::Roster(Vec::new()));
    assert_eq!(out, [Effect::Ask { wish: Wish::anywhere(mib(64)), count: 1 }, ask(&["n3"], 0)]);
}

/// The wishes that are asked for, but for those that are taken back.
fn asked(out: &[Effect]) -> Vec<(Wish, u32)> {
    let wish = |effect: &Effect| match effect {
        Effect::Ask { wish, count } if *count > 0 => Some((wish.clone(), *count)),
        _ => None,
    };
    out.iter().filter_map(wish).collect()
}

#[test]
fn asks_that_name_machines_leave_out_those_that_the_roster_closes() {
    let all = ["n1", "n2", "n3", "n4"];
    // "Not n1" is an ask for all others by name.
    let avoid = Placement { avoid: vec!["n1".to_owned()], ..Placement::default() };
    let stage = |placement| dybox_job::Stage { placement, ..stage("a", 2, &[]) };
    let heard = vec![Event::Roster(vec![closed("n2")]), nodes(&all)];
    let (mut master, out) = started(stage(avoid), heard);
    assert_eq!(asked(&out), [(rather(&["n3", "n4"]), 2)]);
    // Opened and closed while it waits: the ask follows.
    let out = handle(&mut master, 2, Event::Roster(vec![closed("n4")]));
    assert_eq!(asked(&out), [(rather(&["n2", "n3"]), 2)]);
    // One on each machine: no pin on a closed one, whatever there is to say for it.
    let spread = Placement { spread: Some(Spread::Host), hard: true, ..Placement::default() };
    let best = Advice { images: has_image("n3").images, ..closed("n3") };
    let (_, out) = started(stage(spread), vec![Event::Roster(vec![best.clone(), closed("n1")]), nodes(&all)]);
    let pins: Vec<String> = asked(&out).into_iter().flat_map(|(wish, _)| wish.hosts).collect();
    assert_eq!(pins, ["n2", "n4"]);
    // What may go anywhere is not asked for by the name of a closed machine that has its image.
    let (_, out) = started(stage(Placement::default()), vec![Event::Roster(vec![best]), nodes(&all)]);
    assert_eq!(asked(&out), [(Wish::anywhere(mib(64)), 2)]);
}

#[test]
fn machines_that_failed_and_that_the_roster_closes_are_left_out_side_by_side() {
    let heard = vec![nodes(&["n1", "n2", "n3", "n4"])];
    let (mut master, _) = started(stage("a", 4, &[]), heard);
    // Two proxies in a row die on n1 before they are of use.
    for number in 1..=2 {
        let grant = GrantId::compose(SubDagId(0), 1, number);
        handle(&mut master, number.into(), granted(number, "n1", Wish::anywhere(mib(64))));
        handle(&mut master, number.into(), Event::ProxyJoined { grant, attempts: Vec::new() });
        let attempt = master.attempts_at(grant).next().expect("it got a task");
        let exit = Exit::not_started(Cause::EngineDown, "no engine", Millis(number.into()));
        handle(&mut master, number.into(), Event::Exited { grant, attempt, exit });
        handle(&mut master, number.into(), Event::GrantEnded { grant });
    }
    assert!(why(&master).contains("n1 is left out for a while"), "{}", why(&master));
    // The roster closes it, too, and opens it again: it failed all the same.
    assert_eq!(handle(&mut master, 3, Event::Roster(vec![closed("n1"), closed("n2")])), [black("n2")]);
    assert_eq!(handle(&mut master, 4, Event::Roster(Vec::new())), [Effect::Forgive { host: "n2".to_owned() }]);
}
