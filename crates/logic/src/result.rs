//! Whether a task wrote the result that its stage declares.

use dybox_model::{Cause, Declared, Exit, ResultType, ValueKind};
use serde_json::Value;

/// Characters of a text that are shown.
const SHOWN: usize = 40;
/// Names, or things that are wrong, that are listed.
const LISTED: usize = 5;

/// Makes a failure of a success whose result is not what is declared; a failure stays what it is.
pub fn hold_to(declared: Option<&Declared>, exit: &mut Exit) {
    let Some(declared) = declared.filter(|_| exit.ok()) else { return };
    if let Err(why) = check(declared, exit.result.as_deref()) {
        exit.cause = Some(Cause::BadResult);
        exit.text = why;
    }
}

/// Whether a result, as JSON text, is what is declared; nothing = none was written.
///
/// # Errors
/// All that is wrong with it, as a sentence.
pub fn check(declared: &Declared, result: Option<&str>) -> Result<(), String> {
    let value = result.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or(Value::Null));
    let entries = match declared {
        Declared::Whole(of) if is(*of, &value) => return Ok(()),
        Declared::Whole(of) if value.is_null() => return Err(nothing(of.kind.words())),
        Declared::Whole(of) => {
            return Err(format!("it is {}, and `results` declares {}", found(&value), of.kind.words()));
        }
        Declared::Entries(entries) => entries,
    };
    let none = serde_json::Map::new();
    let written = match &value {
        Value::Object(written) => written,
        Value::Null if entries.values().all(|of| of.optional) => return Ok(()),
        Value::Null => return Err(nothing(&format!("a mapping with {}", listed(entries.keys())))),
        other => {
            let wanted = listed(entries.keys());
            return Err(format!("it is {}, and `results` declares a mapping with {wanted}", found(other)));
        }
    };
    let wrong: Vec<String> = entries
        .iter()
        .filter_map(|(name, of)| {
            let value = written.get(name).unwrap_or(&Value::Null);
            (!is(*of, value)).then(|| match value {
                Value::Null => format!("it has no {name:?}, which `results` declares as {}", of.kind.words()),
                value => format!("{name:?} is {}, and `results` declares {}", found(value), of.kind.words()),
            })
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let more = if wrong.len() > LISTED { format!("; and {} more", wrong.len() - LISTED) } else { String::new() };
    let mut text = format!("{}{more}", wrong[..wrong.len().min(LISTED)].join("; "));
    if wrong.iter().any(|one| one.starts_with("it has no ")) {
        let has = if written == &none { "nothing".to_owned() } else { listed(written.keys()) };
        text.push_str(&format!(" (it has {has})"));
    }
    Err(text)
}

fn is(of: ResultType, value: &Value) -> bool {
    match (of.kind, value) {
        (_, Value::Null) => of.optional,
        (ValueKind::String, value) => value.is_string(),
        (ValueKind::Int, value) => value.is_i64(),
        (ValueKind::Float, value) => value.is_number(),
        (ValueKind::Bool, value) => value.is_boolean(),
        (ValueKind::List, value) => value.is_array(),
        (ValueKind::Map, value) => value.is_object(),
        (ValueKind::Any, _) => true,
    }
}

fn nothing(wanted: &str) -> String {
    format!("nothing was written to $DYBOX_RESULT, and `results` declares {wanted}")
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => match text.char_indices().nth(SHOWN) {
            Some((cut, _)) => format!("the text {:?}...", &text[..cut]),
            None => format!("the text {text:?}"),
        },
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    names.sort_unstable();
    let shown = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED { format!("{shown} and {} more", names.len() - LISTED) } else { shown }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dybox_model::Millis;

    use super::*;

    fn declared(entries: &[(&str, &str)]) -> Declared {
        let entries = entries.iter().map(|(name, of)| ((*name).to_owned(), ResultType::parse(of).unwrap()));
        Declared::Entries(entries.collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn what_is_declared_is_there_and_of_its_type() {
        let all = declared(&[
            ("a", "any"),
            ("b", "bool"),
            ("f", "float"),
            ("i", "int"),
            ("l", "list"),
            ("m", "map"),
            ("s", "string"),
        ]);
        let good = r#"{"a":[1],"b":false,"f":2,"i":-3,"l":[],"m":{},"s":"","more":1}"#;
        assert_eq!(check(&all, Some(good)), Ok(()));
        let of = |name: &str, value: &str| {
            let mut json: Value = serde_json::from_str(good).unwrap();
            json[name] = serde_json::from_str(value).unwrap();
            check(&all, Some(&json.to_string()))
        };
        for (name, value, why) in [
            ("i", "3.0", "\"i\" is the number 3.0, and `results` declares a whole number"),
            (
                "i",
                "9223372036854775808",
                "\"i\" is the number 9223372036854775808, and `results` declares a whole number",
            ),
            ("s", "3", "\"s\" is the number 3, and `results` declares a text"),
            ("b", "\"true\"", "\"b\" is the text \"true\", and `results` declares true or false"),
            ("f", "\"1\"", "\"f\" is the text \"1\", and `results` declares a number"),
            ("l", "{}", "\"l\" is a mapping, and `results` declares a list"),
            ("m", "[]", "\"m\" is a list, and `results` declares a mapping"),
        ] {
            assert_eq!(of(name, value), Err(why.to_owned()));
        }
        assert!(of("a", "null").unwrap_err().starts_with("it has no \"a\", which `results` declares as a value"));
    }

    #[test]
    fn what_is_missing_is_named_beside_what_is_there() {
        let all = declared(&[("note", "string?"), ("rows", "int")]);
        let why = "it has no \"rows\", which `results` declares as a whole number (it has \"name\", \"rwos\")";
        assert_eq!(check(&all, Some(r#"{"rwos":3,"name":"x"}"#)), Err(why.to_owned()));
        assert!(check(&all, Some("{}")).unwrap_err().ends_with("(it has nothing)"));
        assert_eq!(check(&all, Some(r#"{"rows":3,"note":null}"#)), Ok(()));
        let why = "nothing was written to $DYBOX_RESULT, and `results` declares a mapping with \"note\", \"rows\"";
        assert_eq!(check(&all, None), Err(why.to_owned()));
        let why = "it is the text \"3 rows\", and `results` declares a mapping with \"note\", \"rows\"";
        assert_eq!(check(&all, Some("\"3 rows\"")), Err(why.to_owned()));
        assert_eq!(check(&declared(&[("note", "string?")]), None), Ok(()));
    }

    #[test]
    fn a_whole_value_may_be_declared_too() {
        let whole = |of: &str| Declared::Whole(ResultType::parse(of).unwrap());
        assert_eq!(check(&whole("list"), Some("[1]")), Ok(()));
        assert_eq!(check(&whole("list"), Some("{}")), Err("it is a mapping, and `results` declares a list".to_owned()));
        assert!(check(&whole("int"), None).unwrap_err().starts_with("nothing was written"));
        assert_eq!(check(&whole("int?"), None), Ok(()));
        assert_eq!(check(&whole("any"), Some("\"x\"")), Ok(()));
    }

    #[test]
    fn only_a_success_is_held_to_it() {
        let wanted = declared(&[("rows", "int")]);
        let mut exit = Exit { cause: None, code: Some(0), ..Exit::not_started(Cause::Oom, "", Millis(0)) };
        hold_to(None, &mut exit);
        assert!(exit.ok());
        hold_to(Some(&wanted), &mut exit);
        assert_eq!(exit.cause, Some(Cause::BadResult));
        let mut failed = Exit::not_started(Cause::Oom, "too much", Millis(0));
        hold_to(Some(&wanted), &mut failed);
        assert_eq!((failed.cause, failed.text.as_str()), (Some(Cause::Oom), "too much"));
    }
}
