//! What the machines promise, one sentence a test.

use std::collections::BTreeMap;

use dybox_job::RetryOn;
use dybox_logic::driver::{Driver, Effect, Event};
use dybox_logic::master::{self, Master};
use dybox_model::{
    AttemptId, Cause, Decision, Exit, Fact, GrantId, HookId, Millis, Need, Network, StageEnd, StageId, SubDagId, TaskId,
};

use crate::world::plans::{self, hook, mib, stage};
use crate::world::{World, granted};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);

fn chain() -> World {
    World::of(plans::of([
        stage("a", 1, &[]),
        stage("b", 4, &[(0, Need::Succeeded)]),
        stage("c", 1, &[(1, Need::Succeeded)]),
    ]))
}

#[test]
fn a_chain_runs_in_order_and_ends_well() {
    let mut world = chain();
    world.until_done();
    assert_eq!((world.end("a"), world.end("b"), world.end("c")), (OK, OK, OK));
    assert_eq!(world.truth.ended, OK);
    world.assert_nothing_left();
}

#[test]
fn a_grant_that_finished_a_task_takes_the_next() {
    let mut world = chain();
    world.until_done();
    assert_eq!(world.launched, 4);
    assert!(world.now < 1_000_000 + 3_200, "three tasks of a second in a row, not much more");
}

#[test]
fn a_small_budget_runs_fewer_at_a_time() {
    let mut world = World::of(plans::of([stage("a", 9, &[])])).budget(mib(2 * 64));
    world.until(|world| world.running() == 1);
    world.until_done();
    assert_eq!((world.end("a"), world.launched), (OK, 1));
    world.assert_nothing_left();
}

#[test]
fn a_failed_stage_stops_only_what_needs_it() {
    let needs_a = |kind| [(0, kind)];
    let mut world = World::of(plans::of([
        stage("a", 1, &[]),
        stage("next", 1, &needs_a(Need::Succeeded)),
        stage("after-next", 1, &[(1, Need::Finished)]),
        stage("clean-up", 1, &needs_a(Need::Failed)),
        stage("report", 1, &needs_a(Need::Finished)),
        stage("apart", 1, &[]),
    ]));
    world.script = Some(|attempt| (attempt.task.stage.0 == 0).then_some(Cause::ExitCode));
    world.until_done();
    assert_eq!(world.end("a"), Some(StageEnd::Failed));
    assert_eq!(world.why("a"), "exit code 1");
    assert_eq!(world.end("next"), Some(StageEnd::Skipped));
    assert_eq!(world.why("next"), "needs \"a\" to succeed, but it failed");
    assert_eq!(world.why("after-next"), "needs \"next\" to finish, but it was skipped");
    assert_eq!((world.end("clean-up"), world.end("report"), world.end("apart")), (OK, OK, OK));
    assert_eq!(world.truth.ended, Some(StageEnd::Failed));
}

#[test]
fn with_fail_fast_the_first_failure_stops_the_run() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("slow", 3, &[]), stage("later", 1, &[(1, Need::Finished)])]);
    plan.fail_fast = true;
    let mut world = World::of(plan).budget(mib(64));
    world.script = Some(|attempt| (attempt.task.stage.0 == 0).then_some(Cause::Oom));
    world.until_done();
    assert_eq!(world.end("slow"), Some(StageEnd::Stopped));
    assert_eq!(world.end("later"), Some(StageEnd::Stopped));
    let why = "fail_fast: stage \"a\" failed: it used more memory than it asked for";
    assert_eq!(world.why("later"), why);
    assert_eq!(world.truth.ended, Some(StageEnd::Failed));
    world.assert_nothing_left();
}

