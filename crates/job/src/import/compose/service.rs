//! One service.

use super::{Compose, depends_on, limits, mounts, ports};
use crate::fields::Scope;
use crate::import::out::{Mapping, Out};
use crate::import::words::words;
use crate::import::{SOME_IMAGE, is_built, quantity};
use crate::node::{Key, Node, Value};
use crate::reader::Reader;

/// What says nothing that a stage must know.
const SILENT: [&str; 13] = [
    "image",
    "container_name",
    "hostname",
    "init",
    "stdin_open",
    "tty",
    "expose",
    "profiles",
    "platform",
    "attach",
    "build",
    "depends_on",
    "develop",
];

/// Reads one service; gives the stage's name and what it is.
pub(super) fn read(compose: &mut Compose, reader: &mut Reader, key: &Key, node: &Node) -> Option<(String, Mapping)> {
    let what = format!("service {:?}", key.text);
    let entries = reader.entries(node, &what, "a mapping of keys")?.to_vec();
    let name = compose.names.of(&key.text);
    let mut stage = Mapping::default();
    if name != key.text {
        stage.note(format!("it is called {:?} in the compose file; others find it as {name}", key.text));
    }
    if compose.servers.contains(&key.text) {
        stage.note("a server: it ends only when its program does");
    }
    image(compose, reader, key, node, &mut stage);
    let closed = node.get("network_mode").and_then(Node::said) == Some("none");
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_null()) {
        entry((compose, reader), &mut stage, (key, node), closed);
    }
    limits::of(compose, reader, node, &mut stage);
    needs(compose, node, &mut stage);
    network(compose, reader, node, &mut stage);
    Some((name, stage))
}

fn image(compose: &mut Compose, reader: &mut Reader, key: &Key, node: &Node, stage: &mut Mapping) {
    let built = node.get("build");
    if let Some(build) = built {
        let from = build.said().or_else(|| build.get("context").and_then(Node::said)).unwrap_or(".");
        let line = reader.line(build.span);
        stage.note(format!("build ({line}): build the image from {from:?} and push it to a registry first"));
    }
    let image = match (node.get("image"), built) {
        (Some(image), _) => {
            reader.text(image, "image", "an image reference").map(|text| compose.variables.fill(&text.value))
        }
        (None, Some(_)) => {
            let name = compose.names.of(&key.text);
            let own = compose.wanted.image.clone();
            Some(own.unwrap_or_else(|| format!("{}-{name}:latest", compose.project)))
        }
        (None, None) => {
            stage.note("the compose file names no image");
            Some(compose.wanted.image.clone().unwrap_or_else(|| SOME_IMAGE.to_owned()))
        }
    };
    stage.put_text("image", image);
}

fn entry(
    (compose, reader): (&mut Compose, &mut Reader),
    stage: &mut Mapping,
    (key, node): (&Key, &Node),
    closed: bool,
) {
    match key.text.as_str() {
        "command" => program(compose, reader, stage, (key, node)),
        "entrypoint" => program(compose, reader, stage, (key, node)),
        "environment" => environment(compose, reader, stage, node),
        "env_file" => env_file(compose, reader, stage, node),
        "working_dir" => put_text(compose, reader, stage, ("workdir", node)),
        "user" => put_text(compose, reader, stage, ("user", node)),
        "volumes" => mounts::volumes(compose, reader, stage, node),
        "tmpfs" => mounts::tmpfs(compose, reader, stage, node),
        "secrets" => secrets(compose, stage, node),
        "pull_policy" => pull(reader, stage, key, node),
        "stop_grace_period" => match node.said().and_then(quantity::duration) {
            Some(grace) => stage.put("stop_grace", Out::plain(grace)),
            None => reader.no_counterpart(stage, key, "it is no duration that is known"),
        },
        "stop_signal" if is_built(Scope::Stage, "stop_signal") => {
            put_text(compose, reader, stage, ("stop_signal", node));
        }
        "ports" if closed => reader.no_counterpart(stage, key, "it has no network"),
        "ports" => ports::put(compose, reader, stage, (key, node)),
        "restart" => restart(reader, stage, key, node),
        "network_mode" | "networks" => {}
        name if SILENT.contains(&name) || limits::KEYS.contains(&name) || name.starts_with("x-") => {}
        "labels" | "annotations" => reader.no_counterpart(stage, key, "labels are DYbox's own"),
        "privileged" | "cap_add" | "devices" | "security_opt" | "pid" | "ipc" => {
            reader.no_counterpart(stage, key, "it is never given to containers");
        }
        _ => reader.no_counterpart(stage, key, ""),
    }
}

fn put_text(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, (name, node): (&str, &Node)) {
    let text = reader.text(node, name, "a text").map(|text| compose.variables.fill(&text.value));
    stage.put_text(name, text);
}

/// `command` and `entrypoint`: a list, or a line that is cut into words.
fn program(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, (key, node): (&Key, &Node)) {
    let list: Vec<String> = match &node.value {
        Value::List(_) => {
            reader.texts(node, &key.text).unwrap_or_default().into_iter().map(|word| word.value).collect()
        }
        _ => {
            let Some(text) = reader.text(node, &key.text, "a text or a list of texts") else { return };
            let Some(words) = words(&text.value) else {
                let message = format!("a quote of {:?} is never closed", key.text);
                reader.report.error("E0120", node.span, message).help("close it, or write a list");
                return;
            };
            words
        }
    };
    if list.is_empty() && key.text == "command" {
        return;
    }
    let list: Vec<String> = list.iter().map(|word| compose.variables.fill(word)).collect();
    stage.put(&key.text, Out::texts(list));
}

