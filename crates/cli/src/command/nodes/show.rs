//! The roster as a table and as JSON.

use dybox_model::roster::{Arrival, Disk, Health, NodeView, Pressure, words};
use dybox_model::sweep::Sweep;
use dybox_model::{Millis, format_bytes, format_duration};
use serde_json::{Map, Value, json};

use crate::report::time::{ago, now, rfc3339, seconds};
use crate::report::{Answer, Paint, Screen, table_text};

/// A clock that is further away is worth a word.
const AHEAD: u64 = 60_000;

pub(super) fn answer(screen: &Screen, server: &str, nodes: &[NodeView], whole: bool) -> Answer {
    let mut table = screen.table(&["HOST", "HEALTH", "SINCE", "RUNNING", "IMAGES", "FREE", "ENGINE", "WHY"]);
    for node in nodes {
        table.add_row([
            node.host.clone(),
            screen.paint(paint(node), &word(node)),
            ago(now(), node.since),
            node.pulse.running.to_string(),
            node.images.to_string(),
            tightest(node).map_or_else(|| "-".to_owned(), |disk| format_bytes(disk.free)),
            if node.facts.engine.is_empty() { "-".to_owned() } else { node.facts.engine.clone() },
            why(node),
        ]);
    }
    let mut text = table_text(table, &[3, 4, 5]);
    if let (true, [node]) = (whole, nodes) {
        text.push_str(&details(screen, node));
    }
    Answer {
        kind: "nodes",
        items: nodes.iter().map(|node| json_of(node, whole)).collect(),
        extra: Map::from_iter([("server".to_owned(), json!(server))]),
        names: nodes.iter().map(|node| node.host.clone()).collect(),
        text,
    }
}

fn word(node: &NodeView) -> String {
    if node.mark.drained { format!("{}, drained", node.health) } else { node.health.to_string() }
}

fn paint(node: &NodeView) -> Paint {
    match node.health {
        _ if node.mark.drained => Paint::Warn,
        Health::Healthy => Paint::Good,
        Health::Degraded => Paint::Warn,
        Health::Unusable => Paint::Bad,
        Health::Unknown => Paint::Dim,
    }
}

/// What keeps tasks away, or may.
fn why(node: &NodeView) -> String {
    let mut all: Vec<String> = node.mark.drained.then(|| node.closed().unwrap_or_default()).into_iter().collect();
    if !node.ills.is_empty() {
        all.push(words(&node.ills));
    }
    if node.health == Health::Unknown {
        all.push(match node.silent {
            Millis(0) => "no report since the server started".to_owned(),
            silent => format!("no report for {}", format_duration(silent)),
        });
    }
    if node.clock_ahead.unsigned_abs() > AHEAD {
        let way = if node.clock_ahead > 0 { "ahead" } else { "behind" };
        all.push(format!("its clock is {} {way}", format_duration(Millis(node.clock_ahead.unsigned_abs()))));
    }
    all.join("; ")
}

fn tightest(node: &NodeView) -> Option<&Disk> {
    node.pulse.disks.iter().min_by_key(|disk| disk.free.saturating_mul(1000) / disk.total.max(1))
}