#[test]
fn the_first_task_that_used_up_its_tries_ends_its_stage() {
    let mut a = stage("a", 4, &[]);
    a.retry.max = 2;
    let mut world = World::of(plans::of([a]));
    world.script = Some(|attempt| (attempt.task.index == 2).then_some(Cause::ExitCode));
    world.until_done();
    assert_eq!(world.why("a"), "task 2: exit code 1");
    assert_eq!(world.tries("a"), 3 + 3);
    assert!(world.now >= 1_000_000 + 3 * 1000 + 1000 + 2000, "pauses of one and two seconds");
}

#[test]
fn only_named_failures_are_tried_again() {
    let mut a = stage("a", 1, &[]);
    a.retry = dybox_job::Retry { max: 5, backoff: Millis(0), on: vec![RetryOn::Oom], grow: None };
    let mut world = World::of(plans::of([a]));
    world.script = Some(|attempt| Some(if attempt.number < 3 { Cause::Oom } else { Cause::ExitCode }));
    world.until_done();
    assert_eq!((world.tries("a"), world.end("a")), (3, Some(StageEnd::Failed)));
}

#[test]
fn a_dead_proxy_costs_no_try_of_the_user() {
    let mut world = World::of(plans::of([stage("a", 2, &[])]));
    world.until(|world| world.running() == 2);
    let grant = world.master.grants().next().expect("two run");
    world.kill(grant);
    world.until_done();
    assert_eq!((world.tries("a"), world.end("a")), (3, OK));
    world.assert_nothing_left();
}

#[test]
fn what_the_platform_breaks_nine_times_is_lost() {
    let mut world = World::of(plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Failed)])]));
    world.script = Some(|attempt| (attempt.task.stage.0 == 0).then_some(Cause::EngineDown));
    world.until_done();
    assert_eq!((world.tries("a"), world.end("a"), world.end("b")), (9, Some(StageEnd::Lost), OK));
    assert_eq!(world.truth.ended, Some(StageEnd::Lost));
}

#[test]
fn what_is_known_from_an_earlier_run_does_not_run() {
    let taken = |results: &[&str]| {
        let results = results.iter().map(|result| Some((*result).to_owned())).collect();
        Some(dybox_job::Taken { from: "01jd0000000000000000000000".parse().ok(), results })
    };
    let mut a = stage("a", 2, &[]);
    a.taken = taken(&["1", "2"]);
    // A hook gave it other tasks since: nothing is known of them.
    let mut c = stage("c", 3, &[(1, Need::Succeeded)]);
    c.taken = taken(&["3"]);
    let mut world = World::of(plans::of([a, stage("b", 1, &[(0, Need::Succeeded)]), c]));
    world.until(|world| world.running() == 1);
    let result = |index| TaskId { stage: StageId(0), index };
    assert_eq!((world.end("a"), world.tries("a"), world.tries("b")), (OK, 0, 1));
    assert_eq!((world.master.result_of(result(0)), world.master.result_of(result(1))), (Some("1"), Some("2")));
    world.crash();
    world.until_done();
    assert_eq!((world.tries("a"), world.tries("b"), world.tries("c")), (0, 1, 3));
    assert_eq!((world.master.result_of(result(1)), world.end("c")), (Some("2"), OK));
    world.assert_nothing_left();
}

#[test]
fn a_stop_ends_what_runs_and_what_waits() {
    let mut world = chain();
    world.until(|world| world.running() == 4);
    world.stop(false);
    world.until_done();
    assert_eq!(
        (world.end("a"), world.end("b"), world.end("c")),
        (OK, Some(StageEnd::Stopped), Some(StageEnd::Stopped))
    );
    assert_eq!(world.truth.ended, Some(StageEnd::Stopped));
    world.assert_nothing_left();
}

#[test]
fn a_resume_runs_only_what_did_not_succeed() {
    let mut world = chain();
    world.script = Some(|attempt| (attempt.task.stage.0 == 1 && attempt.task.index == 3).then_some(Cause::ExitCode));
    world.until_done();
    let before = (world.tries("a"), world.tries("b"));
    world.resume();
    world.until_done();
    assert_eq!(world.truth.ended, OK);
    assert_eq!((before, world.tries("a"), world.tries("c")), ((1, 4), 1, 1));
    assert!(world.tries("b") <= 8);
    world.assert_nothing_left();
}

