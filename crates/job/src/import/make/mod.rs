//! Makefiles: targets become stages, prerequisites `needs`, recipes scripts.
//!
//! What make decides by looking at files (which targets are older than what they are made of) has no counterpart: a
//! stage runs. What a function would find in the file system or a shell is left to the shell of the stage.

mod expand;
mod function;
mod lines;
mod parse;
mod recipe;
mod rules;

use std::collections::BTreeSet;

use super::names::Names;
use super::out::{Mapping, Out};
use super::{Made, SOME_IMAGE, Wanted};
use crate::names::make_name;
use crate::report::Report;
use crate::text::Span;
use parse::Makefile;
use rules::Built;

/// Where the directory of the Makefile is in the container.
const HOME: &str = "/work";
/// Targets that one file may become.
const MOST_TARGETS: usize = 2_000;

/// Reads a Makefile.
pub(super) fn read(report: &mut Report, wanted: &Wanted) -> Made {
    let mut made = Made::default();
    let file = parse::parse(report);
    if report.failed() {
        return made;
    }
    let goals = goals(report, &file, wanted);
    let mut walk = Walk { file: &file, names: Names::default(), stages: Mapping::default(), ..Walk::default_of(&file) };
    for goal in &goals {
        walk.visit(report, goal, &mut Vec::new());
    }
    if report.failed() {
        return made;
    }
    if walk.stages.is_empty() {
        let message = format!("nothing is run for {}: no target of it has a recipe", goals.join(", "));
        report.error("E0120", Span::NOWHERE, message).help(others(&file, &walk.seen).unwrap_or_default());
        return made;
    }
    let name = goals.first().and_then(|goal| make_name(goal)).unwrap_or_else(|| "make".to_owned());
    made.job.put("name", Out::text(name));
    params(&file, &walk, &mut made.job);
    defaults(&file, wanted, &mut made.job);
    made.head
        .push("Every stage runs each time: make would leave out what is newer than what it is made of.".to_owned());
    made.head.push(
        "What does not need each other runs side by side: where make only kept the order of a list, add needs."
            .to_owned(),
    );
    made.head.push(format!(
        "Stages work in the directory of this file, as {HOME}; on a cluster the policy says what may be mounted, and a directory that all machines see is needed."
    ));
    made.head.extend(others(&file, &walk.seen));
    made.head.extend(file.notes.iter().cloned());
    made.job.put("stages", Out::Map(walk.stages));
    made
}

/// What is to be made: what was asked for, else the first target.
fn goals(report: &mut Report, file: &Makefile, wanted: &Wanted) -> Vec<String> {
    if wanted.targets.is_empty() {
        let first = file.default_goal();
        if first.is_none() {
            let wrong = report.error("E0120", Span::NOWHERE, "the Makefile has no target");
            wrong.help("name the Makefile itself; what it includes is not read");
        }
        return first.into_iter().collect();
    }
    for target in wanted.targets.iter().filter(|target| !file.knows(target)) {
        let message = format!("the Makefile has no target {target:?}");
        let names: Vec<&str> = file.targets().collect();
        report.error("E0120", Span::NOWHERE, message).nearest(target, names.iter().copied()).help("correct --target");
    }
    wanted.targets.clone()
}

/// Targets that were not brought over, as a sentence.
fn others(file: &Makefile, seen: &BTreeSet<String>) -> Option<String> {
    let mut names: Vec<&str> = file.targets().filter(|name| !seen.contains(*name) && !name.starts_with('.')).collect();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let more = if names.len() > 20 { format!(" and {} more", names.len() - 20) } else { String::new() };
    let shown = names[..names.len().min(20)].join(", ");
    Some(format!("Targets that are not in it: {shown}{more}; --target NAME brings them over."))
}

fn params(file: &Makefile, walk: &Walk, job: &mut Mapping) {
    let mut params = Mapping::default();
    for name in &walk.params {
        let value = file.variables.get(name).map(|variable| variable.text.trim().to_owned()).unwrap_or_default();
        params.put(name, Out::Text(super::literal(&value)));
    }
    if !params.is_empty() {
        job.note("variables that may be set from outside (?=)");
        job.put("params", Out::Map(params));
    }
}

