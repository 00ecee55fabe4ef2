use std::path::Path;

use super::*;

fn made(tool: Tool, text: &str) -> Imported {
    made_with(tool, text, &Wanted::default())
}

fn made_with(tool: Tool, text: &str, wanted: &Wanted) -> Imported {
    let source = Source { name: "given", bytes: text.as_bytes(), dir: Path::new("/home/ann/shop") };
    match import(tool, &source, wanted) {
        Ok(made) => made,
        Err(problems) => panic!("{}", problems.iter().map(crate::render).collect::<String>()),
    }
}

#[track_caller]
fn refused(tool: Tool, text: &str) -> String {
    let source = Source { name: "given", bytes: text.as_bytes(), dir: Path::new("/") };
    let problems = import(tool, &source, &Wanted::default()).expect_err("it is refused");
    problems.iter().map(crate::render).collect()
}

#[track_caller]
fn assert_lines(made: &Imported, lines: &[&str]) {
    for line in lines {
        assert!(made.text.lines().any(|known| known == *line), "{line:?} is not in\n{}", made.text);
    }
}

/// Plans what was made, to see that the file says what was meant.
fn plan(made: &Imported) -> crate::Plan {
    let source = Source { name: "job.yaml", bytes: made.text.as_bytes(), dir: Path::new("/job") };
    let outcome = check(&source, &Submit::default(), &AnyWorld);
    outcome.plan.unwrap_or_else(|| panic!("{:#?}\n{}", outcome.diagnostics, made.text))
}

const COMPOSE: &str = r#"
name: shop
x-common: &common
  environment:
    - MODE=fast
    - FROM_ME
services:
  migrate:
    <<: *common
    image: "shop/migrate:${TAG:-1.2}"
    command: sh -c "echo $$HOME; migrate up"
    restart: on-failure:2
    mem_limit: 512m
  seed_data:
    image: shop/seed:1
    depends_on:
      migrate: { condition: service_completed_successfully }
      db: { condition: service_healthy }
    deploy: { replicas: 3, resources: { limits: { cpus: "0.5", memory: 1gb } } }
    volumes: ["./data:/data:ro", "/var/run/docker.sock:/docker.sock", "../up:/up"]
    stop_grace_period: 1m30s
    privileged: true
  db:
    image: postgres:16
    ports: ["5432:5432"]
    environment: { POSTGRES_DB: "${DB:?name it}", EMPTY: , ON: yes }
  docs:
    profiles: [docs]
    build: ./docs
"#;

#[test]
fn a_compose_file_becomes_a_job() {
    let made = made(Tool::Compose, COMPOSE);
    assert!(made.problems.is_empty(), "{}", made.text);
    assert_lines(
        &made,
        &[
            "name: shop",
            "  DB: { required: true }",
            "  TAG: \"1.2\"",
            "    image: \"shop/migrate:${params.TAG}\"",
            "    command: [sh, -c, \"echo $HOME; migrate up\"]",
            "    retry: { max: 2 }",
            "    memory: 512MiB",
            "    # it is called \"seed_data\" in the compose file; others find it as seed-data",
            "    needs: [migrate]",
            "    parallelism: 3",
            "    cpus: 0.5",
            "    memory: 1GiB",
            "    volumes: [\"./data:/data:ro\"]",
            "    # volume /docker.sock (line 20): /var/run/docker.sock is never given to a container",
            "    stop_grace: 1m30s",
            "    # privileged (line 22): it is never given to containers",
            "      # FROM_ME: nothing of the caller's environment goes in; write its value",
            "      # EMPTY: nothing of the caller's environment goes in; write its value",
            "      ON: \"yes\"",
            "    ports: [\"5432:5432\"]",
            "  # docs (line 27): left out, it is of a profile",
        ],
    );
    assert!(made.text.contains("# Servers (db) run until they are stopped"), "{}", made.text);
    assert!(made.notes >= 10, "{}", made.notes);
}

