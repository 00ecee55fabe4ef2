//! What a stage is when it begins: by conditions, lists of results, and parameters that hooks change.

use std::collections::BTreeMap;

use dybox_job::{Each, Late, ParamRule, Plan, Sizes};
use dybox_logic::driver::{Driver, Effect, Event};
use dybox_model::{
    AttemptId, Cause, Decision, Exit, Fact, HookId, Millis, Need, StageEnd, StageId, SubDagId, TaskId, ValueKind,
};

use crate::world::plans::{self, stage};

const LIST: StageId = StageId(0);
const WORK: StageId = StageId(1);

fn plan(late: Late) -> Plan {
    let mut plan = plans::of([stage("list", 1, &[]), stage("work", 1, &[(0, Need::Succeeded)])]);
    plan.stages[1].late = Late { reads: vec![LIST], ..late };
    plan.params = BTreeMap::from([("most".to_owned(), "2".to_owned())]);
    plan.rules = BTreeMap::from([("most".to_owned(), ParamRule { kind: ValueKind::Int, choices: Vec::new() })]);
    plan
}

fn wrote(text: &str) -> Fact {
    let attempt = AttemptId { task: TaskId { stage: LIST, index: 0 }, number: 1 };
    let ended = Exit::not_started(Cause::Oom, "", Millis(2));
    let exit = Exit { cause: None, code: Some(0), result: Some(text.to_owned()), ..ended };
    Fact::AttemptEnded { attempt, exit, again: false }
}

/// What the driver says when the list is there.
fn begun(driver: &mut Driver, text: &str) -> Vec<Effect> {
    let mut out = Vec::new();
    driver.handle(Millis(1), Event::Opened, &mut out);
    driver.apply(&wrote(text));
    let ended = Event::StageEnded { stage: LIST, end: StageEnd::Succeeded, why: String::new(), cause: None };
    driver.handle(Millis(2), ended, &mut out);
    out
}

fn records(out: &[Effect]) -> Vec<Fact> {
    out.iter().filter_map(|effect| if let Effect::Record(fact) = effect { Some(fact.clone()) } else { None }).collect()
}

#[test]
fn items_are_written_down_before_their_tasks_start_and_stay_what_they_are() {
    let plan = plan(Late { each: Some(Each::Of("results.list".to_owned())), ..Late::default() });
    let mut driver = Driver::new(&plan, SubDagId(0));
    let facts = records(&begun(&mut driver, "[1,\"b\"]"));
    let items = vec!["1".to_owned(), "\"b\"".to_owned()];
    let at = Millis(2);
    let last =
        [Fact::StageFanned { stage: WORK, items: items.clone() }, Fact::StageStarted { stage: WORK, tasks: 2, at }];
    assert_eq!(facts[facts.len() - 2..], last);
    assert_eq!(driver.items_of(WORK), Some(items.as_slice()));
    assert_eq!(driver.check(), Ok(()));

    // The next master reads them, and does not look at the results again: also where the run is reopened.
    let mut next = Driver::new(&plan, SubDagId(0));
    facts.iter().for_each(|fact| next.apply(fact));
    next.apply(&Fact::Reopened { at });
    next.apply(&wrote("[]"));
    let mut out = Vec::new();
    next.handle(Millis(3), Event::Opened, &mut out);
    assert_eq!(out.last(), Some(&Effect::StartStage { stage: WORK, tasks: 2 }));
}