#[test]
fn a_hook_sets_the_parallelism_of_what_it_holds() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)]), stage("c", 1, &[])]);
    hook(&mut plan, &[0], "decide");
    let mut world = World::of(plan);
    let parallelism = BTreeMap::from([("b".to_owned(), 7)]);
    world.decision = Ok(Decision { parallelism, ..Decision::default() });
    world.until_done();
    assert_eq!((world.tries("b"), world.end("b")), (7, OK));
}

#[test]
fn a_hook_may_skip_and_stop() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "decide");
    let mut world = World::of(plan.clone());
    world.decision = Ok(Decision { skip: vec!["b".to_owned()], ..Decision::default() });
    world.until_done();
    assert_eq!((world.end("b"), world.why("b").as_str()), (Some(StageEnd::Skipped), "hook \"decide\" skipped it"));
    assert_eq!(world.truth.ended, OK);

    let mut world = World::of(plan);
    world.decision = Ok(Decision { stop: Some("enough".to_owned()), ..Decision::default() });
    world.until_done();
    assert_eq!((world.end("b"), world.why("b").as_str()), (Some(StageEnd::Stopped), "hook \"decide\" said: enough"));
    assert_eq!(world.truth.ended, Some(StageEnd::Stopped));
}

#[test]
fn a_hook_that_fails_or_talks_nonsense_fails_the_run() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "decide");
    let skip = |name: &str| Ok(Decision { skip: vec![name.to_owned()], ..Decision::default() });
    let width = |tasks| Ok(Decision { parallelism: BTreeMap::from([("b".to_owned(), tasks)]), ..Decision::default() });
    for answer in [Err("Traceback".to_owned()), skip("nobody"), skip("a"), width(0), width(100_001)] {
        let mut world = World::of(plan.clone());
        world.decision = answer;
        world.until_done();
        assert_eq!((world.end("b"), world.truth.ended), (Some(StageEnd::Stopped), Some(StageEnd::Failed)));
        assert!(world.why("b").starts_with("hook \"decide\" failed: "), "{}", world.why("b"));
    }
}

/// A stage, a hook with an image after it, a stage that waits for it.
fn hook_in_a_container() -> dybox_job::Plan {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    plans::hook_task(&mut plan, &[0], "decide");
    plan
}

#[test]
fn a_hook_with_an_image_is_a_task_that_ends_when_its_answer_was_judged() {
    let mut world = World::of(hook_in_a_container());
    world.decision = Ok(Decision { parallelism: BTreeMap::from([("b".to_owned(), 3)]), ..Decision::default() });
    world.until_done();
    assert_eq!((world.end("hook-1"), world.end("b"), world.hooks_run[&HookId(0)]), (OK, OK, 1));
    let place = |wanted: fn(&Fact) -> bool| world.journal.iter().position(wanted).expect("it is there");
    let decided = place(|fact| matches!(fact, Fact::HookDecided { .. }));
    let ended = place(|fact| matches!(fact, Fact::StageEnded { stage: StageId(2), .. }));
    let began = place(|fact| matches!(fact, Fact::StageStarted { stage: StageId(1), tasks: 3, .. }));
    assert!(decided < ended && decided < began);
    // Nobody changes a hook.
    for decision in [
        Decision { skip: vec!["hook-1".to_owned()], ..Decision::default() },
        Decision { parallelism: BTreeMap::from([("hook-1".to_owned(), 2)]), ..Decision::default() },
    ] {
        let mut world = World::of(hook_in_a_container());
        world.decision = Ok(decision);
        world.until_done();
        assert_eq!(world.end("hook-1"), Some(StageEnd::Failed));
        assert!(world.why("hook-1").contains("which is a hook"), "{}", world.why("hook-1"));
    }
}

