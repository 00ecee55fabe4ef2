//! `{{...}}`: what Argo puts in when a step starts becomes a template of ours, or the value itself where it is known.

use std::collections::BTreeMap;

use crate::import::literal;
use crate::node::Node;

/// What a template can see.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// `inputs.parameters`, as texts of ours.
    pub(super) params: BTreeMap<String, String>,
    /// `inputs.artifacts.X.path` and the like.
    pub(super) paths: BTreeMap<String, String>,
    /// Steps before this one.
    pub(super) done: BTreeMap<String, Placed>,
    /// The item of a loop that was rolled out.
    pub(super) item: Option<Node>,
}

/// What a step became.
#[derive(Debug, Clone, Default)]
pub(super) struct Placed {
    /// Its last stages: what follows it needs these.
    pub(super) exits: Vec<String>,
    /// The stage whose standard output it is.
    pub(super) result: Option<String>,
    /// `outputs.parameters` as expressions.
    pub(super) outputs: BTreeMap<String, String>,
    /// It may be skipped.
    pub(super) optional: bool,
    /// What follows runs after its failure too.
    pub(super) lenient: bool,
}

/// Our name for a parameter of Argo's.
pub(super) fn param(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("p{name}") }
}

/// `results.join`, `results["flip-coin"]`.
pub(super) fn result_of(stage: &str) -> String {
    let plain = !stage.contains('-') && stage.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { format!("results.{stage}") } else { format!("results[\"{stage}\"]") }
}

impl Around {
    /// What the first template of a workflow sees.
    pub(super) fn of_workflow(spec: &Node) -> Self {
        let list = spec.get("arguments").and_then(|arguments| arguments.get("parameters"));
        let names = list.map(Node::items).unwrap_or_default().iter().filter_map(|node| node.get("name")?.said());
        let params = names.map(|name| (name.to_owned(), format!("${{params.{}}}", param(name))));
        Self { params: params.collect(), ..Self::default() }
    }

    /// The text with our templates in it. What is not known is kept as it is and told to `unknown`.
    pub(super) fn fill(&self, text: &str, unknown: &mut Vec<String>) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let Some(len) = rest[at..].find("}}") else { break };
            out.push_str(&literal(&rest[..at]));
            let inner = rest[at + 2..at + len].trim();
            match self.value(inner) {
                Some(value) => out.push_str(&value),
                None => {
                    unknown.push(inner.to_owned());
                    out.push_str(&literal(&rest[at..at + len + 2]));
                }
            }
            rest = &rest[at + len + 2..];
        }
        out + &literal(rest)
    }

    /// What stands for a name, as a text of ours.
    fn value(&self, name: &str) -> Option<String> {
        if let Some(input) = name.strip_prefix("inputs.parameters.") {
            return self.params.get(input).cloned();
        }
        if name.ends_with(".path") {
            return self.paths.get(name).cloned();
        }
        if let Some(item) = &self.item {
            if name == "item" {
                return Some(literal(item.said()?));
            }
            if let Some(key) = name.strip_prefix("item.") {
                return Some(literal(item.get(key)?.said()?));
            }
        }
        self.expression(name).map(|expression| format!("${{{expression}}}"))
    }

    /// What stands for a name, as an expression.
    pub(super) fn expression(&self, name: &str) -> Option<String> {
        if let Some(input) = name.strip_prefix("inputs.parameters.") {
            return self.params.get(input).map(|text| as_expression(text));
        }
        if let Some(param_name) = name.strip_prefix("workflow.parameters.") {
            return Some(format!("params.{}", param(param_name)));
        }
        match name {
            "workflow.name" => return Some("run.name".to_owned()),
            "workflow.status" => return Some("run.state".to_owned()),
            "item" => return Some(self.item.as_ref().map_or("item".to_owned(), quoted_node)),
            _ => {}
        }
        if let Some(key) = name.strip_prefix("item.") {
            let known = self.item.as_ref().and_then(|item| item.get(key));
            return Some(known.map_or_else(|| format!("item.{key}"), quoted_node));
        }
        let rest = name.strip_prefix("tasks.").or_else(|| name.strip_prefix("steps."))?;
        let (task, output) = rest.split_once(".outputs.")?;
        let placed = self.done.get(task)?;
        match output.split_once('.') {
            None if output == "result" => Some(result_of(placed.result.as_ref()?)),
            None if output == "parameters" => Some(result_of(placed.result.as_ref()?)),
            Some(("parameters", name)) => placed.outputs.get(name).cloned(),
            _ => None,
        }
    }
}

fn quoted_node(node: &Node) -> String {
    string(node.said().unwrap_or_default())
}

/// A text as a literal of an expression.
pub(super) fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text of ours as an expression: `a-${params.x}` is `"a-" + string(params.x)`.
pub(super) fn as_expression(text: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if at > 0 && rest.as_bytes()[at - 1] == b'$' {
            return string(text);
        }
        let Some(len) = rest[at..].find('}') else { break };
        if at > 0 {
            parts.push(string(&rest[..at]));
        }
        let inner = &rest[at + 2..at + len];
        if parts.is_empty() && at + len + 1 == rest.len() {
            return inner.to_owned();
        }
        parts.push(format!("string({inner})"));
        rest = &rest[at + len + 1..];
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(string(rest));
    }
    parts.join(" + ")
}
