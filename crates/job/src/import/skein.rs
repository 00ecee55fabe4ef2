//! Skein's specifications: services become stages. They have no images; programs come with them as files.

use super::names::Names;
use super::out::{Mapping, Out};
use super::{Made, SOME_IMAGE, Wanted, is_built, literal, quantity};
use crate::fields::Scope;
use crate::names::make_name;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;

/// Where the files of a service lie in the container, and where its script starts.
const HOME: &str = "/work";

/// Reads a specification.
pub(super) fn read(reader: &mut Reader, root: &Node, wanted: &Wanted) -> Made {
    let mut made = Made::default();
    let Value::Map(entries) = &root.value else {
        let message = format!("a Skein specification is a mapping of keys, found {}", root.found());
        reader.report.error("E0120", root.span, message).help("it has services: or master:");
        return made;
    };
    let services = root.get("services");
    let master = root.get("master").filter(|master| master.get("script").or_else(|| master.get("commands")).is_some());
    if services.is_none() && master.is_none() {
        let message = "this is no Skein specification: it has neither services nor a master with a script";
        reader.report.error("E0120", root.span, message).help("name the specification itself");
        return made;
    }
    let name = root.get("name").and_then(Node::said).and_then(make_name).unwrap_or_else(|| "skein".to_owned());
    made.job.put("name", Out::text(name));
    let mut names = Names::default();
    let mut stages = Mapping::default();
    if let Some(master) = master {
        let key = Key { text: "master".to_owned(), span: master.span };
        put(reader, (&mut stages, &mut names), wanted, (&key, master));
    }
    let takes = "a mapping of names to services";
    let services = services.and_then(|services| reader.entries(services, "services", takes)).unwrap_or_default();
    for (key, node) in services {
        put(reader, (&mut stages, &mut names), wanted, (key, node));
    }
    top(reader, &mut made, entries);
    let lenient = services.iter().any(|(_, node)| node.get("allow_failures").and_then(Node::said) == Some("true"));
    made.job.put("fail_fast", Out::plain(!lenient));
    made.job.put("stages", Out::Map(stages));
    let image = wanted.image.as_deref().unwrap_or(SOME_IMAGE);
    made.head.push(format!(
        "Skein has no images: every stage has {image}. Put what came as an archive (conda, venv) into an image of yours."
    ));
    made
}

fn top(reader: &mut Reader, made: &mut Made, entries: &[(Key, Node)]) {
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_null()) {
        match key.text.as_str() {
            "name" | "services" | "master" => {}
            "queue" | "node_label" => {
                let text = reader.text(node, &key.text, "a text").map(|text| text.value);
                made.job.put_text(&key.text, text);
            }
            "tags" => {
                let tags = reader.texts(node, "tags").unwrap_or_default();
                made.job.put("tags", Out::texts(tags.into_iter().map(|tag| tag.value)));
            }
            "max_attempts" => {
                reader.no_counterpart(&mut made.job, key, "masters are tried again as often as YARN lets them")
            }
            _ => reader.no_counterpart(&mut made.job, key, ""),
        }
    }
}

fn put(reader: &mut Reader, (stages, names): (&mut Mapping, &mut Names), wanted: &Wanted, (key, node): (&Key, &Node)) {
    let what = format!("service {:?}", key.text);
    let Some(entries) = reader.entries(node, &what, "a mapping of keys") else { return };
    if node.get("instances").and_then(Node::said) == Some("0") {
        stages.note(format!("{} ({}): left out, it starts with no instance", key.text, reader.line(key.span)));
        return;
    }
    let name = names.of(&key.text);
    let mut stage = Mapping::default();
    stage.put("image", Out::text(wanted.image.as_deref().unwrap_or(SOME_IMAGE)));
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_null()) {
        entry(reader, &mut stage, names, (key, node));
    }
    placement(reader, &mut stage, node);
    script(reader, &mut stage, node);
    stages.put(name, Out::Map(stage));
}

fn entry(reader: &mut Reader, stage: &mut Mapping, names: &mut Names, (key, node): (&Key, &Node)) {
    match key.text.as_str() {
        "script" | "commands" | "nodes" | "racks" | "relax_locality" | "allow_failures" => {}
        "resources" => resources(reader, stage, node),
        "instances" => {
            let count = reader.integer(node, "instances", (1, 100_000)).filter(|&count| count > 1);
            if let Some(count) = count {
                stage.put("parallelism", Out::plain(count));
            }
        }
        "max_restarts" => {
            if let Some(max) = reader.integer(node, "max_restarts", (-1, 1_000_000)).filter(|&max| max != 0) {
                if !(0..=100).contains(&max) {
                    stage.note(format!("max_restarts {max}: the most retries are 100"));
                }
                let max = if max < 0 { 100 } else { max.min(100) };
                stage.put("retry", Out::Flow(vec![("max".to_owned(), Out::plain(max))]));
            }
        }
        "env" => {
            let mut env = Mapping::default();
            for (key, node) in reader.entries(node, "env", "a mapping of names to texts").unwrap_or_default() {
                let value = reader.text(node, &key.text, "a text").map(|text| literal(&text.value));
                env.put_text(&key.text, value);
            }
            stage.put("env", Out::Map(env));
        }
        "depends" => {
            let others: Vec<String> = node.items().iter().filter_map(Node::said).map(|name| names.of(name)).collect();
            let line = reader.line(key.span);
            let others = others.join(", ");
            stage.note(format!("depends ({line}) on {others}: Skein waits for the start only; here all start at once. To wait for the end, write needs: [{others}]"));
        }
        "files" => files(reader, stage, node),
        "node_label" => {
            let text = reader.text(node, "node_label", "a text").map(|text| text.value);
            stage.put_text("node_label", text);
        }
        _ => reader.no_counterpart(stage, key, ""),
    }
}

