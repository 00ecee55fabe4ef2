//! `placement`, `queue` and `node_label`: where YARN is to put tasks.

use std::collections::BTreeSet;

use dybox_model::Spread;

use crate::draft::PlacementDraft;
use crate::fields::Scope;
use crate::node::{Node, Value};
use crate::reader::{Reader, Spot};

/// Names of one list: each is a line of every ask.
const MOST_NAMES: usize = 1_000;

/// Reads `placement`.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> PlacementDraft {
    let mut placement = PlacementDraft::default();
    for (key, node) in reader.entries(node, "placement", "a mapping, like { spread: host }").unwrap_or_default() {
        match key.text.as_str() {
            "spread" => {
                const OVER: [Spread; 2] = [Spread::Host, Spread::Rack];
                let over = reader.choice(node, "spread", &["host", "rack"]);
                placement.spread = over.map(|at| Spot { value: OVER[at], span: node.span });
            }
            "max_per_host" => {
                let most = reader.integer(node, "max_per_host", (1, 100_000));
                placement.max_per_host = most.map(|most| Spot { value: most as u32, span: node.span });
            }
            "apart_from" => placement.apart_from = reader.text_or_texts(node, "apart_from"),
            "avoid" => placement.avoid = names(reader, node, "avoid"),
            "nodes" => placement.nodes = names(reader, node, "nodes"),
            "racks" => placement.racks = names(reader, node, "racks"),
            "hard" => placement.hard = reader.truth(node, "hard"),
            _ => reader.unknown(Scope::Placement, key),
        }
    }
    placement
}

/// Names of hosts or racks: at least one.
fn names(reader: &mut Reader, node: &Node, key: &str) -> Option<Vec<Spot<String>>> {
    let names = reader.text_or_texts(node, key)?;
    let empty = matches!(&node.value, Value::List(items) if items.is_empty());
    if empty || names.len() > MOST_NAMES {
        let message = match empty {
            true => format!("{key:?} is empty"),
            false => format!("{key:?} has {} names; at most {MOST_NAMES}", names.len()),
        };
        let help = if empty { format!("name one, or take {key:?} away") } else { "name racks, or a label".to_owned() };
        reader.report.error("E0207", node.span, message).help(help);
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut good = Vec::new();
    for name in names {
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | ',');
        let shape = match key {
            "racks" => name.value.starts_with('/') && name.value.len() > 1,
            _ => !name.value.contains('/'),
        };
        if name.value.is_empty() || name.value.len() > 255 || name.value.contains(odd) || !shape {
            let (what, help) = match key {
                "racks" => ("rack", "write it as YARN shows it, like /default-rack"),
                _ => ("host", "write it as YARN shows it (yarn node -list), without the port"),
            };
            reader.report.error("E0231", name.span, format!("{:?} can't name a {what}", name.value)).help(help);
        } else if !seen.insert(name.value.clone()) {
            let message = format!("{:?} stands twice in {key:?}", name.value);
            reader.report.error("E0315", name.span, message).help("keep one of them");
        } else {
            good.push(name);
        }
    }
    Some(good)
}

/// Reports what contradicts itself: hosts that are wanted and avoided at once, a number a machine of what is one a rack.
pub(crate) fn check(reader: &mut Reader, placement: &PlacementDraft) {
    if let (Some(spread), Some(most)) = (&placement.spread, &placement.max_per_host)
        && spread.value == Spread::Rack
    {
        let message = "\"max_per_host\" says nothing where tasks are spread over racks: there is one in each rack";
        reader.report.error("E0206", most.span, message).help("take it away, or write spread: host");
    }
    let nodes = placement.nodes.iter().flatten();
    for avoid in placement.avoid.iter().flatten() {
        let Some(node) = nodes.clone().find(|node| node.value == avoid.value) else { continue };
        let message = format!("{:?} is in \"nodes\" and in \"avoid\"", avoid.value);
        let note = format!("\"nodes\" names it at {}", reader.report.text.short(node.span));
        reader.report.error("E0206", avoid.span, message).note(note).help("keep it in one of them");
    }
}

/// A queue or a node label.
pub(crate) fn word(reader: &mut Reader, node: &Node, key: &str) -> Option<Spot<String>> {
    let text = reader.text(node, key, "a text")?;
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, ',' | '"' | '\'');
    if text.value.is_empty() || text.value.len() > 255 || text.value.contains(odd) {
        let message = format!("{:?} can't be a {}", text.value, key.replace('_', " "));
        let help = if key == "queue" { "write its name or path, like root.etl" } else { "write its name alone" };
        reader.report.error("E0232", text.span, message).help(help);
        return None;
    }
    Some(text)
}
