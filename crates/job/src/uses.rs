//! Which names an expression reads.

use std::fmt;

use cel::common::ast::operators::INDEX;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};

/// A name that expressions may read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// Any parameter.
    Params,
    /// The results of one stage, as its name is written.
    Result(String),
    /// All results, or one whose name is itself computed.
    Results,
    Item,
    /// `task.index`, `task.count`; empty = all of it.
    Task(String),
    /// `run.name`, `run.id`, `run.state`; empty = all of it.
    Run(String),
}

impl Use {
    /// Whether its value is there only when the stage begins.
    pub(crate) fn is_late(&self) -> bool {
        match self {
            Self::Params => false,
            Self::Run(field) => matches!(field.as_str(), "id" | "state"),
            Self::Result(_) | Self::Results | Self::Item | Self::Task(_) => true,
        }
    }

    /// Whether it differs from task to task.
    pub(crate) fn is_of_task(&self) -> bool {
        matches!(self, Self::Item | Self::Task(_))
    }

    /// The word to look for in the expression.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Params => "params",
            Self::Result(name) => name,
            Self::Results => "results",
            Self::Item => "item",
            Self::Task(field) if field.is_empty() => "task",
            Self::Run(field) if field.is_empty() => "run",
            Self::Task(field) | Self::Run(field) => field,
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result(name) => write!(f, "results.{name}"),
            Self::Task(field) if !field.is_empty() => write!(f, "task.{field}"),
            Self::Run(field) if !field.is_empty() => write!(f, "run.{field}"),
            other => f.write_str(other.word()),
        }
    }
}

/// All that an expression reads, each once.
pub(crate) fn uses(expression: &IdedExpr) -> Vec<Use> {
    let mut found = Vec::new();
    walk(&expression.expr, &mut Vec::new(), &mut found);
    found.sort();
    found.dedup();
    found
}

/// `bound`: names that a loop around it declares.
fn walk<'e>(expr: &'e Expr, bound: &mut Vec<&'e str>, found: &mut Vec<Use>) {
    match expr {
        Expr::Ident(name) => found.extend(root(name, bound, None)),
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(name) => found.extend(root(name, bound, Some(&select.field))),
            inner => walk(inner, bound, found),
        },
        Expr::Call(call) => {
            if let (INDEX, [of, at]) = (call.func_name.as_str(), call.args.as_slice())
                && let (Expr::Ident(name), Expr::Literal(LiteralValue::String(field))) = (&of.expr, &at.expr)
            {
                found.extend(root(name, bound, Some(field.inner())));
                return;
            }
            let parts = call.target.iter().map(|target| &**target).chain(&call.args);
            parts.for_each(|part| walk(&part.expr, bound, found));
        }
        Expr::Comprehension(of) => {
            walk(&of.iter_range.expr, bound, found);
            walk(&of.accu_init.expr, bound, found);
            let before = bound.len();
            bound.extend([of.iter_var.as_str(), of.accu_var.as_str()]);
            bound.extend(of.iter_var2.as_deref());
            for part in [&of.loop_cond, &of.loop_step, &of.result] {
                walk(&part.expr, bound, found);
            }
            bound.truncate(before);
        }
        Expr::List(list) => list.elements.iter().for_each(|part| walk(&part.expr, bound, found)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| walk_entry(&entry.expr, bound, found)),
        Expr::Struct(of) => of.entries.iter().for_each(|entry| walk_entry(&entry.expr, bound, found)),
        Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn walk_entry<'e>(entry: &'e EntryExpr, bound: &mut Vec<&'e str>, found: &mut Vec<Use>) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key.expr, bound, found);
            walk(&entry.value.expr, bound, found);
        }
        EntryExpr::StructField(field) => walk(&field.value.expr, bound, found),
    }
}

fn root(name: &str, bound: &[&str], field: Option<&str>) -> Option<Use> {
    if bound.contains(&name) {
        return None;
    }
    let field = || field.unwrap_or_default().to_owned();
    match (name, field()) {
        ("params", _) => Some(Use::Params),
        ("results", none) if none.is_empty() => Some(Use::Results),
        ("results", stage) => Some(Use::Result(stage)),
        ("item", _) => Some(Use::Item),
        ("task", field) => Some(Use::Task(field)),
        ("run", field) => Some(Use::Run(field)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cel::Program;

    use super::*;

    fn of(expression: &str) -> Vec<Use> {
        uses(Program::compile(expression).unwrap().expression())
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        assert_eq!(of("params.a + results.b.c[0]"), [Use::Params, Use::Result("b".into())]);
        assert_eq!(of("results['a-b'].rows > 0 && has(results.c.x)"), ["a-b", "c"].map(|n| Use::Result(n.into())));
        assert_eq!(of("results[params.x]"), [Use::Params, Use::Results]);
        assert_eq!(of("{'a': item}.a + [task.index]"), [Use::Item, Use::Task("index".into())]);
        assert_eq!(of("params.l.map(item, item + run.id)"), [Use::Params, Use::Run("id".into())]);
    }
}
