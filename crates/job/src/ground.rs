//! What stages that hooks add start from: the file's `defaults`, `templates` and named volumes, as one text that goes with
//! the plan. The file itself may be on another machine by then.

use crate::node::{Key, Kind, Node, Value};
use crate::read::env_of_files;
use crate::reader::Reader;

/// What of the top of a file holds for added stages, too.
const KEYS: [&str; 4] = ["defaults", "templates", "volumes", "rightsize"];

/// The text, for a file that has hooks.
pub(crate) fn of(reader: &mut Reader, entries: &[(Key, Node)]) -> Option<String> {
    entries.iter().find(|(key, _)| key.text == "hooks")?;
    let mut out = String::from("{");
    for (key, node) in entries.iter().filter(|(key, _)| KEYS.contains(&key.text.as_str())) {
        let mut node = node.clone();
        match (key.text.as_str(), &mut node.value) {
            ("defaults", _) => bring_files(reader, &mut node),
            ("templates", Value::Map(all)) => all.iter_mut().for_each(|(_, node)| bring_files(reader, node)),
            _ => {}
        }
        comma(&mut out);
        write_key(&mut out, key);
        write(&mut out, &node);
    }
    out.push('}');
    Some(out)
}

/// The variables of an `env_file` as if they were written under `env`: the files stay where the job file is.
fn bring_files(reader: &mut Reader, node: &mut Node) {
    let Value::Map(entries) = &mut node.value else { return };
    let Some(at) = entries.iter().position(|(key, _)| key.text == "env_file") else { return };
    let (key, files) = entries.remove(at);
    // What is wrong with them was said where they were read.
    let known = reader.report.found.len();
    let brought = env_of_files(reader, &files);
    reader.report.found.truncate(known);
    let literal = |text: String| Node::text(text.replace("${", "$${"));
    let mut all: Vec<(Key, Node)> =
        brought.into_iter().map(|(name, value)| (Key { text: name, span: key.span }, literal(value))).collect();
    match entries.iter_mut().find(|(key, _)| key.text == "env") {
        Some((_, Node { value: Value::Map(own), .. })) => {
            all.retain(|(key, _)| !own.iter().any(|(known, _)| known.text == key.text));
            own.extend(all);
        }
        // A list of KEY=value.
        Some((_, Node { value: Value::List(own), .. })) => {
            let pair = |(key, node): (Key, Node)| match node.value {
                Value::Scalar(value) => Node::text(format!("{}={}", key.text, value.text)),
                _ => node,
            };
            own.splice(0..0, all.into_iter().map(pair));
        }
        _ => entries
            .push((Key { text: "env".to_owned(), span: key.span }, Node { span: key.span, value: Value::Map(all) })),
    }
}

fn comma(out: &mut String) {
    if !out.ends_with(['{', '[']) {
        out.push_str(", ");
    }
}

fn write_key(out: &mut String, key: &Key) {
    out.push_str(&quoted(&key.text));
    out.push_str(": ");
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// As JSON, but for plain scalars that YAML gives a type: they stay as they are written.
fn write(out: &mut String, node: &Node) {
    match &node.value {
        Value::Bad => out.push_str("null"),
        Value::Scalar(scalar) if scalar.kind() == Kind::Text => out.push_str(&quoted(&scalar.text)),
        Value::Scalar(scalar) if scalar.text.is_empty() => out.push_str("null"),
        Value::Scalar(scalar) => out.push_str(&scalar.text),
        Value::List(items) => {
            out.push('[');
            for item in items {
                comma(out);
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (key, node) in entries {
                comma(out);
                write_key(out, key);
                write(out, node);
            }
            out.push('}');
        }
    }
}
