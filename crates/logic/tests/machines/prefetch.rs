//! Images along the DAG.

use dybox_logic::master::{Effect, Event, Master};
use dybox_model::{Fact, GrantId, Millis, Need, PullPolicy, StageEnd, StageId, SubDagId};

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
    let failed =
        |stage| Fact::StageEnded { stage: StageId(stage), end: StageEnd::Failed, why: String::new(), at: Millis(2) };
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
