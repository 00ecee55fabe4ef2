//! Stages that are looked up before they start, and what they depend on.

use std::collections::BTreeMap;

use dybox_job::Plan;
use dybox_logic::cache::{Begun, Wanted, fields, fitting, key_of, nearest, print_of, spoilt};
use dybox_logic::driver::{Driver, Effect, Event};
use dybox_model::cache::{Found, Missed, Print, Success};
use dybox_model::{Fact, Millis, Moved, Need, StageEnd, StageId, SubDagId};

use crate::world::World;
use crate::world::plans::{self, stage};

const OK: Option<StageEnd> = Some(StageEnd::Succeeded);
const FIRST: StageId = StageId(0);

fn cached(count: u32) -> Plan {
    let all = (0..count).map(|id| match id {
        0 => stage("s0", 2, &[]),
        id => stage(&format!("s{id}"), 2, &[(id - 1, Need::Succeeded)]),
    });
    let mut plan = plans::of(all.collect::<Vec<_>>());
    plan.stages.iter_mut().for_each(|stage| stage.cache = true);
    plan
}

fn opened(plan: &Plan) -> (Driver, Vec<Effect>) {
    let (mut driver, mut out) = (Driver::new(plan, SubDagId(0)), Vec::new());
    driver.handle(Millis(1), Event::Opened, &mut out);
    (driver, out)
}

fn found(tasks: usize) -> Event {
    let found = Found {
        from: "01jd0000000000000000000000".parse().expect("an id"),
        results: vec![None; tasks],
        kept: Vec::new(),
    };
    Event::LookedUp { stage: FIRST, answer: Ok(found), inputs: Vec::new() }
}

#[test]
fn what_is_found_does_not_run_and_a_crash_asks_again() {
    // The world finds every third stage and never answers for the seventh.
    let mut world = World::of(cached(8));
    world.until(|world| world.running() == 2);
    assert_eq!((world.end("s0"), world.tries("s0")), (OK, 0));
    world.crash();
    world.until_done();
    let tries: Vec<usize> = (0..8).map(|id| world.tries(&format!("s{id}"))).collect();
    assert_eq!(tries, [0, 2, 2, 0, 2, 2, 2, 2]);
    world.assert_nothing_left();
}

#[test]
fn nothing_starts_before_the_answer_is_there_and_written_down() {
    let plan = cached(1);
    let (mut driver, mut out) = opened(&plan);
    assert_eq!(out, [Effect::LookUp { stage: FIRST, tasks: 2 }]);
    assert_eq!((driver.check(), driver.why().len()), (Ok(()), 1));
    out.clear();
    driver.handle(Millis(5), found(2), &mut out);
    let at = Millis(5);
    assert_eq!(out[0], Effect::Record(Fact::StageStarted { stage: FIRST, tasks: 2, at }));
    assert!(matches!(&out[1], Effect::TakeStage { stage: FIRST, tasks: 2, .. }), "{out:?}");
    // The same once more is late.
    out.clear();
    driver.handle(Millis(6), found(2), &mut out);
    assert_eq!((out, driver.check()), (Vec::new(), Ok(())));
}

#[test]
fn no_answer_in_time_and_an_answer_of_another_size_are_none() {
    let plan = cached(1);
    let (mut driver, mut out) = opened(&plan);
    let at = driver.wake().expect("it waits for a bounded time");
    driver.handle(at, Event::Tick, &mut out);
    let missed = Missed::because("the look-up took longer than 30.0s");
    let rest = [
        Effect::EndLook { stage: FIRST },
        Effect::Record(Fact::CacheMissed { stage: FIRST, missed, inputs: Vec::new(), at }),
        Effect::Record(Fact::StageStarted { stage: FIRST, tasks: 2, at }),
        Effect::StartStage { stage: FIRST, tasks: 2 },
    ];
    assert_eq!(out[1..], rest);
    let (mut driver, mut out) = opened(&plan);
    driver.handle(Millis(5), found(3), &mut out);
    assert_eq!(out.last(), Some(&Effect::StartStage { stage: FIRST, tasks: 2 }));
}

#[test]
fn a_stop_ends_a_look_and_what_can_never_be_taken_is_not_looked_up() {
    let mut plan = cached(1);
    let (mut driver, mut out) = opened(&plan);
    driver.handle(Millis(5), Event::StopAsked { why: "asked".to_owned(), now: false }, &mut out);
    assert!(out.contains(&Effect::EndLook { stage: FIRST }));
    assert_eq!((driver.ended(), driver.check(), driver.wake()), (Some(StageEnd::Stopped), Ok(()), None));
    let mount = dybox_model::Mount { source: "/a".into(), target: "/a".to_owned(), read_only: true, named: None };
    plan.stages[0].volumes.push(mount);
    let (_, out) = opened(&plan);
    assert!(
        matches!(&out[0], Effect::Record(Fact::CacheMissed { missed, .. }) if missed.changed[0].contains("volumes"))
    );
    assert_eq!(out.last(), Some(&Effect::StartStage { stage: FIRST, tasks: 2 }));
}

/// What the second stage depends on, when the first one has written this.
fn wanted(plan: &Plan, result: &str) -> Wanted {
    let story = serde_json::json!({ "state": "succeeded", "tasks": 1, "exit_codes": [0], "results": [result] });
    let (stage, tasks) = (StageId(1), plan.stages[1].tasks);
    let read = BTreeMap::from([("s0".to_owned(), story)]);
    let begun = Begun { plan, stage, tasks, params: plan.params.clone(), items: None, read };
    Wanted { fields: fields(&begun), image: "sha256:aaaaaaaaaaaaaaaa".to_owned(), inputs: vec![input(3, 1)] }
}

