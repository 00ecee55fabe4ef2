//! Expressions of a run that is under way: what of a plan is filled in when a stage begins, and when a task does.
//! All that goes in is written down in the journal, so whoever reads it again comes to the same.

use std::collections::BTreeMap;
use std::fmt;

use cel::{Context, Program, Value};
use serde_json::Value as Json;

use crate::segments::{Segment, loops, segments};
use crate::template::{MOST_LOOPS, plain};
use crate::values::{failure, json_of, kind_of, longest, map_of, value_of};

/// Most tasks of a stage.
pub const MOST_TASKS: usize = 100_000;
/// Bytes of all items of a stage together, at most.
const MOST_ITEM_BYTES: usize = 4 << 20;
/// Where lists are longer, loops inside of each other are refused.
const LONGEST_NESTED: usize = 1_000;
/// Bytes of a filled text at most: `MAX_ARG_STRLEN`, less a NUL.
const MOST_TEXT: usize = 32 * 4096 - 1;

/// What expressions may read when a stage begins.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Parameters by name, each of its type.
    pub params: BTreeMap<String, Json>,
    /// Results by stage; a `-` in a name may be written as `_`.
    pub results: BTreeMap<String, Json>,
    /// `name`, `id`, and for what runs after everything `state`.
    pub run: BTreeMap<String, String>,
}

/// What expressions may read when a task begins.
#[derive(Debug, Clone, Copy)]
pub struct OfTask<'a> {
    /// Its item, as JSON.
    pub item: Option<&'a str>,
    /// Its place, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// Computes what a stage's expressions say.
pub struct Evaluator {
    base: Context<'static, 'static>,
    task: Vec<(&'static str, Value)>,
    programs: BTreeMap<String, Program>,
    longest: usize,
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("longest", &self.longest).finish_non_exhaustive()
    }
}

impl Evaluator {
    /// What is known when the stage begins.
    #[must_use]
    pub fn new(known: &Known) -> Self {
        let mut base = Context::default();
        let of = |map: &BTreeMap<String, Json>| {
            let both = map.iter().flat_map(|(name, json)| {
                let value = value_of(json);
                [(name.replace('-', "_"), value.clone()), (name.clone(), value)]
            });
            map_of(both)
        };
        base.add_variable_from_value(
            "params",
            map_of(known.params.iter().map(|(n, json)| (n.clone(), value_of(json)))),
        );
        base.add_variable_from_value("results", of(&known.results));
        base.add_variable_from_value(
            "run",
            map_of(known.run.iter().map(|(n, v)| (n.clone(), Value::from(v.as_str())))),
        );
        let all = known.params.values().chain(known.results.values());
        Self { base, task: Vec::new(), programs: BTreeMap::new(), longest: all.map(longest).max().unwrap_or_default() }
    }

    /// From now on it is this task's.
    pub fn enter(&mut self, task: OfTask<'_>) {
        let numbers = [("index", task.index), ("count", task.count)];
        let numbers = numbers.map(|(name, number)| (name.to_owned(), Value::Int(i64::from(number))));
        self.task = vec![("task", map_of(numbers.into_iter()))];
        if let Some(item) = task.item {
            let json = serde_json::from_str(item).unwrap_or(Json::Null);
            self.task.push(("item", value_of(&json)));
        }
    }

    /// Fills the templates of a text in.
    ///
    /// # Errors
    /// A sentence that names the template and what is wrong with its value.
    pub fn fill(&mut self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        for segment in segments(text) {
            match segment {
                Segment::Text(text) => out.push_str(text),
                Segment::Template(template) => {
                    let value = self.value(&template[2..template.len() - 1])?;
                    out.push_str(&plain(template, &value).map_err(|fault| fault.message)?);
                }
                Segment::Unclosed(rest) => out.push_str(rest),
            }
        }
        match out.len() {
            0..=MOST_TEXT => Ok(out),
            long => Err(format!("a text has {long} bytes when it is filled in; a program can be given {MOST_TEXT}")),
        }
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// A sentence that says why it has no such value.
    pub fn truth(&mut self, expression: &str) -> Result<bool, String> {
        match self.value(expression)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(format!("{expression} is {}, not true or false", kind_of(&other))),
        }
    }

