//! Reads a Makefile from the top, as make does: variables and conditions count when their line comes.

use std::collections::{BTreeMap, BTreeSet};

use super::expand::Local;
use super::lines::{Line, lines, without_comment};
use super::rules::Rule;
use crate::report::Report;

/// A variable.
#[derive(Debug, Clone, Default)]
pub(super) struct Variable {
    pub(super) text: String,
    /// It was expanded when it was set (`:=`).
    pub(super) expanded: bool,
    /// It may be set from outside (`?=`), and its value is plain.
    pub(super) param: bool,
}

/// What a Makefile says.
#[derive(Debug, Default)]
pub(super) struct Makefile {
    pub(super) variables: BTreeMap<String, Variable>,
    /// Variables that hold for one target alone.
    pub(super) of_target: BTreeMap<String, BTreeMap<String, Variable>>,
    pub(super) rules: Vec<Rule>,
    pub(super) exported: BTreeSet<String>,
    pub(super) notes: Vec<String>,
}

/// One `ifeq` that is open.
struct Condition {
    /// Lines count now.
    holds: bool,
    /// A branch of it has counted.
    taken: bool,
    line: Line,
}

struct Parser<'r, 't> {
    file: Makefile,
    report: &'r mut Report<'t>,
    open: Vec<Condition>,
    /// The rules that a recipe line belongs to.
    current: Vec<usize>,
    /// A `define` that is open: name, operator, lines.
    define: Option<(String, String, Vec<String>, Line)>,
}

/// Reads a Makefile.
pub(super) fn parse(report: &mut Report) -> Makefile {
    let all = lines(report.text.text);
    let mut parser = Parser { file: Makefile::default(), report, open: Vec::new(), current: Vec::new(), define: None };
    parser.file.built_in();
    for line in &all {
        parser.line(line);
    }
    let left = parser.open.pop().map(|open| (open.line, "endif"));
    let left = left.or_else(|| parser.define.take().map(|(_, _, _, line)| (line, "endef")));
    if let Some((line, word)) = left {
        parser
            .report
            .error("E0120", line.span, format!("the {word} of this line is missing"))
            .help(format!("add {word}"));
    }
    parser.file
}

impl Parser<'_, '_> {
    fn line(&mut self, line: &Line) {
        let word = line.text.split_whitespace().next().unwrap_or_default();
        if let Some((name, operator, lines, _)) = &mut self.define {
            if word == "endef" {
                let (name, operator, text) = (name.clone(), operator.clone(), lines.join("\n"));
                self.define = None;
                self.set(&name, &operator, &text, None);
            } else {
                lines.push(line.text.clone());
            }
            return;
        }
        let directive = matches!(word, "ifeq" | "ifneq" | "ifdef" | "ifndef" | "else" | "endif");
        let of_recipe = line.tab && !self.current.is_empty();
        if (directive && !of_recipe) || word.starts_with("ifeq(") || word.starts_with("ifneq(") {
            return self.condition(line);
        }
        if self.open.iter().any(|open| !open.holds) {
            return;
        }
        if line.tab && !self.current.is_empty() {
            for &rule in &self.current {
                self.file.rules[rule].recipe.push((line.text.clone(), line.number));
            }
            return;
        }
        let text = without_comment(&line.text);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.current.clear();
        self.statement(line, text);
    }

    fn statement(&mut self, line: &Line, text: &str) {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match word {
            "include" | "-include" | "sinclude" => {
                let what = self.file.expand(rest, &Local::default());
                self.file.notes.push(format!("line {}: include {what} is not read", line.number));
            }
            "export" | "unexport" | "override" | "private" => self.modified(line, word, rest),
            "define" => {
                let (name, operator) = rest.split_once(char::is_whitespace).unwrap_or((rest, "="));
                let name = name.trim_end_matches('=').to_owned();
                self.define = Some((name, operator.trim().to_owned(), Vec::new(), line.clone()));
            }
            "undefine" => drop(self.file.variables.remove(rest)),
            "vpath" => self.file.notes.push(format!("line {}: vpath has no counterpart", line.number)),
            _ => self.assignment_or_rule(line, text),
        }
    }

