//! Make's functions on texts.

use super::expand::{Local, shell};
use super::parse::Makefile;

/// What a function gives; nothing where the words are no function.
pub(super) fn call(file: &Makefile, inner: &str, local: &Local) -> Option<String> {
    let (name, rest) = inner.split_once([' ', '\t'])?;
    // In a function a parameter is its value: nobody can cut a name that is not known yet.
    let plain = Local { in_recipe: false, ..local.clone() };
    let call = Call { file, raw: arguments(rest.trim_start()), rest: rest.trim_start(), local: &plain };
    call.of_texts(name).or_else(|| call.of_words(name)).or_else(|| call.of_logic(name))
}

/// A function with its arguments, not yet expanded.
struct Call<'c> {
    file: &'c Makefile,
    raw: Vec<&'c str>,
    rest: &'c str,
    local: &'c Local,
}

impl Call<'_> {
    fn arg(&self, at: usize) -> String {
        self.raw.get(at).map(|text| self.file.expand(text, self.local)).unwrap_or_default()
    }

    /// Everything after the function's name.
    fn all(&self) -> String {
        self.file.expand(self.rest, self.local)
    }

    fn of_texts(&self, name: &str) -> Option<String> {
        let each = |text: String, change: &dyn Fn(&str) -> String| {
            text.split_whitespace().map(change).collect::<Vec<_>>().join(" ")
        };
        Some(match name {
            "shell" => shell(&self.all()),
            // The shell of the stage finds the files.
            "wildcard" | "abspath" | "realpath" => self.all(),
            "subst" => self.arg(2).replace(&self.arg(0), &self.arg(1)),
            "patsubst" => patsubst(&self.arg(0), &self.arg(1), &self.arg(2)),
            "findstring" if self.arg(1).contains(&self.arg(0)) => self.arg(0),
            "findstring" => String::new(),
            "dir" => each(self.all(), &|word| word.rfind('/').map_or("./".to_owned(), |at| word[..=at].to_owned())),
            "notdir" => each(self.all(), &|word| word.rsplit('/').next().unwrap_or_default().to_owned()),
            "basename" => each(self.all(), &|word| word[..dot(word).unwrap_or(word.len())].to_owned()),
            "suffix" => each(self.all(), &|word| dot(word).map(|at| word[at..].to_owned()).unwrap_or_default()),
            "addsuffix" => each(self.arg(1), &|word| format!("{word}{}", self.arg(0))),
            "addprefix" => each(self.arg(1), &|word| format!("{}{word}", self.arg(0))),
            _ => return None,
        })
    }

    fn of_words(&self, name: &str) -> Option<String> {
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Some(match name {
            "strip" => words(self.all()).join(" "),
            "filter" | "filter-out" => {
                let patterns = words(self.arg(0));
                let fits = |word: &String| patterns.iter().any(|pattern| stem(pattern, word).is_some());
                let mut words = words(self.arg(1));
                words.retain(|word| fits(word) == (name == "filter"));
                words.join(" ")
            }
            "sort" => {
                let mut words = words(self.all());
                words.sort();
                words.dedup();
                words.join(" ")
            }
            "words" => words(self.all()).len().to_string(),
            "word" => at(&words(self.arg(1)), &self.arg(0)),
            "wordlist" => {
                let number = |at: usize| self.arg(at).trim().parse::<usize>().unwrap_or(1);
                let words = words(self.arg(2)).into_iter().take(number(1)).skip(number(0).max(1) - 1);
                words.collect::<Vec<_>>().join(" ")
            }
            "firstword" => words(self.all()).into_iter().next().unwrap_or_default(),
            "lastword" => words(self.all()).pop().unwrap_or_default(),
            "join" => joined(&words(self.arg(0)), &words(self.arg(1))),
            _ => return None,
        })
    }

    fn of_logic(&self, name: &str) -> Option<String> {
        let full = |text: &String| !text.trim().is_empty();
        Some(match name {
            "if" => self.arg(if full(&self.arg(0)) { 1 } else { 2 }),
            "or" => (0..self.raw.len()).map(|at| self.arg(at)).find(full).unwrap_or_default(),
            "and" => {
                let all: Vec<String> = (0..self.raw.len()).map(|at| self.arg(at)).collect();
                if all.iter().all(full) { all.last().cloned().unwrap_or_default() } else { String::new() }
            }
            "foreach" => foreach(self.file, &self.raw, self.local),
            "call" => called(self.file, &self.raw, self.local),
            "value" => self.file.variables.get(self.all().trim()).map(|one| one.text.clone()).unwrap_or_default(),
            "origin" if self.file.variables.contains_key(self.all().trim()) => "file".to_owned(),
            "origin" => "undefined".to_owned(),
            "info" | "warning" | "error" | "eval" | "flavor" | "file" | "guile" => String::new(),
            _ => return None,
        })
    }
}