#[test]
fn a_hook_with_an_image_that_says_nothing_good_fails_the_run_and_runs_again_when_it_is_resumed() {
    let mut world = World::of(hook_in_a_container());
    world.decision = Err("its answer is no JSON".to_owned());
    world.until_done();
    assert_eq!((world.end("hook-1"), world.why("hook-1").as_str()), (Some(StageEnd::Failed), "its answer is no JSON"));
    assert_eq!(world.why("b"), "hook \"decide\" failed: its answer is no JSON");
    let tries = |world: &World| {
        let of =
            |fact: &&Fact| matches!(fact, Fact::AttemptStarted { attempt, .. } if attempt.task.stage == StageId(2));
        world.journal.iter().filter(of).count()
    };
    assert_eq!(tries(&world), 1);
    world.decision = Ok(Decision::default());
    world.resume();
    world.until_done();
    assert_eq!((world.end("hook-1"), world.end("b"), tries(&world)), (OK, OK, 2));
}

#[test]
fn a_hook_whose_stages_failed_holds_nothing() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Finished)])]);
    hook(&mut plan, &[0], "decide");
    let mut world = World::of(plan);
    world.script = Some(|attempt| (attempt.task.stage.0 == 0).then_some(Cause::ExitCode));
    world.until_done();
    assert_eq!((world.end("b"), world.hooks_run.len()), (OK, 0));
}

#[test]
fn a_master_that_comes_back_runs_no_hook_and_no_finished_task_again() {
    let mut plan = plans::of([stage("a", 2, &[]), stage("b", 2, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "decide");
    let mut world = World::of(plan);
    world.until(|world| world.tries("b") == 2 && world.running() == 2);
    world.crash();
    world.until_done();
    assert_eq!((world.tries("a"), world.tries("b"), world.launched), (2, 2, 2));
    assert_eq!(world.hooks_run.values().copied().collect::<Vec<_>>(), [1]);
    world.assert_nothing_left();
}

#[test]
fn an_idle_grant_goes_back_after_five_seconds() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("wide", 3, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0, 1], "decide");
    let mut world = World::of(plan);
    world.until(|world| world.hooks_run.len() == 1);
    assert_eq!(world.master.grants().count(), 4, "b may still want one");
    world.until_done();
    world.assert_nothing_left();
}

#[test]
fn a_grant_that_nothing_can_need_goes_back_at_once() {
    let (mut a, mut b) = (stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)]));
    (a.ask, b.ask) = (mib(64), mib(512));
    let mut world = World::of(plans::of([a, b]));
    world.until(|world| world.running() == 1 && world.tries("b") == 1);
    world.until(|world| world.master.grants().count() == 1);
    assert!(world.now < 1_000_000 + 1100, "not after five seconds");
    world.until_done();
    world.assert_nothing_left();
}

#[test]
fn a_bridge_has_room_for_its_sandbox() {
    let mut a = stage("a", 1, &[]);
    a.network = Network::Bridge;
    let mut world = World::of(plans::of([a]));
    world.until(|world| world.running() == 1);
    let size = world.master.grants().next().and_then(|grant| world.master.size_of(grant));
    assert_eq!(size, Some(mib(64 + 8)));
    world.until_done();
}

