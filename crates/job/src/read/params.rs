//! `params`, and what the command line gives for them.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::ValueKind;
use serde_json::Value as Json;

use crate::Submit;
use crate::diagnostic::is_hidden;
use crate::fields::Scope;
use crate::load::load;
use crate::names::bad_param;
use crate::node::{Key, Node, Value};
use crate::param::{ParamRule, WORDS};
use crate::reader::Reader;
use crate::report::{Report, listed};
use crate::text::{Span, Text, decode};
use crate::values::shown;

type Values = (BTreeMap<String, Json>, BTreeSet<String>);

/// What was given for a parameter, and how: `--param day=1`.
pub(crate) struct Given {
    what: What,
    how: String,
}

enum What {
    Text(String),
    Value(Json),
}

/// One declared parameter.
#[derive(Default)]
struct Param {
    default: Option<Json>,
    required: bool,
    rule: ParamRule,
}

/// All that the command line gives: of the file first, then each by itself.
pub(crate) fn given(reader: &mut Reader, submit: &Submit) -> BTreeMap<String, Given> {
    let mut given = BTreeMap::new();
    if let Some((name, bytes)) = &submit.params_file {
        match decode(name, "the file of --params", bytes) {
            Ok(text) => of_file(reader, name, text, &mut given),
            Err(wrong) => reader.report.found.push(*wrong),
        }
    }
    for (name, text) in &submit.params {
        let how = format!("--param {name}={text}");
        given.insert(name.clone(), Given { what: What::Text(text.clone()), how });
    }
    given
}

fn of_file(reader: &mut Reader, name: &str, text: &str, given: &mut BTreeMap<String, Given>) {
    let text = Text::new(name, text);
    let mut own = Reader::new(Report::new(&text), reader.world, reader.dir);
    let root = load(&mut own.report);
    let entries = root.as_ref().and_then(|root| own.entries(root, "params", "a mapping of names to values"));
    for (key, node) in entries.unwrap_or_default() {
        let how = format!("{name}: {}", key.text);
        // What looks like a number may be meant as text.
        let what = match &node.value {
            Value::Scalar(scalar) if !node.is_null() => Some(What::Text(scalar.text.clone())),
            _ => own.json(node, &key.text).map(What::Value),
        };
        given.extend(what.map(|what| (key.text.clone(), Given { what, how })));
    }
    reader.report.found.extend(own.report.into_sorted());
}

/// A file without parameters: each that was given is unknown.
pub(crate) fn none(reader: &mut Reader, given: &BTreeMap<String, Given>) -> Values {
    unknown(reader, given, &BTreeMap::new());
    Values::default()
}

/// The final values, and the names of those that have none though they must.
pub(crate) fn read(
    reader: &mut Reader,
    node: &Node,
    given: &BTreeMap<String, Given>,
    rules: &mut BTreeMap<String, ParamRule>,
) -> Values {
    let Some(entries) = reader.entries(node, "params", "a mapping of names to values") else {
        return Values::default();
    };
    let (mut values, mut unset) = Values::default();
    let mut known: BTreeMap<&str, Span> = BTreeMap::new();
    let mut upper: BTreeMap<String, &Key> = BTreeMap::new();
    for (key, node) in entries {
        let name = key.text.as_str();
        known.insert(name, key.span);
        if let Some(why) = bad_param(name) {
            let message = format!("{name:?} can't name a parameter");
            reader.report.error("E0301", key.span, message).label(why).help("rename it, like input_day");
            unset.insert(name.to_owned());
            continue;
        }
        if let Some(other) = upper.insert(name.to_uppercase(), key) {
            let message = format!("the parameters {:?} and {name:?} are equal but for case", other.text);
            let note = format!("both would be DYBOX_PARAM_{} in the tasks", name.to_uppercase());
            reader.report.error("E0302", key.span, message).note(note).help("rename one of them");
        }
        let Some(param) = declaration(reader, node, name) else {
            unset.insert(name.to_owned());
            continue;
        };
        match value(reader, key, &param, given.get(name)) {
            Some(value) => {
                let variable = "DYBOX_PARAM_=".len() + name.len() + shown(&value).len();
                reader.report.check_length(&format!("the parameter {name:?}, as a variable,"), variable, key.span);
                values.insert(name.to_owned(), value);
            }
            None => drop(unset.insert(name.to_owned())),
        }
        if param.rule != ParamRule::default() {
            rules.insert(name.to_owned(), param.rule);
        }
    }
    unknown(reader, given, &known);
    (values, unset)
}

