//! Defaults, sizes, shells, and what has no golden text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_job::{
    Diagnostic, FIELDS, NoWorld, Outcome, RetryOn, Scope, ShellJob, Source, Submit, check, code, critical_path,
    exit_of, fields_named, levels, lint, print, shell_plan,
};
use dybox_model::{Attach, ExitCode, HookId, Need, Network, PullPolicy, StageId};

fn checked(text: &str) -> Outcome {
    check(
        &Source { name: "dir/night.job.yaml", bytes: text.as_bytes(), dir: Path::new("/w") },
        &Submit::default(),
        &NoWorld,
    )
}

fn codes(problems: &[Diagnostic]) -> Vec<&str> {
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn defaults_are_merged_and_what_is_left_out_is_filled_in() {
    let plan = checked(
        "defaults: { image: 'a:1', command: [x], env: { A: 1, B: 2 }, retry: { max: 2 }, timeout: { run: 1h } }
stages:
  one: { script: 'true', env: { B: no, C: 1.10 }, retry: { backoff: 5s, on: ['signal:SIGTERM', 'exit:1-9'] } }
  two: { timeout: { silence: 1m }, network: inner, pull: never, entrypoint: [] }
",
    )
    .plan
    .unwrap();
    assert_eq!(plan.name, "night", "a job without a name has its file's");
    let [one, two] = &plan.stages[..] else { panic!() };
    assert_eq!((one.script.as_deref(), &one.command), (Some("true"), &None), "a script takes the place of a command");
    assert_eq!(one.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["A=1", "B=no", "C=1.10"]);
    assert_eq!((one.retry.max, one.retry.backoff.0), (2, 5_000));
    assert_eq!(one.retry.on, [RetryOn::Signal(15), RetryOn::Exit(1, 9)]);
    assert_eq!((two.timeout.run.map(|t| t.0), two.timeout.silence.map(|t| t.0)), (Some(3_600_000), Some(60_000)));
    assert_eq!(
        (&two.network, two.pull, two.entrypoint.as_deref()),
        (&Network::Named("inner".into()), PullPolicy::Never, Some(&[][..]))
    );
    assert_eq!((two.ask.cpu_milli, two.ask.memory, two.pids, two.stop_grace.0), (1_000, 256 << 20, 512, 10_000));
}

#[test]
fn a_hook_with_an_image_is_a_stage_of_its_own_behind_those_of_the_file() {
    let text = "params: { tag: '2' }
defaults:
  image: 'a:1'
  memory: { request: 64MiB, limit: 128MiB }
  cpus: 0.5
  pull: never
  network: inner
  env: { A: 1 }
  retry: { max: 3 }
  timeout: { run: 9h, pull: 3m }
stages:
  one: { command: [x] }
  two: { command: [x], needs: [one] }
  other: { command: [x], network: none }
hooks:
  - { after: [other], run: [beside] }
  - { after: [one], run: [decide, '${params.tag}'], image: 'hook:${params.tag}', memory: 32MiB }
  - { after: [one], run: [more], image: 'hook:3', cpus: 2 }
";
    let plan = checked(text).plan.unwrap();
    let names: Vec<&str> = plan.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "other", "hook-2", "hook-3"]);
    let (own, hook) = (&plan.stages[3], HookId(1));
    assert_eq!(
        (own.hook, plan.stage_of_hook(hook), plan.stage_of_hook(HookId(0))),
        (Some(hook), Some(StageId(3)), None)
    );
    assert_eq!((own.needs.as_slice(), own.tasks), (&[(StageId(0), Need::Succeeded)][..], 1));
    assert_eq!(
        (own.image.as_str(), own.entrypoint.as_deref()),
        ("hook:2", Some(&[][..])),
        "the image runs nothing else"
    );
    assert_eq!(own.command.as_deref(), Some(&["decide".to_owned(), "2".to_owned()][..]));
    assert_eq!((own.ask.cpu_milli, own.ask.memory, own.elastic), (500, 32 << 20, None));
    let other = &plan.stages[4];
    assert_eq!(
        (other.ask.cpu_milli, other.ask.memory, other.elastic.map(|e| e.most)),
        (2_000, 64 << 20, Some(128 << 20))
    );
    assert_eq!((own.pull, &own.network, own.env.len(), own.retry.max), (PullPolicy::Never, &Network::None, 0, 0));
    assert_eq!((own.timeout.run.map(|t| t.0), own.timeout.pull.map(|t| t.0)), (Some(600_000), Some(180_000)));
    // No hook holds another one, and each is in the sub-DAG of what it comes after.
    assert_eq!(plan.hooks[1].holds, [StageId(1)]);
    let of = |subdag: usize| plan.subdags[subdag].stages.contains(&StageId(0));
    let with = plan.subdags.iter().position(|subdag| subdag.stages.contains(&StageId(3))).unwrap();
    assert!(of(with) && plan.subdags[with].hooks.contains(&hook) && plan.stages[3].subdag.0 as usize == with);
}

