//! Images along the DAG.

use dybox_model::{GrantId, Need, PullPolicy, StageId};

use crate::world::World;
use crate::world::plans::{self, stage};

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
    assert_eq!(stages_of(&world.brought), []);
    world.until_done();
    assert_eq!(stages_of(&world.brought), [3]);
}

#[test]
fn what_is_never_pulled_is_not_pulled_in_advance() {
    let never = dybox_job::Stage { pull: PullPolicy::Never, ..stage("b", 1, &[(0, AFTER)]) };
    let mut world = world(vec![(stage("a", 1, &[]), "one"), (never, "two")]);
    world.until_done();
    assert_eq!(stages_of(&world.brought), []);
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
