//! A template that starts a container, as a stage.

use dybox_model::Need;

use super::Argo;
use super::flow::Call;
use super::texts::{Around, Placed, result_of};
use crate::import::out::{Mapping, Out};
use crate::import::{SOME_IMAGE, quantity};
use crate::node::{Node, Value};
use crate::reader::Reader;

/// Runs what follows it and makes a result of what it writes, as Argo does with `outputs.result`.
const CAPTURE: &str = "\"$@\" > \"$DYBOX_RESULT\"; code=$?; cat \"$DYBOX_RESULT\"; exit $code";
/// Keys of a template that are read, or say nothing.
const READ: [&str; 17] = [
    "name",
    "inputs",
    "outputs",
    "container",
    "script",
    "retryStrategy",
    "activeDeadlineSeconds",
    "timeout",
    "metadata",
    "dag",
    "steps",
    "containerSet",
    "parallelism",
    "failFast",
    "archiveLocation",
    "volumes",
    "annotations",
];

/// `arguments` of a step: what its template will see as inputs.
pub(super) fn arguments(around: &Around, node: &Node, notes: &mut Vec<String>) -> Around {
    let arguments = node.get("arguments");
    let mut params = std::collections::BTreeMap::new();
    let list = arguments.and_then(|arguments| arguments.get("parameters")).map(Node::items).unwrap_or_default();
    for node in list {
        let (Some(name), Some(value)) = (node.get("name").and_then(Node::said), node.get("value")) else { continue };
        let mut unknown = Vec::new();
        params.insert(name.to_owned(), around.fill(value.said().unwrap_or_default(), &mut unknown));
        notes.extend(unknown.iter().map(|what| format!("{{{{{what}}}}} of the argument {name} has no counterpart")));
    }
    let artifacts = arguments.and_then(|arguments| arguments.get("artifacts")).map(Node::items).unwrap_or_default();
    let names: Vec<&str> = artifacts.iter().filter_map(|node| node.get("name")?.said()).collect();
    if !names.is_empty() {
        notes.push(format!(
            "artifacts {}: hand files on as outputs and inputs, through the store or HDFS",
            names.join(", ")
        ));
    }
    // Inputs are the caller's words; of what the caller saw only steps and items are left.
    Around { params, ..around.clone() }
}

/// What a template sees: its arguments, over the defaults that it has itself, and the paths that it names.
pub(super) fn inputs(around: &Around, template: &Node) -> Around {
    let mut around = around.clone();
    let list = |side: &str, kind: &str| {
        template.get(side).and_then(|side| side.get(kind)).map(Node::items).unwrap_or_default().to_vec()
    };
    for node in list("inputs", "parameters") {
        let value = node.get("value").or_else(|| node.get("default")).and_then(Node::said);
        if let (Some(name), Some(value)) = (node.get("name").and_then(Node::said), value) {
            let value = around.fill(value, &mut Vec::new());
            around.params.entry(name.to_owned()).or_insert(value);
        }
    }
    for (side, kind) in [("inputs", "artifacts"), ("outputs", "artifacts"), ("outputs", "parameters")] {
        for node in list(side, kind) {
            let path = node.get("path").or_else(|| node.get("valueFrom")?.get("path")).and_then(Node::said);
            if let (Some(name), Some(path)) = (node.get("name").and_then(Node::said), path) {
                around.paths.insert(format!("{side}.{kind}.{name}.path"), crate::import::literal(path));
            }
        }
    }
    around
}