#[test]
fn a_template_keeps_its_type_and_two_dollars_are_literal() {
    let plan = checked(
        "params: { n: '4', who: you }
stages:
  a: { image: 'a:1', parallelism: '${int(params.n) * 2}', script: 'echo $HOME $${HOME} ${params.who} ${run.name} $$ $' }
",
    )
    .plan
    .unwrap();
    assert_eq!(plan.stages[0].tasks, 8);
    assert_eq!(plan.stages[0].script.as_deref(), Some("echo $HOME ${HOME} you night $$ $"));
}

#[test]
fn json_is_a_job_file_too() {
    let outcome = checked(r#"{"name": "j", "stages": {"a": {"image": "a:1", "cpus": 0.25}}}"#);
    assert_eq!(outcome.plan.unwrap().stages[0].ask.cpu_milli, 250);
}

#[test]
fn a_file_with_crlf_line_ends_has_scripts_without_them() {
    let plan =
        checked("stages:\r\n  a:\r\n    image: a:1\r\n    script: |\r\n      echo a\r\n      echo b\r\n").plan.unwrap();
    assert_eq!(plan.stages[0].script.as_deref(), Some("echo a\necho b\n"));
}

#[test]
fn one_machine_says_what_it_has_not() {
    let mut text = "queue: etl\npriority: 3\nnode_label: big\nsplit: components\nstages:\n".to_owned();
    (0..17).for_each(|n| writeln!(text, "  s{n}: {{ image: 'a:1' }}").unwrap());
    let plan = checked(&text).plan.unwrap();
    assert_eq!(codes(&lint(&plan)), ["W0901", "W0901", "W0901", "W0902"]);
    assert!(print(&plan).contains("warning[W0901]: queue etl: one machine has none\n"));
}

#[test]
fn stages_of_other_queues_and_labels_are_apart_even_along_an_edge() {
    let stage = |more: &str| format!("{{ image: 'a:1'{more} }}");
    let text = format!(
        "queue: etl\nstages:\n  a: {}\n  b: {}\n  c: {}\n  d: {}\n  e: {}\n",
        stage(""),
        stage(", needs: [a], queue: fast"),
        stage(", needs: [b]"),
        stage(", needs: [a], node_label: gpu"),
        stage(", queue: etl"),
    );
    let plan = checked(&text).plan.unwrap();
    let cut = |subdag: &dybox_job::SubDag| {
        let stages: Vec<&str> = subdag.stages.iter().map(|id| plan.stages[id.0 as usize].name.as_str()).collect();
        let needs: Vec<u32> = subdag.needs.iter().map(|need| need.0).collect();
        (stages.join(" "), subdag.queue.clone().unwrap_or_default(), subdag.node_label.clone(), needs)
    };
    let cuts: Vec<_> = plan.subdags.iter().map(cut).collect();
    let (etl, fast) = ("etl".to_owned(), "fast".to_owned());
    assert_eq!(
        cuts,
        [
            ("a e".to_owned(), etl.clone(), None, vec![]),
            ("b".to_owned(), fast, None, vec![0]),
            ("c".to_owned(), etl.clone(), None, vec![1]),
            ("d".to_owned(), etl, Some("gpu".to_owned()), vec![0]),
        ]
    );
    let shown = print(&plan);
    assert!(shown.contains("because these name queue fast; needs sub-DAG 0"), "{shown}");
    assert!(shown.contains("because these name node_label gpu"), "{shown}");
    assert!(shown.contains("warning[W0901]: queue fast: one machine has none"), "{shown}");
}

#[test]
fn too_large_and_too_many_are_refused() {
    let large = checked(&"#".repeat((1 << 20) + 1));
    assert_eq!(codes(&large.diagnostics), ["E0105"]);
    let mut text = "split: components\ndefaults: { image: 'a:1' }\nstages:\n".to_owned();
    (0..1_001).for_each(|n| writeln!(text, "  s{n}: {{}}").unwrap());
    assert_eq!(codes(&checked(&text).diagnostics), ["E0322"]);
}

#[test]
fn of_a_flood_of_problems_the_first_thousand_are_shown() {
    let mut text = "defaults: { image: 'a:1' }\nstages:\n".to_owned();
    (0..3_000).for_each(|n| writeln!(text, "  s{n}: {{ needs: [t{n}] }}").unwrap());
    let problems = checked(&text).diagnostics;
    assert_eq!(problems.len(), 1_001);
    assert_eq!((problems[0].code, problems[0].message.as_str()), ("E0119", "2000 more problems are not shown"));
    let line = format!("{{\"stages\": {{{}}}}}", "\"A\": {\"x\": 1}, ".repeat(3_000).trim_end_matches(", "));
    assert_eq!(checked(&line).diagnostics.len(), 1_001);
}

#[test]
fn a_policy_alone_exits_with_4_and_anything_invalid_with_3() {
    let refused = checked("stages: { a: { image: 'a:1', volumes: ['/etc:/x'] } }").diagnostics;
    assert_eq!((codes(&refused), exit_of(&refused)), (vec!["E0801"], ExitCode::Refused));
    let both = checked("stages: { a: { image: 'a:1', cpus: 0, volumes: ['/etc:/x'] } }").diagnostics;
    assert_eq!(exit_of(&both), ExitCode::Invalid);
    assert_eq!(exit_of(&checked("stages: { a: { image: a } }").diagnostics), ExitCode::Ok, "a warning stops nothing");
}

#[test]
fn a_shell_goes_through_the_same_checks_and_has_no_templates() {
    let job = ShellJob {
        image: "busybox:1".into(),
        command: ["sh", "-c", "echo ${HOME}"].map(String::from).into(),
        cpus: Some("0.5".into()),
        attach: Some(Attach { stdin: true, tty: false }),
        dir: PathBuf::from("/w"),
        ..ShellJob::default()
    };
    let plan = shell_plan(&job, &NoWorld).plan.unwrap();
    assert_eq!(
        (plan.name.as_str(), plan.stages[0].name.as_str(), plan.stages[0].ask.cpu_milli),
        ("shell", "shell", 500)
    );
    assert_eq!(plan.stages[0].command.as_ref().unwrap()[2], "echo ${HOME}");
    assert_eq!(plan.stages[0].attach, job.attach);
    let bad = ShellJob {
        image: "Busy".into(),
        memory: Some("512".into()),
        volumes: vec!["/:/x".into()],
        env: [("LD_PRELOAD".to_owned(), "x".to_owned())].into(),
        network: Some("host".into()),
        ..job
    };
    let problems = shell_plan(&bad, &NoWorld).diagnostics;
    let mut seen = codes(&problems);
    seen.sort_unstable();
    assert_eq!(seen, ["E0211", "E0224", "E0401", "E0603", "E0801"]);
    assert!(problems.iter().all(|problem| problem.place.is_none()));
}

#[test]
fn what_can_be_explained_is_found() {
    assert_eq!(code("e0312").unwrap().code, "E0312");
    let paths = |text| fields_named(text).iter().map(|field| field.path()).collect::<Vec<_>>();
    assert_eq!(paths("retry.max"), ["stages.NAME.retry.max"]);
    assert_eq!(paths("stages.join.image"), ["stages.NAME.image"]);
    assert!(paths("memory").len() >= 3);
    assert!(paths("nothing").is_empty());
}

/// The registry of fields and the reader can't drift apart: what is built is read, the rest is refused by name.
#[test]
fn every_field_of_the_registry_is_known_to_the_reader() {
    for field in FIELDS {
        let own = format!("{}: {{}}", field.name);
        let text = match field.scope {
            Scope::Top => format!("{own}\n"),
            Scope::Stage => format!("stages: {{ a: {{ {own} }} }}\n"),
            Scope::Param => format!("params: {{ a: {{ {own} }} }}\n"),
            Scope::Retry => format!("stages: {{ a: {{ retry: {{ {own} }} }} }}\n"),
            Scope::Timeout => format!("stages: {{ a: {{ timeout: {{ {own} }} }} }}\n"),
            Scope::Placement => format!("stages: {{ a: {{ placement: {{ {own} }} }} }}\n"),
            Scope::Memory => format!("stages: {{ a: {{ memory: {{ {own} }} }} }}\n"),
            Scope::Idle => format!("stages: {{ a: {{ idle: {{ {own} }} }} }}\n"),
            Scope::Hook => format!("hooks: [{{ {own} }}]\n"),
            Scope::Volume => format!("volumes: {{ a: {{ {own} }} }}\n"),
            Scope::Secret => format!("secrets: {{ a: {{ {own} }} }}\n"),
            Scope::File => format!("stages: {{ a: {{ secrets: {{ b: {{ {own} }} }} }} }}\n"),
            Scope::Login => format!("stages: {{ a: {{ registry_auth: {{ {own} }} }} }}\n"),
        };
        let problems = checked(&text).diagnostics;
        assert!(!codes(&problems).contains(&"E0201"), "{} is not known", field.path());
        let later = problems.iter().any(|p| p.code == "E0204" && p.message.contains(&format!("{:?}", field.name)));
        assert_eq!(later, !field.built, "{}", field.path());
    }
}

fn wide(stages: usize) -> String {
    let mut text = "name: wide\nparams: { day: monday }\nstages:\n".to_owned();
    for own in 0..stages {
        let needs = if own < 10 { String::new() } else { format!("s{}, s{}", own - 10, own - 7) };
        text.push_str(&format!(
            "  s{own}:\n    image: busybox:1\n    command: [sh, -c, \"run {own} ${{params.day}}\"]\n    cpus: 0.5\n    memory: 64MiB\n    needs: [{needs}]\n    retry: {{ max: 2, backoff: 1s }}\n    env: {{ A: b, C: d }}\n"
        ));
    }
    text
}

/// A guard against something quadratic, not a measure: `scripts/bench small` has the budget of 50 ms.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test of speed reads the clock")]
fn a_thousand_stages_are_checked_quickly() {
    let text = wide(1_000);
    let begin = std::time::Instant::now();
    let outcome = checked(&text);
    let took = begin.elapsed();
    println!("1,000 stages: {took:?}");
    assert_eq!(outcome.plan.unwrap().stages.len(), 1_000);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// How long a chain of so many stages takes to be put into levels, looked through and printed.
#[expect(clippy::disallowed_methods, reason = "the growth of the time is what is asked")]
fn time_of_a_chain(count: u32) -> Duration {
    let mut plan = checked(&wide(20)).plan.expect("a plan");
    let one = plan.stages[0].clone();
    plan.stages = (0..count)
        .map(|own| {
            let mut stage = one.clone();
            stage.name = format!("s{own}");
            stage.needs = own.checked_sub(1).map(|need| (StageId(need), Need::Succeeded)).into_iter().collect();
            stage
        })
        .collect();
    plan.subdags.truncate(1);
    plan.subdags[0].stages = (0..count).map(StageId).collect();
    let begin = std::time::Instant::now();
    assert_eq!(levels(&plan).len(), count as usize);
    assert_eq!(critical_path(&plan).len(), count as usize);
    assert!(print(&plan).len() > 10 * count as usize);
    begin.elapsed()
}

#[test]
fn a_long_chain_and_a_wide_plan_are_not_quadratic() {
    // Sixteen times as many stages: sixteen times as long, or 256 times where something is quadratic.
    let (few, many) = (time_of_a_chain(5_000), time_of_a_chain(80_000));
    println!("5,000 stages in a chain: {few:?}, 80,000: {many:?}");
    assert!(many < few * 100, "{few:?}, and for sixteen times as many {many:?}");
}

#[test]
fn what_no_program_can_be_given_is_refused_before_it_runs() {
    let long = "x".repeat(131_072);
    let fits = "x".repeat(131_069);
    let text = format!(
        "params: {{ p: {long} }}\ndefaults: {{ image: 'a:1' }}\nstages:\n  a: {{ command: [{long}] }}\n  b: {{ entrypoint: [{long}] }}\n  c: {{ env: {{ A: {long} }} }}\n  d: {{ env: ['A={long}'] }}\n"
    );
    assert_eq!(codes(&checked(&text).diagnostics), ["E0225"; 5]);
    let text = format!(
        "stages:\n  a: {{ image: 'a:1', command: [{fits}], env: {{ A: {fits} }} }}\n  b: {{ image: 'a:1', script: {long} }}\n"
    );
    assert_eq!(codes(&checked(&text).diagnostics), [""; 0]);
}

#[test]
fn memory_is_a_size_or_a_request_with_a_limit() {
    let plan = checked(
        "stages:
  plain: { image: 'a:1', memory: 512MiB }
  grows: { image: 'a:1', memory: { request: 512MiB, limit: 4GiB } }
  same: { image: 'a:1', memory: { request: 512MiB, limit: 512MiB } }
",
    );
    let plan = plan.plan.unwrap_or_else(|| panic!("{:?}", plan.diagnostics));
    let [plain, grows, same] = &plan.stages[..] else { panic!() };
    assert_eq!((plain.ask.memory, plain.elastic, plain.most_memory()), (512 << 20, None, 512 << 20));
    let span = grows.elastic.map(|elastic| (elastic.least >> 20, elastic.most >> 20, elastic.learns));
    assert_eq!((grows.ask.memory, span), (512 << 20, Some((512, 4096, false))));
    assert_eq!(same.elastic, None);
    assert_eq!((grows.limit_in(600 << 20), plain.limit_in(600 << 20)), (600 << 20, 512 << 20));
    assert_eq!(grows.limit_in(8 << 30), 4 << 30);
    let wrong = |memory: &str| {
        codes(&checked(&format!("stages: {{ a: {{ image: 'a:1', memory: {memory} }} }}")).diagnostics).join(" ")
    };
    assert_eq!(wrong("{ limit: 4GiB }"), "E0205");
    assert_eq!(wrong("{ request: 4GiB, limit: 1GiB }"), "E0207");
    assert_eq!(wrong("{ request: 1MiB }"), "E0213");
}

#[test]
fn a_job_that_is_right_sized_begins_with_what_was_learned_within_its_bounds() {
    let mut plan = checked(
        "rightsize: true\nstages:\n  a: { image: 'a:1', memory: 1GiB }\n  b: { image: 'b:1', memory: 32MiB }\n",
    )
    .plan
    .unwrap();
    let span = |plan: &dybox_job::Plan, at: usize| {
        plan.stages[at].elastic.map(|one| (one.least >> 20, one.most >> 20)).unwrap()
    };
    assert_eq!((span(&plan, 0), span(&plan, 1)), ((64, 1024), (32, 32)));
    assert!(plan.stages.iter().all(|stage| stage.elastic.is_some_and(|elastic| elastic.learns)));
    plan.right_size(|stage| (stage.name == "a").then_some(300 << 20));
    assert_eq!((plan.stages[0].ask.memory >> 20, plan.stages[1].ask.memory >> 20), (300, 32));
    plan.right_size(|_| Some(8 << 30));
    assert_eq!((plan.stages[0].ask.memory >> 20, span(&plan, 0)), (1024, (64, 1024)), "never above what is asked for");
}

#[test]
fn ports_bring_their_network_and_are_written_out_one_by_one() {
    let plan = checked(
        "defaults: { image: 'a:1' }
stages:
  open: { ports: [80, '9000-9001', '127.0.0.1:8000-8001:80-81/udp'] }
  named: { network: inner, ports: ['8080-8089:80'], parallelism: 10 }
  quiet: {}
",
    )
    .plan
    .unwrap();
    let [open, named, quiet] = &plan.stages[..] else { panic!() };
    let written: Vec<String> = open.ports.iter().map(ToString::to_string).collect();
    assert_eq!(written, ["80", "9000", "9001", "127.0.0.1:8000:80/udp", "127.0.0.1:8001:81/udp"]);
    assert_eq!((&open.network, &named.network), (&Network::Bridge, &Network::Named("inner".into())));
    assert_eq!((named.ports[0].to_string().as_str(), &quiet.network), ("8080-8089:80", &Network::None));
    let many = "stages: { a: { image: 'a:1', ports: ['8080-8089:80'], parallelism: 11 } }";
    assert_eq!(codes(&checked(many).diagnostics), ["E0532"], "there is one too few");
}

#[test]
fn a_shell_publishes_by_the_same_rules() {
    let shell = |ports: &[&str], network: Option<&str>| ShellJob {
        image: "a:1".into(),
        ports: ports.iter().map(|&port| port.to_owned()).collect(),
        network: network.map(str::to_owned),
        ..ShellJob::default()
    };
    let stage = shell_plan(&shell(&["8080:80"], None), &NoWorld).plan.unwrap().stages.remove(0);
    assert_eq!((stage.ports[0].to_string(), stage.network), ("8080:80".to_owned(), Network::Bridge));
    assert_eq!(codes(&shell_plan(&shell(&["80"], Some("none")), &NoWorld).diagnostics), ["E0206"]);
}
