//! `extends`: a stage that says only what differs from another one.

use crate::node::{Key, Node, Value};
use crate::report::{Report, listed};

/// Where stages and what they extend stand.
const HOLDERS: [&str; 3] = ["stages", "on_exit", "templates"];
/// What a stage does not take from the one that it extends: its place in the DAG, and what its tasks are.
const OWN: [&str; 4] = ["needs", "when", "each", "matrix"];
/// Mappings that are merged key by key.
const MERGED: [&str; 4] = ["env", "retry", "timeout", "placement"];
/// A stage that has the first of a pair does not take the second.
const INSTEAD: [(&str, &str); 6] = [
    ("script", "command"),
    ("script", "entrypoint"),
    ("command", "script"),
    ("entrypoint", "script"),
    ("each", "parallelism"),
    ("matrix", "parallelism"),
];

/// Puts what each stage extends under it, and takes `extends` out.
pub(crate) fn resolve(report: &mut Report, root: &mut Node) {
    let Value::Map(entries) = &mut root.value else { return };
    let uses =
        |node: &Node| matches!(&node.value, Value::Map(stage) if stage.iter().any(|(key, _)| key.text == "extends"));
    let some = |node: &Node| matches!(&node.value, Value::Map(all) if all.iter().any(|(_, stage)| uses(stage)));
    if !entries.iter().any(|(_, node)| some(node)) {
        return;
    }
    let before: Vec<(String, Node)> = entries
        .iter()
        .filter(|(key, _)| HOLDERS.contains(&key.text.as_str()))
        .filter_map(|(_, node)| if let Value::Map(all) = &node.value { Some(all) } else { None })
        .flat_map(|all| all.iter().map(|(key, node)| (key.text.clone(), node.clone())))
        .collect();
    for (_, node) in entries.iter_mut().filter(|(key, _)| matches!(key.text.as_str(), "stages" | "on_exit")) {
        let Value::Map(stages) = &mut node.value else { continue };
        for (name, stage) in stages {
            *stage = whole(report, stage, &before, &mut vec![name.text.clone()]);
        }
    }
}

/// A stage with all that it extends. `way`: the stages that led to it.
fn whole(report: &mut Report, stage: &Node, all: &[(String, Node)], way: &mut Vec<String>) -> Node {
    let Value::Map(own) = &stage.value else { return stage.clone() };
    let Some((key, of)) = own.iter().find(|(key, _)| key.text == "extends") else { return stage.clone() };
    let own: Vec<(Key, Node)> = own.iter().filter(|(key, _)| key.text != "extends").cloned().collect();
    // What is wrong here is told once, and not again for all that is missing then.
    let bad = Node { span: stage.span, value: Value::Bad };
    let Value::Scalar(name) = &of.value else {
        let message = format!("\"extends\" takes the name of a stage, found {}", of.found());
        report.error("E0202", of.span, message).help("write extends: NAME");
        return bad;
    };
    let name = &name.text;
    if way.contains(name) {
        let message = format!("stages extend each other in a circle: {} -> {name}", way.join(" -> "));
        report.error("E0319", key.span, message).help("take one extends away");
        return bad;
    }
    let Some((_, base)) = all.iter().find(|(known, _)| known == name) else {
        let known = all.iter().map(|(name, _)| name.as_str());
        let help = format!("stages and templates are {}", listed(known.clone()));
        report.error("E0319", of.span, format!("there is no stage {name:?} to extend")).nearest(name, known).help(help);
        return bad;
    };
    way.push(name.clone());
    let base = whole(report, base, all, way);
    let Value::Map(base) = base.value else { return bad };
    Node { span: stage.span, value: Value::Map(over(own, base)) }
}

fn over(mut own: Vec<(Key, Node)>, base: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
    let has = |own: &[(Key, Node)], name: &str| own.iter().any(|(key, _)| key.text == name);
    let replaced = |name: &str| INSTEAD.iter().any(|(first, second)| *second == name && has(&own, first));
    let taken: Vec<(Key, Node)> =
        base.into_iter().filter(|(key, _)| !OWN.contains(&key.text.as_str()) && !replaced(&key.text)).collect();
    for (key, node) in taken {
        match own.iter_mut().find(|(known, _)| known.text == key.text) {
            None => own.push((key, node)),
            Some((_, mine)) if MERGED.contains(&key.text.as_str()) => {
                if let (Value::Map(mine), Value::Map(more)) = (&mut mine.value, node.value) {
                    let new = more.into_iter().filter(|(key, _)| !mine.iter().any(|(known, _)| known.text == key.text));
                    let new: Vec<_> = new.collect();
                    mine.extend(new);
                }
            }
            Some(_) => {}
        }
    }
    own
}