    fn modified(&mut self, line: &Line, word: &str, rest: &str) {
        if let Some((name, operator, value)) = assignment(rest) {
            self.set(&name, operator, value, None);
            if word == "export" {
                self.file.exported.insert(name);
            }
        } else if word == "export" && rest.is_empty() {
            self.file
                .notes
                .push(format!("line {}: export of every variable; only named ones are brought over", line.number));
        } else {
            for name in rest.split_whitespace() {
                match word {
                    "export" => drop(self.file.exported.insert(name.to_owned())),
                    _ => drop(self.file.exported.remove(name)),
                }
            }
        }
    }

    fn assignment_or_rule(&mut self, line: &Line, text: &str) {
        if let Some((name, operator, value)) = assignment(text) {
            let name = self.file.expand(&name, &Local::default());
            return self.set(&name, operator, value, None);
        }
        match colon(text) {
            Some(at) => self.rule(line, text, at),
            None if text.starts_with("$(") || text.starts_with("${") => {
                // A function for its effect, like $(info ...) or $(eval ...).
                let gives = self.file.expand(text, &Local::default());
                if gives.trim().is_empty() || text.contains("eval") || text.contains("call") {
                    let shown: String = text.chars().take(60).collect();
                    self.file.notes.push(format!("line {}: {shown} is not carried out", line.number));
                }
            }
            None if line.tab => {
                let wrong = self.report.error("E0120", line.span, "a recipe line stands before the first target");
                wrong.help("put it below its target");
            }
            None => {
                let wrong = self.report.error("E0120", line.span, "this line is neither a rule nor a variable");
                wrong
                    .label("a colon or an equals sign is missing")
                    .help("is this a Makefile? make says: missing separator");
            }
        }
    }