fn environment(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let mut env = Mapping::default();
    let mut add = |compose: &mut Compose, key: &str, value: Option<&str>| match value {
        Some(value) => {
            let key = compose.variables.fill(key);
            if key.starts_with("DYBOX_") || env.has(&key) {
                env.note(format!("{key}: can't be set here"));
            } else {
                let value = compose.variables.fill(value);
                env.put(key, Out::Text(value));
            }
        }
        None => env.note(format!("{key}: nothing of the caller's environment goes in; write its value")),
    };
    match &node.value {
        Value::List(items) => {
            for item in items {
                let Some(text) = reader.text(item, "environment", "texts like KEY=value") else { continue };
                match text.value.split_once('=') {
                    Some((key, value)) => add(compose, key, Some(value)),
                    None => add(compose, &text.value, None),
                }
            }
        }
        Value::Map(entries) => {
            for (key, node) in entries {
                match node.is_null() {
                    true => add(compose, &key.text, None),
                    false => {
                        let value = reader.text(node, &key.text, "a text");
                        add(compose, &key.text, value.as_ref().map(|text| text.value.as_str()));
                    }
                }
            }
        }
        _ => reader.wrong_type(node, "environment", "a mapping of names to texts, or a list of KEY=value"),
    }
    if !env.is_empty() || env.notes() > 0 {
        stage.put("env", Out::Map(env));
    }
}

fn env_file(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let one = |item: &Node| item.said().or_else(|| item.get("path").and_then(Node::said)).map(str::to_owned);
    let files: Vec<String> = match &node.value {
        Value::List(items) => items.iter().filter_map(one).collect(),
        _ => one(node).into_iter().collect(),
    };
    if files.is_empty() {
        reader.wrong_type(node, "env_file", "a path or a list of paths");
        return;
    }
    stage.put("env_file", Out::texts(files.iter().map(|file| compose.variables.fill(file))));
}

fn secrets(compose: &mut Compose, stage: &mut Mapping, node: &Node) {
    let mut taken = Mapping::default();
    let mut plain = Vec::new();
    for item in node.items() {
        let said = |key: &str| item.get(key).and_then(Node::said);
        let Some(name) = item.said().or_else(|| said("source")) else { continue };
        compose.secrets.insert(name.to_owned());
        let more = ["target", "mode"].into_iter().filter_map(|key| Some((key.to_owned(), Out::text(said(key)?))));
        taken.put(name, Out::Flow(more.collect()));
        plain.push((name.to_owned(), said("target").is_none() && said("mode").is_none()));
    }
    match plain.iter().all(|(_, plain)| *plain) {
        true => stage.put("secrets", Out::texts(plain.into_iter().map(|(name, _)| name))),
        false => stage.put("secrets", Out::Map(taken)),
    }
}

fn pull(reader: &Reader, stage: &mut Mapping, key: &Key, node: &Node) {
    match node.said() {
        Some(word @ ("always" | "never" | "missing")) => stage.put("pull", Out::text(word)),
        Some("if_not_present") => stage.put("pull", Out::text("missing")),
        _ => reader.no_counterpart(stage, key, ""),
    }
}

fn restart(reader: &Reader, stage: &mut Mapping, key: &Key, node: &Node) {
    let word = node.said().unwrap_or_default();
    let (policy, count) = word.split_once(':').unwrap_or((word, ""));
    match policy {
        "no" | "false" => {}
        "on-failure" => {
            let max = count.parse::<u32>().unwrap_or(3).min(100);
            if count.is_empty() {
                stage.note("on-failure has no bound in compose; it needs one here");
            }
            stage.put("retry", Out::Flow(vec![("max".to_owned(), Out::plain(max))]));
        }
        _ => reader.no_counterpart(stage, key, &format!("{word}: a stage that ends well has ended")),
    }
}

/// What it waits for to end; that others only start first is said in a comment.
fn needs(compose: &mut Compose, node: &Node, stage: &mut Mapping) {
    let mut needs = Vec::new();
    let mut started = Vec::new();
    for (name, condition) in depends_on(node) {
        let ours = compose.names.of(&name);
        match condition.as_str() {
            "service_completed_successfully" => needs.push(ours),
            "service_healthy" => started.push(format!("{ours} (healthy)")),
            _ => started.push(ours),
        }
    }
    if !started.is_empty() {
        let names = started.join(", ");
        stage.note(format!("depends_on {names}: it only waits for the start; here all start at once. If it is to wait for the end, write needs:"));
    }
    if !needs.is_empty() {
        stage.put("needs", Out::texts(needs));
    }
}

fn network(compose: &mut Compose, reader: &mut Reader, node: &Node, stage: &mut Mapping) {
    if let Some(mode) = node.get("network_mode").and_then(Node::said) {
        match mode {
            "none" => return,
            "bridge" => return stage.put("network", Out::text("bridge")),
            _ => stage.note(format!("network_mode {mode}: the machine's own network is not given to containers")),
        }
    }
    let networks: Vec<String> = match node.get("networks").map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(Node::said).map(str::to_owned).collect(),
        Some(Value::Map(entries)) => entries.iter().map(|(key, _)| key.text.clone()).collect(),
        _ => Vec::new(),
    };
    if networks.len() > 1 {
        let line = node.get("networks").map(|node| reader.line(node.span)).unwrap_or_default();
        stage.note(format!("networks ({line}): {}; a stage has one, so all stages share one", networks.join(", ")));
    }
    // One network for all keeps every name known to everybody, whatever the compose file cuts apart.
    let name = if compose.together { "all" } else { "bridge" };
    stage.put("network", Out::text(name));
}
