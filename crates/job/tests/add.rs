//! Stages that a hook adds: checked as a job file is, against the run as it stands.

use std::collections::BTreeMap;
use std::path::Path;

use dybox_job::{Adding, Each, MOST_STAGES, Plan, Policy, Source, Stage, Submit, World, add, check, render};
use dybox_model::{Found, HookId, Need, Resources, StageId};
use serde_json::{Value, json};

struct Machine;

impl World for Machine {
    fn largest(&self) -> Option<Resources> {
        Some(Resources { cpu_milli: 8_000, memory: 8 << 30 })
    }

    fn look(&self, _path: &Path) -> Found {
        Found::Missing
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        if path.ends_with("vars") {
            Ok(b"FROM=file ${x}\nMODE=slow\n".to_vec())
        } else {
            Err("no such file".to_owned())
        }
    }

    fn policy(&self) -> Policy {
        Policy { registries: Some(vec!["docker.io".to_owned()]), ..Policy::none("/etc/dybox/policy.toml") }
    }
}

const JOB: &str = "
params: { day: monday, n: { type: int, default: 2 } }
defaults: { image: 'a:1', memory: 64MiB, env_file: vars, env: { MODE: fast } }
templates: { big: { memory: 1GiB, retry: { max: 3 } } }
volumes: { cache: { keep: false } }
stages:
  list: { script: x }
  far: { subdag: far, script: x }
  after: { needs: [list], script: x }
hooks: [{ after: [list], run: [sh, decide.sh] }]
on_exit: { tidy: { script: x } }
";