#[test]
fn everything_that_waits_says_why() {
    let mut a = stage("a", 3, &[]);
    a.retry = dybox_job::Retry { max: 1, backoff: Millis::from_secs(10), on: Vec::new(), grow: None };
    let mut world = World::of(plans::of([a, stage("b", 1, &[(0, Need::Succeeded)])])).budget(mib(64));
    world.script = Some(|attempt| (attempt.number == 1).then_some(Cause::ExitCode));
    world.until(|world| world.running() == 1);
    let why = |world: &World| world.master.why().into_iter().map(|w| (w.tasks, w.why)).collect::<Vec<_>>();
    assert_eq!(why(&world), [(2, "no room: 2 tasks want 1 cpu, 64MiB; its sub-DAG holds 1 cpu, 64MiB".to_owned())]);
    assert_eq!(world.driver.why()[0].why, "waits for stage \"a\"");
    world.until(|world| {
        world
            .master
            .why()
            .iter()
            .any(|waiting| waiting.why.starts_with("pause of ") && waiting.why.ends_with("s before try 2 of 2"))
    });
    world.until_done();
    world.assert_nothing_left();
}

#[test]
fn grants_that_die_before_they_are_of_use_are_asked_for_ever_slower() {
    let mut world = World::of(plans::of([stage("a", 1, &[])]));
    world.faults.stillborn = 100;
    world.until(|world| world.now > 1_000_000 + 30_000);
    assert!(world.launched < 8, "{} launches in half a minute", world.launched);
    world.faults.stillborn = 0;
    world.until_done();
    assert_eq!(world.end("a"), OK);
}

#[test]
fn proxies_that_can_never_start_end_the_run_with_the_reason() {
    let mut world = World::of(plans::of([stage("a", 3, &[]), stage("after", 1, &[(0, Need::Finished)])]));
    world.faults.stillborn = 100;
    world.until_done();
    let why = "8 proxies in a row ended before they did anything; the last one exited with 1";
    assert_eq!((world.end("a"), world.why("a").as_str()), (Some(StageEnd::Lost), why));
    assert_eq!(world.truth.ended, Some(StageEnd::Lost));
    assert!(world.now < 1_000_000 + 60_000, "after {} ms", world.now - 1_000_000);
    world.assert_nothing_left();
    world.resume();
    world.until_done();
    assert_eq!(world.truth.ended, OK);
}

#[test]
fn a_proxy_that_lives_goes_on_where_no_other_can_start() {
    let mut world = World::of(plans::of([stage("a", 60, &[])])).budget(mib(2 * 64));
    world.until(|world| world.running() == 1);
    world.faults.stillborn = 100;
    world.until_done();
    assert_eq!(world.end("a"), OK);
    world.assert_nothing_left();
}

fn others(world: &mut World, first: bool) -> Vec<master::Effect> {
    let mut out = Vec::new();
    world.master.handle(Millis(world.now), master::Event::OthersWait { any: true, first }, &mut out);
    out
}

#[test]
fn an_idle_grant_goes_back_at_once_when_another_run_waits() {
    let mut plan = plans::of([stage("a", 1, &[]), stage("b", 1, &[(0, Need::Succeeded)])]);
    hook(&mut plan, &[0], "decide");
    let mut world = World::of(plan);
    world.until(|world| world.hooks_run.len() == 1);
    let grant = world.master.grants().next().expect("b may still want it");
    assert_eq!(others(&mut world, false), [master::Effect::Leave { grant }]);
}

#[test]
fn a_run_that_has_more_gives_one_grant_back_instead_of_taking_the_next_task() {
    let mut world = World::of(plans::of([stage("a", 12, &[])]));
    world.until(|world| world.running() == 4);
    assert_eq!(others(&mut world, true), [], "nothing that runs is ended");
    world.until_done();
    assert_eq!((world.end("a"), world.launched), (OK, 5));
    world.assert_nothing_left();
}