    fn rule(&mut self, line: &Line, text: &str, at: usize) {
        let (left, right) = text.split_at(at);
        let right = right[1..].strip_prefix(':').unwrap_or(&right[1..]);
        let left = left.strip_suffix('&').unwrap_or(left);
        let targets: Vec<String> =
            self.file.expand(left, &Local::default()).split_whitespace().map(str::to_owned).collect();
        let plain = right.trim_start();
        let plain =
            ["export ", "override ", "private "].iter().find_map(|word| plain.strip_prefix(word)).unwrap_or(plain);
        if let Some((name, operator, value)) = assignment(plain) {
            for target in &targets {
                self.set(&name, operator, value, Some(target));
            }
            return;
        }
        let (right, recipe) = match right.split_once(';') {
            Some((right, recipe)) => (right, Some(recipe.trim_start().to_owned())),
            None => (right, None),
        };
        let right = self.file.expand(right, &Local::default());
        let (pattern, right) = match right.split_once(':') {
            Some((pattern, right)) => (Some(pattern.trim().to_owned()), right.to_owned()),
            None => (None, right),
        };
        let (normal, order_only) = right.split_once('|').unwrap_or((&right, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let rule = Rule {
            targets,
            pattern,
            prerequisites: words(normal),
            order_only: words(order_only),
            recipe: recipe.map(|recipe| (recipe, line.number)).into_iter().collect(),
            built_in: false,
        };
        self.file.rules.push(rule);
        self.current = vec![self.file.rules.len() - 1];
    }

    fn set(&mut self, name: &str, operator: &str, value: &str, target: Option<&String>) {
        let expanded = matches!(operator, ":=" | "::=" | ":::=");
        let text = match operator {
            "!=" => format!("$(shell {value})"),
            _ if expanded => self.file.expand(value, &self.file.local_of(target.map(String::as_str))),
            _ => value.to_owned(),
        };
        let outer = self.file.variables.get(name).cloned();
        let map = match target {
            Some(target) => self.file.of_target.entry(target.clone()).or_default(),
            None => &mut self.file.variables,
        };
        match operator {
            "?=" if map.contains_key(name) => {}
            "?=" => {
                let param = target.is_none() && !text.contains('$') && crate::names::bad_param(name).is_none();
                map.insert(name.to_owned(), Variable { text, expanded: false, param });
            }
            "+=" => {
                let known = map.entry(name.to_owned()).or_insert_with(|| outer.unwrap_or_default());
                let space = if known.text.is_empty() { "" } else { " " };
                known.text.push_str(&format!("{space}{text}"));
                known.param = false;
            }
            _ => drop(map.insert(name.to_owned(), Variable { text, expanded, param: false })),
        }
    }

    fn condition(&mut self, line: &Line) {
        let text = without_comment(&line.text);
        let text = text.trim();
        let rest = text.strip_prefix("else").map(str::trim);
        if text == "endif" || rest.is_some() {
            let Some(mut open) = self.open.pop() else {
                let wrong = self.report.error("E0120", line.span, "there is no condition before this line");
                wrong.help("take it away, or write ifeq before it");
                return;
            };
            if let Some(rest) = rest {
                let counts = !open.taken && (rest.is_empty() || self.holds(line, rest));
                open.holds = counts;
                open.taken |= counts;
                self.open.push(open);
            }
            return;
        }
        let holds = self.open.iter().all(|open| open.holds) && self.holds(line, text);
        self.open.push(Condition { holds, taken: holds, line: line.clone() });
    }

    fn holds(&mut self, line: &Line, text: &str) -> bool {
        let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let rest = rest.trim();
        let local = Local::default();
        if matches!(word, "ifdef" | "ifndef") {
            let name = self.file.expand(rest, &local);
            let set = self.file.variables.get(name.trim()).is_some_and(|variable| !variable.text.is_empty());
            return set == (word == "ifdef");
        }
        let Some((left, right)) = sides(rest) else {
            let wrong = self.report.error("E0120", line.span, "this condition is not understood");
            wrong.help("write ifeq (a,b), ifdef NAME, else or endif");
            return false;
        };
        let (left, right) = (self.file.expand(left, &local), self.file.expand(right, &local));
        if super::expand::is_open(&left) || super::expand::is_open(&right) {
            self.file.notes.push(format!(
                "line {}: what a shell or the files would say is not known; the condition counts as false",
                line.number
            ));
            return false;
        }
        (left.trim() == right.trim()) == (word == "ifeq")
    }
}

/// The two sides of `(a,b)` or of `"a" "b"`.
fn sides(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('(') {
        let inner = inner.strip_suffix(')')?;
        let mut depth = 0;
        let at = inner.char_indices().find(|&(_, c)| {
            match c {
                '(' | '{' => depth += 1,
                ')' | '}' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        });
        return at.map(|(at, _)| (&inner[..at], &inner[at + 1..]));
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let end = text[1..].find(quote)? + 1;
    let rest = text[end + 1..].trim();
    let other = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some((&text[1..end], rest[1..].strip_suffix(other)?))
}

/// `NAME := value` in its parts; nothing where the line is none.
fn assignment(text: &str) -> Option<(String, &'static str, &str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            '=' if depth == 0 => {
                const OPERATORS: [&str; 7] = [":::=", "::=", ":=", "?=", "+=", "!=", "="];
                let operator = OPERATORS.into_iter().find(|operator| text[..=at].ends_with(operator))?;
                let name = text[..=at].strip_suffix(operator)?.trim();
                let bad = name.is_empty() || name.contains([':', '#', '=']) || name.contains(char::is_whitespace);
                return (!bad).then(|| (name.to_owned(), operator, text[at + 1..].trim_start()));
            }
            ':' if depth == 0 && !text[at..].starts_with(":=") && !text[at..].starts_with("::=") => return None,
            _ => {}
        }
    }
    None
}

/// Where the colon of a rule stands.
fn colon(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            _ => {}
        }
        (c == ':' && depth <= 0).then_some(at)
    })
}