#[test]
fn what_a_compose_file_means_is_what_the_plan_says() {
    let text = COMPOSE.replace("${DB:?name it}", "shop");
    let plan = plan(&made(Tool::Compose, &text));
    let stage = |name: &str| plan.stages.iter().find(|stage| stage.name == name).expect("the stage");
    assert_eq!(stage("migrate").image, "shop/migrate:1.2");
    assert_eq!(stage("migrate").env["MODE"], "fast");
    assert_eq!(stage("seed-data").tasks, 3);
    assert_eq!(plan.stages[stage("seed-data").needs[0].0.0 as usize].name, "migrate");
    assert_eq!(stage("db").env["ON"], "yes");
}

#[test]
fn published_ports_are_carried_over() {
    let text = r#"
services:
  web:
    image: web:1
    ports:
      - 80
      - "${PORT:-8080}:80"
      - "9/sctp"
      - { target: 53, published: "5353", protocol: udp, host_ip: 127.0.0.1 }
      - { target: 443 }
  alone: { image: "a:1", network_mode: none, ports: ["1:1"] }
"#;
    let made = made(Tool::Compose, text);
    let found = plan(&made);
    let ports: Vec<String> = found.stages[0].ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["80", "8080:80", "127.0.0.1:5353:53/udp", "443"], "{}", made.text);
    assert!(made.text.contains("9/sctp: ports are of tcp or udp") && found.stages[1].ports.is_empty(), "{}", made.text);
}

#[test]
fn a_wrong_compose_file_is_refused_with_its_place() {
    assert!(refused(Tool::Compose, "a: 1\n").contains("it has no services"));
    let said = refused(Tool::Compose, "services:\n  a:\n    image: [x]\n    command: \"echo 'a\"\n");
    assert!(said.contains("given:3:12") && said.contains("given:4:14") && said.contains("never closed"), "{said}");
    assert!(refused(Tool::Compose, "services: [\n").contains("never closed"));
}

const ARGO: &str = r#"
apiVersion: v1
kind: ConfigMap
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: { generateName: train- }
spec:
  entrypoint: main
  onExit: bye
  activeDeadlineSeconds: 3600
  volumes: [{ name: x }]
  arguments:
    parameters:
      - { name: run-day, value: "2026-01-01" }
      - { name: size, value: small, enum: [small, large] }
  templates:
    - name: main
      dag:
        tasks:
          - { name: list, template: list }
          - name: Work
            dependencies: [list]
            template: work
            arguments: { parameters: [{ name: what, value: "{{item}} of {{workflow.parameters.run-day}}" }] }
            withParam: "{{tasks.list.outputs.result}}"
          - name: both
            depends: "Work && (list.Succeeded || list.Failed)"
            template: two
            when: "{{workflow.parameters.size}} == large"
    - name: list
      script:
        image: "python:3.12"
        command: [python]
        source: |
          import json
          print(json.dumps(["a", "b"]))
    - name: work
      inputs: { parameters: [{ name: what }, { name: how, value: fast }] }
      retryStrategy: { limit: "2", retryPolicy: OnError, backoff: { duration: 10s, maxDuration: 1h } }
      activeDeadlineSeconds: 90
      container:
        image: "busybox:1"
        command: [echo]
        args: ["{{inputs.parameters.what}} {{inputs.parameters.how}} ${HOME} {{pod.name}}"]
        env: [{ name: A, value: b }, { name: S, valueFrom: { secretKeyRef: { name: s, key: k } } }]
        resources: { requests: { cpu: 250m, memory: 64Mi }, limits: { memory: 1Gi } }
        volumeMounts: [{ name: x, mountPath: /x }]
    - name: two
      steps:
        - - { name: one, template: work, arguments: { parameters: [{ name: what, value: w }] } }
        - - { name: two, template: wait }
          - { name: three, template: work, continueOn: { failed: true }, withItems: [1, { k: v }] }
    - name: wait
      suspend: {}
    - name: bye
      container: { image: "busybox:1", args: ["{{workflow.status}}"] }
"#;

