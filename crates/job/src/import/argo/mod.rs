//! Argo's workflows: every container that a workflow would start becomes a stage. Templates that call others are laid
//! out flat, for a job has no templates of its own; what a step waits for becomes `needs`.

mod depends;
mod flow;
mod leaf;
mod texts;
mod when;

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use super::out::{Mapping, Out};
use super::{Made, Wanted, literal, quantity};
use crate::names::make_name;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;
use texts::Around;

/// Kinds of files that hold a workflow.
pub(super) const KINDS: [&str; 4] = ["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"];
/// Stages that one file may become.
const MOST_STAGES: usize = 2_000;

/// What laying out needs at hand.
struct Argo<'a> {
    templates: BTreeMap<&'a str, &'a Node>,
    /// `templateDefaults`.
    defaults: Option<&'a Node>,
    names: Names,
    stages: Mapping,
    count: usize,
    /// Tasks whose standard output others read.
    captured: BTreeSet<String>,
}

/// Reads a workflow.
pub(super) fn read(reader: &mut Reader, root: &Node, wanted: &Wanted) -> Made {
    let mut made = Made::default();
    let kind = root.get("kind").and_then(Node::said).unwrap_or_default();
    if !KINDS.contains(&kind) {
        let found = if kind.is_empty() { "it has no kind".to_owned() } else { format!("its kind is {kind:?}") };
        let wrong = reader.report.error("E0120", root.span, format!("this is no Argo workflow: {found}"));
        wrong.help(format!("it must have kind: {}", KINDS.join(", ")));
        return made;
    }
    let spec = root.get("spec");
    let spec = if kind == "CronWorkflow" { spec.and_then(|spec| spec.get("workflowSpec")) } else { spec };
    let Some(spec) = spec else {
        reader.report.error("E0120", root.span, "the workflow has no spec").help("write spec: with templates");
        return made;
    };
    let metadata = root.get("metadata");
    let name = ["name", "generateName"].iter().find_map(|key| metadata?.get(key)?.said());
    made.job.put("name", Out::text(name.and_then(make_name).unwrap_or_else(|| "workflow".to_owned())));
    if kind == "CronWorkflow" {
        let schedule = root.get("spec").and_then(|spec| spec.get("schedule")).and_then(Node::said).unwrap_or("?");
        made.head.push(format!("A CronWorkflow ({schedule}): schedules are not supported yet; let cron run it."));
    }
    let templates = spec.get("templates").map(Node::items).unwrap_or_default();
    let named = templates.iter().filter_map(|node| Some((node.get("name")?.said()?, node)));
    let mut argo = Argo {
        templates: named.collect(),
        defaults: spec.get("templateDefaults"),
        names: Names::default(),
        stages: Mapping::default(),
        count: 0,
        captured: captured(reader.report.text.text),
    };
    top(reader, &mut made, spec);
    let entry = wanted.targets.first().map(|name| Node::text(name.as_str()));
    laid_out(&mut argo, reader, &mut made, (spec, entry.as_ref()));
    made
}

/// The stages, and those at the end.
fn laid_out(argo: &mut Argo, reader: &mut Reader, made: &mut Made, (spec, entry): (&Node, Option<&Node>)) {
    let Some(entry) = entry.or_else(|| spec.get("entrypoint")) else {
        let why = match spec.get("workflowTemplateRef") {
            Some(_) => "it refers to a WorkflowTemplate of a cluster; bring that file over instead",
            None => "name the template to begin with: --target NAME",
        };
        reader.report.error("E0120", spec.span, "the workflow has no entrypoint").help(why);
        return;
    };
    let around = Around::of_workflow(spec);
    let place = |argo: &mut Argo, reader: &mut Reader, node: &Node| {
        let name = node.said().unwrap_or_default().to_owned();
        let call = flow::Call { name: String::new(), template: name, span: node.span, ..flow::Call::default() };
        flow::place(argo, reader, &around, call);
        std::mem::take(&mut argo.stages)
    };
    let stages = place(argo, reader, entry);
    if argo.count == 0 && !reader.report.failed() {
        let wrong = reader.report.error("E0120", entry.span, "nothing of this workflow becomes a stage");
        wrong.help("its templates are of other files, or start no container");
    }
    let at_end = spec.get("onExit").map(|node| place(argo, reader, node));
    made.job.put("stages", Out::Map(stages));
    if let Some(at_end) = at_end {
        made.job.put("on_exit", Out::Map(at_end));
    }
}

/// Names of tasks whose `outputs.result` is read somewhere in the file.
fn captured(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(".outputs.result") {
        let before = &text[..at];
        let from = before.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).map_or(0, |at| at + 1);
        found.insert(before[from..].to_owned());
    }
    // `tasks['flip-coin'].outputs.result` of the other language of expressions.
    for (at, _) in text.match_indices("'].outputs.result") {
        found.extend(text[..at].rsplit('\'').next().map(str::to_owned));
    }
    found
}

fn top(reader: &mut Reader, made: &mut Made, spec: &Node) {
    const READ: [&str; 6] =
        ["entrypoint", "templates", "arguments", "onExit", "templateDefaults", "workflowTemplateRef"];
    let Value::Map(entries) = &spec.value else { return };
    params(reader, made, spec);
    for (key, node) in entries.iter().filter(|(_, node)| !node.is_null()) {
        match key.text.as_str() {
            name if READ.contains(&name) => {}
            "activeDeadlineSeconds" => match node.said().and_then(quantity::duration) {
                Some(limit) => made.job.put("timeout", Out::plain(limit)),
                None => reader.no_counterpart(&mut made.job, key, "it is no duration that is known"),
            },
            "volumes" | "volumeClaimTemplates" => {
                let why = "volumes of Kubernetes; mount a directory (volumes:), or hand data on through HDFS";
                reader.no_counterpart(&mut made.job, key, why);
            }
            "parallelism" => reader.no_counterpart(&mut made.job, key, "the queue bounds what runs at a time"),
            _ => reader.no_counterpart(&mut made.job, key, ""),
        }
    }
}

/// `arguments.parameters` of the workflow.
fn params(reader: &mut Reader, made: &mut Made, spec: &Node) {
    let Some(list) = spec.get("arguments").and_then(|arguments| arguments.get("parameters")) else { return };
    let mut params = Mapping::default();
    for node in list.items() {
        let Some(name) = node.get("name").and_then(Node::said) else { continue };
        let name = texts::param(name);
        if params.has(&name) {
            continue;
        }
        if let Some(from) = node.get("valueFrom") {
            params.note(format!("{name} ({}): its value came from Kubernetes", reader.line(from.span)));
        }
        let value = node.get("value").or_else(|| node.get("default")).and_then(Node::said).map(literal);
        let choices = node.get("enum").map(Node::items).unwrap_or_default();
        let plain = match value {
            Some(value) if choices.is_empty() => Out::Text(value),
            Some(value) => {
                let choices = Out::texts(choices.iter().filter_map(Node::said).map(literal));
                Out::Flow(vec![("default".to_owned(), Out::Text(value)), ("choices".to_owned(), choices)])
            }
            None => Out::Flow(vec![("required".to_owned(), Out::plain(true))]),
        };
        params.put(name, plain);
    }
    if !params.is_empty() {
        made.job.put("params", Out::Map(params));
    }
    if let Some(artifacts) = spec.get("arguments").and_then(|arguments| arguments.get("artifacts")) {
        let key = Key { text: "artifacts".to_owned(), span: artifacts.span };
        reader.no_counterpart(&mut made.job, &key, "files come in as inputs: from HDFS or from the run's own store");
    }
}
