//! `hooks`.

use dybox_model::format_bytes;

use crate::draft::Hook;
use crate::fields::Scope;
use crate::node::{Node, Value};
use crate::reader::Reader;

/// Reads the list of hooks.
pub(crate) fn all(reader: &mut Reader, node: &Node) -> Vec<Hook> {
    let Value::List(items) = &node.value else {
        reader.wrong_type(node, "hooks", "a list of hooks");
        return Vec::new();
    };
    items.iter().filter_map(|item| one(reader, item)).collect()
}

fn one(reader: &mut Reader, node: &Node) -> Option<Hook> {
    let entries = reader.entries(node, "hooks", "hooks, each a mapping with after and run")?;
    let mut hook = Hook { span: node.span, after: Vec::new(), run: Vec::new(), timeout: None, memory: None };
    if let Some((key, _)) = entries.first() {
        hook.span = key.span;
    }
    for (key, node) in entries {
        match key.text.as_str() {
            "after" => hook.after = reader.text_or_texts(node, "after").unwrap_or_default(),
            "run" => {
                let words = reader.texts(node, "run").unwrap_or_default();
                hook.run = words.into_iter().map(|word| word.value).collect();
            }
            "timeout" => hook.timeout = reader.duration(node, "timeout", false),
            "memory" => hook.memory = memory(reader, node),
            _ => reader.unknown(Scope::Hook, key),
        }
    }
    for (name, empty) in [("after", hook.after.is_empty()), ("run", hook.run.is_empty())] {
        let value = entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
        let listed = matches!(value.map(|node| &node.value), Some(Value::List(items)) if items.is_empty());
        if empty && (value.is_none() || listed) {
            let (code, message) = match listed {
                true => ("E0207", format!("{name:?} of the hook is empty")),
                false => ("E0205", format!("the hook has no {name:?}")),
            };
            let span = value.map_or(hook.span, |value| value.span);
            let help = match name {
                "after" => "name the stages whose end it waits for: after: [extract]",
                _ => "name its program: run: [\"python3\", \"decide.py\"]",
            };
            reader.report.error(code, span, message).help(help);
        }
    }
    Some(hook)
}

/// Address space in bytes; less than the least lets no program start.
fn memory(reader: &mut Reader, node: &Node) -> Option<u64> {
    const LEAST: u64 = 16 << 20;
    let size = reader.size(node, "memory")?;
    if size.value < LEAST {
        let message = format!("a hook can't run in {}", format_bytes(size.value));
        reader.report.error("E0213", size.span, message).help("write 16MiB or more");
        return None;
    }
    Some(size.value)
}
