//! Job files made from what other tools read: compose files, Argo workflows, Makefiles, Skein specifications.
//!
//! Enters: the text of such a file. Leaves: the text of a job file, with a comment at the place for whatever has no
//! counterpart, or every problem of the given file with its place. What is made is checked like any job file, and where
//! that finds something, the head of the file says so.

mod argo;
mod compose;
mod make;
mod names;
mod out;
mod quantity;
mod skein;
mod words;

use std::path::{Path, PathBuf};

use dybox_model::Found;

use crate::diagnostic::Diagnostic;
use crate::fields::{Scope, find};
use crate::load::load;
use crate::node::{Node, Value};
use crate::reader::Reader;
use crate::report::Report;
use crate::text::{Span, Text, decode};
use crate::world::{NoWorld, Policy, World};
use crate::{Source, Submit, check};
use out::Mapping;

/// The tool whose file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `compose.yaml`
    Compose,
    /// A Workflow, WorkflowTemplate or CronWorkflow of Argo.
    Argo,
    /// A Makefile.
    Make,
    /// The specification of a Skein application.
    Skein,
}

/// What the file does not say.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The image of stages that the file names none for.
    pub image: Option<String>,
    /// `make`: targets to bring over, instead of the first one. `argo`: the template to begin with.
    pub targets: Vec<String>,
}

/// A job file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its text.
    pub text: String,
    /// What `check` has against it; the text says so too.
    pub problems: Vec<Diagnostic>,
    /// How many things have no counterpart, each a comment of the text.
    pub notes: usize,
}

/// The image of stages that need one and whose file names none.
const SOME_IMAGE: &str = "ubuntu:24.04";

/// Makes a job file.
///
/// # Errors
/// Every problem of the given file.
pub fn import(tool: Tool, source: &Source, wanted: &Wanted) -> Result<Imported, Vec<Diagnostic>> {
    let text = decode(source.name, "the file", source.bytes).map_err(|wrong| vec![*wrong])?;
    let text = Text::new(source.name, text);
    let mut report = Report::new(&text);
    let job = match tool {
        Tool::Make => make::read(&mut report, wanted),
        _ => {
            let Some(root) = tree(tool, &mut report) else { return Err(report.into_sorted()) };
            let mut reader = Reader::new(report, &NoWorld, source.dir);
            let job = match tool {
                Tool::Compose => compose::read(&mut reader, &root, wanted),
                Tool::Skein => skein::read(&mut reader, &root, wanted),
                Tool::Argo | Tool::Make => argo::read(&mut reader, &root, wanted),
            };
            report = reader.report;
            job
        }
    };
    if report.failed() {
        return Err(report.into_sorted());
    }
    Ok(finished(tool, source, job))
}

/// The document that is meant: of an Argo file with several, the first workflow.
fn tree(tool: Tool, report: &mut Report) -> Option<Node> {
    let parts = documents(report.text.text);
    if tool != Tool::Argo || parts.len() < 2 {
        return load(report);
    }
    for part in &parts {
        let text = Text::new(report.text.name, part);
        let mut own = Report::new(&text);
        let root = load(&mut own);
        let kind = root.as_ref().and_then(|root| root.get("kind")).and_then(Node::said).unwrap_or_default();
        if argo::KINDS.contains(&kind) {
            return root;
        }
    }
    let message = format!("none of the {} documents of this file is an Argo workflow", parts.len());
    report.error("E0120", Span::new(0, 0), message).help(format!("one must have kind: {}", argo::KINDS.join(", ")));
    None
}

/// Each document of a YAML text alone, at its own lines: the others are blank there.
fn documents(text: &str) -> Vec<String> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(text.len());
    let blank = |text: &str| -> String {
        text.chars().map(|c| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) }).collect()
    };
    let one =
        |pair: &[usize]| format!("{}{}{}", blank(&text[..pair[0]]), &text[pair[0]..pair[1]], blank(&text[pair[1]..]));
    let parts = starts.windows(2).filter(|pair| text[pair[0]..pair[1]].trim().trim_start_matches("---").trim() != "");
    parts.map(one).collect()
}

/// A job on its way: its file without the head, and what the head says.
#[derive(Debug, Default)]
struct Made {
    /// The keys of the file.
    job: Mapping,
    /// What holds for the whole file.
    head: Vec<String>,
}

fn finished(tool: Tool, source: &Source, made: Made) -> Imported {
    let body = made.job.text();
    let problems = problems(&body);
    let word = match tool {
        Tool::Compose => "compose",
        Tool::Argo => "argo",
        Tool::Make => "make",
        Tool::Skein => "skein",
    };
    let name: String = source.name.chars().map(|c| if crate::diagnostic::is_hidden(c) { '?' } else { c }).collect();
    let notes = made.head.len() + made.job.notes();
    let mut text = out::comment(&format!("Made by `dybox import {word} {name}`."), 0);
    for line in &made.head {
        text.push_str(&out::comment(line, 0));
    }
    if !problems.is_empty() {
        text.push_str(&out::comment("`dybox check` does not take this file yet:", 0));
        for problem in &problems {
            text.push_str(&out::comment(&format!("- {}: {}", problem.code, problem.message), 0));
        }
    }
    text.push_str(&body);
    Imported { text, problems, notes }
}

/// What `check` finds, required parameters given.
fn problems(body: &str) -> Vec<Diagnostic> {
    let source = Source { name: "job.yaml", bytes: body.as_bytes(), dir: Path::new("/job") };
    let outcome = check(&source, &Submit::default(), &AnyWorld);
    let mut found: Vec<Diagnostic> =
        outcome.diagnostics.into_iter().filter(|one| !one.is_warning() && one.code != "E0701").collect();
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|one| seen.insert((one.code, one.message.clone())));
    found
}

/// A world where every path is there: the files of a job lie elsewhere when it is made.
struct AnyWorld;

impl World for AnyWorld {
    fn largest(&self) -> Option<dybox_model::Resources> {
        None
    }

    fn look(&self, path: &Path) -> Found {
        Found::Directory(path.to_owned())
    }

    fn read(&self, _path: &Path) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn policy(&self) -> Policy {
        Policy { mount_roots: vec![PathBuf::from("/")], ..NoWorld.policy() }
    }
}

/// Whether this version takes a key; what it does not take yet is a comment.
fn is_built(scope: Scope, name: &str) -> bool {
    find(scope, name).is_some_and(|field| field.built)
}

/// A text of the other tool, in which `${` has no meaning of ours.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

impl Node {
    /// The value of a key, where it is a mapping with that key and the value is something.
    fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node).filter(|node| !node.is_null())
            }
            _ => None,
        }
    }

    /// Its text, where it is a scalar.
    fn said(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Its items, where it is a list.
    fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

impl Reader<'_> {
    /// `line 12`: where the given file says it.
    fn line(&self, span: Span) -> String {
        self.report.text.place(span).map_or_else(String::new, |place| format!("line {}", place.line))
    }

    /// A note on a key that has no counterpart.
    fn no_counterpart(&self, to: &mut Mapping, key: &crate::node::Key, why: &str) {
        let why = if why.is_empty() { "has no counterpart".to_owned() } else { why.to_owned() };
        to.note(format!("{} ({}): {why}", key.text, self.line(key.span)));
    }
}

#[cfg(test)]
mod tests;