/// One stage.
pub(super) fn stage(
    argo: &mut Argo,
    reader: &mut Reader,
    around: &Around,
    (mut call, template): (Call, &Node),
) -> Placed {
    let Some(body) = template.get("container").or_else(|| template.get("script")) else {
        return super::flow::skipped(argo, call, "its template starts no container");
    };
    let wanted = if call.name.is_empty() { call.template.clone() } else { call.name.clone() };
    let name = argo.names.new_name(&wanted);
    let mut notes = std::mem::take(&mut call.notes);
    other_keys(reader, template, &mut notes);
    let source = template.get("script").and_then(|script| script.get("source"));
    let mut stage = container(reader, around, (body, source, call.captured), &mut notes);
    retry(argo, reader, template, &mut stage);
    let limit = template.get("activeDeadlineSeconds").or_else(|| template.get("timeout"));
    if let Some(limit) = limit.or_else(|| argo.defaults?.get("activeDeadlineSeconds")) {
        match limit.said().and_then(quantity::duration) {
            Some(run) => stage.put("timeout", Out::Flow(vec![("run".to_owned(), Out::plain(run))])),
            None => notes.push(format!("a limit in time ({}): write timeout: {{ run: 1h }}", reader.line(limit.span))),
        }
    }
    let placed =
        Placed { exits: vec![name.clone()], outputs: outputs(template, &name, &mut notes), ..Placed::default() };
    finish(argo, (name.clone(), stage), call, notes);
    Placed { result: Some(name), ..placed }
}

/// Puts a stage into the job, with what the step says of it before what its container says.
fn finish(argo: &mut Argo, (name, body): (String, Mapping), call: Call, notes: Vec<String>) {
    let mut whole = Mapping::default();
    notes.into_iter().for_each(|note| whole.note(note));
    if call.needs.iter().any(|(_, need)| *need != Need::Succeeded) {
        let word = |need: Need| match need {
            Need::Succeeded => "succeeded",
            Need::Failed => "failed",
            Need::Finished => "finished",
        };
        let entries = call.needs.iter().map(|(name, need)| (name.clone(), Out::text(word(*need))));
        whole.put("needs", Out::Flow(entries.collect()));
    } else if !call.needs.is_empty() {
        whole.put("needs", Out::texts(call.needs.iter().map(|(name, _)| name)));
    }
    whole.put_text("when", call.when);
    if let Some(each) = call.each {
        whole.put("each", each);
    }
    whole.extend(body);
    argo.stages.put(name, Out::Map(whole));
    argo.count += 1;
}

fn other_keys(reader: &Reader, template: &Node, notes: &mut Vec<String>) {
    let Value::Map(entries) = &template.value else { return };
    for (key, node) in entries.iter().filter(|(key, node)| !READ.contains(&key.text.as_str()) && !node.is_null()) {
        notes.push(format!("{} ({}): has no counterpart", key.text, reader.line(node.span)));
    }
    for (side, word) in [("inputs", "come in as inputs:"), ("outputs", "go out as outputs:")] {
        let list = template.get(side).and_then(|side| side.get("artifacts")).map(Node::items).unwrap_or_default();
        for node in list {
            let of = |key: &str| node.get(key).and_then(Node::said).unwrap_or("?");
            notes.push(format!("artifact {} at {} ({}): files {word}", of("name"), of("path"), reader.line(node.span)));
        }
    }
}

fn outputs(template: &Node, name: &str, notes: &mut Vec<String>) -> std::collections::BTreeMap<String, String> {
    let mut outputs = std::collections::BTreeMap::new();
    for node in
        template.get("outputs").and_then(|outputs| outputs.get("parameters")).map(Node::items).unwrap_or_default()
    {
        let Some(parameter) = node.get("name").and_then(Node::said) else { continue };
        let path = node.get("valueFrom").and_then(|from| from.get("path")).and_then(Node::said).unwrap_or("a file");
        notes
            .push(format!("output {parameter} (Argo reads {path}): write {{\"{parameter}\": ...}} into $DYBOX_RESULT"));
        outputs.insert(parameter.to_owned(), format!("{}.{}", result_of(name), super::texts::param(parameter)));
    }
    outputs
}

