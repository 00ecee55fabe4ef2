//! `${...}` in texts: one CEL expression each, over what is known at planning.

use std::collections::{BTreeMap, BTreeSet};

use cel::{Context, ExecutionError, Program, Value};

use crate::report::nearest;

/// Bytes of an expression, at most.
const LONGEST: usize = 1_000;
/// Brackets inside of each other, at most.
const DEEPEST: usize = 16;
/// Loops (`map`, `filter`, `all`, `exists`, `exists_one`) of an expression, at most.
const MOST_LOOPS: usize = 2;

/// A text with its templates filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filled {
    Text(String),
    /// The text was one template and its value is a number, a truth value or null.
    Typed(String),
}

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
    params: BTreeMap<String, String>,
    /// Required and not given: reported already.
    unset: BTreeSet<String>,
    context: Context<'static, 'static>,
    seen: BTreeMap<String, Result<Value, Box<Fault>>>,
}

impl Templates {
    pub(crate) fn new(params: BTreeMap<String, String>, unset: BTreeSet<String>, job: &str) -> Self {
        let mut context = Context::default();
        let mut known: BTreeMap<String, String> = params.clone();
        known.extend(unset.iter().map(|name| (name.clone(), String::new())));
        context.add_variable_from_value("params", value_of(known));
        context.add_variable_from_value("run", value_of([("name".to_owned(), job.to_owned())].into()));
        Self { params, unset, context, seen: BTreeMap::new() }
    }

    /// Fills every template of a text in.
    pub(crate) fn fill(&mut self, text: &str) -> Result<Filled, Vec<Fault>> {
        let mut out = String::with_capacity(text.len());
        let mut faults = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(tail) = rest.strip_prefix("$${") {
                out.push_str("${");
                rest = tail;
            } else if rest.starts_with("${") {
                let Some(len) = template_len(rest) else {
                    faults.push(*unclosed(rest));
                    break;
                };
                let template = &rest[..len];
                match self.value(template) {
                    Ok(value) if len == text.len() => match whole(template, &value) {
                        Ok(filled) => return Ok(filled),
                        Err(fault) => faults.push(*fault),
                    },
                    Ok(value) => match plain(template, &value) {
                        Ok(text) => out.push_str(&text),
                        Err(fault) => faults.push(*fault),
                    },
                    Err(fault) => faults.push(*fault),
                }
                rest = &rest[len..];
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        if faults.is_empty() { Ok(Filled::Text(out)) } else { Err(faults) }
    }

    fn value(&mut self, template: &str) -> Result<Value, Box<Fault>> {
        if let Some(known) = self.seen.get(template) {
            return known.clone();
        }
        let value = self.compute(template);
        self.seen.insert(template.to_owned(), value.clone());
        value
    }

    fn compute(&self, template: &str) -> Result<Value, Box<Fault>> {
        let expression = &template[2..template.len() - 1];
        if let Some(value) = expression.strip_prefix("params.").and_then(|name| self.params.get(name)) {
            return Ok(Value::from(value.as_str()));
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
        program.execute(&self.context).map_err(|error| self.failed(template, expression, error))
    }

    /// Whether a name at the root of an expression is there.
    fn known(&self, template: &str, expression: &str, name: &str) -> Result<(), Box<Fault>> {
        let name = name.trim_start_matches('.');
        if matches!(name, "params" | "run") || name.starts_with('@') || declared(expression, name) {
            return Ok(());
        }
        let at = find_word(template, name);
        if matches!(name, "results" | "item" | "task") {
            let message = format!("{name:?} in a template is not supported yet");
            let help = match name {
                "results" => "a stage finds the results of what it needs in the file $DYBOX_NEEDS",
                "task" => "a task finds its number in $DYBOX_TASK_INDEX, and how many there are in $DYBOX_TASK_COUNT",
                _ => "each: is not built yet; parallelism: is, and $DYBOX_TASK_INDEX numbers the tasks",
            };
            return Err(fault("E0204", template, at, message, help.to_owned()));
        }
        let message = format!("{template} names {name:?}, which is not defined");
        let mut wrong = fault("E0705", template, at, message, shell_help(expression));
        if self.params.contains_key(name) {
            wrong.label = format!("did you mean params.{name}?");
        }
        Err(wrong)
    }

    fn failed(&self, template: &str, expression: &str, error: ExecutionError) -> Box<Fault> {
        match error {
            ExecutionError::NoSuchKey(key) if template.contains(&format!("run.{key}")) => {
                let message = format!("{template} names {:?}, which is not known at planning", format!("run.{key}"));
                let help = "run.name is; a task finds the run's id in $DYBOX_RUN".to_owned();
                fault("E0705", template, find_word(template, &key), message, help)
            }
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
                let used: Vec<String> = used.map(|(name, value)| format!("params.{name} is {value:?}")).collect();
                let help = if used.is_empty() { "give it the text of a number".to_owned() } else { used.join(", ") };
                fault("E0707", template, 0..template.len(), message, help)
            }
            other => {
                let text = match other {
                    ExecutionError::UnsupportedBinaryOperator(name, left, right) => {
                        format!("{name} takes no {} and {}", left.type_of(), right.type_of())
                    }
                    other => other.to_string(),
                };
                let message = format!("{template} has no value: {}", lower_first(&text));
                let help = "parameters are text: int(params.n) makes a number of one".to_owned();
                fault("E0707", template, 0..template.len(), message, help)
            }
        }
    }
}

fn value_of(map: BTreeMap<String, String>) -> Value {
    #[expect(clippy::disallowed_types, reason = "the expression language takes maps as these; nothing iterates it")]
    Value::from(map.into_iter().collect::<std::collections::HashMap<String, String>>())
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
    let words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
    let loops = words.filter(|word| matches!(*word, "map" | "filter" | "all" | "exists" | "exists_one")).count();
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

/// The length of the template at the start of a text, `${` and `}` included. Texts inside it may hold brackets.
fn template_len(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1).take(64 * 1024) {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 1 => return Some(at + 1),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
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

fn plain(template: &str, value: &Value) -> Result<String, Box<Fault>> {
    Ok(match value {
        Value::String(text) => text.to_string(),
        Value::Int(int) => int.to_string(),
        Value::UInt(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => {
            let message = format!("{template} is a {}, where text is needed", other.type_of());
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

/// Where a whole word stands in a template; all of the template when it is not found.
fn find_word(template: &str, word: &str) -> std::ops::Range<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    template
        .match_indices(word)
        .find(|(at, _)| {
            !template[..*at].ends_with(part) && !template[at + word.len()..].starts_with(part) && !word.is_empty()
        })
        .map_or(0..template.len(), |(at, _)| at..at + word.len())
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