fn declaration(reader: &mut Reader, node: &Node, name: &str) -> Option<Param> {
    let Value::Map(entries) = &node.value else {
        let takes = "a default value, or a mapping with default, required, choices";
        let text = reader.text(node, name, takes)?;
        return Some(Param { default: Some(Json::String(text.value)), ..Param::default() });
    };
    let mut param = Param::default();
    if let Some((_, node)) = entries.iter().find(|(key, _)| key.text == "type") {
        param.rule.kind = ValueKind::ALL[reader.choice(node, "type", WORDS)?];
    }
    for (key, node) in entries {
        match key.text.as_str() {
            "type" => {}
            "default" => param.default = Some(typed(reader, node, "default", &param.rule)?),
            "required" => param.required = reader.truth(node, "required")?,
            "description" => drop(reader.text(node, "description", "a text")?),
            "choices" => param.rule.choices = choices(reader, node, name, &param.rule)?,
            _ => reader.unknown(Scope::Param, key),
        }
    }
    if let (Some(default), choices) = (&param.default, &param.rule.choices)
        && !choices.is_empty()
        && !choices.contains(default)
    {
        let message = format!("the default {:?} of the parameter {name:?} is none of its choices", shown(default));
        let choices: Vec<String> = choices.iter().map(shown).collect();
        let help = format!("the choices are {}", listed(choices.iter().map(String::as_str)));
        reader.report.error("E0703", node.span, message).help(help);
    }
    Some(param)
}

fn choices(reader: &mut Reader, node: &Node, name: &str, rule: &ParamRule) -> Option<Vec<Json>> {
    let Value::List(items) = &node.value else {
        reader.wrong_type(node, "choices", "a list of texts");
        return None;
    };
    if items.is_empty() {
        let message = format!("the parameter {name:?} has no choice at all");
        reader.report.error("E0207", node.span, message).help("list at least one value");
        return None;
    }
    items.iter().map(|item| typed(reader, item, "choices", rule)).collect()
}

/// A value of the file, of the parameter's type. Any scalar is a text.
fn typed(reader: &mut Reader, node: &Node, name: &str, rule: &ParamRule) -> Option<Json> {
    if rule.kind == ValueKind::String {
        return reader.text(node, name, "a text").map(|text| Json::String(text.value));
    }
    let value = reader.json(node, name)?;
    let taken = rule.take(value);
    if taken.is_none() {
        reader.wrong_type(node, name, rule.takes());
    }
    taken
}

fn value(reader: &mut Reader, key: &Key, param: &Param, given: Option<&Given>) -> Option<Json> {
    let name = &key.text;
    let Some(Given { what, how }) = given else {
        if param.default.is_none() {
            let message = match param.required {
                true => format!("the parameter {name:?} is required and was not given"),
                false => format!("the parameter {name:?} has no default and was not given"),
            };
            reader.report.error("E0701", key.span, message).help(format!("add --param {name}=VALUE"));
        }
        return param.default.clone();
    };
    let rule = &param.rule;
    let value = match what {
        What::Text(text) => rule.parse(text),
        What::Value(value) => rule.take(value.clone()),
    };
    let Some(value) = value else {
        let message = format!("{how}: the parameter {name:?} takes {}", rule.takes());
        let help = match rule.kind {
            ValueKind::List => "write JSON, like '[\"a\", \"b\"]'".to_owned(),
            ValueKind::Map => "write JSON, like '{\"a\": 1}'".to_owned(),
            _ => format!("give it {}", rule.takes()),
        };
        reader.report.error("E0704", key.span, message).help(help);
        return None;
    };
    let text = shown(&value);
    if !param.rule.choices.is_empty() && !param.rule.choices.contains(&value) {
        let choices: Vec<String> = param.rule.choices.iter().map(shown).collect();
        let words = choices.iter().map(String::as_str);
        let help = format!("the choices are {}", listed(words.clone()));
        let message = format!("{how}: {text:?} is none of the choices");
        reader.report.error("E0703", key.span, message).nearest(&text, words).help(help);
        return None;
    }
    if let Some(c) = text.chars().find(|&c| is_hidden(c) && c != '\n' && c != '\t') {
        let message = format!("--param {name} holds the invisible character U+{:04X}", c as u32);
        reader.report.error("E0117", key.span, message).help("take it out");
        return None;
    }
    Some(value)
}

fn unknown(reader: &mut Reader, given: &BTreeMap<String, Given>, known: &BTreeMap<&str, Span>) {
    for (name, given) in given.iter().filter(|(name, _)| !known.contains_key(name.as_str())) {
        let message = match given.how.starts_with("--param ") {
            true => format!("--param {name}: the job has no parameter {name:?}"),
            false => format!("{}: the job has no parameter {name:?}", given.how),
        };
        let names = known.keys().copied();
        let near = crate::report::nearest(name, names.clone());
        let help = match (near, known.len()) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, 0) => "the job has no parameters: take --param away".to_owned(),
            (None, _) => format!("the parameters are {}", listed(names)),
        };
        reader.report.error("E0702", Span::NOWHERE, message).help(help);
    }
}