fn defaults(file: &Makefile, wanted: &Wanted, job: &mut Mapping) {
    let mut defaults = Mapping::default();
    if wanted.image.is_none() {
        defaults.note("a Makefile names no image: write one that has the tools of its recipes");
    }
    defaults.put("image", Out::text(wanted.image.as_deref().unwrap_or(SOME_IMAGE)));
    defaults.put("workdir", Out::text(HOME));
    defaults.put("volumes", Out::texts([format!(".:{HOME}")]));
    let mut env = Mapping::default();
    for name in &file.exported {
        let value = file.named(name, &expand::Local::default());
        match name.as_str() {
            "SHELL" | "SHELLOPTS" | "MAKEFLAGS" | "PATH" => {}
            _ if expand::is_open(&value) => {
                env.note(format!("{name}: a shell says its value; export it in the scripts"))
            }
            _ if file.variables.contains_key(name) => env.put(name, Out::Text(super::literal(&value))),
            _ => env.note(format!("{name}: nothing of the caller's environment goes in; write its value")),
        }
    }
    if !env.is_empty() || env.notes() > 0 {
        defaults.put("env", Out::Map(env));
    }
    job.put("defaults", Out::Map(defaults));
}

/// On the way through what has to be made.
struct Walk<'m> {
    file: &'m Makefile,
    names: Names,
    stages: Mapping,
    seen: BTreeSet<String>,
    /// Of each target that was visited: the stages that are done when it is.
    done: std::collections::BTreeMap<String, Vec<String>>,
    /// Variables that became parameters.
    params: BTreeSet<String>,
}

impl<'m> Walk<'m> {
    fn default_of(file: &'m Makefile) -> Self {
        Self {
            file,
            names: Names::default(),
            stages: Mapping::default(),
            seen: BTreeSet::new(),
            done: std::collections::BTreeMap::new(),
            params: BTreeSet::new(),
        }
    }

    /// The stages that are done when a target is made; they are put into the job first.
    fn visit(&mut self, report: &mut Report, target: &str, way: &mut Vec<String>) -> Vec<String> {
        if let Some(done) = self.done.get(target) {
            return done.clone();
        }
        if way.iter().any(|known| known == target) {
            let circle = format!("{} needs itself: {}", target, way.join(" -> "));
            self.stages.note(format!("{circle}; make drops the last of these, and so does this file"));
            return Vec::new();
        }
        if self.done.len() >= MOST_TARGETS || way.len() > 200 {
            let message = format!("the Makefile would become more than {MOST_TARGETS} stages, or a chain of 200");
            report.error("E0120", Span::NOWHERE, message).help("bring its targets over one by one: --target NAME");
            return Vec::new();
        }
        self.seen.insert(target.to_owned());
        let Some(built) = self.file.how(target) else {
            self.done.insert(target.to_owned(), Vec::new());
            return Vec::new();
        };
        way.push(target.to_owned());
        let mut needs = Vec::new();
        for before in built.prerequisites.iter().chain(&built.order_only) {
            for stage in self.visit(report, before, way) {
                if !needs.contains(&stage) {
                    needs.push(stage);
                }
            }
        }
        way.pop();
        let done = match built.recipe.is_empty() {
            true => needs,
            false => vec![self.stage(target, &built, needs)],
        };
        self.done.insert(target.to_owned(), done.clone());
        done
    }

    fn stage(&mut self, target: &str, built: &Built, needs: Vec<String>) -> String {
        let name = self.names.of(target);
        let mut stage = Mapping::default();
        if name != target {
            stage.note(format!("target {target}"));
        }
        built.notes.iter().for_each(|note| stage.note(note.clone()));
        if !needs.is_empty() {
            stage.put("needs", Out::texts(needs));
        }
        let (script, notes) = recipe::script(self.file, target, built, &mut self.params);
        notes.into_iter().for_each(|note| stage.note(note));
        stage.put("script", Out::Text(script));
        self.stages.put(name.clone(), Out::Map(stage));
        name
    }
}