fn input(bytes: u64, newest: u64) -> Print {
    let (place, path, sum) = ("./x".to_owned(), "/x".to_owned(), format!("{bytes}-{newest}"));
    Print { place, path, files: 1, bytes, newest: Millis(newest), sum }
}

/// A success of what was wanted.
fn success(of: Wanted, run: u32) -> Success {
    let Wanted { fields, image, inputs } = of;
    let run = format!("01jd0000000000000000{run:06}").parse().expect("an id");
    let (outputs, kept, results) = (Vec::new(), Vec::new(), vec![None]);
    Success { version: 1, run, at: Millis(1), fields, image, inputs, outputs, kept, results }
}

#[test]
fn what_differs_is_said_field_by_field() {
    let base = || {
        let mut plan = cached(2);
        plan.params.insert("day".to_owned(), "monday".to_owned());
        plan
    };
    let before = success(wanted(&base(), "7"), 1);
    let said = |change: &dyn Fn(&mut Plan), result: &str| {
        let mut plan = base();
        change(&mut plan);
        let wanted = wanted(&plan, result);
        let missed = nearest(&wanted, std::slice::from_ref(&before));
        let same = fitting(&wanted, std::slice::from_ref(&before)).count() == 1;
        assert_eq!((same, same), (missed.changed.is_empty(), key_of(&wanted.fields) == key_of(&before.fields)));
        missed.changed
    };
    // Room, time, tries and places change nothing, nor does the order of the file.
    let elsewhere = |plan: &mut Plan| {
        let stage = &mut plan.stages[1];
        (stage.ask.memory, stage.retry.max, stage.keep_failed, stage.reuse) = (1, 9, true, true);
        (stage.cache, stage.timeout.run, stage.image) = (false, Some(Millis(9)), "other/name".to_owned());
    };
    assert_eq!(said(&elsewhere, "7"), [""; 0]);
    assert_eq!(said(&|_| {}, "8"), ["results of s0: was [\"7\"], is [\"8\"]"]);
    assert_eq!(
        said(&|plan| drop(plan.params.insert("day".into(), "friday".into())), "7"),
        ["param day: was monday, is friday"]
    );
    assert_eq!(said(&|plan| drop(plan.stages[1].env.insert("A".into(), "1".into())), "7"), ["env A: is new"]);
    let long = |plan: &mut Plan| plan.stages[1].script = Some("echo\n".repeat(99));
    assert_eq!(said(&long, "7"), ["script: is new"]);
    assert_eq!(said(&|plan| plan.stages[1].tasks = 3, "7"), ["tasks: was 2, is 3"]);
    assert_eq!(
        said(&|plan| plan.stages[1].needs[0].1 = Need::Finished, "7"),
        ["need of s0: was succeeded, is finished"]
    );
}

#[test]
fn image_and_inputs_tell_what_the_plan_does_not() {
    let plan = cached(2);
    let before = success(wanted(&plan, "7"), 1);
    let other = |image: &str, inputs: Vec<Print>| Wanted { image: image.to_owned(), inputs, ..wanted(&plan, "7") };
    let said = |wanted: &Wanted| nearest(wanted, std::slice::from_ref(&before)).changed;
    let image = other("sha256:bbbbbbbbbbbbbbbb", vec![input(3, 1)]);
    assert_eq!(said(&image), ["image: was sha256:aaaaaaaaaaaa, is sha256:bbbbbbbbbbbb"]);
    assert_eq!(key_of(&image.fields), key_of(&before.fields), "they are looked at one by one");
    assert_eq!(said(&other(&before.image, vec![input(4, 1)])), ["input ./x: size 3 -> 4"]);
    assert_eq!(said(&other(&before.image, vec![input(3, 2)])), ["input ./x: was written anew since, size 3"]);
    assert_eq!(nearest(&image, &[]).nearest, None);
    // The nearest counts, and of those that fit the first.
    let mut far = before.clone();
    far.fields.clear();
    let all = [far, success(wanted(&plan, "7"), 3), success(wanted(&plan, "7"), 2)];
    assert_eq!(nearest(&image, &all).nearest, Some(all[1].run.clone()));
    assert_eq!(fitting(&wanted(&plan, "7"), &all).map(|one| &one.run).collect::<Vec<_>>(), [&all[1].run, &all[2].run]);
}

#[test]
fn what_a_run_put_into_its_own_store_is_told_by_its_content() {
    let moved = |place: &str, crc32c| {
        let (path, place) = ("/out/p".to_owned(), place.to_owned());
        Moved { out: true, path, place, files: 1, bytes: 2, crc32c, took: Millis(crc32c.into()) }
    };
    let of = |all: &[Moved]| print_of(("/in", "run:parts/"), all.iter());
    let all = [moved("run:parts/p-0", 1), moved("run:parts/p-1", 2), moved("run:partsofit", 3)];
    let first = of(&all).unwrap();
    assert_eq!((first.files, first.bytes, first.place.as_str()), (2, 4, "run:parts"));
    let other = [moved("run:parts/p-1", 2), moved("run:parts/p-0", 1)];
    assert_eq!(of(&other), Some(first.clone()));
    let changed = of(&[moved("run:parts/p-0", 1), moved("run:parts/p-1", 9)]).unwrap();
    assert_eq!(spoilt(&first, Some(&changed)).unwrap(), "output run:parts: has another content, size 4");
    assert_eq!(spoilt(&first, Some(&first)), None);
    assert_eq!((of(&[]), spoilt(&first, None)), (None, Some("output run:parts: is gone".to_owned())));
}
