//! What a stage depends on, field by field. Everything in a stage counts but what is known not to change what its tasks do: a
//! field that a later version adds counts by itself.

use std::collections::BTreeMap;

use dybox_job::{Plan, Stage};
use dybox_model::StageId;
use dybox_model::cache::{Field, Fields};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What may differ: how much room, when, how often and where; and what is told in other words.
const ASIDE: &[&str] = &[
    "added",
    "ask",
    "cache",
    "elastic",
    "idle",
    "image",
    "keep_failed",
    "late",
    "needs",
    "placement",
    "priority",
    "profile",
    "pull",
    "registry_auth",
    "retry",
    "reuse",
    "stop_grace",
    "subdag",
    "taken",
    "tasks",
    "timeout",
];
/// Longer texts are not shown.
const SHOWN: usize = 60;

/// A stage that begins.
#[derive(Debug)]
pub struct Begun<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Which.
    pub stage: StageId,
    /// How many tasks it has.
    pub tasks: u32,
    /// Parameters as it has them.
    pub params: BTreeMap<String, String>,
    /// Its items, each as JSON, where it has one task for each.
    pub items: Option<&'a [String]>,
    /// What it can read of other stages, by their names: states, exit codes, results.
    pub read: BTreeMap<String, Value>,
}

/// Why a stage is never taken, whatever came before.
#[must_use]
pub fn never(stage: &Stage) -> Option<&'static str> {
    if stage.late.last {
        return Some("it runs after everything, whatever became of it");
    }
    if stage.late.image {
        return Some("its image is known only when its tasks begin");
    }
    if stage.late.places {
        return Some("where its inputs and outputs lie is known only when its tasks begin");
    }
    if stage.attach.is_some() {
        return Some("a person sits at it");
    }
    if !stage.secrets.is_empty() {
        return Some("it has secrets, and what they hold now is not known");
    }
    if !stage.ports.is_empty() {
        return Some("it has ports, and what comes through them is not known");
    }
    (!stage.volumes.is_empty()).then_some("it has volumes, and what is behind them may have changed")
}

/// What a stage that begins depends on, but for its image and what lies at the places of its inputs.
#[must_use]
pub fn fields(begun: &Begun) -> Fields {
    let mut all = Fields::new();
    let stage = &begun.plan.stages[begun.stage.0 as usize];
    let mut add = |name: String, value: &Value| drop(all.insert(name, field(value)));
    // Maps of JSON are sorted by name here: equal values have equal texts.
    let Value::Object(own) = serde_json::to_value(stage).unwrap_or_default() else { return all };
    for (name, value) in own.iter().filter(|(name, value)| !ASIDE.contains(&name.as_str()) && !is_empty(value)) {
        match value {
            Value::Object(entries) if name == "env" => {
                entries.iter().for_each(|(variable, value)| add(format!("env {variable}"), value));
            }
            value => add(name.clone(), value),
        }
    }
    add("tasks".to_owned(), &begun.tasks.into());
    if let Some(items) = begun.items {
        add("items".to_owned(), &items.into());
    }
    for (name, value) in &begun.params {
        add(format!("param {name}"), &value.as_str().into());
    }
    for (id, need) in &stage.needs {
        let name = &begun.plan.stages[id.0 as usize].name;
        add(format!("need of {name}"), &serde_json::to_value(need).unwrap_or_default());
    }
    for (name, read) in &begun.read {
        let results = read.get("results").unwrap_or(read);
        add(format!("results of {name}"), results);
        if let Value::Object(rest) = read {
            let rest: serde_json::Map<_, _> = rest
                .iter()
                .filter(|(key, _)| *key != "results")
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            add(format!("end of {name}"), &Value::Object(rest));
        }
    }
    all
}

/// What tells one set of fields from others, fit for a file's name.
#[must_use]
pub fn key_of(fields: &Fields) -> String {
    let mut digest = Sha256::new();
    for (name, field) in fields {
        digest.update(name.as_bytes());
        digest.update([0]);
        digest.update(field.sum.as_bytes());
        digest.update([0]);
    }
    hex::encode(&digest.finalize()[..16])
}

fn field(value: &Value) -> Field {
    let json = value.to_string();
    let sum = hex::encode(&Sha256::digest(&json)[..12]);
    let text = value.as_str().map_or(json, str::to_owned);
    let short = text.chars().count() <= SHOWN && !text.contains('\n');
    Field { sum, text: if short { text } else { String::new() } }
}

/// A field that is not set counts as one that is not there: a version that does not know it writes nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
