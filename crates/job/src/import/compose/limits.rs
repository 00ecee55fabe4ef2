//! How much a service may use: the old keys and `deploy`.

use super::Compose;
use crate::fields::Scope;
use crate::import::out::{Mapping, Out};
use crate::import::{is_built, quantity};
use crate::node::{Node, Value};
use crate::reader::Reader;

/// Keys that are read here.
pub(super) const KEYS: [&str; 10] = [
    "deploy",
    "mem_limit",
    "mem_reservation",
    "cpus",
    "cpu_count",
    "pids_limit",
    "shm_size",
    "scale",
    "memswap_limit",
    "gpus",
];

/// Reads them all.
pub(super) fn of(compose: &mut Compose, reader: &mut Reader, service: &Node, stage: &mut Mapping) {
    let deploy = service.get("deploy");
    let resources = deploy.and_then(|deploy| deploy.get("resources"));
    let limits = resources.and_then(|resources| resources.get("limits"));
    let reserved = resources.and_then(|resources| resources.get("reservations"));
    let either = |own: &str, below: &str| service.get(own).or_else(|| limits.and_then(|limits| limits.get(below)));
    let cpus = either("cpus", "cpus").or_else(|| reserved.and_then(|reserved| reserved.get("cpus")));
    put(compose, reader, stage, ("cpus", cpus, quantity::cpus));
    let memory = either("mem_limit", "memory").or_else(|| reserved.and_then(|reserved| reserved.get("memory")));
    put(compose, reader, stage, ("memory", memory, quantity::compose_size));
    put(compose, reader, stage, ("shm_size", service.get("shm_size"), quantity::compose_size));
    let count = |text: &str| text.parse::<u64>().ok().filter(|&count| count > 1).map(|count| count.to_string());
    put(compose, reader, stage, ("pids", either("pids_limit", "pids"), count));
    let replicas = service.get("scale").or_else(|| deploy.and_then(|deploy| deploy.get("replicas")));
    let many = replicas.filter(|node| node.said() != Some("1"));
    put(compose, reader, stage, ("parallelism", many, count));
    rest(reader, stage, service, deploy);
}

type Read = fn(&str) -> Option<String>;

fn put(
    compose: &mut Compose,
    reader: &mut Reader,
    stage: &mut Mapping,
    (name, node, read): (&str, Option<&Node>, Read),
) {
    let Some(node) = node else { return };
    let Some(text) = reader.text(node, name, "a text or a number") else { return };
    let filled = compose.variables.fill(&text.value);
    if filled.contains("${") {
        stage.note(format!(
            "{name} ({}): {}, a variable; write a number with its unit",
            reader.line(node.span),
            text.value
        ));
        return;
    }
    match read(&text.value) {
        Some(value) => stage.put(name, Out::plain(value)),
        None => stage.note(format!("{name} ({}): {} is not understood", reader.line(node.span), text.value)),
    }
}

/// What of `deploy` has no counterpart, or another one.
fn rest(reader: &Reader, stage: &mut Mapping, service: &Node, deploy: Option<&Node>) {
    let gpus = service.get("gpus").or_else(|| deploy?.get("resources")?.get("reservations")?.get("devices"));
    if let Some(gpus) = gpus {
        let line = reader.line(gpus.span);
        let why =
            if is_built(Scope::Stage, "gpus") { "write gpus:" } else { "graphics processors are not supported yet" };
        stage.note(format!("gpus ({line}): {why}"));
    }
    let Some(Value::Map(entries)) = deploy.map(|deploy| &deploy.value) else { return };
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_null()) {
        match key.text.as_str() {
            "resources" | "replicas" => {}
            "restart_policy" => {
                let max = node.get("max_attempts").and_then(Node::said).and_then(|text| text.parse::<u32>().ok());
                let failing = node.get("condition").and_then(Node::said).is_some_and(|word| word == "on-failure");
                match max.filter(|_| failing && !stage.has("retry")) {
                    Some(max) => stage.put("retry", Out::Flow(vec![("max".to_owned(), Out::plain(max.min(100)))])),
                    None => reader.no_counterpart(stage, key, "a stage that ends well has ended"),
                }
            }
            _ => reader.no_counterpart(stage, key, ""),
        }
    }
}