/// What a container says of itself.
fn container(
    reader: &mut Reader,
    around: &Around,
    (body, source, captured): (&Node, Option<&Node>, bool),
    notes: &mut Vec<String>,
) -> Mapping {
    const KNOWN: [&str; 9] =
        ["image", "command", "args", "source", "env", "resources", "workingDir", "imagePullPolicy", "name"];
    let mut stage = Mapping::default();
    let mut unknown = Vec::new();
    let fill = |text: &str, unknown: &mut Vec<String>| around.fill(text, unknown);
    let image = body.get("image").and_then(Node::said).map(|text| fill(text, &mut unknown));
    stage.put("image", Out::Text(image.unwrap_or_else(|| SOME_IMAGE.to_owned())));
    match body.get("imagePullPolicy").and_then(Node::said) {
        Some("Always") => stage.put("pull", Out::text("always")),
        Some("Never") => stage.put("pull", Out::text("never")),
        _ => {}
    }
    let dir = body.get("workingDir").and_then(Node::said).map(|text| fill(text, &mut unknown));
    stage.put_text("workdir", dir);
    program(around, (body, source, captured), &mut stage, &mut unknown);
    env(reader, around, (body, &mut stage), &mut unknown);
    resources(reader, body, &mut stage);
    if let Value::Map(entries) = &body.value {
        let known = |key: &str| KNOWN.contains(&key) || (key == "dependencies" && source.is_none());
        for (key, node) in entries.iter().filter(|(key, node)| !known(&key.text) && !node.is_null()) {
            notes.push(format!("{} ({}): has no counterpart", key.text, reader.line(node.span)));
        }
    }
    unknown.sort();
    unknown.dedup();
    notes.extend(
        unknown.iter().map(|name| format!("{{{{{name}}}}} has no counterpart; it stands in the text as it was")),
    );
    stage
}

fn program(
    around: &Around,
    (body, source, captured): (&Node, Option<&Node>, bool),
    stage: &mut Mapping,
    unknown: &mut Vec<String>,
) {
    let list = |key: &str, unknown: &mut Vec<String>| -> Vec<String> {
        let items =
            body.get(key).map(|node| if node.items().is_empty() { std::slice::from_ref(node) } else { node.items() });
        items.unwrap_or_default().iter().filter_map(Node::said).map(|text| around.fill(text, unknown)).collect()
    };
    let command = list("command", unknown);
    let mut words = command.clone();
    if let Some(source) = source {
        let text = around.fill(source.said().unwrap_or_default(), unknown);
        let interpreter = command.first().and_then(|path| path.rsplit('/').next()).unwrap_or("sh");
        if command.len() <= 1 && interpreter == "sh" && !captured {
            let text = text.trim_end();
            return stage.put("script", Out::Text(format!("{text}\n")));
        }
        let flag = if matches!(interpreter, "node" | "ruby" | "perl") { "-e" } else { "-c" };
        if words.is_empty() {
            words.push("sh".to_owned());
        }
        words.extend([flag.to_owned(), text]);
    } else {
        words.extend(list("args", unknown));
    }
    if captured && (source.is_some() || !command.is_empty()) {
        words.splice(0..0, ["sh", "-c", CAPTURE, "-"].map(str::to_owned));
    }
    if words.is_empty() {
        return;
    }
    // A command of Kubernetes takes the place of the image's entrypoint; arguments alone are given to it.
    if !command.is_empty() || source.is_some() {
        stage.put("entrypoint", Out::List(Vec::new()));
    }
    stage.put("command", Out::texts(words));
}

fn env(reader: &Reader, around: &Around, (body, stage): (&Node, &mut Mapping), unknown: &mut Vec<String>) {
    let mut env = Mapping::default();
    for node in body.get("env").map(Node::items).unwrap_or_default() {
        let name = node.get("name").and_then(Node::said).unwrap_or("?");
        match (node.get("value"), node.get("valueFrom")) {
            (Some(value), _) => env.put(name, Out::Text(around.fill(value.said().unwrap_or_default(), unknown))),
            (None, Some(from)) => {
                let line = reader.line(from.span);
                env.note(format!("{name} ({line}): its value came from Kubernetes; of a secret, write secrets:"));
            }
            (None, None) => env.put(name, Out::text("")),
        }
    }
    if !env.is_empty() || env.notes() > 0 {
        stage.put("env", Out::Map(env));
    }
}

