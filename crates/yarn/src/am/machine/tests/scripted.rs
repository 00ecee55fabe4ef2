use super::*;

fn asked(beat: &Heartbeat) -> Vec<(&str, u32, bool)> {
    beat.asks.iter().map(|line| (line.place.as_str(), line.count, line.relax)).collect()
}

#[test]
fn what_is_asked_before_the_registration_goes_with_the_first_heartbeat() {
    let mut world = World::new();
    world.ask(wish(), 3);
    world.call(Fate::Answered);
    let (at, beat) = (world.now, world.beat());
    assert_eq!(asked(&beat), [("*", 3, true)]);
    assert_eq!(world.now, at, "at once");
}

#[test]
fn grants_lower_the_ask_and_nothing_is_sent_again() {
    let mut world = World::registered();
    world.ask(wish(), 3);
    world.beat();
    for _ in 0..3 {
        world.rm.give(1);
        assert_eq!(asked(&world.beat()), []);
    }
    assert_eq!((world.grants(), world.rm.open()), (3, 0));
}

#[test]
fn more_of_a_wish_is_a_request_of_its_own() {
    let mut world = World::registered();
    world.ask(wish(), 2);
    let first = world.beat().asks[0].request;
    world.rm.give(2);
    world.ask(wish(), 3);
    let second = world.beat();
    assert_eq!(asked(&second), [("*", 1, true)], "the two that are on their way still count");
    assert_ne!(second.asks[0].request, first);
    world.rm.give(9);
    world.beat();
    assert_eq!((world.grants(), world.rm.released.len()), (3, 0));
}

#[test]
fn less_of_a_wish_is_taken_back_whole_and_asked_for_again() {
    let mut world = World::registered();
    world.ask(wish(), 5);
    world.beat();
    world.rm.give(1);
    world.ask(wish(), 3);
    assert_eq!(asked(&world.beat()), [("*", 0, true)]);
    assert_eq!(asked(&world.beat()), [("*", 2, true)], "one came meanwhile");
    world.rm.give(9);
    world.beat();
    assert_eq!((world.grants(), world.rm.released.len()), (3, 0));
}