#[test]
fn a_workflow_becomes_a_job() {
    let made = made(Tool::Argo, ARGO);
    assert_lines(
        &made,
        &[
            "name: train",
            "  run_day: \"2026-01-01\"",
            "  size: { default: small, choices: [small, large] }",
            "timeout: 1h",
            "on_exit:",
            "    needs: [list]",
            "    each: \"${results.list}\"",
            "      - '\"$@\" > \"$DYBOX_RESULT\"; code=$?; cat \"$DYBOX_RESULT\"; exit $code'",
            "    command: [echo, \"${item} of ${params.run_day} fast $${HOME} {{pod.name}}\"]",
            "    # {{pod.name}} has no counterpart; it stands in the text as it was",
            "    retry: { max: 2, backoff: 10s, on: [infra] }",
            "    timeout: { run: 1m30s }",
            "    cpus: 0.25",
            "    memory: { request: 64MiB, limit: 1GiB }",
            "      # S (line 46): its value came from Kubernetes; of a secret, write secrets:",
            "    # volumeMounts (line 48): has no counterpart",
            "  both-one:",
            "    needs: { work: succeeded, list: finished }",
            "    when: params.size == \"large\"",
            "  # both-two: a suspend template has no counterpart",
            "    each: [1, { k: v }]",
            "    command: [\"${run.state}\"]",
        ],
    );
    // What this version does not take is said at the head, and nothing else is wrong with the file.
    assert!(made.problems.iter().all(|problem| problem.code == "E0204"), "{:#?}\n{}", made.problems, made.text);
    if !made.problems.is_empty() {
        assert!(made.text.contains("# `dybox check` does not take this file yet:"), "{}", made.text);
    }
}

#[test]
fn a_loop_over_several_steps_is_rolled_out_and_a_condition_of_items_filters_them() {
    let made = made(
        Tool::Argo,
        r#"
kind: Workflow
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - - { name: each, template: pair, withItems: [x, y], arguments: { parameters: [{ name: p, value: "{{item}}" }] } }
        - - name: some
            template: say
            arguments: { parameters: [{ name: p, value: "{{item.n}}" }] }
            withParam: "{{workflow.parameters.list}}"
            when: "{{item.ok}} == true"
    - name: pair
      inputs: { parameters: [{ name: p }] }
      steps:
        - - { name: a, template: say, arguments: { parameters: [{ name: p, value: "{{inputs.parameters.p}}1" }] } }
        - - { name: b, template: say, arguments: { parameters: [{ name: p, value: "2{{inputs.parameters.p}}" }] } }
    - name: say
      inputs: { parameters: [{ name: p }] }
      container: { image: "busybox:1", command: [echo], args: ["{{inputs.parameters.p}}"] }
"#,
    );
    assert_lines(
        &made,
        &[
            "  each-0-a:",
            "    command: [echo, x1]",
            "  each-1-b:",
            "    command: [echo, \"2y\"]",
            "    needs: [each-1-a]",
            "    needs: [each-0-b, each-1-b]",
            "    each: \"${params.list.filter(item, item.ok == true)}\"",
        ],
    );
}

#[test]
fn a_wrong_workflow_is_refused_with_its_place() {
    assert!(refused(Tool::Argo, "kind: Job\n").contains("its kind is \"Job\""));
    let said = refused(
        Tool::Argo,
        "kind: Workflow\nspec:\n  entrypoint: man\n  templates:\n    - { name: main, container: { image: a } }\n",
    );
    assert!(said.contains("given:3:15") && said.contains("did you mean \"main\"?"), "{said}");
    let text = "kind: Workflow\nspec:\n  entrypoint: a\n  templates:\n    - name: a\n      dag: { tasks: [{ name: x, depends: y, template: b }] }\n";
    assert!(refused(Tool::Argo, text).contains("this task depends on y"));
    // A template that calls itself ends.
    let text = "kind: Workflow\nspec:\n  entrypoint: a\n  templates:\n    - name: a\n      steps: [[{ name: x, template: a }], [{ name: y, template: b }]]\n    - { name: b, container: { image: a } }\n";
    assert!(made(Tool::Argo, text).text.contains("a job has no recursion"));
}

