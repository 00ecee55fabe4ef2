//! The JSON Schema of a job file, for editors and for programs that write job files. It is made of [`FIELDS`], as
//! `dybox explain` and the reference page are: a new key is in all of them at once.

mod phrase;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::fields::{FIELDS, Field, Scope};

/// What names the schema, with the version of the job file's format.
const ID: &str = "urn:dybox:job-file:1";
/// The dialect; every schema of DYbox is of it.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keys of a stage that `defaults` does not take.
const OF_ONE_STAGE: [&str; 9] =
    ["needs", "subdag", "queue", "node_label", "when", "each", "matrix", "results", "extends"];

/// The schema of a job file.
#[must_use]
pub fn schema() -> Value {
    let mut defs = Map::new();
    let scopes: BTreeSet<String> =
        FIELDS.iter().filter(|field| field.scope != Scope::Top).map(|field| name_of(field.scope)).collect();
    for field in FIELDS.iter().filter(|field| field.scope != Scope::Top) {
        let name = name_of(field.scope);
        if !defs.contains_key(&name) {
            defs.insert(name, object(&fields_of(field.scope), &scopes));
        }
    }
    let shared: Vec<&Field> =
        fields_of(Scope::Stage).into_iter().filter(|field| !OF_ONE_STAGE.contains(&field.name)).collect();
    defs.insert("defaults".to_owned(), object(&shared, &scopes));
    if let Some(stage) = defs.get_mut("stage").and_then(Value::as_object_mut) {
        let both = |one: &str, other: &str| json!({ "not": { "required": [one, other] } });
        stage.insert("allOf".to_owned(), json!([both("script", "command"), both("script", "entrypoint")]));
    }
    if let Some(hook) = defs.get_mut("hook").and_then(Value::as_object_mut) {
        hook.insert("required".to_owned(), json!(["after", "run"]));
    }
    if let Some(secret) = defs.get_mut("secret").and_then(Value::as_object_mut) {
        secret.insert("minProperties".to_owned(), json!(1));
        secret.insert("maxProperties".to_owned(), json!(1));
    }
    defs.extend(phrase::definitions());
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!(DIALECT));
    schema.insert("$id".to_owned(), json!(ID));
    schema.insert("title".to_owned(), json!("DYbox job file"));
    if let Value::Object(top) = object(&fields_of(Scope::Top), &scopes) {
        schema.extend(top);
    }
    schema.insert("required".to_owned(), json!(["stages"]));
    schema.insert("$defs".to_owned(), Value::Object(defs));
    Value::Object(schema)
}

/// `retry` of [`Scope::Retry`].
fn name_of(scope: Scope) -> String {
    format!("{scope:?}").to_lowercase()
}

/// Keys that are built: the parser refuses the others by name.
fn fields_of(scope: Scope) -> Vec<&'static Field> {
    FIELDS.iter().filter(|field| field.scope == scope && field.built).collect()
}

/// A mapping that takes these keys and no others.
fn object(fields: &[&Field], scopes: &BTreeSet<String>) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut shape = of_field(field, scopes);
        if let Some(shape) = shape.as_object_mut() {
            shape.insert("description".to_owned(), json!(described(field)));
        }
        properties.insert(field.name.to_owned(), shape);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn described(field: &Field) -> String {
    let mut text = field.meaning.to_owned();
    if !field.takes.is_empty() {
        text.push_str(&format!(" Takes {}.", field.takes));
    }
    if !field.default.is_empty() {
        text.push_str(&format!(" Default: {}.", field.default));
    }
    text
}

/// What a key takes: by its own rule where it has one, else by the words of the registry.
fn of_field(field: &Field, scopes: &BTreeSet<String>) -> Value {
    let texts = json!({ "$ref": "#/$defs/scalar" });
    match (field.scope, field.name) {
        (Scope::Top, "defaults") => json!({ "$ref": "#/$defs/defaults" }),
        (Scope::Top, "stages" | "on_exit") => {
            let least = usize::from(field.name == "stages");
            let names = json!({ "$ref": "#/$defs/name" });
            json!({ "type": "object", "minProperties": least, "propertyNames": names,
                    "additionalProperties": { "$ref": "#/$defs/stage" } })
        }
        (Scope::Top, "params") => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_]{0,62}$" },
            "additionalProperties": { "anyOf": [texts, { "type": "array" }, { "$ref": "#/$defs/param" }] },
        }),
        (Scope::Stage, "needs") => json!({ "anyOf": [
            { "type": "array", "items": { "$ref": "#/$defs/scalar" } },
            { "type": "object", "additionalProperties": { "enum": ["succeeded", "failed", "finished"] } },
        ] }),
        (Scope::Stage, "env") => json!({ "anyOf": [
            { "type": "object", "propertyNames": { "pattern": "^[^=\\s]+$" }, "additionalProperties": texts },
            { "type": "array", "items": { "type": "string", "pattern": "^[^=\\s]+=" } },
        ] }),
        (Scope::Stage, "results") => results(),
        (Scope::Top, "volumes") => json!({
            "type": "object",
            "propertyNames": { "$ref": "#/$defs/name" },
            "additionalProperties": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/volume" }] },
        }),
        (Scope::Top, "secrets") => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$" },
            "additionalProperties": { "$ref": "#/$defs/secret" },
        }),
        (Scope::Stage, "secrets") => json!({ "anyOf": [
            { "type": "array", "items": texts },
            { "type": "object",
              "additionalProperties": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/file" }] } },
        ] }),
        (Scope::Stage, "registry_auth") => json!({ "anyOf": [texts, { "$ref": "#/$defs/login" }] }),
        (Scope::File, "mode") => json!({ "type": ["string", "integer"] }),
        (Scope::Stage, "inputs" | "outputs") => json!({
            "type": "object",
            "propertyNames": { "pattern": "^/" },
            "additionalProperties": { "type": "string", "pattern": "^(hdfs://|file:///|\\./|run:)|\\$\\{" },
        }),
        (Scope::Stage, "profile") => json!({ "anyOf": [texts, { "type": "object" }] }),
        (Scope::Stage, "user") => json!({ "type": ["string", "integer"] }),
        (Scope::Retry, "on") => {
            let word = "^(any|oom|infra|image|timeout|idle|exit:[0-9]+(-[0-9]+)?|signal:[A-Z0-9]+)$|\\$\\{";
            let word = json!({ "type": "string", "pattern": word });
            json!({ "anyOf": [word, { "type": "array", "items": word }] })
        }
        // A default may be of any type, and so may the values to choose from.
        (Scope::Param, "default") => json!({ "not": { "type": "null" } }),
        (Scope::Param, "choices") => json!({ "type": "array", "minItems": 1 }),
        _ => phrase::shape(field, scopes),
    }
}

/// `results` of a stage.
fn results() -> Value {
    let word = json!({ "type": "string", "pattern": "^(string|int|float|bool|list|map|any)\\??$|\\$\\{" });
    let names = json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$" });
    let entries = json!({ "type": "object", "propertyNames": names, "minProperties": 1, "maxProperties": 100,
                          "additionalProperties": word });
    json!({ "anyOf": [word, entries] })
}

#[cfg(test)]
mod tests;
