//! `${...}` in texts: one CEL expression each, over what is known at planning; what is known later is only checked.

use std::collections::{BTreeMap, BTreeSet};

use cel::{Context, ExecutionError, Program, Value};
use serde_json::Value as Json;

use crate::report::nearest;
use crate::segments::{Segment, find_word, loops, segments};
use crate::uses::{Use, uses};
use crate::values::{failure, kind_of, map_of, value_of};

/// Bytes of an expression, at most.
const LONGEST: usize = 1_000;
/// Brackets inside of each other, at most.
const DEEPEST: usize = 16;
/// Loops (`map`, `filter`, `all`, `exists`, `exists_one`) of an expression, at most.
pub(crate) const MOST_LOOPS: usize = 2;

/// A text with its templates filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filled {
    Text(String),
    /// The text was one template and its value is a number, a truth value or null.
    Typed(String),
    /// It reads what is known only when the stage, or a task of it, begins.
    Late,
}

/// The value of an expression, as far as it is known.
#[derive(Debug, Clone)]
enum Outcome {
    Known(Value),
    Late,
}

/// What a template gives and what it reads.
type Computed = Result<(Outcome, Vec<Use>), Box<Fault>>;

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    /// The template that it is about, `${...}` with all.
    pub(crate) template: String,
    /// Bytes of the template that are wrong.
    pub(crate) at: std::ops::Range<usize>,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: String,
}

/// The names that expressions may use, with their values.
pub(crate) struct Templates {
    params: BTreeMap<String, Json>,
    /// Required and not given: reported already.
    pub(crate) unset: BTreeSet<String>,
    context: Context<'static, 'static>,
    /// Stages whose results are known, as they may be written.
    results: BTreeSet<String>,
    seen: BTreeMap<String, Computed>,
    /// What the texts that were filled in since the last look read, each with its template.
    pub(crate) read: Vec<(Use, String)>,
}

impl Templates {
    pub(crate) fn new(params: BTreeMap<String, Json>, unset: BTreeSet<String>, job: &str) -> Self {
        let mut context = Context::default();
        let unknown = unset.iter().map(|name| (name.clone(), Value::from("")));
        let known = params.iter().map(|(name, json)| (name.clone(), value_of(json)));
        context.add_variable_from_value("params", map_of(unknown.chain(known)));
        context.add_variable_from_value("run", map_of([("name".to_owned(), Value::from(job))].into_iter()));
        Self { params, unset, context, results: BTreeSet::new(), seen: BTreeMap::new(), read: Vec::new() }
    }

    /// The same where the results of some stages are known already, by name.
    pub(crate) fn with_results(mut self, results: &BTreeMap<String, Json>) -> Self {
        let named =
            |(name, json): (&String, &Json)| [(name.replace('-', "_"), json.clone()), (name.clone(), json.clone())];
        let all: BTreeMap<String, Json> = results.iter().flat_map(named).collect();
        self.context
            .add_variable_from_value("results", map_of(all.iter().map(|(name, json)| (name.clone(), value_of(json)))));
        self.results = all.into_keys().collect();
        self
    }

    /// Whether what an expression reads is there only later.
    fn comes_late(&self, what: &Use) -> bool {
        match what {
            Use::Result(name) => !self.results.contains(name),
            what => what.is_late(),
        }
    }

    /// Fills every template of a text in.
    pub(crate) fn fill(&mut self, text: &str) -> Result<Filled, Vec<Fault>> {
        let mut out = String::with_capacity(text.len());
        let (mut faults, mut late) = (Vec::new(), false);
        for segment in segments(text) {
            let template = match segment {
                Segment::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Segment::Unclosed(rest) => {
                    faults.push(*unclosed(rest));
                    continue;
                }
                Segment::Template(template) => template,
            };
            let filled = match self.value(template) {
                Ok(Outcome::Late) => {
                    late = true;
                    continue;
                }
                Ok(Outcome::Known(value)) if template.len() == text.len() => match whole(template, &value) {
                    Ok(filled) => return Ok(filled),
                    Err(fault) => Err(fault),
                },
                Ok(Outcome::Known(value)) => plain(template, &value),
                Err(fault) => Err(fault),
            };
            match filled {
                Ok(text) => out.push_str(&text),
                Err(fault) => faults.push(*fault),
            }
        }
        match faults.is_empty() {
            true if late => Ok(Filled::Late),
            true => Ok(Filled::Text(out)),
            false => Err(faults),
        }
    }

    /// The value of one template, where it is known now.
    pub(crate) fn evaluate(&mut self, template: &str) -> Result<Option<Value>, Box<Fault>> {
        Ok(match self.value(template)? {
            Outcome::Known(value) => Some(value),
            Outcome::Late => None,
        })
    }

