#![expect(clippy::disallowed_methods, reason = "tests read their own files")]

use std::path::{Path, PathBuf};

use super::*;
use crate::load::load;
use crate::node::{Kind, Node, Value as Yaml};
use crate::report::Report;
use crate::text::Text;

/// A file as an editor sees it.
fn json_of(node: &Node) -> Value {
    match &node.value {
        Yaml::Bad => Value::Null,
        Yaml::List(items) => items.iter().map(json_of).collect(),
        Yaml::Map(entries) => entries.iter().map(|(key, node)| (key.text.clone(), json_of(node))).collect(),
        Yaml::Scalar(scalar) => match scalar.kind() {
            Kind::Null => Value::Null,
            Kind::Bool(truth) => truth.into(),
            Kind::Int(int) => int.into(),
            Kind::Float(float) => float.into(),
            Kind::Text => scalar.text.clone().into(),
        },
    }
}

fn parsed(text: &str) -> Option<Value> {
    let text = Text::new("job.yaml", text);
    let mut report = Report::new(&text);
    load(&mut report).map(|root| json_of(&root))
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn yaml_files(dir: &str) -> Vec<PathBuf> {
    let below = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(below).unwrap().flatten() {
        let path = entry.path();
        let inner = path.join("job.yaml");
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml") => found.push(path),
            _ if inner.exists() => found.push(inner),
            _ => {}
        }
    }
    found
}

#[test]
fn the_schema_is_one_and_every_reference_of_it_leads_somewhere() {
    let schema = schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let text = schema.to_string();
    for part in text.split("#/$defs/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schema["$defs"].get(name).is_some(), "{name}");
    }
    for field in FIELDS.iter().filter(|field| field.scope != Scope::Top) {
        let name = format!("#/$defs/{}\"", name_of(field.scope));
        assert!(text.contains(&name), "nothing of the schema leads to {:?}", field.scope);
    }
}

#[test]
fn every_key_that_is_built_has_a_shape() {
    let scopes: BTreeSet<String> = FIELDS.iter().map(|field| name_of(field.scope)).collect();
    for field in FIELDS.iter().filter(|field| field.built) {
        let own = of_field(field, &scopes) != phrase::shape(field, &scopes);
        let said = own || phrase::understood(field, &scopes);
        assert!(said, "schema/phrase.rs does not know what {:?} of {} means", field.takes, field.path());
    }
}

#[test]
fn every_good_file_is_valid() {
    let validator = validator();
    let mut seen = 0;
    for dir in ["../../jobs", "../../jobs/wordcount", "../../jobs/state-server", "tests/good", "tests/cluster"] {
        for path in yaml_files(dir) {
            seen += 1;
            let value = parsed(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let wrong: Vec<String> =
                validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
        }
    }
    assert!(seen >= 8, "{seen} files");
}

/// What only a program can know is not the schema's: names that must exist, circles, files, policies.
#[test]
fn wrong_keys_types_units_and_words_are_refused() {
    let validator = validator();
    let job = |rest: &str| parsed(&format!("stages:\n  a: {{ image: \"a:1\", {rest} }}\n")).unwrap();
    for good in [
        "cpus: 0.5",
        "memory: 2 GiB",
        "memory: { request: 1GiB, limit: 2GiB }",
        "retry: { max: 3, on: [oom, \"exit:1-9\"] }",
        "timeout: { run: 1h30m }",
        "needs: { b: finished }",
        "parallelism: \"${int(params.n)}\"",
        "user: 1000",
        "env: [A=b]",
        "tmpfs: /tmp",
        "network: inside",
        "pull: never",
        "idle: 10m",
        "shm_size: \"${params.shm}\"",
    ] {
        let wrong: Vec<String> = validator.iter_errors(&job(good)).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{good}: {wrong:?}");
    }
    for bad in [
        "imge: x",
        "cpus: many",
        "cpus: 0",
        "memory: 512",
        "memory: 2Gi",
        "retry: { maxx: 3 }",
        "retry: { max: 300 }",
        "retry: { on: [oops] }",
        "timeout: { run: 10 }",
        "needs: { b: done }",
        "parallelism: 0",
        "env: { A: { b: c } }",
        "pull: sometimes",
        "command: \"echo hi\"",
        "command: [a], script: b",
        "keep_failed: 1",
        "workdir: tmp",
    ] {
        assert!(!validator.is_valid(&job(bad)), "{bad} is said to be fine");
    }
    for bad in ["{}", "stages: {}", "stages: { A: { image: x } }", "stages: { a: { image: x } }\nsteps: 1", "[1]"] {
        assert!(!validator.is_valid(&parsed(bad).unwrap()), "{bad} is said to be fine");
    }
}

/// A key that is not built is refused by the parser, so no editor offers it.
#[test]
fn what_is_not_built_is_not_offered() {
    let schema = schema();
    for field in FIELDS.iter().filter(|field| field.scope == Scope::Stage && !field.built) {
        assert!(schema["$defs"]["stage"]["properties"].get(field.name).is_none(), "{}", field.name);
    }
    let needs = &schema["$defs"]["stage"]["properties"]["image"]["description"];
    assert!(needs.as_str().unwrap().starts_with("The image of the stage's containers."), "{needs}");
    assert!(schema["$defs"]["defaults"]["properties"].get("needs").is_none());
}
