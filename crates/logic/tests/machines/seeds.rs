//! Any DAG, any luck: every end is reached, each task runs once, nothing is left. A failing seed prints its story.

use crate::world::World;

const SEEDS: u64 = 600;

#[test]
fn whatever_happens_every_end_is_reached_and_nothing_is_left() {
    let mut ahead = 0;
    for seed in 0..SEEDS {
        let mut world = World::seeded(seed);
        world.tell(format!("seed {seed}"));
        world.until_done();
        world.assert_nothing_left();
        ahead += world.ahead;
    }
    assert!(ahead > 50, "hardly anything was given in advance: {ahead}");
}

#[test]
fn a_crash_at_any_record_repeats_nothing_that_was_finished() {
    for seed in 0..16 {
        let mut records = 1;
        loop {
            let mut world = World::seeded(seed);
            world.tell(format!("seed {seed}, crash after {records}"));
            world.crash_at = Some(records);
            world.until_done();
            world.assert_nothing_left();
            if world.crash_at.is_some() {
                break;
            }
            records += 1;
        }
    }
}

#[test]
fn many_crashes_are_only_more_of_the_same() {
    for seed in 0..SEEDS / 3 {
        let mut world = World::seeded(seed);
        world.tell(format!("seed {seed}, a crash every 7 records"));
        for crash in 1..12 {
            world.crash_at = Some(world.journal.len().max(crash * 7));
            world.until(|world| world.crash_at.is_none() || world.is_over());
        }
        world.crash_at = None;
        world.until_done();
        world.assert_nothing_left();
    }
}

#[test]
fn a_resume_finishes_what_did_not_succeed() {
    for seed in 0..SEEDS / 3 {
        let mut world = World::seeded(seed);
        world.tell(format!("seed {seed}, resumed"));
        world.until_done();
        world.resume();
        world.until_done();
        world.assert_nothing_left();
    }
}

#[test]
fn on_a_cluster_placements_hold_whatever_is_lost() {
    for seed in 0..SEEDS {
        let mut world = World::seeded_on_cluster(seed);
        world.tell(format!("seed {seed} on a cluster"));
        world.until_done();
        world.assert_nothing_left();
    }
}

#[test]
fn on_a_cluster_crashes_are_only_more_of_the_same() {
    for seed in 0..SEEDS / 6 {
        let mut world = World::seeded_on_cluster(seed);
        world.tell(format!("seed {seed} on a cluster, a crash every 9 records"));
        for crash in 1..12 {
            world.crash_at = Some(world.journal.len().max(crash * 9));
            world.until(|world| world.crash_at.is_none() || world.is_over());
        }
        world.crash_at = None;
        world.until_done();
        world.assert_nothing_left();
    }
}

#[test]
fn a_roster_that_lies_and_changes_its_mind_keeps_no_run_from_its_end() {
    let mut warned = 0;
    for seed in 0..SEEDS / 2 {
        let mut world = World::seeded_on_cluster(seed);
        world.faults.roster = 60;
        world.tell(format!("seed {seed} on a cluster with a roster that lies"));
        world.until_done();
        world.assert_nothing_left();
        warned += world.warned;
    }
    assert!(warned > 0, "now and then it closes all that a task could go to");
}

/// A random world whose hooks add stages; on a cluster now and then.
fn growing(seed: u64) -> World {
    let mut world = if seed.is_multiple_of(3) { World::seeded_on_cluster(seed) } else { World::seeded(seed) };
    world.faults.adds = true;
    world
}

#[test]
fn runs_that_grow_reach_every_end_too() {
    let mut grown = 0;
    for seed in 0..SEEDS / 2 {
        let mut world = growing(seed);
        world.tell(format!("seed {seed} with hooks that add"));
        world.until_done();
        world.assert_nothing_left();
        grown += world.plan.stages.len() - world.plan.planned();
    }
    assert!(grown > 40, "hardly anything was added: {grown}");
}

#[test]
fn runs_that_grow_survive_a_crash_at_any_record_and_a_resume() {
    for seed in 0..6 {
        let mut records = 1;
        loop {
            let mut world = growing(seed);
            world.tell(format!("seed {seed} with hooks that add, crash after {records}"));
            world.crash_at = Some(records);
            world.until_done();
            world.assert_nothing_left();
            if world.crash_at.is_some() {
                world.resume();
                world.until_done();
                world.assert_nothing_left();
                break;
            }
            records += 1;
        }
    }
    for seed in 0..SEEDS / 10 {
        let mut world = growing(seed);
        world.tell(format!("seed {seed} with hooks that add, a crash every 7 records, resumed"));
        for crash in 1..12 {
            world.crash_at = Some(world.journal.len().max(crash * 7));
            world.until(|world| world.crash_at.is_none() || world.is_over());
        }
        world.crash_at = None;
        world.until_done();
        world.assert_nothing_left();
        world.resume();
        world.until_done();
        world.assert_nothing_left();
    }
}
