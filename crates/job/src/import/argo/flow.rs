//! DAGs and steps of a workflow, laid out flat.

use dybox_model::Need;

use super::texts::{Around, Placed};
use super::{Argo, MOST_STAGES, depends, leaf, when};
use crate::import::out::Out;
use crate::node::{Kind, Node, Value};
use crate::reader::Reader;
use crate::text::Span;

/// Templates inside of each other.
const DEEPEST: usize = 16;
/// Rounds of a loop over several steps that are rolled out.
const MOST_ROUNDS: usize = 50;

/// One use of a template.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Name of the stage, or the beginning of the names of several.
    pub(super) name: String,
    pub(super) template: String,
    /// A template that is written where it is used.
    pub(super) inline: Option<Node>,
    pub(super) span: Span,
    pub(super) needs: Vec<(String, Need)>,
    pub(super) when: Option<String>,
    pub(super) each: Option<Out>,
    pub(super) notes: Vec<String>,
    /// Whether its standard output is read.
    pub(super) captured: bool,
    /// Templates that this one stands in.
    pub(super) inside: Vec<String>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            name: String::new(),
            template: String::new(),
            inline: None,
            span: Span::NOWHERE,
            needs: Vec::new(),
            when: None,
            each: None,
            notes: Vec::new(),
            captured: false,
            inside: Vec::new(),
        }
    }
}

/// Lays out one use of a template; `around` is what the caller sees with the arguments put in.
pub(super) fn place(argo: &mut Argo, reader: &mut Reader, around: &Around, mut call: Call) -> Placed {
    let known = argo.templates.get(call.template.as_str()).copied();
    let Some(template) = call.inline.clone().or_else(|| known.cloned()) else {
        if call.template.is_empty() {
            return skipped(argo, call, "its template is of another file");
        }
        let message = format!("there is no template {:?}", call.template);
        let names = argo.templates.keys().copied();
        reader.report.error("E0120", call.span, message).nearest(&call.template, names).help("correct its name");
        return Placed::default();
    };
    let deep = call.inside.len() >= DEEPEST;
    if deep || (!call.template.is_empty() && call.inside.contains(&call.template)) {
        return skipped(argo, call, "a template that calls itself; a job has no recursion");
    }
    call.inside.push(call.template.clone());
    let around = leaf::inputs(around, &template);
    if let Some(dag) = template.get("dag") {
        let placed = tasks(argo, reader, &around, (&call, dag));
        return with_outputs(&template, placed);
    }
    if let Some(steps) = template.get("steps") {
        let placed = groups(argo, reader, &around, (&call, steps));
        return with_outputs(&template, placed);
    }
    if let Some(set) = template.get("containerSet") {
        return leaf::set(argo, reader, &around, (call, set));
    }
    if let Some(kind) =
        ["suspend", "resource", "http", "data", "plugin"].iter().find(|kind| template.get(kind).is_some())
    {
        return skipped(argo, call, &format!("a {kind} template has no counterpart"));
    }
    if argo.count >= MOST_STAGES {
        let message = format!("the workflow would become more than {MOST_STAGES} stages");
        reader.report.error("E0120", call.span, message).help("bring its parts over one by one");
        return Placed::default();
    }
    leaf::stage(argo, reader, &around, (call, &template))
}

/// What becomes no stage: what follows it needs what it needed.
pub(super) fn skipped(argo: &mut Argo, call: Call, why: &str) -> Placed {
    let name = if call.name.is_empty() { call.template.clone() } else { call.name };
    argo.stages.note(format!("{name}: {why}"));
    Placed { exits: call.needs.into_iter().map(|(name, _)| name).collect(), ..Placed::default() }
}

/// A task that is not laid out yet: what it needs, and what of that can't be said.
type Open<'n> = (&'n Node, Vec<(String, Need)>, Option<&'static str>);

