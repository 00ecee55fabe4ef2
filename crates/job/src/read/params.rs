//! `params`, and what the command line gives for them.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::is_hidden;
use crate::fields::Scope;
use crate::names::bad_param;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;
use crate::report::listed;
use crate::text::Span;

type Values = (BTreeMap<String, String>, BTreeSet<String>);

/// One declared parameter.
#[derive(Default)]
struct Param {
    default: Option<String>,
    required: bool,
    choices: Option<Vec<String>>,
}

/// A file without parameters: each that was given is unknown.
pub(crate) fn none(reader: &mut Reader, given: &BTreeMap<String, String>) -> Values {
    unknown(reader, given, &BTreeMap::new());
    Values::default()
}

/// The final values, and the names of those that have none though they must.
pub(crate) fn read(reader: &mut Reader, node: &Node, given: &BTreeMap<String, String>) -> Values {
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
                let variable = "DYBOX_PARAM_=".len() + name.len() + value.len();
                reader.report.check_length(&format!("the parameter {name:?}, as a variable,"), variable, key.span);
                values.insert(name.to_owned(), value);
            }
            None => drop(unset.insert(name.to_owned())),
        }
    }
    unknown(reader, given, &known);
    (values, unset)
}

fn declaration(reader: &mut Reader, node: &Node, name: &str) -> Option<Param> {
    let Value::Map(entries) = &node.value else {
        let takes = "a default value, or a mapping with default, required, choices";
        let text = reader.text(node, name, takes)?;
        return Some(Param { default: Some(text.value), ..Param::default() });
    };
    let mut param = Param::default();
    for (key, node) in entries {
        match key.text.as_str() {
            "default" => param.default = Some(reader.text(node, "default", "a text")?.value),
            "required" => param.required = reader.truth(node, "required")?,
            "choices" => {
                let choices = reader.texts(node, "choices")?;
                if choices.is_empty() {
                    let message = format!("the parameter {name:?} has no choice at all");
                    reader.report.error("E0207", node.span, message).help("list at least one value");
                    return None;
                }
                param.choices = Some(choices.into_iter().map(|choice| choice.value).collect());
            }
            "type" => kind(reader, node)?,
            _ => reader.unknown(Scope::Param, key),
        }
    }
    if let (Some(default), Some(choices)) = (&param.default, &param.choices)
        && !choices.contains(default)
    {
        let message = format!("the default {default:?} of the parameter {name:?} is none of its choices");
        let help = format!("the choices are {}", listed(choices.iter().map(String::as_str)));
        reader.report.error("E0703", node.span, message).help(help);
    }
    Some(param)
}

fn kind(reader: &mut Reader, node: &Node) -> Option<()> {
    let text = reader.text(node, "type", "string")?;
    if text.value != "string" {
        let message = format!("a parameter of type {:?} is not supported yet", text.value);
        reader.report.error("E0204", text.span, message).help("write type: string; int(params.n) makes a number of it");
    }
    Some(())
}

fn value(reader: &mut Reader, key: &Key, param: &Param, given: Option<&String>) -> Option<String> {
    let name = &key.text;
    let Some(value) = given else {
        if param.default.is_none() {
            let message = match param.required {
                true => format!("the parameter {name:?} is required and was not given"),
                false => format!("the parameter {name:?} has no default and was not given"),
            };
            reader.report.error("E0701", key.span, message).help(format!("add --param {name}=VALUE"));
        }
        return param.default.clone();
    };
    if let Some(choices) = param.choices.as_ref().filter(|choices| !choices.contains(value)) {
        let help = format!("the choices are {}", listed(choices.iter().map(String::as_str)));
        let message = format!("--param {name}={value}: {value:?} is none of the choices");
        reader.report.error("E0703", key.span, message).nearest(value, choices.iter().map(String::as_str)).help(help);
        return None;
    }
    if let Some(c) = value.chars().find(|&c| is_hidden(c) && c != '\n' && c != '\t') {
        let message = format!("--param {name} holds the invisible character U+{:04X}", c as u32);
        reader.report.error("E0117", key.span, message).help("take it out");
        return None;
    }
    Some(value.clone())
}

fn unknown(reader: &mut Reader, given: &BTreeMap<String, String>, known: &BTreeMap<&str, Span>) {
    for name in given.keys().filter(|name| !known.contains_key(name.as_str())) {
        let message = format!("--param {name}: the job has no parameter {name:?}");
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
