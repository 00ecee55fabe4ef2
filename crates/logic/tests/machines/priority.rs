//! What the machines promise about priorities, one sentence a test.

use dybox_job::Stage;
use dybox_model::{Fact, Need, Placement, Resources, StageEnd};

use crate::world::plans::{self, mib, stage};
use crate::world::{Cluster, World};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);

fn ranked(name: &str, tasks: u32, priority: i32) -> Stage {
    Stage { priority, ..stage(name, tasks, &[]) }
}

/// The stages of all attempts, in the order in which they were given to grants.
fn order(world: &World) -> Vec<u32> {
    let stage = |fact: &Fact| match fact {
        Fact::AttemptStarted { attempt, .. } => Some(attempt.task.stage.0),
        _ => None,
    };
    world.journal.iter().filter_map(stage).collect()
}

fn cluster(machines: &[(&str, &str)], memory: u64) -> Cluster {
    Cluster::of(machines, Resources { cpu_milli: 8000, memory: memory << 20 })
}

#[test]
fn where_room_is_short_the_higher_priority_comes_first() {
    let plan = plans::of([ranked("low", 3, -1), ranked("middle", 2, 0), ranked("high", 3, 7)]);
    let mut world = World::of(plan.clone()).budget(mib(64));
    world.until_done();
    assert_eq!(order(&world), [2, 2, 2, 1, 1, 0, 0, 0]);
    assert_eq!((world.end("low"), world.end("high")), (OK, OK));
    world.assert_nothing_left();
    let mut world = World::on(cluster(&[("n1", "r1")], 64), plan);
    world.until_done();
    assert_eq!(order(&world), [2, 2, 2, 1, 1, 0, 0, 0]);
    world.assert_nothing_left();
}

#[test]
fn equal_priorities_go_as_without_any() {
    let order_with = |priority| {
        let mut world = World::of(plans::of([ranked("a", 3, priority), ranked("b", 2, priority)])).budget(mib(64));
        world.until_done();
        order(&world)
    };
    assert_eq!((order_with(0), order_with(9)), (vec![0, 0, 0, 1, 1], vec![0, 0, 0, 1, 1]));
}

#[test]
fn one_that_begins_later_still_comes_before_what_waits() {
    let high = Stage { needs: vec![(dybox_model::StageId(0), Need::Succeeded)], ..ranked("high", 2, 1) };
    let mut world = World::of(plans::of([ranked("first", 1, 2), ranked("low", 6, 0), high])).budget(mib(64));
    world.until_done();
    // The grant of the first was free a moment before anybody knew of the third.
    assert_eq!(order(&world)[..4], [0, 1, 2, 2]);
    world.assert_nothing_left();
}

#[test]
fn small_tasks_do_not_keep_the_room_that_a_larger_one_before_them_waits_for() {
    let large = Stage {
        ask: Resources { cpu_milli: 1000, memory: 256 << 20 },
        needs: vec![(dybox_model::StageId(0), Need::Succeeded)],
        ..ranked("large", 1, 1)
    };
    let plan = plans::of([ranked("first", 1, 0), ranked("small", 80, 0), large]);
    for mut world in [
        World::of(plan.clone()).budget(Resources { cpu_milli: 9000, memory: 256 << 20 }),
        World::on(cluster(&[("n1", "r1")], 256), plan),
    ] {
        world.until_done();
        let order = order(&world);
        let at = order.iter().position(|stage| *stage == 2).expect("it ran");
        assert!(at < 40, "the large one was number {at} of {}", order.len());
        assert_eq!((world.end("small"), world.end("large")), (OK, OK));
        world.assert_nothing_left();
    }
}

#[test]
fn what_waits_for_another_machine_keeps_nothing_from_the_rest() {
    let pinned = Placement { nodes: vec!["n2".to_owned()], hard: true, ..Placement::default() };
    let large = Stage { ask: mib(256), placement: pinned, ..ranked("large", 2, 1) };
    let mut world = World::on(cluster(&[("n1", "r1"), ("n2", "r1")], 256), plans::of([ranked("small", 24, 0), large]));
    world.until_done();
    assert_eq!((world.end("small"), world.end("large")), (OK, OK));
    assert!(world.launched < 12, "the grants of n1 go on: {}", world.launched);
    world.assert_nothing_left();
}

#[test]
fn a_stage_that_comes_later_says_what_comes_first() {
    let mut world = World::of(plans::of([ranked("low", 2, 0), ranked("high", 2, 3)])).budget(mib(64));
    world.until(|world| world.running() == 1);
    let why: Vec<String> = world.master.why().into_iter().map(|waiting| waiting.why).collect();
    assert!(why[0].ends_with("; stages of priority 3 come first"), "{why:?}");
    assert!(!why[1].contains("come first"), "{why:?}");
    world.until_done();
}

#[test]
fn a_master_that_takes_over_keeps_the_order() {
    let mut world = World::of(plans::of([ranked("low", 3, 0), ranked("high", 3, 4)])).budget(mib(64));
    world.until(|world| world.running() == 1);
    world.crash();
    world.until_done();
    let order = order(&world);
    let first_low = order.iter().position(|stage| *stage == 0).expect("it ran");
    assert_eq!(order[..first_low].iter().filter(|stage| **stage == 1).count(), 3, "{order:?}");
    assert_eq!((world.end("low"), world.end("high")), (OK, OK));
    world.assert_nothing_left();
}