#[test]
fn a_stage_of_another_sub_dag_is_waited_for_and_told_anew_to_every_master() {
    let mut plan = plans::of([stage("far", 1, &[]), stage("near", 3, &[(0, Need::Succeeded)])]);
    plan.stages[0].subdag = SubDagId(1);
    plan.subdags[0].stages = vec![StageId(1)];
    let near = StageId(1);
    let run = |end| {
        let (mut driver, mut out) = (Driver::new(&plan, SubDagId(0)), Vec::new());
        driver.handle(Millis(1), Event::Opened, &mut out);
        assert_eq!(out, []);
        driver.handle(Millis(2), Event::UpstreamEnded { stage: StageId(0), end }, &mut out);
        driver.handle(Millis(3), Event::UpstreamEnded { stage: StageId(0), end: StageEnd::Stopped }, &mut out);
        out
    };
    let out = run(StageEnd::Succeeded);
    let started = Fact::StageStarted { stage: near, tasks: 3, at: Millis(2) };
    assert_eq!(out, [Effect::Record(started.clone()), Effect::StartStage { stage: near, tasks: 3 }]);

    let (mut next, mut out) = (Driver::new(&plan, SubDagId(0)), Vec::new());
    next.apply(&started);
    next.handle(Millis(4), Event::Opened, &mut out);
    next.handle(Millis(5), Event::UpstreamEnded { stage: StageId(0), end: StageEnd::Succeeded }, &mut out);
    assert_eq!((out, next.check()), (Vec::new(), Ok(())));

    let skipped = run(StageEnd::Lost);
    assert!(matches!(&skipped[0], Effect::Record(Fact::StageEnded { end: StageEnd::Skipped, why, .. })
        if why == "needs \"far\" to succeed, but it was lost"));
    assert!(matches!(skipped.last(), Some(Effect::Finish { end: StageEnd::Succeeded, .. })));
}

#[test]
fn a_proxy_that_comes_back_hears_again_what_it_may_have_missed() {
    let plan = plans::of([stage("a", 1, &[])]);
    let (mut master, mut out) = (Master::new(&plan, SubDagId(0)), Vec::new());
    let grant = GrantId::compose(SubDagId(0), 1, 1);
    let joined = |attempts: &[AttemptId]| master::Event::ProxyJoined { grant, attempts: attempts.to_vec() };
    let attempt = AttemptId { task: TaskId { stage: StageId(0), index: 0 }, number: 1 };
    let before = [
        master::Event::Opened,
        master::Event::StageStarted { stage: StageId(0), tasks: 1 },
        granted(grant, mib(64)),
        joined(&[]),
    ];
    for event in before {
        master.handle(Millis(1), event, &mut out);
    }
    let start = master::Effect::Start { grant, attempt };
    assert_eq!(out.last(), Some(&start));
    let mut say = |event| {
        let mut out = Vec::new();
        master.handle(Millis(2), event, &mut out);
        out
    };
    assert_eq!(say(joined(&[])), [start]);
    assert_eq!(say(joined(&[attempt])), []);
    let stop = say(master::Event::StopAsked { why: "enough".to_owned(), now: false });
    let halt = |now| master::Effect::Halt { grant, attempt, now };
    assert_eq!(stop, [halt(false)]);
    assert_eq!(say(joined(&[attempt])), [halt(false)]);
    assert_eq!(say(master::Event::StopAsked { why: "now".to_owned(), now: true }), [halt(true)]);
    let old = AttemptId { number: 9, ..attempt };
    assert_eq!(say(joined(&[attempt, old]))[0], master::Effect::Halt { grant, attempt: old, now: true });
}

#[test]
fn old_news_changes_nothing_and_is_acknowledged_again() {
    let mut world = World::of(plans::of([stage("a", 1, &[])]));
    world.until(|world| world.running() == 1);
    let grant = world.master.grants().next().expect("one runs");
    let attempt = world.master.attempts_at(grant).next().expect("it works");
    world.until_done();
    let exit = Exit::not_started(Cause::Oom, "", Millis(0));
    let mut out = Vec::new();
    world.master.handle(Millis(0), master::Event::Exited { grant, attempt, exit }, &mut out);
    world.master.handle(
        Millis(0),
        master::Event::Runs { grant, attempt, container: "c".to_owned(), ports: Vec::new() },
        &mut out,
    );
    assert_eq!(out, [master::Effect::Ack { grant, attempt }]);
}