fn resources(reader: &Reader, body: &Node, stage: &mut Mapping) {
    let Some(resources) = body.get("resources") else { return };
    let of = |side: &str, key: &str| resources.get(side).and_then(|side| side.get(key)).and_then(Node::said);
    if let Some(cpus) = of("limits", "cpu").or_else(|| of("requests", "cpu")).and_then(quantity::cpus) {
        stage.put("cpus", Out::plain(cpus));
    }
    let size = |side: &str| of(side, "memory").and_then(quantity::kubernetes_size);
    match (size("requests"), size("limits")) {
        (Some(request), Some(limit)) if request != limit => {
            let entries = vec![("request".to_owned(), Out::plain(request)), ("limit".to_owned(), Out::plain(limit))];
            stage.put("memory", Out::Flow(entries));
        }
        (Some(size), _) | (None, Some(size)) => stage.put("memory", Out::plain(size)),
        (None, None) => {}
    }
    for side in ["requests", "limits"] {
        let Some(Value::Map(entries)) = resources.get(side).map(|side| &side.value) else { continue };
        for (key, node) in entries.iter().filter(|(key, _)| !matches!(key.text.as_str(), "cpu" | "memory")) {
            stage.note(format!("{} of {side} ({}): has no counterpart", key.text, reader.line(node.span)));
        }
    }
}

/// `retryStrategy`.
fn retry(argo: &Argo, reader: &Reader, template: &Node, stage: &mut Mapping) {
    let Some(strategy) = template.get("retryStrategy").or_else(|| argo.defaults?.get("retryStrategy")) else { return };
    let limit = strategy.get("limit").and_then(Node::said).unwrap_or("100");
    let max = limit.parse::<u32>().unwrap_or(3).min(100);
    let mut entries = vec![("max".to_owned(), Out::plain(max))];
    let backoff = strategy.get("backoff");
    if let Some(pause) =
        backoff.and_then(|backoff| backoff.get("duration")).and_then(Node::said).and_then(quantity::duration)
    {
        entries.push(("backoff".to_owned(), Out::plain(pause)));
    }
    if strategy.get("retryPolicy").and_then(Node::said) == Some("OnError") {
        entries.push(("on".to_owned(), Out::texts(["infra"])));
    }
    stage.put("retry", Out::Flow(entries));
    if strategy.get("limit").is_none() {
        stage.note("Argo retries without end; the most here are 100");
    }
    for (at, key) in [(backoff, "maxDuration"), (Some(strategy), "expression"), (Some(strategy), "affinity")] {
        if let Some(node) = at.and_then(|at| at.get(key)) {
            let what = node.said().unwrap_or(key);
            stage.note(format!("{key} of the retry ({}), {what}: has no counterpart", reader.line(node.span)));
        }
    }
}

/// The containers of one pod: stages of their own here.
pub(super) fn set(argo: &mut Argo, reader: &mut Reader, around: &Around, (call, set): (Call, &Node)) -> Placed {
    let wanted = if call.name.is_empty() { call.template.clone() } else { call.name.clone() };
    let list = set.get("containers").map(Node::items).unwrap_or_default();
    let title = |node: &Node| node.get("name").and_then(Node::said).unwrap_or("container").to_owned();
    let names: std::collections::BTreeMap<String, String> =
        list.iter().map(|node| (title(node), argo.names.new_name(&format!("{wanted}-{}", title(node))))).collect();
    let mut followed = Vec::new();
    for node in list {
        let mut notes = vec!["Argo runs this in one pod with the others, with volumes in common".to_owned()];
        let stage = container(reader, around, (node, None, call.captured && title(node) == "main"), &mut notes);
        let before = node.get("dependencies").map(Node::items).unwrap_or_default().iter().filter_map(Node::said);
        let mut needs: Vec<(String, Need)> =
            before.filter_map(|name| names.get(name)).map(|name| (name.clone(), Need::Succeeded)).collect();
        followed.extend(needs.iter().map(|(name, _)| name.clone()));
        if needs.is_empty() {
            needs.clone_from(&call.needs);
        }
        finish(argo, (names[&title(node)].clone(), stage), Call { needs, ..call.clone() }, notes);
    }
    let exits = names.values().filter(|name| !followed.contains(name)).cloned().collect();
    Placed { exits, result: names.get("main").cloned(), ..Placed::default() }
}