    /// The items of a list, each as JSON.
    ///
    /// # Errors
    /// A sentence that says why it has no such value.
    pub fn items(&mut self, expression: &str) -> Result<Vec<String>, String> {
        let items = match self.value(expression)? {
            Value::List(items) => items,
            Value::Null => {
                return Err(format!("{expression} is null, not a list: nothing was written to $DYBOX_RESULT"));
            }
            other => return Err(format!("{expression} is {}, not a list", kind_of(&other))),
        };
        if items.len() > MOST_TASKS {
            return Err(format!("{expression} has {} items; at most {MOST_TASKS}", items.len()));
        }
        let text = |value: &Value| match json_of(value) {
            Ok(Json::Null) => Err(format!("an item of {expression} is null")),
            Ok(json) => Ok(json.to_string()),
            Err(what) => Err(format!("an item of {expression} is {what}")),
        };
        let items: Vec<String> = items.iter().map(text).collect::<Result<_, _>>()?;
        match items.iter().map(String::len).sum::<usize>() {
            0..=MOST_ITEM_BYTES => Ok(items),
            _ => {
                Err(format!("the items of {expression} have more than 4MiB together: write paths, not the data itself"))
            }
        }
    }

    fn value(&mut self, expression: &str) -> Result<Value, String> {
        if self.longest > LONGEST_NESTED && loops(expression) >= MOST_LOOPS {
            return Err(format!("{expression} costs too much: loops inside of each other over {} items", self.longest));
        }
        if !self.programs.contains_key(expression) {
            let program = Program::compile(expression).map_err(|_| format!("{expression} is no expression"))?;
            self.programs.insert(expression.to_owned(), program);
        }
        let mut context = self.base.new_inner_scope();
        for (name, value) in &self.task {
            context.add_variable_from_value(*name, value.clone());
        }
        self.programs[expression]
            .execute(&context)
            .map_err(|error| format!("{expression} has no value: {}", failure(error)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Evaluator {
        let results = [("a-b".to_owned(), json!([1, {"rows": 3}])), ("none".to_owned(), Json::Null)];
        let params = [("day".to_owned(), json!("monday")), ("n".to_owned(), json!(3))];
        let run = BTreeMap::from([("id".to_owned(), "01x".to_owned())]);
        Evaluator::new(&Known { params: params.into(), results: results.into(), run })
    }

    #[test]
    fn texts_are_filled_for_each_task() {
        let mut scope = scope();
        let text = "${item.name}-${task.index}/${task.count} ${params.n + 1} ${run.id} $${x} ${results.a_b[1].rows} $y";
        for (index, name) in (0..).zip(["p", "q"]) {
            scope.enter(OfTask { item: Some(&format!("{{\"name\":\"{name}\"}}")), index, count: 2 });
            assert_eq!(scope.fill(text), Ok(format!("{name}-{index}/2 4 01x ${{x}} 3 $y")));
        }
    }

    #[test]
    fn conditions_and_lists_say_what_they_are_instead() {
        let mut scope = scope();
        assert_eq!(scope.truth("results['a-b'][0] > 0"), Ok(true));
        assert_eq!(scope.truth("params.n").unwrap_err(), "params.n is a number, not true or false");
        assert!(scope.truth("results.none.rows > 0").unwrap_err().starts_with("results.none.rows > 0 has no value: "));
        assert_eq!(scope.items("results.a_b"), Ok(vec!["1".to_owned(), "{\"rows\":3}".to_owned()]));
        assert_eq!(scope.items("[]"), Ok(Vec::new()));
        assert!(scope.items("results.none").unwrap_err().contains("is null, not a list"));
        assert!(scope.items("params.day").unwrap_err().contains("is a text, not a list"));
    }

    #[test]
    fn loops_inside_of_each_other_are_for_short_lists() {
        let long: Vec<u32> = (0..2_000).collect();
        let results = BTreeMap::from([("a".to_owned(), json!(long))]);
        let mut scope = Evaluator::new(&Known { results, ..Known::default() });
        assert_eq!(scope.items("results.a.map(x, x + 1)").unwrap().len(), 2_000);
        let nested = scope.items("results.a.map(x, results.a.map(y, x + y))").unwrap_err();
        assert!(nested.contains("costs too much"), "{nested}");
    }
}