#[test]
fn what_nobody_wants_any_more_is_given_back_unseen() {
    let mut world = World::registered();
    world.ask(wish(), 1);
    world.beat();
    world.rm.give(1);
    world.ask(wish(), 0);
    world.beat();
    assert_eq!(world.beat().release, [id(1)]);
    world.rm.next.completed = vec![ended(1)];
    world.beat();
    assert!(world.told.iter().all(|event| matches!(event, Event::Headroom { .. })), "{:?}", world.told);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_number() {
    let mut world = World::registered();
    world.ask(wish(), 2);
    world.beat();
    world.rm.give(2);
    world.call(Fate::Deaf);
    world.ask(wish(), 5);
    let again = world.beat();
    assert_eq!((again.response_id, again.asks.len()), (1, 0), "the same, not what was wanted since");
    assert_eq!(world.grants(), 2);
    assert_eq!(asked(&world.beat()), [("*", 3, true)]);
}

#[test]
fn after_a_restart_of_the_resource_manager_everything_is_said_again() {
    let mut world = World::registered();
    world.ask(wish(), 2);
    world.put(Input::Order(Order::Blacklist { add: vec!["bad".to_owned(), "*".to_owned()], remove: vec![] }));
    world.put(Input::Order(Order::Release(id(77))));
    world.beat();
    world.rm.restart();
    world.beat();
    world.call(Fate::Answered);
    assert!(world.told.contains(&Event::Restarted));
    let beat = world.beat();
    assert_eq!((beat.response_id, asked(&beat)), (0, vec![("*", 2, true)]));
    assert_eq!((beat.avoid.as_slice(), beat.release.as_slice()), (&["bad".to_owned()][..], &[id(77)][..]));
    world.rm.next.completed = vec![ended(77)];
    world.beat();
    world.put(Input::Order(Order::Blacklist { add: vec![], remove: vec!["bad".to_owned()] }));
    assert_eq!(world.beat().avoid_no_more, ["bad"]);
    assert_eq!(world.rm.avoided, Vec::<String>::new());
}

#[test]
fn a_lost_answer_to_the_registration_is_a_registration() {
    let mut world = World::new();
    world.call(Fate::Deaf);
    world.call(Fate::Answered);
    assert!(matches!(world.told[..], [Event::Registered { max: Resources { cpu_milli: u32::MAX, .. }, .. }]));
    assert_eq!(world.beat().response_id, 0);
}

#[test]
fn an_attempt_that_is_over_says_so_and_nothing_more() {
    let mut world = World::registered();
    world.now = world.am.wake().unwrap();
    world.put(Input::Tick);
    world.put(Input::Failed(Failure::Over("appattempt_1 does not exist".to_owned())));
    assert_eq!(world.told, [Event::Dead { why: "appattempt_1 does not exist".to_owned() }]);
    world.ask(wish(), 1);
    assert!(world.am.is_over() && world.am.wake().is_none());
}

#[test]
fn the_end_is_told_until_it_is_written_down() {
    let mut world = World::registered();
    let (status, diagnostics) = (FinalStatus::Failed, "stage a failed".to_owned());
    world.put(Input::Order(Order::Finish { status, diagnostics, url: "http://history".to_owned() }));
    let call = world.call(Fate::Answered);
    assert!(matches!(call, Some(Effect::Finish { status: FinalStatus::Failed, .. })), "{call:?}");
    assert_eq!(world.told, []);
    world.rm.registered = false;
    world.call(Fate::Answered);
    world.call(Fate::Answered);
    assert_eq!(world.rm.registrations, 2, "a ResourceManager without memory must know us to let us go");
    world.call(Fate::Answered);
    assert_eq!(world.told, [Event::Restarted, Event::Finished]);
    assert!(world.am.is_over());
}

#[test]
fn an_attempt_that_is_forgotten_after_its_goodbye_is_finished() {
    let mut world = World::registered();
    let status = FinalStatus::Succeeded;
    world.put(Input::Order(Order::Finish { status, diagnostics: String::new(), url: String::new() }));
    world.call(Fate::Answered);
    world.now = world.am.wake().unwrap();
    world.put(Input::Tick);
    world.put(Input::Failed(Failure::Over("gone".to_owned())));
    assert_eq!(world.told, [Event::Finished]);
}

#[test]
fn a_refused_wish_is_found_among_several() {
    let bad = Resources { cpu_milli: 2000, memory: 3 << 20 };
    let mut world = World::registered();
    world.rm.too_large = Some(bad);
    world.ask(wish(), 2);
    world.ask(Wish::anywhere(bad), 2);
    world.ask(Wish::anywhere(Resources { memory: 512 << 20, ..SIZE }), 1);
    for _ in 0..6 {
        world.beat();
    }
    let refused = Event::Refused { wish: Wish::anywhere(bad), why: "Invalid resource request".to_owned() };
    assert!(world.told.contains(&refused), "{:?}", world.told);
    assert_eq!(world.rm.open(), 3);
}

#[test]
fn what_is_larger_than_any_container_is_never_asked_for() {
    let large = Wish::anywhere(Resources { cpu_milli: 5000, memory: 1 });
    let mut world = World::registered();
    world.ask(large.clone(), 1);
    let [Event::Refused { wish, why }] = &world.told[..] else { panic!("{:?}", world.told) };
    assert_eq!(*wish, large);
    assert_eq!(why, "it asks for 5 cpus and 1B, and the largest container of this cluster has 4 and 1GiB");
    assert_eq!(asked(&world.beat()), []);
}

#[test]
fn a_pinned_wish_names_host_rack_and_anywhere() {
    let mut world = World::registered();
    world.put(Input::Nodes(vec![node("a", "/r1", true), node("b", "/r2", true)]));
    let pinned = Wish { hosts: vec!["a".to_owned()], ..wish() };
    world.ask(pinned.clone(), 2);
    assert_eq!(asked(&world.beat()), [("*", 2, false), ("/r1", 2, false), ("a", 2, true)]);
    world.ask(pinned.clone(), 0);
    assert_eq!(asked(&world.beat()), [("*", 0, false), ("/r1", 0, false), ("a", 0, true)]);
    world.ask(Wish { relaxed: true, ..pinned }, 1);
    assert_eq!(asked(&world.beat()), [("*", 1, true), ("/r1", 1, true), ("a", 1, true)]);
    world.ask(Wish { racks: vec!["/r2".to_owned()], ..wish() }, 1);
    assert_eq!(asked(&world.beat()), [("*", 1, false), ("/r2", 1, true)]);
}

#[test]
fn a_rack_that_becomes_known_is_asked_for() {
    let mut world = World::registered();
    world.ask(Wish { hosts: vec!["a".to_owned()], ..wish() }, 1);
    assert_eq!(asked(&world.beat()), [("*", 1, false), ("/default-rack", 1, false), ("a", 1, true)]);
    world.put(Input::Nodes(vec![node("a", "/r1", true)]));
    assert_eq!(asked(&world.beat()), [("*", 0, false), ("/default-rack", 0, false), ("a", 0, true)]);
    assert_eq!(asked(&world.beat()), [("*", 1, false), ("/r1", 1, false), ("a", 1, true)]);
}

#[test]
fn nodes_are_told_whole_when_one_changes() {
    let mut world = World::registered();
    world.put(Input::Nodes(vec![node("a", "/r", true), node("b", "/r", true)]));
    world.put(Input::Nodes(vec![node("a", "/r", true), node("b", "/r", true)]));
    world.rm.next.changed_nodes = vec![node("b", "/r", false)];
    world.beat();
    let told: Vec<Vec<bool>> = world
        .told
        .iter()
        .filter_map(|event| match event {
            Event::Nodes(nodes) => Some(nodes.iter().map(|node| node.usable).collect()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [[true, true], [true, false]]);
}

#[test]
fn tokens_are_passed_on() {
    let mut world = World::registered();
    world.rm.next.own_token = Some(token("new"));
    world.rm.next.tokens = vec![(NodeId { host: "a".to_owned(), port: 1 }, token("a"))];
    world.beat();
    assert!(world.effects.contains(&Effect::Token(token("new"))));
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::NodeToken(node, _) if node.host == "a")));
}

