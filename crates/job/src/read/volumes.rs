//! `volumes` at the top: the named ones, which a stage mounts by name.

use std::collections::BTreeMap;

use dybox_model::Keep;

use crate::fields::Scope;
use crate::node::Node;
use crate::reader::Reader;

/// Reads the named volumes and how long each is kept.
pub(crate) fn declared(reader: &mut Reader, node: &Node) -> BTreeMap<String, Keep> {
    let mut all = BTreeMap::new();
    for (key, node) in reader.entries(node, "volumes", "a mapping of names").unwrap_or_default() {
        if reader.check_name(&key.text, key.span, "a volume") {
            let keep = if node.is_null() { Keep::Always } else { keep(reader, node) };
            all.insert(key.text.clone(), keep);
        }
    }
    all
}

fn keep(reader: &mut Reader, node: &Node) -> Keep {
    let mut keep = Keep::Always;
    for (key, node) in reader.entries(node, "a volume", "a mapping, like { keep: false }").unwrap_or_default() {
        match key.text.as_str() {
            "keep" if reader.truth(node, "keep") == Some(false) => keep = Keep::Run,
            "keep" => {}
            _ => reader.unknown(Scope::Volume, key),
        }
    }
    keep
}
