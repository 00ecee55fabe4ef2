//! What the machines promise about sizes, one sentence a test.

use dybox_job::{Elastic, Late, Sizes, Stage};
use dybox_logic::driver::{self, Driver, Effect};
use dybox_model::{AttemptId, Cause, Fact, Millis, Resources, StageEnd, SubDagId};

use crate::world::plans::{self, mib, stage};
use crate::world::{Cluster, World, first_is_too_small};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);

/// One machine of 4 GiB.
fn one() -> Cluster {
    Cluster::of(&[("n1", "r1")], Resources { cpu_milli: 64_000, memory: 4 << 30 })
}

fn asks(tasks: u32, memory: u64) -> Stage {
    Stage { ask: mib(memory), ..stage("a", tasks, &[]) }
}

fn elastic(request: u64, limit: u64) -> Stage {
    let (requested, most) = (request << 20, limit << 20);
    let elastic = Elastic { requested, least: requested, most, learns: false };
    Stage { elastic: Some(elastic), ..asks(1, request) }
}

fn learning(tasks: u32, memory: u64, learned: Option<u64>) -> World {
    let mut plan = plans::of([asks(tasks, memory)]);
    plan.right_size(|_| learned.map(|mib| mib << 20));
    World::on(one(), plan)
}

#[test]
fn later_tasks_of_a_stage_ask_by_what_the_first_ones_used() {
    let mut world = learning(16, 2048, None);
    world.uses = Some(|_| 200);
    world.until_done();
    assert_eq!(world.end("a"), OK);
    let given = world.sizes(false);
    assert_eq!(given[..2], [2048, 2048], "nothing is known of the first ones");
    assert!(given.len() > 6 && given[6..].iter().all(|&mib| (240..=320).contains(&mib)), "{given:?}");
    world.assert_nothing_left();
}

#[test]
fn what_an_earlier_run_taught_counts_from_the_first_task_on() {
    let mut world = learning(8, 2048, Some(240));
    world.uses = Some(|_| 180);
    world.until(|world| world.running() == 8);
    assert!(world.sizes(false).iter().all(|&mib| mib <= 256), "{:?}", world.sizes(false));
    world.until_done();
    world.assert_nothing_left();
}

#[test]
fn a_task_that_was_made_too_small_is_tried_again_with_all_at_nobodys_expense() {
    let mut world = learning(1, 2048, Some(100));
    world.uses = Some(|_| 60);
    world.script = Some(first_is_too_small);
    world.until_done();
    assert_eq!((world.end("a"), world.tries("a")), (OK, 2), "{}", world.why("a"));
    assert_eq!(world.sizes(false), [128, 2048]);
}

#[test]
fn a_task_that_had_all_that_it_asked_for_and_finds_it_too_small_has_failed() {
    let mut world = World::on(one(), plans::of([asks(1, 256)]));
    world.script = Some(first_is_too_small);
    world.until_done();
    assert_eq!((world.end("a"), world.tries("a")), (Some(StageEnd::Failed), 1));
}

#[test]
fn a_running_task_that_uses_little_gives_the_rest_back_and_others_run_sooner() {
    let mut world = learning(4, 2048, None);
    world.uses = Some(|_| 100);
    world.until(|world| world.running() == 2);
    world.until(|world| world.running() > 2 || world.is_over());
    assert!(world.running() > 2, "the third one starts while the first two run");
    world.until_done();
    assert!(world.sizes(true).iter().any(|&mib| mib <= 192), "{:?}", world.sizes(true));
    world.assert_nothing_left();
}

#[test]
fn a_task_that_nears_its_limit_gets_more_before_it_is_too_late() {
    let mut world = World::on(one(), plans::of([elastic(256, 2048)]));
    world.uses = Some(|_| 900);
    world.until_done();
    assert_eq!((world.end("a"), world.tries("a")), (OK, 1));
    assert_eq!(world.sizes(true)[..3], [512, 1024, 2048]);
    world.assert_nothing_left();
}

#[test]
fn an_increase_that_is_refused_leaves_the_task_as_it_was() {
    let mut world = World::on(one(), plans::of([elastic(256, 2048)]));
    world.uses = Some(|_| 250);
    world.refuses = true;
    world.until_done();
    assert_eq!((world.end("a"), world.tries("a"), world.sizes(true)), (OK, 1, vec![]));
}

#[test]
fn what_finds_its_limit_before_it_could_grow_begins_again_with_the_limit() {
    fn first(attempt: AttemptId) -> Option<Cause> {
        first_is_too_small(attempt)
    }
    let mut world = World::on(one(), plans::of([elastic(256, 2048)]));
    world.uses = Some(|_| 10);
    world.script = Some(first);
    world.until_done();
    assert_eq!((world.end("a"), world.tries("a")), (OK, 2));
    assert_eq!(world.sizes(false), [256, 2048]);
}

#[test]
fn a_plain_size_stays_what_it_is() {
    let mut world = World::on(one(), plans::of([asks(6, 1024)]));
    world.uses = Some(|_| 10);
    world.until_done();
    assert!(world.sizes(false).iter().all(|&mib| mib == 1024) && world.sizes(true).is_empty());
}

#[test]
fn on_one_machine_what_may_grow_begins_with_all_of_it() {
    let mut world = World::of(plans::of([elastic(256, 512)]));
    world.until_done();
    assert_eq!((world.end("a"), world.sizes(false)), (OK, vec![512]));
}

