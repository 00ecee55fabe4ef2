//! Variables and functions of a Makefile, put in.
//!
//! What only a shell could say stands between two marks until a recipe is written, where the shell of the stage says it.

use std::collections::{BTreeMap, BTreeSet};

use super::function;
use super::parse::{Makefile, Variable};
use crate::import::literal;

/// Around a command whose output is meant.
const SHELL: (char, char) = ('\u{e000}', '\u{e001}');
/// Around the name of a parameter.
const PARAM: (char, char) = ('\u{e002}', '\u{e003}');
/// Variables inside of each other.
const DEEPEST: usize = 40;
/// Bytes that one text may become.
const LONGEST: usize = 1 << 18;

/// What holds at one place alone: `$@`, `$<`, variables of a target, arguments of `$(call)`.
#[derive(Debug, Clone, Default)]
pub(super) struct Local {
    pub(super) words: BTreeMap<String, String>,
    pub(super) variables: BTreeMap<String, Variable>,
    /// Parameters stay parameters; elsewhere their default is put in.
    pub(super) in_recipe: bool,
    pub(super) depth: usize,
}

/// A command whose output is meant.
pub(super) fn shell(command: &str) -> String {
    format!("{}{command}{}", SHELL.0, SHELL.1)
}

/// Whether something in it is known to a shell alone.
pub(super) fn is_open(text: &str) -> bool {
    text.contains(SHELL.0)
}

impl Makefile {
    /// What holds for a target.
    pub(super) fn local_of(&self, target: Option<&str>) -> Local {
        let variables = target.and_then(|target| self.of_target.get(target)).cloned().unwrap_or_default();
        Local { variables, ..Local::default() }
    }

    /// The text with everything put in.
    pub(super) fn expand(&self, text: &str, local: &Local) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(c) = rest.chars().next() else {
                out.push('$');
                break;
            };
            match c {
                '$' => {
                    out.push('$');
                    rest = &rest[1..];
                }
                '(' | '{' => match closing(rest) {
                    Some(end) => {
                        out.push_str(&self.reference(&rest[1..end], local));
                        rest = &rest[end + 1..];
                    }
                    None => out.push('$'),
                },
                c => {
                    out.push_str(&self.named(&c.to_string(), local));
                    rest = &rest[c.len_utf8()..];
                }
            }
            if out.len() > LONGEST {
                break;
            }
        }
        out.push_str(rest);
        out
    }

    /// `NAME`, `NAME:%.c=%.o`, or a function with its arguments.
    fn reference(&self, inner: &str, local: &Local) -> String {
        if local.depth > DEEPEST {
            return String::new();
        }
        let mut local = local.clone();
        local.depth += 1;
        if let Some(gives) = function::call(self, inner, &local) {
            return gives;
        }
        let inner = if inner.contains('$') { self.expand(inner, &local) } else { inner.to_owned() };
        match inner.split_once(':') {
            Some((name, change)) if change.contains('=') => {
                let (from, to) = change.split_once('=').unwrap_or((change, ""));
                let (from, to) = match from.contains('%') {
                    true => (from.to_owned(), to.to_owned()),
                    false => (format!("%{from}"), format!("%{to}")),
                };
                let plain = Local { in_recipe: false, ..local };
                function::patsubst(&from, &to, &self.named(name, &plain))
            }
            _ => self.named(inner.trim(), &local),
        }
    }

    /// The value of a variable.
    pub(super) fn named(&self, name: &str, local: &Local) -> String {
        if let Some(word) = local.words.get(name) {
            return word.clone();
        }
        // $(@D) and $(<F): directory and file of an automatic one.
        if let Some(of) = name.strip_suffix(['D', 'F']).and_then(|one| local.words.get(one)) {
            return function::parts(of, name.ends_with('D'));
        }
        let Some(variable) = local.variables.get(name).or_else(|| self.variables.get(name)) else {
            return String::new();
        };
        if variable.param && local.in_recipe {
            return format!("{}{name}{}", PARAM.0, PARAM.1);
        }
        if variable.expanded || local.depth > DEEPEST {
            return variable.text.clone();
        }
        let mut local = local.clone();
        local.depth += 1;
        self.expand(&variable.text, &local)
    }

    /// A text for the shell of a stage: our templates in it are parameters alone, which are added to `used`.
    pub(super) fn for_shell(&self, text: &str, local: &Local, used: &mut BTreeSet<String>) -> String {
        let local = Local { in_recipe: true, ..local.clone() };
        let expanded = self.expand(text, &local);
        let mut out = String::new();
        let mut rest = literal(&expanded).replace(SHELL.0, "$(").replace(SHELL.1, ")");
        while let Some((before, after)) = rest.split_once(PARAM.0) {
            let (name, after) = after.split_once(PARAM.1).unwrap_or((after, ""));
            out.push_str(&format!("{before}${{params.{name}}}"));
            used.insert(name.to_owned());
            rest = after.to_owned();
        }
        out + &rest
    }
}

/// Where the bracket that a text begins with closes.
fn closing(text: &str) -> Option<usize> {
    let open = text.chars().next()?;
    let close = if open == '(' { ')' } else { '}' };
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}