fn resources(reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    for (key, node) in reader.entries(node, "resources", "a mapping with vcores and memory").unwrap_or_default() {
        let Some(text) = reader.text(node, &key.text, "a text or a number") else { continue };
        match key.text.as_str() {
            "vcores" => stage.put("cpus", Out::plain(quantity::cpus(&text.value).unwrap_or_else(|| "1".to_owned()))),
            "memory" => match quantity::skein_size(&text.value) {
                Some(size) => stage.put("memory", Out::plain(size)),
                None => {
                    let message = format!("{:?} is no size of Skein", text.value);
                    reader.report.error("E0120", text.span, message).help("write it like 2 GiB, or as a number of MiB");
                }
            },
            _ if text.value == "0" => {}
            _ => reader.no_counterpart(stage, key, "special processors are not supported yet"),
        }
    }
}

/// Files: what is in HDFS is an input, what lies beside the specification is mounted.
fn files(reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let of = |node: &Node| node.said().or_else(|| node.get("source").and_then(Node::said)).map(str::to_owned);
    let pairs: Vec<(String, Option<String>, String)> = match &node.value {
        Value::Map(entries) => {
            entries.iter().map(|(key, node)| (key.text.clone(), of(node), reader.line(key.span))).collect()
        }
        Value::List(items) => items
            .iter()
            .map(|item| {
                let source = of(item).or_else(|| item.get("file").and_then(Node::said).map(str::to_owned));
                let base = source.as_deref().and_then(|source| source.rsplit('/').next()).unwrap_or_default();
                let dest = item.get("dest").and_then(Node::said).unwrap_or(base);
                (dest.to_owned(), source, reader.line(item.span))
            })
            .collect(),
        _ => Vec::new(),
    };
    let (mut volumes, mut inputs) = (Vec::new(), Mapping::default());
    for (target, source, line) in pairs {
        let Some(source) = source else { continue };
        let archive = [".tar.gz", ".tgz", ".zip", ".tar"].iter().any(|ending| source.ends_with(ending));
        if source.contains("://") && !source.starts_with("file://") {
            inputs.put(format!("{HOME}/{target}"), Out::text(source));
        } else if archive && !target.ends_with(['z', 'p', 'r']) {
            stage.note(format!("{target} ({line}): Skein unpacks {source}; put what is in it into the image"));
        } else {
            let path = source.trim_start_matches("file://");
            let path =
                if path.starts_with('/') { path.to_owned() } else { format!("./{}", path.trim_start_matches("./")) };
            volumes.push(format!("{path}:{HOME}/{target}:ro"));
        }
    }
    if !volumes.is_empty() {
        stage.note("on a cluster the policy says what of its machines may be mounted; files in HDFS are inputs");
        stage.put("volumes", Out::texts(volumes));
    }
    if !inputs.is_empty() {
        match is_built(Scope::Stage, "inputs") {
            true => stage.put("inputs", Out::Map(inputs)),
            false => stage.note(format!(
                "inputs are not supported yet; the final form is:\ninputs:\n{}",
                indented(&inputs.text())
            )),
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn placement(reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let mut placement = Vec::new();
    for name in ["nodes", "racks"] {
        let Some(list) = node.get(name) else { continue };
        let words = reader.texts(list, name).unwrap_or_default();
        placement.push((name.to_owned(), Out::texts(words.into_iter().map(|word| word.value))));
    }
    if !placement.is_empty() && node.get("relax_locality").and_then(Node::said) == Some("true") {
        placement.push(("hard".to_owned(), Out::plain(false)));
    }
    if !placement.is_empty() {
        stage.put("placement", Out::Flow(placement));
    }
}

/// The script last: it is the longest.
fn script(reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let text = match (node.get("script"), node.get("commands")) {
        (Some(script), _) => reader.text(script, "script", "a text").map(|text| text.value),
        (None, Some(commands)) => {
            let lines = reader.texts(commands, "commands").unwrap_or_default();
            Some(lines.into_iter().map(|line| format!("{}\n", line.value)).collect())
        }
        (None, None) => {
            reader
                .report
                .error("E0120", node.span, "this service has no script")
                .help("Skein wants one too: write script:");
            None
        }
    };
    let Some(text) = text else { return };
    if text.contains("skein") {
        stage.note("the script speaks to Skein (its key-value store or its own commands), which is not there");
    }
    stage.put("workdir", Out::text(HOME));
    // Skein's scripts are bash's, and stop at the first command that fails.
    let shebang = if text.starts_with("#!") { "" } else { "#!/bin/bash\nset -e\n" };
    stage.put("script", Out::Text(format!("{shebang}{}\n", literal(text.trim_end()))));
}