fn foreach(file: &Makefile, raw: &[&str], local: &Local) -> String {
    let [name, list, text] = raw else { return String::new() };
    let name = file.expand(name, local).trim().to_owned();
    let one = |word: &str| {
        let mut local = local.clone();
        local.words.insert(name.clone(), word.to_owned());
        file.expand(text, &local)
    };
    file.expand(list, local).split_whitespace().map(one).collect::<Vec<_>>().join(" ")
}

fn called(file: &Makefile, raw: &[&str], local: &Local) -> String {
    let mut inner = local.clone();
    for (at, text) in raw.iter().enumerate() {
        inner.words.insert(at.to_string(), file.expand(text, local));
    }
    let name = inner.words.get("0").map(|name| name.trim().to_owned()).unwrap_or_default();
    file.named(&name, &inner)
}

/// Arguments by the commas outside of brackets.
fn arguments(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The part of a word that the `%` of a pattern stands for.
pub(super) fn stem<'w>(pattern: &str, word: &'w str) -> Option<&'w str> {
    match pattern.split_once('%') {
        Some((start, end)) => {
            let fits = word.len() >= start.len() + end.len();
            word.strip_prefix(start)?.strip_suffix(end).filter(|_| fits)
        }
        None => (pattern == word).then_some(""),
    }
}

/// Every word that fits a pattern, changed.
pub(super) fn patsubst(from: &str, to: &str, text: &str) -> String {
    let change = |word: &str| match stem(from.trim(), word) {
        Some(stem) => to.trim().replacen('%', stem, 1),
        None => word.to_owned(),
    };
    text.split_whitespace().map(change).collect::<Vec<_>>().join(" ")
}

/// `$(@D)` and `$(@F)`.
pub(super) fn parts(text: &str, dir: bool) -> String {
    let part = |word: &str| match (word.rsplit_once('/'), dir) {
        (Some((dir, _)), true) => dir.to_owned(),
        (None, true) => ".".to_owned(),
        (Some((_, file)), false) => file.to_owned(),
        (None, false) => word.to_owned(),
    };
    text.split_whitespace().map(part).collect::<Vec<_>>().join(" ")
}

fn at(words: &[String], number: &str) -> String {
    let number: usize = number.trim().parse().unwrap_or(0);
    number.checked_sub(1).and_then(|at| words.get(at)).cloned().unwrap_or_default()
}

fn joined(left: &[String], right: &[String]) -> String {
    let empty = String::new();
    let one = |at: usize| format!("{}{}", left.get(at).unwrap_or(&empty), right.get(at).unwrap_or(&empty));
    (0..left.len().max(right.len())).map(one).collect::<Vec<_>>().join(" ")
}

/// Where the ending of a file's name begins.
fn dot(word: &str) -> Option<usize> {
    let name = word.rfind('/').map_or(0, |at| at + 1);
    word[name..].rfind('.').map(|at| name + at)
}