#[test]
fn a_new_master_knows_the_sizes_and_goes_on_learning() {
    for after in 3..40 {
        let mut world = learning(16, 2048, None);
        world.uses = Some(|_| 200);
        world.crash_at = Some(after);
        world.until_done();
        assert_eq!(world.end("a"), OK);
        world.assert_nothing_left();
    }
}

/// So many tasks, of which each asks for 64 MiB more than the one before it.
fn growing(tasks: u32) -> Stage {
    let sizes = Sizes { cpus: None, memory: Some("${64 * (task.index + 1)}MiB".to_owned()) };
    Stage { late: Late { sizes: Some(sizes), ..Late::default() }, ..stage("a", tasks, &[]) }
}

#[test]
fn each_task_gets_the_size_that_it_asks_for() {
    for mut world in [World::of(plans::of([growing(4)])), World::on(one(), plans::of([growing(4)]))] {
        world.until_done();
        let mut sizes = world.sizes(false);
        sizes.sort_unstable();
        assert_eq!((world.end("a"), sizes), (OK, vec![64, 128, 192, 256]));
        assert!(world.journal.iter().any(|fact| matches!(fact, Fact::StageSized { .. })));
        world.assert_nothing_left();
    }
}

#[test]
fn tasks_of_different_sizes_are_tried_again_stopped_and_taken_over_like_others() {
    let mut plan = plans::of([growing(9), asks(3, 128)]);
    plan.stages[0].retry.max = 2;
    let mut world = World::of(plan.clone()).budget(mib(600));
    world.script = Some(|attempt| {
        let fails = attempt.number == 1 && attempt.task.index % 2 == 0 && attempt.task.stage.0 == 0;
        fails.then_some(Cause::ExitCode)
    });
    world.until(|world| world.running() == 1);
    world.crash();
    world.until_done();
    // The five of even number fail once; the other stage has the same name.
    assert_eq!((world.end("a"), world.tries("a")), (OK, 9 + 5 + 3));
    world.assert_nothing_left();
    let mut world = World::of(plan).budget(mib(600));
    world.until(|world| world.running() == 1);
    world.stop(false);
    world.until_done();
    world.resume();
    world.until_done();
    assert_eq!(world.end("a"), OK);
    world.assert_nothing_left();
}

#[test]
fn a_size_that_is_none_fails_its_stage_and_says_which_task() {
    let sizes = Sizes { cpus: Some("${task.index}".to_owned()), memory: None };
    let late = Late { sizes: Some(sizes), ..Late::default() };
    let mut driver = Driver::new(&plans::of([Stage { late, ..stage("a", 2, &[]) }]), SubDagId(0));
    let mut out = Vec::new();
    driver.handle(Millis(1), driver::Event::Opened, &mut out);
    let told = "the size of task 0: \"cpus\" can't be \"0\": the least is 0.001";
    let ends = |effect: &Effect| match effect {
        Effect::Record(Fact::StageEnded { end, why, .. }) => Some((*end, why.clone())),
        _ => None,
    };
    let ends: Vec<_> = out.iter().filter_map(ends).collect();
    assert_eq!(ends, [(StageEnd::Failed, told.to_owned())]);
}

#[test]
fn what_is_larger_than_any_machine_fails_its_stage_and_no_other() {
    // Task 1 asks for 4GiB; the second stage shares the size of task 0, the third has what nobody has.
    let late = |memory: &str| {
        let sizes = Sizes { cpus: None, memory: Some(memory.to_owned()) };
        Late { sizes: Some(sizes), ..Late::default() }
    };
    let named = |name: &str, late: Late, tasks: u32| Stage { name: name.to_owned(), late, ..stage("a", tasks, &[]) };
    let all = || {
        plans::of([
            named("grows", late("${task.index * 8000 + 128}MiB"), 2),
            named("fits", late("128MiB"), 5),
            Stage { name: "large".to_owned(), ..asks(2, 8192) },
        ])
    };
    for mut world in [World::of(all()).budget(mib(1024)), World::on(one(), all())] {
        world.until_done();
        let failed = Some(StageEnd::Failed);
        assert_eq!((world.end("grows"), world.end("fits"), world.end("large")), (failed, OK, failed));
        let why = "task 1 can never run here: it asks for more than there is; \
                   ask for less in memory: ${task.index * 8000 + 128}MiB (C1024)";
        assert_eq!(world.why("grows"), why);
        let why = "each of its tasks can never run here: it asks for more than there is; ask for less (C1024)";
        assert_eq!(world.why("large"), why);
        let causes = ["grows", "fits", "large"].map(|name| world.cause(name));
        assert_eq!(causes, [Some(Cause::TooLarge), None, Some(Cause::TooLarge)]);
        assert_eq!(world.tries("fits"), 5);
        world.assert_nothing_left();
    }
}

#[test]
fn a_new_master_comes_to_the_same_when_an_ask_is_refused() {
    for after in 1..30 {
        let sizes = Sizes { cpus: None, memory: Some("${task.index * 8000 + 128}MiB".to_owned()) };
        let late = Late { sizes: Some(sizes), ..Late::default() };
        let other = Stage { name: "b".to_owned(), ..asks(3, 128) };
        let mut world = World::of(plans::of([Stage { late, ..stage("a", 2, &[]) }, other])).budget(mib(1024));
        world.until(|world| world.journal.len() > after || world.is_over());
        if !world.is_over() {
            world.crash();
            world.until_done();
        }
        assert_eq!((world.end("a"), world.end("b")), (Some(StageEnd::Failed), OK), "after {after}");
        world.assert_nothing_left();
    }
}