fn details(screen: &Screen, node: &NodeView) -> String {
    let facts = &node.facts;
    let mut text = format!(
        "\n{}\n  engine {} ({}, cgroup v{}), kernel {}, agent {}",
        screen.paint(Paint::Bold, "facts"),
        facts.engine,
        facts.storage,
        facts.cgroup,
        facts.kernel,
        facts.agent
    );
    if let Some(yarn) = &facts.yarn {
        text.push_str(&format!(", YARN {yarn}"));
    }
    let took = |took: Option<Millis>| took.map_or_else(|| "none".to_owned(), |took| format!("{} ms", took.0));
    text.push_str(&format!("\n  sign of life {}, list {}\n", took(node.pulse.ping), took(node.pulse.list)));
    for disk in &node.pulse.disks {
        let (free, total) = (format_bytes(disk.free), format_bytes(disk.total));
        text.push_str(&format!("  {} of {total} free in {} ({})\n", free, disk.path, disk.of));
    }
    text.push_str(&pressure(&node.pulse.pressure));
    if let Some(canary) = &node.pulse.canary {
        let said = if canary.why.is_empty() { "ran" } else { canary.why.as_str() };
        text.push_str(&format!("  test container {}: {said}\n", ago(now(), canary.at)));
    }
    if let Some(sweep) = &node.pulse.sweep {
        text.push_str(&swept(sweep));
    }
    for arrival in &node.pulse.arrivals {
        text.push_str(&brought(arrival));
    }
    text.push_str(&format!("\n{}\n", screen.paint(Paint::Bold, "images")));
    for image in &facts.images {
        let name = image.names.first().map_or(image.id.as_str(), String::as_str);
        text.push_str(&format!("  {name}  {}\n", format_bytes(image.size)));
    }
    text.push_str(&format!("\n{}\n", screen.paint(Paint::Bold, "history")));
    for change in &node.history {
        let line = format!("  {}  {}  {}", rfc3339(change.at), change.to, change.why);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// An image that its agent brought because a master wished it, or could not.
fn brought(arrival: &Arrival) -> String {
    let Arrival { image, took, at, why } = arrival;
    let when = ago(now(), *at);
    if why.is_empty() {
        return format!("  brought in advance {when}, in {}: {image}\n", format_duration(*took));
    }
    format!("  not brought in advance {when}: {image}: {why}\n")
}

/// The last sweep, in a line or a few.
fn swept(sweep: &Sweep) -> String {
    let (when, took, homes) = (ago(now(), sweep.at), format_duration(sweep.took), sweep.homes);
    let gone = sweep.removed.words();
    let gone = if sweep.dry_run { format!("{gone} would go") } else { format!("{gone} removed") };
    let mut text = format!("  last sweep {when}, {took}, {homes} home(s): {gone}");
    if sweep.images > 0 {
        text.push_str(&format!(", {} image(s) of {}", sweep.images, format_bytes(sweep.bytes)));
    }
    if sweep.kept > 0 {
        text.push_str(&format!(", {} kept for a look", sweep.kept));
    }
    if !sweep.unproven.is_none() {
        text.push_str(&format!("; left alone, nobody proves whose: {}", sweep.unproven.words()));
    }
    text.push('\n');
    for trouble in &sweep.troubles {
        text.push_str(&format!("    {trouble}\n"));
    }
    text
}

/// How much of the last minute processes waited, where the kernel tells.
fn pressure(pressure: &Pressure) -> String {
    let shares = [("cpus", pressure.cpu), ("disks", pressure.io), ("memory", pressure.memory)];
    let one = |(what, share): (&str, Option<u16>)| share.map(|share| format!("{what} {} %", (share + 5) / 10));
    let told: Vec<String> = shares.into_iter().filter_map(one).collect();
    if told.is_empty() { String::new() } else { format!("  waited for in the last minute: {}\n", told.join(", ")) }
}

fn json_of(node: &NodeView, whole: bool) -> Value {
    let facts = &node.facts;
    let mut item = json!({
        "host": node.host, "health": node.health, "why": why(node), "since": rfc3339(node.since),
        "silent_seconds": seconds(node.silent), "clock_ahead_ms": node.clock_ahead,
        "drained": node.mark.drained, "drained_by": node.mark.by, "drained_why": node.mark.why,
        "yarn": facts.yarn, "agent": facts.agent, "engine": facts.engine, "storage": facts.storage,
        "cgroup": facts.cgroup, "kernel": facts.kernel, "running": node.pulse.running,
        "ping_ms": node.pulse.ping, "list_ms": node.pulse.list, "disks": node.pulse.disks,
        "pressure": node.pulse.pressure, "canary": node.pulse.canary, "sweep": node.pulse.sweep,
        "arrivals": node.pulse.arrivals, "images": node.images,
    });
    if whole && let Some(fields) = item.as_object_mut() {
        fields.insert("image_list".to_owned(), json!(facts.images));
        let change = |change: &dybox_model::roster::NodeChange| json!({ "at": rfc3339(change.at), "to": change.to, "why": change.why });
        fields.insert("history".to_owned(), node.history.iter().map(change).collect());
    }
    item
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::report::shapes::SHAPES;

    #[test]
    fn the_registry_of_answers_names_every_key_of_a_node() {
        let node = NodeView::default();
        let shape = SHAPES.iter().find(|shape| shape.command == "nodes").unwrap();
        for whole in [false, true] {
            let named: BTreeSet<&str> = shape.keys.split(' ').filter(|key| whole || !key.starts_with('[')).collect();
            let item = json_of(&node, whole);
            let there: BTreeSet<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(there, named.iter().map(|key| key.trim_matches(['[', ']'])).collect());
        }
    }
}
