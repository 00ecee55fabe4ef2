//! Reads nodes as what a key takes. What does not fit is reported, and reading goes on.

use std::collections::BTreeMap;
use std::path::Path;

use dybox_model::{Keep, Millis, Resources};

use crate::cluster::Cluster;
use crate::elsewhere;
use crate::fields::{self, FIELDS, Scope};
use crate::names::bad_name;
use crate::node::{Key, Kind, Node, Scalar, Value};
use crate::read::{Declared, Shelf, asks_for_rights};
use crate::report::{Report, nearest};
use crate::template::{Fault, Filled, Templates};
use crate::text::Span;
use crate::units::{BadUnit, parse_duration, parse_size};
use crate::world::{Policy, World};

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Spot<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// All that reading needs at hand.
pub(crate) struct Reader<'a> {
    pub(crate) report: Report<'a>,
    /// Nothing: `${` has no meaning here (`dybox shell`).
    pub(crate) templates: Option<Templates>,
    pub(crate) world: &'a dyn World,
    pub(crate) policy: Policy,
    pub(crate) largest: Option<Resources>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) dir: &'a Path,
    /// The named volumes of the job; nothing where any name is one (`dybox shell`, profiles).
    pub(crate) volumes: Option<BTreeMap<String, Keep>>,
    /// The secrets that the job declares.
    pub(crate) secrets: BTreeMap<String, Declared>,
    /// The administrator's registry of profiles.
    pub(crate) profiles: Shelf<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(report: Report<'a>, world: &'a dyn World, dir: &'a Path) -> Self {
        let (mut policy, cluster) = (world.policy(), world.cluster());
        if cluster.is_some() && !policy.exists {
            // Nobody has said what of the cluster's machines may be given away.
            policy.mount_roots.clear();
        }
        // A cluster's limits are looked at when the label of each stage is known.
        let largest = world.largest().filter(|_| cluster.is_none());
        let (volumes, secrets, profiles) = (None, BTreeMap::new(), Shelf::Unasked);
        Self { report, templates: None, world, policy, largest, cluster, dir, volumes, secrets, profiles }
    }

    /// "X takes Y, found Z".
    pub(crate) fn wrong_type(&mut self, node: &Node, name: &str, takes: &str) {
        if matches!(node.value, Value::Bad) {
            return;
        }
        let name = named(name);
        let (code, message) = match node.is_null() {
            true => ("E0203", format!("{name} has no value; it takes {takes}")),
            false => ("E0202", format!("{name} takes {takes}, found {}", node.found())),
        };
        let it = if name.contains(' ') { "it" } else { &name };
        let help = match code {
            "E0203" => format!("give {it} a value, or take it away"),
            _ => format!("give {it} {takes}"),
        };
        self.report.error(code, node.span, message).help(help);
    }

    /// The entries of a mapping.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, name: &str, takes: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(node, name, takes);
                None
            }
        }
    }

    /// A scalar that is not null, templates filled in.
    pub(crate) fn scalar(&mut self, node: &Node, name: &str, takes: &str) -> Option<Scalar> {
        let Value::Scalar(scalar) = &node.value else {
            self.wrong_type(node, name, takes);
            return None;
        };
        let scalar = self.fill(scalar, node.span, name)?;
        if scalar.kind() == Kind::Null {
            self.wrong_type(&Node { span: node.span, value: Value::Scalar(scalar) }, name, takes);
            return None;
        }
        Some(scalar)
    }

    fn fill(&mut self, scalar: &Scalar, span: Span, name: &str) -> Option<Scalar> {
        let Some(templates) = self.templates.as_mut().filter(|_| scalar.text.contains('$')) else {
            return Some(scalar.clone());
        };
        let filled = templates.fill(&scalar.text);
        let read = std::mem::take(&mut templates.read);
        match filled {
            Ok(Filled::Text(text)) => Some(Scalar { plain: scalar.plain && text == scalar.text, text }),
            Ok(Filled::Typed(text)) => Some(Scalar { text, plain: true }),
            Ok(Filled::Late) => {
                let uses = self.spots(read, span);
                if let Some(late) = uses.iter().find(|what| what.value.is_late()) {
                    let message = format!("{} must be known when planning, and {} is not", named(name), late.value);
                    let help = where_else(name);
                    self.report.error("E0709", late.span, message).help(help);
                }
                None
            }
            Err(faults) => {
                for fault in faults {
                    self.template_fault(fault, span);
                }
                None
            }
        }
    }

    pub(crate) fn template_fault(&mut self, fault: Fault, span: Span) {
        let here = match self.report.text.slice(span).find(&fault.template) {
            Some(at) => {
                let start = span.start as usize + at;
                Span::new(start + fault.at.start, start + fault.at.end)
            }
            None => span,
        };
        self.report.error(fault.code, here, fault.message).label(fault.label).help(fault.help);
    }

    /// Any scalar as text, as it is written.
    pub(crate) fn text(&mut self, node: &Node, name: &str, takes: &str) -> Option<Spot<String>> {
        let scalar = self.scalar(node, name, takes)?;
        let good = self.without_returns(&scalar.text, name, node.span);
        good.then_some(Spot { value: scalar.text, span: node.span })
    }

    pub(crate) fn without_returns(&mut self, text: &str, name: &str, span: Span) -> bool {
        let found = text.contains('\r');
        if found {
            let (code, what) = if name == "script" {
                ("E0223", "the script has carriage returns (CRLF line ends), which no interpreter accepts".to_owned())
            } else {
                ("E0117", format!("{} holds a carriage return", named(name)))
            };
            self.report.error(code, span, what).help("take each \\r out; dos2unix does it");
        }
        !found
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, node: &Node, name: &str) -> Option<Vec<Spot<String>>> {
        let Value::List(items) = &node.value else {
            self.wrong_type(node, name, "a list of texts");
            if matches!(&node.value, Value::Scalar(_)) && !node.is_null() {
                let help = match name {
                    "command" => "write a list, like [\"sh\", \"-c\", \"...\"], or use script",
                    _ => "put it into brackets: [...]",
                };
                if let Some(last) = self.report.found.last_mut() {
                    last.help(help);
                }
            }
            return None;
        };
        let each = format!("an item of {name:?}");
        Some(items.iter().filter_map(|item| self.text(item, &each, "a text")).collect())
    }

    /// A list of texts, or one text.
    pub(crate) fn text_or_texts(&mut self, node: &Node, name: &str) -> Option<Vec<Spot<String>>> {
        match &node.value {
            Value::Scalar(_) => self.text(node, name, "a text or a list of texts").map(|text| vec![text]),
            _ => self.texts(node, name),
        }
    }

    /// A whole number within a range.
    pub(crate) fn integer(&mut self, node: &Node, name: &str, range: (i64, i64)) -> Option<i64> {
        let takes = format!("a whole number from {} to {}", range.0, range.1);
        let scalar = self.scalar(node, name, &takes)?;
        match scalar.kind() {
            Kind::Int(value) if value >= range.0 && value <= range.1 => Some(value),
            Kind::Int(_) | Kind::Float(_) => {
                let message = format!("{name:?} takes {takes}, found {}", scalar.text);
                self.report.error("E0216", node.span, message).help(format!("give {name:?} {takes}"));
                None
            }
            _ => {
                self.wrong_type(&Node { span: node.span, value: Value::Scalar(scalar.clone()) }, name, &takes);
                if let (Ok(_), Some(last)) = (scalar.text.parse::<i64>(), self.report.found.last_mut()) {
                    last.help(format!("write {} without quotes; of a parameter, ${{int(params.n)}}", scalar.text));
                }
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn truth(&mut self, node: &Node, name: &str) -> Option<bool> {
        let scalar = self.scalar(node, name, "true or false")?;
        match scalar.kind() {
            Kind::Bool(truth) => Some(truth),
            _ => {
                self.wrong_type(&Node { span: node.span, value: Value::Scalar(scalar) }, name, "true or false");
                None
            }
        }
    }

    /// One of a few words; gives its place in the list.
    pub(crate) fn choice(&mut self, node: &Node, name: &str, words: &[&str]) -> Option<usize> {
        let takes = words.join(", ");
        let text = self.text(node, name, &takes)?;
        let found = words.iter().position(|word| *word == text.value);
        if found.is_none() {
            let message = format!("{name:?} takes one of {takes}, found {:?}", text.value);
            let near = words.iter().copied();
            self.report
                .error("E0208", text.span, message)
                .nearest(&text.value, near)
                .help(format!("write one of {takes}"));
        }
        found
    }

    /// A name of a stage, a sub-DAG or a network.
    pub(crate) fn name(&mut self, node: &Node, what: &str) -> Option<Spot<String>> {
        let text = self.text(node, &format!("the name of {what}"), "a text, like nightly")?;
        self.check_name(&text.value, text.span, what).then_some(text)
    }

    pub(crate) fn check_name(&mut self, name: &str, span: Span, what: &str) -> bool {
        let Some(why) = bad_name(name) else { return true };
        let help = match crate::names::make_name(name) {
            Some(better) => format!("write {better:?}"),
            None => "write lower-case letters, digits and -, like extract-2".to_owned(),
        };
        self.report.error("E0301", span, format!("{name:?} can't name {what}")).label(why).help(help);
        false
    }

    /// A size in bytes.
    pub(crate) fn size(&mut self, node: &Node, name: &str) -> Option<Spot<u64>> {
        let text = self.text(node, name, "a size, like 512MiB")?;
        match parse_size(&text.value) {
            Ok(value) => Some(Spot { value, span: text.span }),
            Err(bad) => {
                self.bad_unit(if bad.unit { "E0211" } else { "E0212" }, name, text.span, bad);
                None
            }
        }
    }

    /// A span of time; `zero` says whether it may be nothing.
    pub(crate) fn duration(&mut self, node: &Node, name: &str, zero: bool) -> Option<Millis> {
        let text = self.text(node, name, "a duration, like 10m")?;
        match parse_duration(&text.value) {
            Ok(Millis(0)) if !zero => {
                let message = format!("{name:?} can't be zero");
                self.report.error("E0216", text.span, message).help("write more, like 10m, or take it away");
                None
            }
            Ok(value) => Some(value),
            Err(bad) => {
                self.bad_unit("E0215", name, text.span, bad);
                None
            }
        }
    }

    fn bad_unit(&mut self, code: &'static str, name: &str, span: Span, bad: BadUnit) {
        self.report.error(code, span, format!("{name:?}: {}", bad.why)).help(bad.write);
    }

    /// The part of a text's place that some bytes of it have; all of it where the source spells it otherwise.
    pub(crate) fn inside(&self, span: Span, text: &str, bytes: std::ops::Range<usize>) -> Span {
        match self.report.text.slice(span).find(text) {
            Some(at) if !text.is_empty() => {
                let start = span.start as usize + at;
                Span::new(start + bytes.start, start + bytes.end)
            }
            _ => span,
        }
    }

    /// A key that this mapping does not take: not built yet, of another mapping, or misspelt.
    pub(crate) fn unknown(&mut self, scope: Scope, key: &Key) {
        let name = key.text.as_str();
        if scope == Scope::Stage && asks_for_rights(self, key) {
            return;
        }
        if let Some(field) = fields::find(scope, name) {
            if field.built {
                let message = format!("{name:?} can't stand in defaults");
                self.report.error("E0201", key.span, message).help("write it in each stage that it is for");
                return;
            }
            let message = format!("{name:?} is not supported yet");
            let wrong = self.report.error("E0204", key.span, message);
            wrong.label(lower(field.meaning)).help("take it away; a later version brings it");
            return;
        }
        let names = FIELDS.iter().filter(|field| field.scope == scope && field.built).map(|field| field.name);
        let message = format!("{} has no key {name:?}", scope.words());
        let elsewhere = FIELDS.iter().find(|field| field.name == name && field.built);
        let ours = elsewhere::said_elsewhere(scope, name);
        let meant = ours.and_then(elsewhere::key_in).or_else(|| nearest(name, names.clone()));
        let help = match (meant.and_then(|meant| fields::find(scope, meant)), elsewhere) {
            (Some(field), _) => format!("`dybox explain {}` says what it takes", field.short()),
            (None, Some(field)) => format!("{name:?} is a key of {}", field.scope.words()),
            (None, None) => keys(names.clone()),
        };
        let wrong = self.report.error("E0201", key.span, message).nearest(name, names).help(help);
        if let Some(ours) = ours {
            wrong.label(ours);
        }
    }
}

/// A key in a sentence; what has a space in it is no key but a phrase, like `stage "a"`.
fn named(name: &str) -> String {
    if name.contains(' ') { name.to_owned() } else { format!("{name:?}") }
}

/// What to do with a template that reads what is known late, where it can't.
fn where_else(name: &str) -> &'static str {
    if name.contains("volumes") {
        return "mount the directory above, or let inputs and outputs carry the files: their places may read it";
    }
    "write the value itself, or a parameter; what may read it: command, script, entrypoint, workdir, env, image, cpus, memory, inputs, outputs, when, each"
}

/// The keys of a mapping; of many a handful.
fn keys<'n>(names: impl Iterator<Item = &'n str>) -> String {
    /// Keys that are all listed, at most.
    const MOST: usize = 8;
    let names: Vec<&str> = names.collect();
    match names.len() {
        0..=MOST => format!("the keys are {}", names.join(", ")),
        many => format!("the keys are {} and {} more: `dybox explain` lists them", names[..6].join(", "), many - 6),
    }
}

/// A sentence as a label: lower case, no full stop.
fn lower(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
