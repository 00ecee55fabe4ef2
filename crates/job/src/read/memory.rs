//! `memory`: a size, or a request with a limit.

use dybox_model::format_bytes;

use super::limits;
use crate::draft::Memory;
use crate::fields::Scope;
use crate::node::{Node, Value};
use crate::reader::Reader;

/// A size is both; a mapping has `request` and `limit`.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> Option<Memory> {
    let Value::Map(_) = &node.value else {
        return limits::memory(reader, node, "memory").map(|request| Memory { request, limit: None });
    };
    let (mut request, mut limit) = (None, None);
    let takes = "a size, or a mapping like { request: 512MiB, limit: 4GiB }";
    for (key, node) in reader.entries(node, "memory", takes)? {
        match key.text.as_str() {
            "request" => request = Some(limits::memory(reader, node, "request")?),
            "limit" => limit = Some((limits::memory(reader, node, "limit")?, node.span)),
            _ => reader.unknown(Scope::Memory, key),
        }
    }
    let Some(request) = request else {
        reader.report.error("E0205", node.span, "\"memory\" has no request").help("add request:, or write one size");
        return None;
    };
    if let Some((limit, span)) = limit.filter(|(limit, _)| *limit < request) {
        let (limit, request) = (format_bytes(limit), format_bytes(request));
        let message = format!("the limit of {limit} is below the request of {request}");
        reader.report.error("E0207", span, message).help("write a limit that is no smaller than the request");
        return None;
    }
    Some(Memory { request, limit: limit.map(|(limit, _)| limit) })
}
