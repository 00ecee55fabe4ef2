//! The words with which the registry says what a key takes, as shapes of JSON.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::fields::{Field, Scope};
use crate::units::SIZES;

/// A text with a template in it may stand for a value of any type.
const TEMPLATE: &str = "\\$\\{";

/// What shapes have in common.
pub(super) fn definitions() -> Map<String, Value> {
    let units: Vec<&str> = SIZES.iter().map(|(unit, _)| *unit).collect();
    let size = format!("^\\s*[0-9]+(\\.[0-9]+)?\\s*({})\\s*$|{TEMPLATE}", units.join("|"));
    let duration = format!("^\\s*([0-9]+\\s*(ms|s|m|h|d)\\s*)+$|{TEMPLATE}");
    let text = |pattern: &str, example: &str| json!({ "type": "string", "pattern": pattern, "examples": [example] });
    let all = [
        ("scalar", json!({ "type": ["string", "number", "boolean"] })),
        ("name", text("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "extract-2")),
        ("size", text(&size, "512MiB")),
        ("duration", text(&duration, "10m")),
        ("path", text(&format!("^/|{TEMPLATE}"), "/data")),
        ("template", json!({ "type": "string", "pattern": TEMPLATE })),
    ];
    all.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

/// What a key takes, by the words of the registry. Words that nobody has taught it take anything; a test looks for them.
pub(super) fn shape(field: &Field, scopes: &BTreeSet<String>) -> Value {
    let mut words = Vec::new();
    let mut shapes = Vec::new();
    for phrase in phrases(field.takes) {
        match known(field, phrase, scopes) {
            Some(shape) => shapes.push(shape),
            None if is_word(phrase) => words.push(json!(phrase)),
            None => return json!({}),
        }
    }
    if !words.is_empty() {
        shapes.insert(0, json!({ "enum": words }));
        if shapes.len() == 1 {
            shapes.push(reference("template"));
        }
    }
    match shapes.len() {
        0 => json!({}),
        1 => shapes.remove(0),
        _ => json!({ "anyOf": shapes }),
    }
}

/// Whether the words of a key are all known.
#[cfg(test)]
pub(super) fn understood(field: &Field, scopes: &BTreeSet<String>) -> bool {
    !field.takes.is_empty()
        && phrases(field.takes).into_iter().all(|phrase| known(field, phrase, scopes).is_some() || is_word(phrase))
}

fn is_word(phrase: &str) -> bool {
    !phrase.is_empty()
        && phrase.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// `auto, none or a number` in three. The comma of `a whole number, 1 to 9` parts nothing.
fn phrases(takes: &str) -> Vec<&str> {
    if takes.starts_with("a whole number, ") || takes.starts_with("a list of ") || takes == "true or false" {
        return vec![takes];
    }
    let parts = takes.split(", ").flat_map(|part| part.trim_start_matches("or ").split(" or "));
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// The same, or a text with a template in it.
fn or_template(shape: Value) -> Value {
    json!({ "anyOf": [shape, reference("template")] })
}

fn known(field: &Field, phrase: &str, scopes: &BTreeSet<String>) -> Option<Value> {
    let plural = field.name.strip_suffix('s').filter(|one| scopes.contains(*one));
    Some(match phrase {
        "1" => json!({ "enum": [1, "1"] }),
        "true or false" => or_template(json!({ "type": "boolean" })),
        "a size" => reference("size"),
        "a duration" => reference("duration"),
        "an absolute path" => reference("path"),
        "a number" if field.name == "split" => or_template(json!({ "type": "integer", "minimum": 1 })),
        "a number" => or_template(json!({ "type": "number", "exclusiveMinimum": 0 })),
        "a whole number" => or_template(json!({ "type": "integer" })),
        "a mapping" if scopes.contains(field.name) => reference(field.name),
        "a mapping" => match plural {
            Some(one) => json!({ "type": "object", "additionalProperties": reference(one) }),
            None => json!({ "type": "object" }),
        },
        "a list" => match plural {
            Some(one) => json!({ "type": "array", "items": reference(one) }),
            None => json!({ "type": "array" }),
        },
        "{labels: {...}}" => json!({ "type": "object" }),
        "a name" if matches!(field.scope, Scope::Top) => reference("name"),
        "a name" | "a text" | "a path" | "an image reference" | "an expression" => reference("scalar"),
        _ => longer(field, phrase)?,
    })
}

/// Phrases with something in them that changes from key to key.
fn longer(field: &Field, phrase: &str) -> Option<Value> {
    if let Some(range) = phrase.strip_prefix("a whole number, ") {
        let (least, most) = range.split_once(" to ")?;
        let (least, most): (i64, i64) = (least.parse().ok()?, most.parse().ok()?);
        return Some(or_template(json!({ "type": "integer", "minimum": least, "maximum": most })));
    }
    if phrase.starts_with("${") {
        return Some(reference("template"));
    }
    if phrase.starts_with("a value") || phrase.starts_with("an address") {
        return Some(json!({ "not": { "type": "null" } }));
    }
    if phrase == "a list of values" {
        return Some(json!({ "type": "array" }));
    }
    if phrase.starts_with("a mapping of ") {
        return Some(json!({ "type": "object" }));
    }
    if phrase.starts_with("a list of ") {
        /// Keys for which one text is a list of one.
        const ALSO_ONE: [&str; 6] = ["tmpfs", "apart_from", "avoid", "nodes", "racks", "after"];
        let list = json!({ "type": "array", "items": reference("scalar") });
        let one = ALSO_ONE.contains(&field.name);
        return Some(if one { json!({ "anyOf": [reference("scalar"), list] }) } else { list });
    }
    None
}