#[test]
fn sizes_stay_what_they_are_until_the_run_is_reopened() {
    let sizes = Sizes { cpus: None, memory: Some("${results.list}MiB".to_owned()) };
    let plan = plan(Late { sizes: Some(sizes), ..Late::default() });
    let facts = records(&begun(&mut Driver::new(&plan, SubDagId(0)), "900000"));
    let at = Millis(3);
    let ended =
        Fact::StageEnded { stage: WORK, end: StageEnd::Failed, why: String::new(), cause: Some(Cause::TooLarge), at };
    let started = facts.len() - 1;
    assert!(matches!(facts[started], Fact::StageStarted { stage: WORK, .. }), "{facts:?}");
    let sized = |before: &[Fact], more: &[Fact]| {
        let mut next = Driver::new(&plan, SubDagId(0));
        before.iter().chain(more).for_each(|fact| next.apply(fact));
        next.apply(&wrote("64"));
        let mut out = Vec::new();
        next.handle(Millis(4), Event::Opened, &mut out);
        assert_eq!(out.last(), Some(&Effect::StartStage { stage: WORK, tasks: 1 }));
        out.into_iter().find_map(|effect| match effect {
            Effect::SizeStage { sizes, .. } => Some(sizes[0].1.memory >> 20),
            _ => None,
        })
    };
    assert_eq!(sized(&facts[..started], &[]), Some(900_000), "the next master has what is written");
    assert_eq!(sized(&facts, &[ended, Fact::Reopened { at }]), Some(64), "what was too large is not for ever");
}

#[test]
fn a_list_that_is_none_fails_its_stage_with_the_reason() {
    let plan = plan(Late { each: Some(Each::Of("results.list.parts".to_owned())), ..Late::default() });
    for (text, why) in [("{}", "there is no \"parts\" in it"), ("{\"parts\":3}", "is a number, not a list")] {
        let mut driver = Driver::new(&plan, SubDagId(0));
        let facts = records(&begun(&mut driver, text));
        let said = facts.iter().find_map(|fact| match fact {
            Fact::StageEnded { stage: WORK, end: StageEnd::Failed, why, .. } => Some(why.clone()),
            _ => None,
        });
        assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{said:?}");
        assert_eq!(driver.ended(), Some(StageEnd::Failed));
    }
}

#[test]
fn a_condition_decides_by_results_and_by_what_a_hook_set() {
    let mut plan = plan(Late { when: Some("size(results.list) <= params.most".to_owned()), ..Late::default() });
    plans::hook(&mut plan, &[0], "decide");
    for (most, runs) in [(None, false), (Some("3"), true)] {
        let mut driver = Driver::new(&plan, SubDagId(0));
        let mut out = begun(&mut driver, "[1,2,3]");
        assert_eq!(out.last(), Some(&Effect::RunHook { hook: HookId(0) }));
        let params = most.map(|most| ("most".to_owned(), most.to_owned())).into_iter().collect();
        let decision = Decision { params, ..Decision::default() };
        out.clear();
        driver.handle(Millis(3), Event::HookEnded { hook: HookId(0), answer: Ok(decision) }, &mut out);
        let started = out.contains(&Effect::StartStage { stage: WORK, tasks: 1 });
        assert_eq!(started, runs, "{out:?}");
        if !runs {
            let why = "its condition is false: size(results.list) <= params.most".to_owned();
            assert!(records(&out).contains(&Fact::StageEnded {
                stage: WORK,
                end: StageEnd::Skipped,
                why,
                cause: None,
                at: Millis(3)
            }));
        }
        assert_eq!(driver.params_of(WORK).len(), usize::from(runs));
    }
}

#[test]
fn a_hook_sets_only_parameters_that_there_are_to_what_they_take() {
    let mut plan = plan(Late::default());
    plans::hook(&mut plan, &[0], "decide");
    for (name, text, why) in [("mst", "1", "which the job does not have"), ("most", "many", "takes a whole number")] {
        let mut driver = Driver::new(&plan, SubDagId(0));
        begun(&mut driver, "1");
        let decision = Decision { params: [(name.to_owned(), text.to_owned())].into(), ..Decision::default() };
        let mut out = Vec::new();
        driver.handle(Millis(3), Event::HookEnded { hook: HookId(0), answer: Ok(decision) }, &mut out);
        let failed = records(&out).into_iter().find_map(|fact| match fact {
            Fact::HookFailed { why, .. } => Some(why),
            _ => None,
        });
        assert!(failed.as_ref().is_some_and(|failed| failed.contains(why)), "{failed:?}");
    }
}