const MAKE: &str = "\
# a pipeline\n\
PYTHON ?= python3\n\
DAY := 2026-01-01\n\
FILES = $(wildcard src/*.c)\n\
OBJECTS = $(patsubst %.c,out/%.o,main.c util.c)\n\
VERSION = $(shell git describe)\n\
export MODE = fast\n\
ifdef DEBUG\n\
FLAGS = -g\n\
else ifeq ($(DAY),2026-01-01)\n\
FLAGS = -O2 # fast\n\
endif\n\
.PHONY: all clean\n\
all: report app\n\
report: data/clean.csv | out\n\
\t@echo \"report of ${DAY} by $$USER $${HOME}\"\n\
\t-$(PYTHON) report.py $< > $@ \\\n\
\t  --version $(VERSION)\n\
data/clean.csv: data/raw.csv clean.py\n\
\tcd data && $(PYTHON) ../clean.py\n\
data/raw.csv:\n\
\tcurl -o $@ http://example.org/$(notdir $@)\n\
app: $(OBJECTS)\n\
\tcc -o $@ $^\n\
out/%.o: %.c\n\
\tcc $(FLAGS) -c -o $@ $< # $*\n\
app: FLAGS += -Wall\n\
out:\n\
\tmkdir -p $@\n\
clean:\n\
\trm -rf out\n";

#[test]
fn a_makefile_becomes_a_job() {
    let made = made(Tool::Make, MAKE);
    assert!(made.problems.is_empty(), "{}", made.text);
    assert_lines(
        &made,
        &[
            "name: all",
            "  PYTHON: python3",
            "    MODE: fast",
            "  workdir: /work",
            "  volumes: [\".:/work\"]",
            "    needs: [data-clean-csv, out]",
            "      echo \"report of 2026-01-01 by $USER $${HOME}\"",
            "      ${params.PYTHON} report.py data/clean.csv > report \\",
            "        --version $(git describe) || true",
            "      cd data && ${params.PYTHON} ../clean.py",
            "      curl -o data/raw.csv http://example.org/raw.csv",
            "    needs: [out-main-o, out-util-o]",
            "      cc -o app out/main.o out/util.o",
            "      cc -O2 -c -o out/util.o util.c # util",
            "    # target out/main.o",
        ],
    );
    assert!(made.text.contains("Targets that are not in it: clean;"), "{}", made.text);
    let plan = plan(&made);
    let report = plan.stages.iter().find(|stage| stage.name == "report").expect("the stage");
    assert!(report.script.as_deref().expect("its script").contains("python3 report.py"), "{report:?}");
    let only =
        made_with(Tool::Make, MAKE, &Wanted { targets: vec!["clean".to_owned()], image: Some("alpine:3".into()) });
    assert!(only.text.contains("  clean:") && !only.text.contains("  report:"), "{}", only.text);
    assert_lines(&only, &["  image: alpine:3"]);
}

#[test]
fn functions_of_make_are_carried_out() {
    let text = "\
NAMES = b a b\n\
define two\n\
$(1)-$(2)\n\
endef\n\
all:\n\
\techo $(sort $(NAMES)) $(words $(NAMES)) $(firstword $(NAMES)) $(lastword x y)\n\
\techo $(addprefix p/,$(filter-out a,$(NAMES))) $(basename d/a.tar.gz) $(suffix a.b) $(dir a/b c)\n\
\techo $(foreach n,$(NAMES),<$(n)>) $(call two,1,2) $(if $(NONE),yes,no) $(or $(NONE),or) $(subst b,c,$(NAMES))\n\
\techo $(NAMES:%=%.o) $(join 1 2,a b) $(word 2,x y z) $(@F) $$$$\n";
    let made = made(Tool::Make, text);
    assert_lines(
        &made,
        &[
            "      echo a b 3 b y",
            "      echo p/b p/b d/a.tar .b a/ ./",
            "      echo <b> <a> <b> 1-2 no or c a c",
            "      echo b.o a.o b.o 1a 2b y all $$",
        ],
    );
}

#[test]
fn a_wrong_makefile_is_refused_with_its_place() {
    let said = refused(Tool::Make, "all:\n\techo\nnonsense here\n");
    assert!(said.contains("given:3:1") && said.contains("missing separator"), "{said}");
    assert!(refused(Tool::Make, "ifdef X\nall:\n\techo\n").contains("the endif of this line is missing"));
    assert!(refused(Tool::Make, "endif\n").contains("there is no condition before this line"));
    assert!(refused(Tool::Make, "A = 1\n").contains("the Makefile has no target"));
    assert!(refused(Tool::Make, "all: a.h\n").contains("nothing is run for all"));
    // What needs itself, and what expands into itself, ends.
    assert!(made(Tool::Make, "A = $(A) x\na: b\n\techo $(A)\nb: a\n\techo b\n").text.contains("needs itself"));
}

