//! Whether a stage may be taken from an earlier run: all that it depends on is the same.
//!
//! A key is one hash a field, so that it can be said what differs. Everything in a stage counts but what is known not to
//! change what its tasks do: a field that a later version adds counts by itself.

use std::collections::BTreeMap;

use dybox_job::{Each, Hook, Missed, Plan, Stage, Taken};
use dybox_model::StageId;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::earlier::Earlier;

/// What may differ: how much room, when, how often and where; and what is told in other words below.
const ASIDE: &[&str] = &[
    "ask",
    "elastic",
    "idle",
    "keep_failed",
    "missed",
    "needs",
    "placement",
    "profile",
    "pull",
    "registry_auth",
    "retry",
    "reuse",
    "stop_grace",
    "subdag",
    "taken",
    "timeout",
    "image",
    "cache",
];
/// What can change without a word of it in the plan: a stage that has any of these is not looked up.
const UNSEEN: &[&str] = &["volumes", "inputs", "outputs", "secrets"];

/// One hash a field.
pub type Key = BTreeMap<String, String>;

/// What a stage depends on. `image`: what its image's name stands for; `read`: the results of what it needs, by name.
#[must_use]
pub fn key(plan: &Plan, stage: &Stage, image: &str, read: &BTreeMap<&str, &[Option<String>]>) -> Key {
    let mut key = Key::new();
    let mut add = |field: &str, value: &Value| {
        key.insert(field.to_owned(), hex::encode(&Sha256::digest(value.to_string())[..12]));
    };
    // Maps of JSON are sorted by name here: equal values have equal texts.
    let Value::Object(fields) = serde_json::to_value(stage).unwrap_or_default() else { return key };
    for (field, value) in fields.iter().filter(|(field, value)| !ASIDE.contains(&field.as_str()) && !is_empty(value)) {
        add(field, value);
    }
    add("image", &Value::from(image));
    let needs = stage.needs.iter().map(|(id, need)| (&plan.stages[id.0 as usize].name, need));
    add("needs", &serde_json::to_value(needs.collect::<BTreeMap<_, _>>()).unwrap_or_default());
    add("params", &serde_json::to_value(&plan.params).unwrap_or_default());
    for (name, results) in read {
        add(&format!("results of {name}"), &serde_json::to_value(results).unwrap_or_default());
    }
    key
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

/// The fields in which two keys differ.
#[must_use]
pub fn differ(one: &Key, other: &Key) -> Vec<String> {
    let all = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    all.into_iter().filter(|field| one.get(*field) != other.get(*field)).cloned().collect()
}

/// Takes from earlier runs, the newest first, what they came to where everything is the same, and writes down why not
/// for the rest. `images`: what names of images stand for here, as far as that is known.
pub fn from_cache(plan: &mut Plan, earlier: &[Earlier], images: &BTreeMap<String, String>) {
    let mut open: Vec<usize> = (0..plan.stages.len()).collect();
    // Needs first, whatever the order of the file is.
    while let Some(at) = open.iter().position(|&stage| needs_of(plan, stage).all(|need| !open.contains(&need))) {
        let stage = open.remove(at);
        if plan.stages[stage].taken.is_none() {
            match look_up(plan, stage, earlier, images) {
                Ok(taken) => plan.stages[stage].taken = Some(taken),
                Err(missed) => plan.stages[stage].missed = Some(missed),
            }
        }
    }
}

/// What a stage waits for, and what it reads the results of.
fn needs_of(plan: &Plan, stage: usize) -> impl Iterator<Item = usize> + '_ {
    read_by(&plan.stages[stage]).map(|need| need.0 as usize)
}

fn read_by(stage: &Stage) -> impl Iterator<Item = StageId> + '_ {
    stage.needs.iter().map(|(need, _)| *need).chain(stage.late.reads.iter().copied())
}

/// Why what a stage does is known only when it begins.
fn decided_late(plan: &Plan, at: usize) -> Option<&'static str> {
    let late = &plan.stages[at].late;
    if late.last {
        return Some("it runs after everything, whatever became of it");
    }
    if late.image {
        return Some("its image is known only when it begins");
    }
    if matches!(late.each, Some(Each::Of(_))) {
        return Some("its tasks are known only when it begins");
    }
    let held = |hook: &Hook| hook.holds.iter().any(|held| held.0 as usize == at);
    plan.hooks.iter().any(held).then_some("a hook decides before it")
}

fn look_up(plan: &Plan, at: usize, earlier: &[Earlier], images: &BTreeMap<String, String>) -> Result<Taken, Missed> {
    let stage = &plan.stages[at];
    let because = |why: String| Missed { nearest: None, changed: vec![why] };
    let value = serde_json::to_value(stage).unwrap_or_default();
    if let Some(field) = UNSEEN.iter().find(|field| value.get(field).is_some_and(|value| !is_empty(value))) {
        return Err(because(format!("it has {field}, and what is behind them may have changed")));
    }
    if let Some(why) = decided_late(plan, at) {
        return Err(because(why.to_owned()));
    }
    let mut read = BTreeMap::new();
    for need in needs_of(plan, at).map(|need| &plan.stages[need]) {
        let Some(taken) = &need.taken else { return Err(because(format!("{} runs again", need.name))) };
        read.insert(need.name.as_str(), &taken.results[..]);
    }
    let Some(image) = meaning(&stage.image, images) else {
        return Err(because(format!("what {} stands for is not known here: write it with its digest", stage.image)));
    };
    let own = key(plan, stage, image, &read);
    let mut nearest: Option<Missed> = None;
    for one in earlier {
        let Some((id, done, run)) = one.stage(&stage.name) else { continue };
        let Some(changed) = changed(&own, one, id) else { continue };
        if changed.is_empty() {
            return Ok(Taken { from: Some(run), cached: true, results: done.results.clone() });
        }
        if nearest.as_ref().is_none_or(|nearest| changed.len() < nearest.changed.len()) {
            nearest = Some(Missed { nearest: Some(run), changed });
        }
    }
    Err(nearest.unwrap_or_else(|| because("it has not succeeded in any of the last runs of this job".to_owned())))
}

/// In which fields a stage of an earlier run differs; nothing where that can't be told.
fn changed(own: &Key, earlier: &Earlier, id: StageId) -> Option<Vec<String>> {
    let stage = &earlier.plan.stages[id.0 as usize];
    let image = meaning(&stage.image, &earlier.pins);
    let mut read = BTreeMap::new();
    for need in read_by(stage) {
        let name = earlier.plan.stages.get(need.0 as usize)?.name.as_str();
        read.insert(name, &earlier.done.get(&need)?.results[..]);
    }
    Some(differ(own, &key(&earlier.plan, stage, image.unwrap_or("not known"), &read)))
}

/// What an image's name stands for: a digest says it itself.
fn meaning<'a>(image: &'a str, ids: &'a BTreeMap<String, String>) -> Option<&'a str> {
    if image.contains("@sha256:") { Some(image) } else { ids.get(image).map(String::as_str) }
}

#[cfg(test)]
mod tests;