#[test]
fn an_end_is_told_once() {
    let mut world = World::registered();
    world.ask(wish(), 1);
    world.beat();
    world.rm.give(1);
    world.beat();
    for _ in 0..2 {
        world.rm.next.completed = vec![ended(1)];
        world.beat();
    }
    assert_eq!(world.told.iter().filter(|event| matches!(event, Event::Completed { .. })).count(), 1);
}

#[test]
fn grants_of_earlier_attempts_are_found_once() {
    let mut world = World::registered();
    for _ in 0..2 {
        world.rm.next.previous = vec![container(9, 5)];
        world.beat();
    }
    assert_eq!(world.told.iter().filter(|event| matches!(event, Event::Found(_))).count(), 1);
}

#[test]
fn a_resource_manager_that_is_away_is_told_of_and_waited_for() {
    let mut world = World::registered();
    while !world.told.iter().any(|event| matches!(event, Event::Trouble { .. })) {
        world.call(Fate::Lost);
    }
    assert!(world.now >= Millis(2000) && world.now < Millis(6000), "{:?}", world.now);
    world.call(Fate::Lost);
    world.beat();
    assert_eq!(world.told.last(), Some(&Event::Headroom { free: Resources::default(), nodes: 0 }));
    assert_eq!(world.told.iter().filter(|event| matches!(event, Event::Trouble { .. })).count(), 1);
    assert!(world.told.contains(&Event::Recovered));
}

#[test]
fn a_resource_manager_that_stays_away_ends_the_attempt() {
    let mut world = World::registered();
    for _ in 0..200 {
        world.call(Fate::Lost);
    }
    assert!(matches!(world.told.last(), Some(Event::Dead { .. })), "{:?}", world.told);
}

#[test]
fn a_resize_with_a_wrong_version_is_tried_again_with_the_right_one() {
    let mut world = World::registered();
    world.ask(wish(), 1);
    world.beat();
    world.rm.give(1);
    world.beat();
    let size = Resources { memory: 128 << 20, ..SIZE };
    world.put(Input::Order(Order::Update { container: id(1), size }));
    world.rm.next.not_resized = vec![(id(1), "INCORRECT_CONTAINER_VERSION_ERROR".to_owned(), 4)];
    assert_eq!(world.beat().resizes, [Resize { id: id(1), version: 0, size, grows: true }]);
    world.rm.next.resized = vec![Container { version: 5, size, ..container(1, 1) }];
    assert_eq!(world.beat().resizes, [Resize { id: id(1), version: 4, size, grows: true }]);
    assert!(world.told.iter().any(|event| matches!(event, Event::Updated(grown) if grown.version == 5)));
    world.put(Input::Order(Order::Update { container: id(2), size }));
    assert!(matches!(world.told.last(), Some(Event::UpdateFailed { .. })));
}

#[test]
fn preemption_is_announced_once() {
    let mut world = World::registered();
    for _ in 0..3 {
        world.rm.next.preempts = vec![id(1), id(2)];
        world.beat();
    }
    let told: Vec<_> = world.told.iter().filter(|event| matches!(event, Event::Preempts(_))).collect();
    assert_eq!(told, [&Event::Preempts(vec![id(1), id(2)])]);
}

#[test]
fn a_wish_that_nothing_fits_is_not_worth_a_hurry_for_ever() {
    let mut world = World::registered();
    world.ask(wish(), 1);
    world.beat();
    let began = world.now;
    world.beat();
    assert_eq!(world.now.since(began), RULES.quick_beat);
    while world.now < Millis(40_000) {
        world.beat();
    }
    let began = world.now;
    world.beat();
    assert_eq!(world.now.since(began), RULES.beat);
}

#[test]
fn a_scheduler_that_does_not_count_cpus_gives_what_was_asked() {
    let mut world = World::new();
    world.put(Input::Tick);
    world.put(Input::Registered(Welcome { counts_cpus: false, ..Welcome::default() }));
    world.effects.clear();
    world.rm.registered = true;
    world.ask(Wish::anywhere(Resources { cpu_milli: 3000, ..SIZE }), 1);
    world.beat();
    world.rm.give(1);
    world.beat();
    let size = world.told.iter().find_map(|event| match event {
        Event::Granted { container, .. } => Some(container.size.cpu_milli),
        _ => None,
    });
    assert_eq!(size, Some(3000));
}