    fn value(&mut self, template: &str) -> Result<Outcome, Box<Fault>> {
        let known = match self.seen.get(template) {
            Some(known) => known.clone(),
            None => {
                let value = self.compute(template);
                self.seen.insert(template.to_owned(), value.clone());
                value
            }
        };
        let (outcome, read) = known?;
        self.read.extend(read.into_iter().map(|what| (what, template.to_owned())));
        Ok(outcome)
    }

    fn compute(&self, template: &str) -> Computed {
        let expression = &template[2..template.len() - 1];
        if let Some(value) = expression.strip_prefix("params.").and_then(|name| self.params.get(name)) {
            return Ok((Outcome::Known(value_of(value)), vec![Use::Params]));
        }
        costs(template, expression)?;
        let program = Program::compile(expression).map_err(|errors| {
            let text = errors.errors.first().map(|error| syntax(&error.msg)).unwrap_or_default();
            let message = format!("{template} is no expression: {text}");
            fault("E0706", template, 0..template.len(), message, shell_help(expression))
        })?;
        let references = program.references();
        let mut names = references.variables();
        names.sort_unstable();
        for name in names {
            self.known(template, expression, name)?;
        }
        let read = uses(program.expression());
        for what in &read {
            fields(template, what)?;
        }
        if read.iter().any(|what| self.comes_late(what)) {
            return Ok((Outcome::Late, read));
        }
        let value = program.execute(&self.context).map_err(|error| self.failed(template, expression, error))?;
        Ok((Outcome::Known(value), read))
    }

    /// Whether a name at the root of an expression is there.
    fn known(&self, template: &str, expression: &str, name: &str) -> Result<(), Box<Fault>> {
        let name = name.trim_start_matches('.');
        if matches!(name, "params" | "run" | "results" | "item" | "task")
            || name.starts_with('@')
            || declared(expression, name)
        {
            return Ok(());
        }
        let at = find_word(template, name);
        let message = format!("{template} names {name:?}, which is not defined");
        let mut wrong = fault("E0705", template, at, message, shell_help(expression));
        if self.params.contains_key(name) {
            wrong.label = format!("did you mean params.{name}?");
        }
        if let Some(stage) = dashed(expression, name) {
            wrong.label = format!("did you mean results.{}?", stage.replace('-', "_"));
            wrong.help = "in an expression - is minus: write the - of a stage's name as _".to_owned();
        }
        Err(wrong)
    }

    fn failed(&self, template: &str, expression: &str, error: ExecutionError) -> Box<Fault> {
        match error {
            ExecutionError::NoSuchKey(key) => {
                let at = find_word(template, &key);
                let names = self.params.keys().chain(&self.unset).map(String::as_str);
                let message = format!("{template} names {key:?}, which is not defined");
                let help = match self.params.len() + self.unset.len() {
                    0 => "add it to params at the top of the file".to_owned(),
                    _ => format!("the parameters of this job are {}", crate::report::listed(names.clone())),
                };
                let mut wrong = fault("E0705", template, at, message, help);
                if let Some(near) = nearest(&key, names) {
                    wrong.label = format!("did you mean {near:?}?");
                }
                wrong
            }
            ExecutionError::UndeclaredReference(name) => {
                let message = format!("{template} names {:?}, which is not defined", name.as_str());
                fault("E0705", template, find_word(template, &name), message, shell_help(expression))
            }
            ExecutionError::FunctionError { function, .. } if matches!(&*function, "int" | "uint" | "double") => {
                let message = format!("{template} has no value: {function} is given a text that is no number");
                let used = self.params.iter().filter(|(name, _)| {
                    expression.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name.as_str())
                });
                let used: Vec<String> = used.map(|(name, value)| format!("params.{name} is {value}")).collect();
                let help = if used.is_empty() { "give it the text of a number".to_owned() } else { used.join(", ") };
                fault("E0707", template, 0..template.len(), message, help)
            }
            other => {
                let message = format!("{template} has no value: {}", failure(other));
                let help = "a parameter is text unless it has a type: int(params.n) makes a number of one".to_owned();
                fault("E0707", template, 0..template.len(), message, help)
            }
        }
    }
}