/// The tasks of a DAG, each after what it depends on.
fn tasks(argo: &mut Argo, reader: &mut Reader, around: &Around, (call, dag): (&Call, &Node)) -> Placed {
    let mut around = around.clone();
    let list = dag.get("tasks").map(Node::items).unwrap_or_default();
    let mut open: Vec<Open> = Vec::new();
    for node in list {
        let (needs, why) = match node.get("depends").and_then(Node::said) {
            Some(text) => depends::read(text),
            None => {
                let names = node.get("dependencies").map(Node::items).unwrap_or_default().iter().filter_map(Node::said);
                (names.map(|name| (name.to_owned(), Need::Succeeded)).collect(), None)
            }
        };
        open.push((node, needs, why));
    }
    let mut followed = std::collections::BTreeSet::new();
    let mut names = Vec::new();
    while !open.is_empty() {
        let ready = |needs: &[(String, Need)]| needs.iter().all(|(name, _)| around.done.contains_key(name));
        let Some(at) = open.iter().position(|(_, needs, _)| ready(needs)) else {
            let (node, needs, _) = &open[0];
            let missing: Vec<&str> = needs.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("this task depends on {}, which is not there or depends on it", missing.join(", "));
            reader.report.error("E0120", node.span, message).help("correct depends:");
            break;
        };
        let (node, depends, why) = open.remove(at);
        followed.extend(depends.iter().map(|(name, _)| name.clone()));
        let mut needs = Vec::new();
        for (name, need) in &depends {
            let before = &around.done[name];
            let need = if before.lenient && *need == Need::Succeeded { Need::Finished } else { *need };
            needs.extend(before.exits.iter().map(|exit| (exit.clone(), need)));
        }
        let optional = depends.iter().any(|(name, _)| around.done[name].optional);
        if depends.is_empty() {
            needs.clone_from(&call.needs);
        }
        let mut notes: Vec<String> = why.map(|why| format!("depends: {why}")).into_iter().collect();
        if optional {
            notes.push("in Argo this runs also when what it needs was skipped".to_owned());
        }
        let name = node.get("name").and_then(Node::said).unwrap_or("task").to_owned();
        let placed = step(argo, reader, &around, (call, node, Call { needs, notes, ..Call::default() }));
        names.push(name.clone());
        around.done.insert(name, placed);
    }
    let last = names.iter().filter(|name| !followed.contains(*name));
    let exits = last.flat_map(|name| around.done[name].exits.clone()).collect();
    Placed { exits, outputs: around_outputs(&around), ..Placed::default() }
}

/// Groups of steps, one after the other.
fn groups(argo: &mut Argo, reader: &mut Reader, around: &Around, (call, steps): (&Call, &Node)) -> Placed {
    let mut around = around.clone();
    let mut before: Vec<(String, Need)> = call.needs.clone();
    let mut optional = false;
    for group in steps.items() {
        let group = if matches!(group.value, Value::List(_)) { group.items() } else { std::slice::from_ref(group) };
        let mut after = Vec::new();
        let mut skippable = false;
        for node in group {
            let notes = match optional {
                true => vec!["in Argo this runs also when a step before it was skipped".to_owned()],
                false => Vec::new(),
            };
            let name = node.get("name").and_then(Node::said).unwrap_or("step").to_owned();
            let placed =
                step(argo, reader, &around, (call, node, Call { needs: before.clone(), notes, ..Call::default() }));
            let need = if placed.lenient { Need::Finished } else { Need::Succeeded };
            after.extend(placed.exits.iter().map(|exit| (exit.clone(), need)));
            skippable |= placed.optional;
            around.done.insert(name, placed);
        }
        (before, optional) = (after, skippable);
    }
    let exits = before.into_iter().map(|(name, _)| name).collect();
    Placed { exits, outputs: around_outputs(&around), optional, ..Placed::default() }
}

/// Every output of the steps inside, by the way that Argo names it.
fn around_outputs(around: &Around) -> std::collections::BTreeMap<String, String> {
    let mut outputs = std::collections::BTreeMap::new();
    for (name, placed) in &around.done {
        if let Some(stage) = &placed.result {
            outputs.insert(format!("{name}.outputs.result"), super::texts::result_of(stage));
        }
        for (output, expression) in &placed.outputs {
            outputs.insert(format!("{name}.outputs.parameters.{output}"), expression.clone());
        }
    }
    outputs
}

/// What a template of several steps gives back, as it says itself.
fn with_outputs(template: &Node, placed: Placed) -> Placed {
    let list = template.get("outputs").and_then(|outputs| outputs.get("parameters"));
    let mut outputs = std::collections::BTreeMap::new();
    for node in list.map(Node::items).unwrap_or_default() {
        let from =
            node.get("valueFrom").and_then(|from| from.get("parameter")).and_then(Node::said).unwrap_or_default();
        let path = from.trim_matches(['{', '}', ' ']);
        let path = path.strip_prefix("steps.").or_else(|| path.strip_prefix("tasks.")).unwrap_or(path);
        if let (Some(name), Some(expression)) = (node.get("name").and_then(Node::said), placed.outputs.get(path)) {
            outputs.insert(name.to_owned(), expression.clone());
        }
    }
    Placed { outputs, ..placed }
}

/// One task or step: its arguments, condition and loop, then its template.
fn step(
    argo: &mut Argo,
    reader: &mut Reader,
    around: &Around,
    (outer, node, mut call): (&Call, &Node, Call),
) -> Placed {
    let own = node.get("name").and_then(Node::said).unwrap_or("step");
    call.name = if outer.name.is_empty() { own.to_owned() } else { format!("{}-{own}", outer.name) };
    call.template = node.get("template").and_then(Node::said).unwrap_or_default().to_owned();
    call.inline = node.get("inline").cloned();
    call.span = node.span;
    call.inside.clone_from(&outer.inside);
    call.captured = argo.captured.contains(own) || outer.captured;
    call.when = outer.when.clone();
    if let Some(text) = node.get("when").and_then(Node::said) {
        match when::translated(around, text) {
            Ok(own) => call.when = Some(call.when.map_or_else(|| own.clone(), |outer| format!("({outer}) && ({own})"))),
            Err(why) => call.notes.push(format!("when: {text} ({}): {why}", reader.line(node.span))),
        }
    }
    for key in ["onExit", "hooks"] {
        if let Some(node) = node.get(key) {
            call.notes.push(format!("{key} ({}): has no counterpart at a stage", reader.line(node.span)));
        }
    }
    let lenient = node
        .get("continueOn")
        .is_some_and(|on| ["failed", "error"].iter().any(|key| on.get(key).and_then(Node::said) == Some("true")));
    let optional = call.when.is_some();
    let placed = looped(argo, reader, around, (node, call));
    Placed { optional: optional || placed.optional, lenient, ..placed }
}