const SKEIN: &str = r#"
name: dask
queue: etl
tags: [a]
max_attempts: 2
master:
  script: echo hello
services:
  dask.scheduler:
    resources: { memory: 2 GiB, vcores: 2, gpus: 0 }
    files: { env: env.tar.gz, run.py: run.py, data.csv: "hdfs:///data/x.csv" }
    script: |
      source env/bin/activate
      python run.py ${HOME}
  dask.worker:
    instances: 4
    max_restarts: -1
    depends: [dask.scheduler]
    nodes: [n1]
    relax_locality: true
    env: { A: "1" }
    resources: { memory: 512, vcores: 1 }
    commands: [a, b]
  spare: { instances: 0, script: x, resources: { memory: 1 GiB, vcores: 1 } }
"#;

#[test]
fn a_skein_specification_becomes_a_job() {
    let made = made(Tool::Skein, SKEIN);
    assert_lines(
        &made,
        &[
            "name: dask",
            "queue: etl",
            "tags: [a]",
            "fail_fast: true",
            "  dask-scheduler:",
            "    cpus: 2",
            "    memory: 2GiB",
            "    volumes: [\"./run.py:/work/run.py:ro\"]",
            "      python run.py $${HOME}",
            "    parallelism: 4",
            "    retry: { max: 100 }",
            "    placement: { nodes: [n1], hard: false }",
            "    memory: 512MiB",
            "  # spare (line 24): left out, it starts with no instance",
        ],
    );
    assert!(
        made.text.contains("Skein unpacks env.tar.gz") && made.text.contains("hdfs:///data/x.csv"),
        "{}",
        made.text
    );
    let expected = ["E0204"];
    assert!(
        made.problems.iter().all(|problem| expected.contains(&problem.code)),
        "{:#?}\n{}",
        made.problems,
        made.text
    );
    assert!(refused(Tool::Skein, "a: 1\n").contains("neither services nor a master"));
    assert!(refused(Tool::Skein, "services: { a: { script: x, resources: { memory: 2 XB } } }\n").contains("given:1:"));
}

/// Whatever the text is: nothing panics, and what is made can be read.
#[test]
fn nothing_of_a_file_breaks_the_job_file() {
    let nasty = [
        "a\\\"b",
        "x: y",
        "# c",
        "- d",
        "'",
        "\"",
        "${x}",
        "$$",
        "{{x}}",
        "%",
        "\\",
        "null",
        "1e5",
        "é\u{200b}",
        "tab\there",
        "&a",
        "*a",
        "!t",
        "|",
        ">",
        "@",
        "`",
        "true",
        "~",
        " lead",
        "trail ",
        "a: ",
        "a #b",
        "[",
        "{",
    ];
    for text in nasty {
        let json = serde_json::Value::from(text).to_string();
        let compose =
            format!("services: {{ a: {{ image: \"a:1\", command: [{json}], environment: {{ K: {json} }} }} }}\n");
        let made = made(Tool::Compose, &compose);
        assert!(
            made.problems.iter().all(|one| matches!(one.code, "E0117" | "E0706" | "E0705")),
            "{text:?}\n{:?}\n{}",
            made.problems,
            made.text
        );
        let argo = format!(
            "kind: Workflow\nspec: {{ entrypoint: a, templates: [{{ name: a, container: {{ image: \"a:1\", args: [{json}] }} }}] }}\n"
        );
        let made = made_with(Tool::Argo, &argo, &Wanted::default());
        assert!(made.problems.iter().all(|one| one.code == "E0117"), "{text:?}\n{:?}\n{}", made.problems, made.text);
        let recipe = format!("all:\n\techo {text}\n");
        let source = Source { name: "given", bytes: recipe.as_bytes(), dir: Path::new("/") };
        if let Ok(made) = import(Tool::Make, &source, &Wanted::default()) {
            assert!(
                made.problems.iter().all(|one| one.code == "E0117"),
                "{text:?}\n{:?}\n{}",
                made.problems,
                made.text
            );
        }
    }
}