/// The fields of `task` and `run` are known by name.
fn fields(template: &str, what: &Use) -> Result<(), Box<Fault>> {
    let (of, field, known) = match what {
        Use::Task(field) => ("task", field, ["index", "count"].as_slice()),
        Use::Run(field) => ("run", field, ["name", "id", "state"].as_slice()),
        Use::Results => {
            let message = format!("{template} reads the results of no certain stage");
            let help = "name one stage: results.STAGE, or results[\"STAGE\"]".to_owned();
            return Err(fault("E0705", template, find_word(template, "results"), message, help));
        }
        _ => return Ok(()),
    };
    if known.contains(&field.as_str()) {
        return Ok(());
    }
    let message = match field.is_empty() {
        true => format!("{template} is a mapping, where one value is needed"),
        false => format!("{template} names {:?}, which is not defined", format!("{of}.{field}")),
    };
    let mut wrong = fault("E0705", template, find_word(template, what.word()), message, String::new());
    wrong.help =
        format!("there are {}", known.iter().map(|name| format!("{of}.{name}")).collect::<Vec<_>>().join(", "));
    if let Some(near) = nearest(field, known.iter().copied()) {
        wrong.label = format!("did you mean {of}.{near}?");
    }
    Err(wrong)
}

/// The stage that `results.a-b` means, where the name after the minus is not known.
fn dashed<'e>(expression: &'e str, name: &str) -> Option<&'e str> {
    let named = |stage: &&str| stage.split('-').skip(1).any(|part| part == name);
    let end = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let stages = expression.match_indices("results.").map(|(at, word)| &expression[at + word.len()..]);
    stages.map(|rest| &rest[..end(rest)]).find(named)
}

fn fault(code: &'static str, template: &str, at: std::ops::Range<usize>, message: String, help: String) -> Box<Fault> {
    Box::new(Fault { code, template: template.to_owned(), at, message, label: String::new(), help })
}

/// Refuses an expression before it is parsed when parsing or running it could take long.
fn costs(template: &str, expression: &str) -> Result<(), Box<Fault>> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' | b'!' | b'-' => deepest += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let loops = loops(expression);
    let why = if expression.len() > LONGEST {
        format!("it has more than {LONGEST} bytes")
    } else if deepest > DEEPEST {
        format!("it has more than {DEEPEST} brackets or signs inside of each other")
    } else if loops > MOST_LOOPS {
        format!("it has more than {MOST_LOOPS} loops")
    } else {
        return Ok(());
    };
    let message = format!("this expression costs too much: {why}");
    let help = "compute it in a stage, or give the result as a parameter".to_owned();
    Err(fault("E0708", template, 0..template.len().min(40), message, help))
}

fn unclosed(rest: &str) -> Box<Fault> {
    let line = rest.lines().next().unwrap_or_default();
    let end = line.char_indices().nth(40).map_or(line.len(), |(at, _)| at);
    let help = "close it, or write $${ for a literal ${".to_owned();
    fault("E0706", &line[..end], 0..2, "this ${ is never closed by a }".to_owned(), help)
}

/// What the parser says, without its list of all that it would have taken.
fn syntax(text: &str) -> String {
    let text = text.trim_start_matches("Syntax error: ").split(" expecting ").next().unwrap_or_default().trim();
    let what =
        ["token recognition error at: ", "mismatched input ", "extraneous input ", "no viable alternative at input "]
            .iter()
            .find_map(|start| text.strip_prefix(start));
    match what {
        Some("'<EOF>'") => "it ends too early".to_owned(),
        Some(what) => format!("{what} can't stand there"),
        None => text.to_owned(),
    }
}

fn shell_help(expression: &str) -> String {
    let name = expression.trim();
    let variable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if variable {
        format!("for a variable of the shell write ${name} or $${{{name}}}; for a parameter ${{params.{name}}}")
    } else {
        let short = expression.len() <= 30 && !expression.trim().is_empty() && !expression.contains('\n');
        let shell = if short { expression } else { "..." };
        format!("for the shell's ${{{shell}}} write $${{{shell}}}; an expression is like ${{params.day}}")
    }
}

/// The value of a template that is the whole text keeps its type.
fn whole(template: &str, value: &Value) -> Result<Filled, Box<Fault>> {
    match value {
        Value::String(text) => Ok(Filled::Text(text.to_string())),
        Value::Null => Ok(Filled::Typed("null".to_owned())),
        _ => plain(template, value).map(Filled::Typed),
    }
}

pub(crate) fn plain(template: &str, value: &Value) -> Result<String, Box<Fault>> {
    Ok(match value {
        Value::String(text) => text.to_string(),
        Value::Int(int) => int.to_string(),
        Value::UInt(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => {
            let message = format!("{template} is {}, where text is needed", kind_of(other));
            let help = "make a text or a number of it".to_owned();
            return Err(fault("E0707", template, 0..template.len(), message, help));
        }
    })
}

/// Whether a loop of the expression declares this name.
fn declared(expression: &str, name: &str) -> bool {
    ["map", "filter", "all", "exists", "exists_one"].iter().any(|word| {
        expression.match_indices(&format!(".{word}(")).any(|(at, opening)| {
            let rest = expression[at + opening.len()..].trim_start();
            rest.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(','))
        })
    })
}
