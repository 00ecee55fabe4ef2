//! The shape of every answer is what docs/reference/output.md says.

use std::collections::BTreeSet;

use dybox_store::archive::Stream;
use serde_json::{Value, json};

use crate::home::{FAILED, Home, attempt};

const PAGE: &str = include_str!("../../../../docs/reference/output.md");

/// List, keys beside it, keys that must and may be there.
struct Said {
    list: String,
    beside: BTreeSet<String>,
    must: BTreeSet<String>,
    may: BTreeSet<String>,
}

fn words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The page's row of a command.
fn said(command: &str) -> Said {
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{command}`"))).expect("the page has it");
    let cells: Vec<&str> = row.split(" | ").collect();
    let (may, must): (Vec<_>, Vec<_>) = words(cells[3]).into_iter().partition(|key| key.starts_with('['));
    Said {
        list: words(cells[1]).remove(0),
        beside: words(cells[2]).into_iter().collect(),
        must: must.into_iter().collect(),
        may: may.iter().map(|key| key.trim_matches(['[', ']']).to_owned()).collect(),
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[track_caller]
fn assert_item(said: &Said, item: &Value) {
    let there = keys(item);
    let missing: Vec<_> = said.must.difference(&there).collect();
    let known: BTreeSet<String> = said.must.union(&said.may).cloned().collect();
    let new: Vec<_> = there.difference(&known).collect();
    assert!(missing.is_empty() && new.is_empty(), "missing {missing:?}, not in the page {new:?}");
}

/// Holds an answer against the schema that is published for it.
#[track_caller]
fn assert_valid(home: &Home, command: &str, whole: &Value) {
    let words = command.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
    let of_task = if command.ends_with("/N") { "-task" } else { "" };
    let id = format!("{}{of_task}", words.collect::<Vec<_>>().join("-"));
    let schema = home.json(&["schema", &id]);
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let wrong: Vec<_> =
        validator.iter_errors(whole).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{command}: {wrong:#?}");
    let mut other = whole.clone();
    other["version"] = json!(2);
    assert!(!validator.is_valid(&other), "another version is another shape");
}

/// Looks at the answer in all its forms.
#[track_caller]
fn assert_said(home: &Home, code: i32, command: &str, args: &[&str]) {
    let said = said(command);
    let with = |format: &'static str| home.out(code, &[args, &["-o", format]].concat());
    let whole: Value = serde_json::from_str(&with("json")).expect("one JSON document");
    assert_valid(home, command, &whole);
    let mut document: BTreeSet<String> = said.beside.clone();
    document.extend(["version".to_owned(), said.list.clone()]);
    assert_eq!(keys(&whole), document);
    assert_eq!(whole["version"], 1);
    let items = whole[said.list.as_str()].as_array().expect("a list");
    assert!(!items.is_empty(), "{args:?} answers nothing");
    items.iter().for_each(|item| assert_item(&said, item));
    let yaml = with("yaml");
    assert!(yaml.lines().any(|line| line == "version: 1") && yaml.contains(&format!("\n{}:\n", said.list)), "{yaml}");
    let lines = with("jsonl");
    assert_eq!(lines.lines().count(), items.len());
    for line in lines.lines() {
        let mut line: Value = serde_json::from_str(line).expect("a JSON document a line");
        assert_eq!(line["version"], 1);
        if !said.must.contains("version") {
            line.as_object_mut().unwrap().remove("version");
        }
        assert_item(&said, &line);
    }
    assert!(with("name").lines().all(|name| !name.is_empty() && !name.contains('{')));
}

#[test]
fn reading_commands_answer_as_the_page_says() {
    let home = Home::with_runs();
    home.write_log(&[(attempt(0, 1, 1), Stream::Stderr, b"one\ntwo\n")]);
    let (stage, task) = (format!("{FAILED}/extract"), format!("{FAILED}/extract/1"));
    assert_said(&home, 0, "ps", &["ps"]);
    assert_said(&home, 0, "status RUN, RUN/STAGE", &["status", FAILED]);
    assert_said(&home, 0, "status RUN, RUN/STAGE", &["status", &stage]);
    assert_said(&home, 0, "status RUN/STAGE/N", &["status", &task]);
    assert_said(&home, 0, "graph", &["graph", FAILED]);
    assert_said(&home, 0, "prune", &["prune", "--older-than", "1d", "--dry-run"]);
    assert_said(&home, 0, "logs", &["logs", FAILED]);
    assert_said(&home, 0, "why", &["why", FAILED]);
    assert_said(&home, 0, "why", &["why", &task]);
    for topic in ["oom", "9", "E2101", "E0205", "retry.max", "docker_host"] {
        assert_said(&home, 0, "explain", &["explain", topic]);
    }
    let nowhere = ["doctor", "--docker-host", "unix:///nowhere/docker.sock"];
    assert_said(&home, 5, "doctor", &nowhere);
}

#[test]
fn the_schema_of_the_job_file_is_printed_and_wrong_names_are_refused() {
    let home = Home::empty();
    let schema = home.json(&["schema"]);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema, dybox_job::schema());
    for name in home.out(0, &["schema", "--list"]).lines() {
        assert!(jsonschema::meta::is_valid(&home.json(&["schema", name])), "{name}");
    }
    assert!(home.err(7, &["schema", "statos"]).contains("did you mean \"status\"?"));
}

#[test]
fn check_and_plan_answer_as_the_page_says() {
    let home = Home::empty();
    let file = |name: &str, text: &str| {
        let path = home.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bad = file("bad.yaml", "stages:\n  one: { imge: \"busybox:1\" }\n");
    assert_said(&home, 3, "check", &["check", &bad]);
    let good =
        file("good.yaml", "queue: q\npriority: 3\nstages:\n  one: { image: \"busybox:1\", command: [\"true\"] }\n");
    assert_said(&home, 0, "graph", &["graph", &good]);
    let nowhere = ["--docker-host", "unix:///nowhere/docker.sock"];
    assert_said(&home, 0, "plan", &[&["plan", good.as_str()], &nowhere[..]].concat());
    let text = home.out(0, &[&["plan", good.as_str()], &nowhere[..]].concat());
    for word in ["queue q", "priority 3"] {
        let warning = format!("{word}: one machine has none");
        assert_eq!(text.matches(&warning).count(), 1, "{text}");
        assert!(home.err(0, &["check", good.as_str()]).contains(&warning), "{text}");
    }
}

#[test]
fn a_profile_is_resolved_when_planning_and_plan_says_who_says_what() {
    let home = Home::empty();
    let job = home.dir.path().join("job.yaml");
    std::fs::write(&job, "defaults: { pids: 32 }\nstages:\n  a: { profile: small, memory: 16MiB }\n").unwrap();
    let job = job.to_str().unwrap();
    let none = home.err(3, &["check", job]);
    let place = home.dir.path().join("profiles.yaml");
    assert!(none.contains("E0330") && none.contains(place.to_str().unwrap()), "{none}");
    std::fs::write(&place, "profiles:\n  small: { image: \"busybox:1.36\", memory: 8MiB, cpus: 0.5 }\n").unwrap();
    let nowhere = ["plan", job, "--docker-host", "unix:///nowhere/docker.sock"];
    let text = home.out(0, &nowhere);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).collect();
    for line in [
        "cpus 0.5 from the profile",
        "image busybox:1.36 from the profile",
        "memory 16MiB from the stage, over the profile",
        "pids 32 from defaults",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line:?} is not in\n{text}");
    }
    let json = home.json(&[&nowhere[..], &["-o", "json"]].concat());
    let profile = &json["plans"][0]["stages"][0]["profile"];
    assert_eq!(
        (&profile["name"], &profile["keys"]["memory"]),
        (&json!("small"), &json!(["stage", "profile"])),
        "{json}"
    );
    // Another registry, named by the setting.
    let other = home.dir.path().join("other.yaml");
    std::fs::write(&other, "profiles: { smalls: { image: \"busybox:1.36\" } }\n").unwrap();
    let mut command = home.dybox(&["check", job]);
    let output = command.env("DYBOX_PROFILES", &other).assert().code(3).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("E0331") && said.contains("did you mean \"smalls\"?"), "{said}");
}
