//! Values of expressions, from JSON and to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{ExecutionError, Value};
use serde_json::{Map as Object, Number, Value as Json};

/// A value as expressions have it: whole numbers are `int`, whatever their sign.
pub(crate) fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, float) => Value::Float(float.unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value_of).collect())),
        Json::Object(entries) => map_of(entries.iter().map(|(name, value)| (name.clone(), value_of(value)))),
    }
}

/// A mapping as expressions have it.
pub(crate) fn map_of(entries: impl Iterator<Item = (String, Value)>) -> Value {
    let map = entries.map(|(name, value)| (Key::from(name), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

/// What a value is, as a sentence has it.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::String(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        _ => "no plain value",
    }
}

/// A value as JSON; else what it is instead.
pub(crate) fn json_of(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(int) => Json::from(*int),
        Value::UInt(int) => Json::from(*int),
        Value::Float(float) => Json::Number(Number::from_f64(*float).ok_or("a number that is not finite")?),
        Value::String(text) => Json::String(text.to_string()),
        Value::List(items) => Json::Array(items.iter().map(json_of).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            // Sorted, for the order of a hash map differs from run to run.
            let sorted: BTreeMap<&Key, &Value> = map.map.iter().collect();
            let entry = |(key, value): (&Key, &Value)| Ok((key.to_string(), json_of(value)?));
            Json::Object(sorted.into_iter().map(entry).collect::<Result<Object<_, _>, String>>()?)
        }
        other => return Err(kind_of(other).to_owned()),
    })
}

/// How many items its longest list or mapping has.
pub(crate) fn longest(json: &Json) -> usize {
    match json {
        Json::Array(items) => items.iter().map(longest).max().unwrap_or_default().max(items.len()),
        Json::Object(entries) => entries.values().map(longest).max().unwrap_or_default().max(entries.len()),
        _ => 0,
    }
}

/// An item, or a parameter, as a variable of the environment: a text as it is, the rest as JSON.
#[must_use]
pub fn shown(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What went wrong, as the end of a sentence.
pub(crate) fn failure(error: ExecutionError) -> String {
    let text = match error {
        ExecutionError::UnsupportedBinaryOperator(name, left, right) => {
            let what = match name {
                "add" => "added",
                "sub" => "subtracted",
                "mul" => "multiplied",
                "div" | "rem" => "divided",
                _ => "put together",
            };
            format!("{} and {} can't be {what}", kind_of(&left), kind_of(&right))
        }
        ExecutionError::NoSuchKey(key) => format!("there is no {key:?} in it"),
        ExecutionError::UnsupportedIndex(_, of) => format!("{} has no such parts", kind_of(&of)),
        ExecutionError::IndexOutOfBounds(_) => "the list is shorter".to_owned(),
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} can't be compared to {}", kind_of(&left), kind_of(&right))
        }
        other => other.to_string(),
    };
    lower_first(&text)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_in_and_comes_out_the_same() {
        let text = r#"{"a":[1,-2,2.5,null,true],"b":{"c":"x"}}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(json_of(&value_of(&json)).unwrap().to_string(), text);
        assert_eq!(longest(&json), 5);
    }
}