/// `withItems`, `withParam`, `withSequence`: `each` of a stage; of several stages, rolled out.
fn looped(argo: &mut Argo, reader: &mut Reader, around: &Around, (node, mut call): (&Node, Call)) -> Placed {
    let single = call.inline.as_ref().or_else(|| argo.templates.get(call.template.as_str()).copied());
    let single = single.is_none_or(|template| template.get("dag").or_else(|| template.get("steps")).is_none());
    let items = node.get("withItems").map(Node::items);
    if let Some(items) = items.filter(|items| !single && items.len() <= MOST_ROUNDS) {
        let mut exits = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let around = Around { item: Some(item.clone()), ..around.clone() };
            let name = format!("{}-{number}", call.name);
            let around = leaf::arguments(&around, node, &mut call.notes);
            exits.extend(place(argo, reader, &around, Call { name, ..call.clone() }).exits);
        }
        return Placed { exits, ..Placed::default() };
    }
    call.each = match (items, node.get("withParam"), node.get("withSequence")) {
        (Some(items), _, _) => Some(Out::List(items.iter().map(out_of).collect())),
        (None, Some(param), _) => {
            let mut unknown = Vec::new();
            let text = around.fill(param.said().unwrap_or_default(), &mut unknown);
            call.notes.extend(unknown.iter().map(|name| format!("withParam: {{{{{name}}}}} has no counterpart")));
            Some(Out::Text(text))
        }
        (None, None, Some(sequence)) => counted(around, sequence, &mut call.notes),
        _ => None,
    };
    per_item(&mut call);
    if call.each.is_some() && !single {
        call.notes.push(
            "a loop over several steps has no counterpart but for a list that is known: ${item} is not given"
                .to_owned(),
        );
        call.each = None;
    }
    let around = leaf::arguments(around, node, &mut call.notes);
    place(argo, reader, &around, call)
}

/// Argo asks a condition on `item` for each item, a job asks `when` once: the list is filtered instead.
fn per_item(call: &mut Call) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names_item = |text: &str| text.split(|c| !word(c)).any(|name| name == "item");
    let Some(condition) = call.when.take_if(|text| names_item(text)) else { return };
    let list = match &call.each {
        Some(Out::Text(text)) => text.strip_prefix("${").and_then(|text| text.strip_suffix('}')),
        _ => None,
    };
    match list {
        Some(list) => call.each = Some(Out::Text(format!("${{{list}.filter(item, {condition})}}"))),
        None => call
            .notes
            .push(format!("when: {condition}, of each item: take the items out of the list that it is false for")),
    }
}

/// An item as it is written.
fn out_of(node: &Node) -> Out {
    match &node.value {
        Value::List(items) => Out::List(items.iter().map(out_of).collect()),
        Value::Map(entries) => Out::Flow(entries.iter().map(|(key, node)| (key.text.clone(), out_of(node))).collect()),
        Value::Scalar(scalar) if scalar.kind() == Kind::Text => Out::Text(crate::import::literal(&scalar.text)),
        Value::Scalar(scalar) => Out::plain(&scalar.text),
        Value::Bad => Out::text(""),
    }
}

/// `withSequence: { start, end, count }`.
fn counted(around: &Around, node: &Node, notes: &mut Vec<String>) -> Option<Out> {
    let number = |key: &str| {
        let mut unknown = Vec::new();
        node.get(key).and_then(Node::said).map(|text| around.fill(text, &mut unknown))
    };
    let known = |key: &str| number(key).and_then(|text| text.parse::<i64>().ok());
    let start = known("start").unwrap_or(0);
    let end = known("end").or_else(|| known("count").map(|count| start + count - 1));
    match end {
        Some(end) if (end - start).abs() < 1_000 => {
            let step = if end < start { -1 } else { 1 };
            let all = (0..=(end - start).abs()).map(|at| Out::plain(start + at * step));
            if node.get("format").is_some() {
                notes.push("withSequence: its format is lost; the items are the numbers".to_owned());
            }
            Some(Out::List(all.collect()))
        }
        _ => {
            let said = number("count").or_else(|| number("end")).unwrap_or_default();
            notes.push(format!(
                "withSequence over {said}: write parallelism: and use $DYBOX_TASK_INDEX, or a list for each:"
            ));
            None
        }
    }
}