fn plan_of(text: &str) -> Plan {
    let source = Source { name: "job.yaml", bytes: text.as_bytes(), dir: Path::new("/jobs") };
    let checked = check(&source, &Submit::default(), &Machine);
    checked.plan.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

struct Said {
    plan: Plan,
    params: BTreeMap<String, String>,
    results: BTreeMap<String, Value>,
}

impl Said {
    fn of(plan: Plan) -> Self {
        Self { plan, params: BTreeMap::new(), results: BTreeMap::new() }
    }

    /// The plan with what this says, or what is wrong with it.
    fn says(&self, said: &str) -> Result<Plan, String> {
        let (plan, params, results) = (&self.plan, &self.params, &self.results);
        let adding = Adding { plan, hook: HookId(0), said, dir: Path::new("/jobs"), params, results };
        let added = add(&adding, &Machine).map_err(|all| all.iter().map(render).collect::<Vec<_>>().join("\n"))?;
        let mut plan = self.plan.clone();
        plan.grow(HookId(0), &added);
        Ok(plan)
    }
}

fn named<'p>(plan: &'p Plan, name: &str) -> (StageId, &'p Stage) {
    plan.numbered().find(|(_, stage)| stage.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn what_is_added_has_the_defaults_templates_volumes_and_sub_dag_of_the_job() {
    let said = Said::of(plan_of(JOB));
    let plan = said
        .says(r#"{"add": {"x": {"extends": "big", "needs": ["list", "y"], "volumes": ["cache:/c"], "script": "x"},
                         "y": {"needs": {"after": "finished"}, "command": ["echo", "\ud83d\ude00"], "parallelism": 3}}}"#)
        .unwrap();
    let ((x_id, x), (y_id, y)) = (named(&plan, "x"), named(&plan, "y"));
    assert_eq!((x_id, y_id), (StageId(4), StageId(5)));
    assert_eq!((x.image.as_str(), x.ask.memory, x.retry.max, y.ask.memory), ("a:1", 1 << 30, 3, 64 << 20));
    assert_eq!(
        (x.env["MODE"].as_str(), x.env["FROM"].as_str()),
        ("fast", "file ${x}"),
        "the file was read when planning"
    );
    assert_eq!(x.needs, [(StageId(0), Need::Succeeded), (y_id, Need::Succeeded)]);
    assert_eq!((y.needs.as_slice(), y.tasks), ([(StageId(2), Need::Finished)].as_slice(), 3));
    assert_eq!(y.command.as_deref().unwrap()[1], "\u{1f600}");
    let of = plan.stages[0].subdag;
    assert_eq!((x.subdag, x.added, plan.subdags[of.0 as usize].stages.contains(&x_id)), (of, Some(HookId(0)), true));
    assert!(plan.hooks[0].holds.ends_with(&[x_id, y_id]), "what the hook sets holds for them");
    assert_eq!(plan.ungrown(), said.plan);
}

#[test]
fn results_and_params_that_are_known_now_may_be_read_anywhere() {
    let mut said = Said::of(plan_of(JOB));
    said.results = BTreeMap::from([("list".to_owned(), json!({"image": "b:2", "parts": [1, 2, 3]}))]);
    said.params = BTreeMap::from([("n".to_owned(), "5".to_owned())]);
    let plan = said
        .says(
            r#"{"add": {"x": {"image": "${results.list.image}", "each": "${results.list.parts}", "cpus": "${params.n}",
                 "command": ["echo", "${item}", "${params.day}", "${run.id}"]},
                 "late": {"needs": ["after"], "when": "results.after > 1", "each": "${results.after}", "script": "x"}}}"#,
        )
        .unwrap();
    let x = named(&plan, "x").1;
    assert_eq!((x.image.as_str(), x.tasks, x.ask.cpu_milli), ("b:2", 3, 5_000));
    assert!(x.late.texts, "what hooks set params to is filled in when its tasks begin");
    let late = named(&plan, "late").1;
    assert_eq!(
        (late.late.reads.as_slice(), late.late.when.as_deref()),
        ([StageId(2)].as_slice(), Some("results.after > 1"))
    );
    assert_eq!(late.late.each, Some(Each::Of("results.after".to_owned())));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place_in_the_answer() {
    let said = Said::of(plan_of(JOB));
    let wrong = said
        .says(
            "{\"add\": {\n  \"list\": {\"script\": \"x\"},\n  \"x\": {\"needs\": [\"lost\", \"far\", \"tidy\"], \"memroy\": \"1GiB\", \"script\": \"x\"},\n  \
             \"y\": {\"queue\": \"etl\", \"image\": \"r.example/a:1\", \"script\": \"${results.after}\"}}}",
        )
        .unwrap_err();
    for expected in [
        "error[E0302]: there are two stages \"list\"\n --> hook \"sh decide.sh\":2:3",
        "error[E0312]: stage \"x\" needs \"lost\", which does not exist\n --> hook \"sh decide.sh\":3:19",
        "error[E0317]",
        "did you mean \"memory\"?",
        "error[E0803]",
        "error[E0709]: stage \"y\" reads the results of \"after\", which may not have ended then",
    ] {
        assert!(wrong.contains(expected), "{expected}\nin\n{wrong}");
    }
    let wrong =
        said.says("{\"add\": {\"x\": {\"needs\": [\"far\"], \"queue\": \"etl\", \"script\": \"x\"}}}").unwrap_err();
    assert_eq!(wrong.matches("error[E0325]").count(), 2, "{wrong}");
    let wrong = said
        .says("{\"add\": {\"x\": {\"needs\": [\"y\"], \"script\": \"x\"}, \"y\": {\"needs\": [\"x\"], \"script\": \"x\"}}}")
        .unwrap_err();
    assert!(wrong.contains("stages need each other in a circle: x -> y -> x"), "{wrong}");
    let wrong = said.says("{\"add\": {\"x\": {\"script\": \"x\", \"memory\": \"90GiB\"}}}").unwrap_err();
    assert!(wrong.contains("error["), "larger than the machine: {wrong}");
}

#[test]
fn secrets_are_those_that_were_fetched_for_the_planned_stages() {
    let job = JOB.replace("defaults: {", "secrets: { token: { env: TOKEN } }\ndefaults: { secrets: [token],");
    let plan = Said::of(plan_of(&job)).says("{\"add\": {\"x\": {\"script\": \"x\"}}}").unwrap();
    assert_eq!(named(&plan, "x").1.secrets, plan.stages[0].secrets);
    let wrong = Said::of(plan_of(JOB)).says("{\"add\": {\"x\": {\"script\": \"x\", \"secrets\": [\"token\"]}}}");
    assert!(wrong.unwrap_err().contains("error[E0520]"));
}

#[test]
fn a_run_does_not_grow_without_an_end() {
    let said = Said::of(plan_of(JOB));
    let many = |count: usize, tasks: u32| {
        let stage = |n| format!("\"n{n}\": {{\"script\": \"x\", \"parallelism\": {tasks}}}");
        let all: Vec<String> = (0..count).map(stage).collect();
        said.says(&format!("{{\"add\": {{{}}}}}", all.join(", ")))
    };
    assert!(many(10, 90_000).is_ok());
    assert!(many(11, 100_000).unwrap_err().contains("error[E0326]: the run would have 1100004 tasks"));
    assert!(many(MOST_STAGES, 1).unwrap_err().contains("error[E0326]: the run would have 10004 stages"));
}
