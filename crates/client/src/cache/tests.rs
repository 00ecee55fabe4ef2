use dybox_job::{ShellJob, shell_plan};
use dybox_model::{Need, RunId};

use super::*;
use crate::earlier::{Done, following, run_only};

/// A plan of stages that need each other one after another.
fn chain(names: &[&str]) -> Plan {
    let world = crate::Here::new(None, dybox_job::Policy::none("p"));
    let job = ShellJob { image: "i:1".to_owned(), command: vec!["c".to_owned()], ..ShellJob::default() };
    let mut plan = shell_plan(&job, &world).plan.expect("a plan");
    let one = Stage { attach: None, ..plan.stages[0].clone() };
    plan.stages = (0..)
        .zip(names)
        .map(|(at, name)| {
            let needs = if at == 0 { Vec::new() } else { vec![(StageId(at - 1), Need::Succeeded)] };
            Stage { name: (*name).to_owned(), needs, ..one.clone() }
        })
        .collect();
    plan
}

fn run(n: u8) -> RunId {
    format!("01jd00000000000000000000{n:02}").parse().expect("a run id")
}

/// A run of this plan in which everything succeeded.
fn earlier(n: u8, plan: Plan) -> Earlier {
    let result = |id: u32| Done { from: None, results: vec![Some(format!("{id}"))] };
    let done = (0..u32::try_from(plan.stages.len()).expect("few")).map(|id| (StageId(id), result(id))).collect();
    Earlier { run: run(n), plan, done, pins: images() }
}

fn images() -> BTreeMap<String, String> {
    [("i:1".to_owned(), "sha256:a".to_owned())].into()
}

fn cached(plan: &Plan) -> Vec<bool> {
    plan.stages.iter().map(|stage| stage.taken.is_some()).collect()
}

fn missed(plan: &Plan, at: usize) -> String {
    plan.stages[at].missed.as_ref().expect("it runs").changed.join(", ")
}

#[test]
fn what_is_the_same_is_taken_and_the_newest_first() {
    let mut plan = chain(&["a", "b"]);
    from_cache(&mut plan, &[earlier(2, chain(&["a", "b"])), earlier(1, chain(&["a", "b"]))], &images());
    let taken = plan.stages[1].taken.clone().expect("taken");
    assert_eq!((taken.from, taken.cached, taken.results), (Some(run(2)), true, vec![Some("1".to_owned())]));
    assert_eq!(cached(&plan), [true, true]);
}

#[test]
fn what_is_decided_late_runs_and_results_count_that_are_read_from_afar() {
    let taken = |change: &dyn Fn(&mut Plan), result: &str| {
        let mut plan = chain(&["a", "b", "c"]);
        change(&mut plan);
        let mut base = earlier(1, plan.clone());
        base.done.get_mut(&StageId(0)).expect("a").results = vec![Some(result.to_owned())];
        let mut newer = earlier(2, plan.clone());
        newer.done.retain(|id, _| *id == StageId(0));
        from_cache(&mut plan, &[newer, base], &images());
        cached(&plan)
    };
    // b depends on nothing of a here, and c reads it over b's head.
    let afar = |plan: &mut Plan| {
        plan.stages[1].needs.clear();
        plan.stages[2].late.reads = vec![StageId(0)];
    };
    assert_eq!(taken(&afar, "0"), [true; 3]);
    assert_eq!(taken(&afar, "another"), [true, true, false]);
    let last = |plan: &mut Plan| plan.stages[2].late.last = true;
    assert_eq!(taken(&last, "0"), [true, true, false]);
    let listed = |plan: &mut Plan| plan.stages[2].late.each = Some(Each::Of("results.b".to_owned()));
    assert_eq!(taken(&listed, "0"), [true, true, false]);
    let mut plan = chain(&["a"]);
    plan.stages[0].late.last = true;
    assert_eq!(run_only(&mut plan, &[].into(), &[earlier(1, chain(&["a"]))]), crate::earlier::Rest::default());
}

#[test]
fn what_differs_is_named_and_runs_with_all_that_follows() {
    let base = earlier(1, chain(&["a", "b", "c"]));
    let mut plan = chain(&["a", "b", "c"]);
    plan.stages[1].env.insert("X".to_owned(), "1".to_owned());
    plan.stages[1].tasks = 3;
    from_cache(&mut plan, std::slice::from_ref(&base), &images());
    assert_eq!(cached(&plan), [true, false, false]);
    assert_eq!((missed(&plan, 1).as_str(), missed(&plan, 2).as_str()), ("env, tasks", "b runs again"));
    // Room, time and tries change nothing.
    let mut plan = chain(&["a", "b", "c"]);
    plan.stages[0].ask.memory *= 2;
    plan.stages[1].retry.max = 9;
    plan.stages[2].keep_failed = true;
    from_cache(&mut plan, std::slice::from_ref(&base), &images());
    assert_eq!(cached(&plan), [true; 3]);
    // Another image behind the same name, other params, another result of what is needed.
    let other = [("i:1".to_owned(), "sha256:b".to_owned())].into();
    let mut plan = chain(&["a"]);
    from_cache(&mut plan, std::slice::from_ref(&base), &other);
    assert_eq!(missed(&plan, 0), "image");
    let mut plan = chain(&["a"]);
    plan.params.insert("day".to_owned(), "2".to_owned());
    from_cache(&mut plan, std::slice::from_ref(&base), &images());
    assert_eq!(missed(&plan, 0), "params");
    let mut plan = chain(&["a", "b"]);
    let mut changed = base.clone();
    changed.done.insert(StageId(0), Done { from: None, results: vec![Some("new".to_owned())] });
    plan.stages[0].taken = Some(Taken { from: None, cached: false, results: vec![None] });
    from_cache(&mut plan, &[changed], &images());
    assert_eq!(missed(&plan, 1), "results of a");
}

#[test]
fn what_can_change_unseen_is_not_taken() {
    let base = earlier(1, chain(&["a"]));
    let mut plan = chain(&["a"]);
    from_cache(&mut plan, std::slice::from_ref(&base), &BTreeMap::new());
    assert!(missed(&plan, 0).contains("digest"), "{}", missed(&plan, 0));
    let mut plan = chain(&["z"]);
    from_cache(&mut plan, std::slice::from_ref(&base), &images());
    assert!(missed(&plan, 0).contains("has not succeeded"));
}

#[test]
fn a_part_of_a_plan_takes_the_rest_from_the_newest_that_has_it() {
    let mut old = earlier(1, chain(&["a", "b", "c"]));
    old.done.remove(&StageId(2));
    let mut new = earlier(2, chain(&["a", "b", "c"]));
    new.done.remove(&StageId(1));
    let mut plan = chain(&["a", "b", "c", "d"]);
    let runs = following(&plan, &[StageId(2)].into());
    assert_eq!(runs, [StageId(2), StageId(3)].into());
    let rest = run_only(&mut plan, &runs, &[new, old]);
    assert_eq!(rest.taken, [("a".to_owned(), run(2)), ("b".to_owned(), run(1))]);
    assert!(rest.missing.is_empty() && rest.left_out.is_empty());
    let rest = run_only(&mut plan, &[StageId(1)].into(), &[]);
    assert_eq!((rest.left_out.len(), rest.missing), (3, vec!["a".to_owned()]));
    assert_eq!(plan.stages[0].taken.as_ref().map(|taken| taken.from.clone()), Some(None));
}
