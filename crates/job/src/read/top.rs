//! The top of the file.

use std::collections::BTreeSet;

use super::{hook, params, placement, secrets, stage, volumes};
use crate::Submit;
use crate::draft::{Job, Split};
use crate::fields::Scope;
use crate::ground;
use crate::names::make_name;
use crate::node::{Key, Kind, Node, Value};
use crate::reader::{Reader, Spot};
use crate::template::Templates;

/// Most sub-DAGs of a run: each is a process here and an application there.
const MOST_SUBDAGS: i64 = 1_000;

/// Reads the whole file. `file` is its name, for a job without one.
pub(crate) fn job(reader: &mut Reader, root: &Node, file: &str, submit: &Submit) -> Job {
    let mut job = Job::default();
    let Value::Map(entries) = &root.value else {
        reader
            .report
            .error("E0118", root.span, format!("a job file is a mapping of keys, found {}", root.found()))
            .help("start with name: and stages:");
        return job;
    };
    let get = |name: &str| entries.iter().find(|(key, _)| key.text == name);
    job.name = name(reader, get("name"), file, submit);
    let given = params::given(reader, submit);
    let (values, unset) = match get("params") {
        Some((_, node)) => params::read(reader, node, &given, &mut job.rules),
        None => params::none(reader, &given),
    };
    job.params.clone_from(&values);
    reader.templates = Some(Templates::new(values, unset, &job.name));
    reader.volumes = Some(get("volumes").map(|(_, node)| volumes::declared(reader, node)).unwrap_or_default());
    reader.secrets = get("secrets").map(|(_, node)| secrets::declared(reader, node)).unwrap_or_default();
    for (key, node) in entries {
        entry(reader, &mut job, key, node);
    }
    if let Some(queue) = &submit.queue {
        job.queue = Some(Spot { value: queue.clone(), span: crate::text::Span::NOWHERE });
    }
    let defaults = get("defaults").map(|(_, node)| stage::body(reader, node, "defaults")).unwrap_or_default();
    match get("stages") {
        Some((key, node)) => job.stages = stage::all(reader, key, node, &defaults),
        None => {
            reader
                .report
                .error("E0310", root.span, "the job has no stages")
                .help("add stages: with one stage that has an image");
        }
    }
    if let Some((_, node)) = get("on_exit") {
        let before = job.stages.len();
        stage::more(reader, ("on_exit", node), &defaults, &mut job.stages);
        job.stages[before..].iter_mut().for_each(|stage| stage.last = true);
    }
    if let Some((_, node)) = get("hooks") {
        job.hooks = hook::all(reader, node, &defaults);
    }
    secrets::unused(reader);
    job.ground = ground::of(reader, entries);
    job
}

fn name(reader: &mut Reader, given: Option<&(Key, Node)>, file: &str, submit: &Submit) -> String {
    let mut own = None;
    if let Some((_, node)) = given {
        own = reader.name(node, "a job").map(|name| name.value);
    }
    if let Some(name) = &submit.name {
        reader.check_name(name, crate::text::Span::NOWHERE, "a job (--name)");
        return name.clone();
    }
    let stem = file.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
    own.or_else(|| make_name(stem)).unwrap_or_else(|| "job".to_owned())
}

fn entry(reader: &mut Reader, job: &mut Job, key: &Key, node: &Node) {
    match key.text.as_str() {
        "name" | "params" | "defaults" | "stages" | "hooks" | "on_exit" | "include" | "volumes" | "secrets" => {}
        "version" => version(reader, node),
        "templates" => stage::templates(reader, node),
        "tags" => job.tags = tags(reader, node),
        "split" => job.split = split(reader, node),
        "fail_fast" => job.fail_fast = reader.truth(node, "fail_fast").unwrap_or_default(),
        "timeout" => job.timeout = reader.duration(node, "timeout", false),
        "rightsize" => job.rightsize = reader.truth(node, "rightsize").unwrap_or_default(),
        "queue" => job.queue = placement::word(reader, node, "queue"),
        "priority" => {
            // YARN takes any number and treats one below 0 as 0.
            let range = (0, i64::from(i32::MAX));
            job.priority = reader.integer(node, "priority", range).map(|value| value as i32);
        }
        "node_label" => job.node_label = placement::word(reader, node, "node_label"),
        _ => reader.unknown(Scope::Top, key),
    }
}

fn version(reader: &mut Reader, node: &Node) {
    let Some(text) = reader.text(node, "version", "1") else { return };
    if text.value != "1" {
        let message = format!("version {:?} of the job file's format is not known here", text.value);
        reader.report.error("E0208", text.span, message).help("write version: 1, or use a newer DYbox");
    }
}

fn tags(reader: &mut Reader, node: &Node) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    for tag in reader.texts(node, "tags").unwrap_or_default() {
        if tag.value.is_empty() || tag.value.len() > 100 || tag.value.contains(['\n', '\t', ',']) {
            let message = "a tag has 1 to 100 characters, no comma and no line end";
            reader.report.error("E0207", tag.span, message).help("write a short word");
        } else if seen.insert(tag.value.clone()) {
            tags.push(tag.value);
        }
    }
    tags
}

fn split(reader: &mut Reader, node: &Node) -> Split {
    if matches!(&node.value, Value::Scalar(scalar) if matches!(scalar.kind(), Kind::Int(_) | Kind::Float(_))) {
        return reader.integer(node, "split", (1, MOST_SUBDAGS)).map_or(Split::Auto, |most| Split::Most(most as u32));
    }
    match reader.choice(node, "split", &["auto", "components", "none"]) {
        Some(1) => Split::Components,
        Some(2) => Split::None,
        Some(_) => Split::Auto,
        None => {
            if let Some(last) = reader.report.found.last_mut().filter(|last| last.code == "E0208") {
                last.help("write auto, components, none, or the most sub-DAGs as a number");
            }
            Split::Auto
        }
    }
}
