//! `idle`: a duration, or one with what counts as use.

use dybox_model::Idle;

use super::limits;
use crate::fields::Scope;
use crate::node::{Node, Value};
use crate::reader::Reader;

/// Thousandths of a cpu that are use where the file does not say: servers that only wait for somebody stay below.
const CPU_MILLI: u32 = 10;

/// A duration is `after`; a mapping has `after` and `cpus`.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> Option<Idle> {
    let Value::Map(_) = &node.value else {
        return reader.duration(node, "idle", false).map(|after| Idle { after, cpu_milli: CPU_MILLI });
    };
    let (mut after, mut cpu_milli, mut given) = (None, Some(CPU_MILLI), false);
    for (key, node) in reader.entries(node, "idle", "a duration, or a mapping like { after: 10m, cpus: 0.05 }")? {
        match key.text.as_str() {
            "after" => {
                given = true;
                after = reader.duration(node, "after", false);
            }
            "cpus" => cpu_milli = limits::thousandths(reader, node).map(|cpus| cpus.value),
            _ => reader.unknown(Scope::Idle, key),
        }
    }
    if !given {
        reader.report.error("E0205", node.span, "\"idle\" has no after").help("add after:, or write one duration");
    }
    Some(Idle { after: after?, cpu_milli: cpu_milli? })
}
