//! Hooks that add stages: from the decision on they are as those of the plan, for every master of the run.

use std::collections::BTreeMap;

use dybox_job::{Plan, Stage};
use dybox_logic::driver::{Driver, Event};
use dybox_model::{Added, Cause, Decision, Fact, HookId, Millis, Need, Resources, StageEnd, StageId, SubDagId};

use crate::world::World;
use crate::world::adds::{New, added};
use crate::world::plans::{self, hook, mib, stage};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);
const FIRST: HookId = HookId(0);

/// `a`, a hook after it, `b` behind it.
fn held() -> Plan {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "decide");
    plan
}

fn with(plan: &Plan, stages: &[New<'_>]) -> World {
    let mut world = World::of(plan.clone());
    world.decision = Ok(Decision { add: added(plan, FIRST, stages), ..Decision::default() });
    world
}

#[test]
fn added_stages_run_after_what_they_need_and_the_run_waits_for_them() {
    let chain: [New<'_>; 3] = [
        (stage("late", 2, &[]), &[("b", Need::Succeeded), ("free", Need::Finished)]),
        (stage("free", 3, &[]), &[]),
        (Stage { ask: mib(512), ..stage("large", 1, &[]) }, &[("a", Need::Succeeded)]),
    ];
    let mut world = with(&held(), &chain);
    world.until_done();
    assert_eq!((world.end("late"), world.end("free"), world.end("large")), (OK, OK, OK));
    assert_eq!((world.tries("late"), world.tries("free"), world.tries("large")), (2, 3, 1));
    world.assert_nothing_left();
}

#[test]
fn the_next_master_has_the_same_stages_and_runs_no_hook_again() {
    let chain: [New<'_>; 2] =
        [(stage("x", 2, &[]), &[("a", Need::Succeeded)]), (stage("y", 1, &[]), &[("x", Need::Succeeded)])];
    let mut records = 1;
    loop {
        let mut world = with(&held(), &chain);
        world.crash_at = Some(records);
        world.until_done();
        assert_eq!((world.end("x"), world.end("y"), world.end("b")), (OK, OK, OK), "crash after {records}");
        assert_eq!((world.tries("x"), world.tries("y")), (2, 1), "crash after {records}");
        world.assert_nothing_left();
        if world.crash_at.is_some() {
            break;
        }
        records += 1;
    }
    assert!(records > 20);
}

#[test]
fn a_stop_stops_them_and_a_resume_goes_on_with_them() {
    let chain: [New<'_>; 2] =
        [(stage("x", 1, &[]), &[("a", Need::Succeeded)]), (stage("y", 1, &[]), &[("x", Need::Succeeded)])];
    let mut world = with(&held(), &chain);
    world.until(|world| world.tries("x") == 1);
    world.stop(false);
    world.until_done();
    assert_eq!((world.end("x"), world.end("y")), (Some(StageEnd::Stopped), Some(StageEnd::Stopped)));
    world.resume();
    world.until_done();
    assert_eq!((world.end("x"), world.end("y"), world.hooks_run[&FIRST]), (OK, OK, 1));
    world.assert_nothing_left();
}

#[test]
fn what_needs_a_stage_that_ended_otherwise_is_skipped() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("bad", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "decide");
    let new: [New<'_>; 2] =
        [(stage("x", 1, &[]), &[("bad", Need::Succeeded)]), (stage("y", 1, &[]), &[("bad", Need::Failed)])];
    let mut world = with(&plan, &new);
    world.script = Some(|attempt| (attempt.task.stage.0 == 1).then_some(Cause::ExitCode));
    world.until_done();
    assert_eq!((world.end("x"), world.end("y")), (Some(StageEnd::Skipped), OK));
    assert!(world.why("x").contains("needs \"bad\" to succeed"), "{}", world.why("x"));
}

#[test]
fn they_wait_for_hooks_upstream_that_have_not_decided() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("slow", 3, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "adds");
    hook(&mut plan, &[1], "waits");
    let mut grown = plan.clone();
    let new = added(&plan, FIRST, &[(stage("x", 1, &[]), &[("slow", Need::Succeeded)])]);
    grown.grow(FIRST, &new);
    assert_eq!(
        (grown.hooks[0].holds.contains(&StageId(3)), grown.hooks[1].holds.as_slice()),
        (true, &[StageId(3)][..])
    );
    let mut world = World::of(plan).budget(Resources { cpu_milli: 1000, memory: 200 << 20 });
    world.decision = Ok(Decision { add: new, ..Decision::default() });
    // The second hook says the same: what it adds is there already, so it fails.
    world.until_done();
    assert_eq!(world.truth.ended, Some(StageEnd::Failed));
    let failed = world.journal.iter().find_map(|fact| match fact {
        Fact::HookFailed { hook: HookId(1), why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("its decision adds stage \"x\", which the run has already"));
    assert_eq!(world.tries("x"), 0);
}

#[test]
fn a_decision_that_does_not_fit_takes_nothing() {
    let plan = held();
    let circle = |mut new: Vec<Added>| {
        let mut stage = Stage::of_added(&new[0]).unwrap();
        stage.needs = vec![(new[0].outline.id, Need::Succeeded)];
        new[0].stage = serde_json::to_string(&stage).unwrap();
        new
    };
    let one = added(&plan, FIRST, &[(stage("x", 1, &[]), &[])]);
    let taken = {
        let mut new = one.clone();
        new[0].outline.id = StageId(1);
        new
    };
    let wrong = [
        (Decision { add: circle(one.clone()), ..Decision::default() }, "whose needs can't be met"),
        (Decision { add: taken, ..Decision::default() }, "the number of another one"),
        (Decision { add: one.clone(), skip: vec!["x".into()], ..Decision::default() }, "which it adds itself"),
        (
            Decision { add: one, parallelism: BTreeMap::from([("x".into(), 2)]), ..Decision::default() },
            "which it adds itself",
        ),
    ];
    for (decision, expected) in wrong {
        let mut world = World::of(plan.clone());
        world.decision = Ok(decision);
        world.until_done();
        let why = world.journal.iter().find_map(|fact| match fact {
            Fact::HookFailed { why, .. } => Some(why.clone()),
            _ => None,
        });
        assert!(why.as_ref().is_some_and(|why| why.contains(expected)), "{why:?}");
        assert!(!world.journal.iter().any(|fact| matches!(fact, Fact::HookDecided { .. })));
        assert_eq!(world.truth.ended, Some(StageEnd::Failed));
    }
}

#[test]
fn numbers_of_two_sub_dags_never_meet() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[])]);
    plan.subdags.push(plan.subdags[0].clone());
    plan.stages[1].subdag = SubDagId(1);
    plan.subdags[0].stages = vec![StageId(0)];
    plan.subdags[1].stages = vec![StageId(1)];
    hook(&mut plan, &[0], "one");
    hook(&mut plan, &[1], "two");
    plan.subdags[0].hooks = vec![HookId(0)];
    plan.subdags[1].hooks = vec![HookId(1)];
    plan.hooks[1].subdag = SubDagId(1);
    let of = |name: &str, subdag| Stage { subdag: SubDagId(subdag), ..stage(name, 1, &[]) };
    let one =
        added(&plan, HookId(0), &[(of("x", 0), &[("a", Need::Succeeded)]), (of("y", 0), &[("x", Need::Succeeded)])]);
    let two = added(&plan, HookId(1), &[(of("z", 1), &[("b", Need::Succeeded)])]);
    let ids = |all: &[Added]| all.iter().map(|added| added.outline.id.0).collect::<Vec<_>>();
    assert_eq!((ids(&one), ids(&two)), (vec![2, 4], vec![3]));
    // Whoever reads the journals in whatever order comes to the same.
    let (mut first, mut second) = (plan.clone(), plan.clone());
    first.grow(HookId(0), &one);
    assert_eq!(first.numbered().map(|(id, _)| id.0).collect::<Vec<_>>(), [0, 1, 2, 4]);
    assert!(first.stages[3].is_gap());
    first.grow(HookId(1), &two);
    second.grow(HookId(1), &two);
    second.grow(HookId(0), &one);
    second.grow(HookId(0), &one);
    assert_eq!(first.stages, second.stages);
    assert_eq!(first.next_ids(SubDagId(0)).next(), Some(StageId(6)));
    assert_eq!(first.next_ids(SubDagId(1)).next(), Some(StageId(5)));
    // A master that knows of the other's stages already has a gap to fill.
    let mut driver = Driver::new(&first, SubDagId(0));
    let mut known = plan.clone();
    known.grow(HookId(1), &two);
    let mut second = Driver::new(&known, SubDagId(0));
    let fact =
        Fact::HookDecided { hook: HookId(0), decision: Decision { add: one, ..Decision::default() }, at: Millis(1) };
    for driver in [&mut driver, &mut second] {
        driver.apply(&fact);
        let mut out = Vec::new();
        driver.handle(Millis(2), Event::Opened, &mut out);
        assert_eq!(driver.check(), Ok(()));
        assert_eq!(driver.tasks_of(StageId(4)), 1);
    }
}
