//! What expressions give, as far as declared results tell it: what reads a result that no task writes is found when planning.

use std::collections::BTreeMap;

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use dybox_model::{Declared, ResultType, ValueKind};

use crate::report::{listed, nearest};

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind<'a> {
    /// Nobody knows.
    Any,
    Bool,
    Number,
    Text,
    Mapping,
    /// A mapping with these entries, and maybe more that are not declared.
    Entries(&'a BTreeMap<String, ResultType>),
    List(Box<Kind<'a>>),
    /// A value, or a list of them: a hook may change how many tasks there are.
    OneOrMany(Box<Kind<'a>>),
}

impl<'a> Kind<'a> {
    /// What each task of a stage writes.
    pub(crate) fn of(declared: &'a Declared) -> Self {
        match declared {
            Declared::Whole(of) => Self::of_type(*of),
            Declared::Entries(entries) => Self::Entries(entries),
        }
    }

    fn of_type(of: ResultType) -> Self {
        match of.kind {
            ValueKind::String => Self::Text,
            ValueKind::Int | ValueKind::Float => Self::Number,
            ValueKind::Bool => Self::Bool,
            ValueKind::List => Self::List(Box::new(Self::Any)),
            ValueKind::Map => Self::Mapping,
            ValueKind::Any => Self::Any,
        }
    }

    /// As a sentence has it.
    pub(crate) const fn words(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Mapping | Self::Entries(_) => "a mapping",
            Self::List(_) => "a list",
            Self::OneOrMany(_) => "a value, or a list of them",
        }
    }
}

/// Something that can't be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The stage whose result it is about, as it is written; empty where that is not certain.
    pub(crate) stage: String,
    /// The word that is wrong; it stands behind the stage. Empty = the stage itself.
    pub(crate) word: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: String,
}

/// Looks through expressions.
pub(crate) struct Kinds<'a, 'e> {
    /// What a stage's result is, by its name as it is written.
    results: &'e dyn Fn(&str) -> Kind<'a>,
    /// Names that are known in an expression, and the stage that they come from.
    bound: Vec<(String, Seen<'a>)>,
    pub(crate) wrong: Vec<Wrong>,
}

/// What a part of an expression gives, and where that comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) stage: String,
    /// As it is written: `results.join.rows`.
    path: String,
}

impl Seen<'_> {
    const fn unknown() -> Self {
        Self::plain(Kind::Any)
    }
}

impl<'a> Seen<'a> {
    const fn plain(kind: Kind<'a>) -> Self {
        Self { kind, stage: String::new(), path: String::new() }
    }

    fn wrong(&self, word: &str, code: &'static str, message: String) -> Wrong {
        let (label, help) = (String::new(), String::new());
        Wrong { stage: self.stage.clone(), word: word.to_owned(), code, message, label, help }
    }

    /// It has another type than it should; `wanted` ends the sentence.
    pub(crate) fn misfit(&self, wanted: &str, help: &str) -> Wrong {
        let what = if self.path.is_empty() { "this" } else { &self.path };
        let word = self.path.rsplit(['.', '[', '(']).next().filter(|word| *word != self.stage).unwrap_or_default();
        let word = if word.ends_with([']', ')']) { "" } else { word };
        let mut wrong = self.wrong(word, "E0707", format!("{what} is {}, {wanted}", self.kind.words()));
        wrong.help = help.to_owned();
        wrong
    }

    /// One item of a list.
    fn item(&self, name: &str) -> Self {
        let kind = match &self.kind {
            Kind::List(item) => (**item).clone(),
            // A loop over a mapping is one over its names.
            Kind::Mapping | Kind::Entries(_) => Kind::Text,
            _ => Kind::Any,
        };
        Self { kind, stage: self.stage.clone(), path: name.to_owned() }
    }
}

impl<'a, 'e> Kinds<'a, 'e> {
    pub(crate) fn new(results: &'e dyn Fn(&str) -> Kind<'a>) -> Self {
        Self { results, bound: Vec::new(), wrong: Vec::new() }
    }

    /// From now on `item` is one of these.
    pub(crate) fn items_of(&mut self, list: &Seen<'a>) {
        self.bound.push(("item".to_owned(), list.item("item")));
    }

    pub(crate) fn see(&mut self, expr: &IdedExpr) -> Seen<'a> {
        match &expr.expr {
            Expr::Ident(name) => {
                let known = self.bound.iter().rev().find(|(known, _)| known == name);
                known.map_or_else(Seen::unknown, |(_, seen)| seen.clone())
            }
            Expr::Select(select) => {
                let seen = self.part(&select.operand, &select.field);
                if select.test { Seen::plain(Kind::Bool) } else { seen }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(of) => self.a_loop(of),
            Expr::List(list) => {
                list.elements.iter().for_each(|part| drop(self.see(part)));
                Seen::plain(Kind::List(Box::new(Kind::Any)))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.see(&entry.key);
                        self.see(&entry.value);
                    }
                }
                Seen::plain(Kind::Mapping)
            }
            Expr::Literal(literal) => Seen::plain(match literal {
                LiteralValue::Boolean(_) => Kind::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Kind::Number,
                LiteralValue::String(_) => Kind::Text,
                _ => Kind::Any,
            }),
            Expr::Struct(_) | Expr::Unspecified => Seen::unknown(),
        }
    }

    /// `of.name`, or `of["name"]`.
    fn part(&mut self, of: &IdedExpr, name: &str) -> Seen<'a> {
        if matches!(&of.expr, Expr::Ident(root) if root == "results" && !self.is_bound(root)) {
            let path = format!("results.{name}");
            return Seen { kind: (self.results)(name), stage: name.to_owned(), path };
        }
        let whole = self.see(of);
        let path = format!("{}.{name}", whole.path);
        let one = match &whole.kind {
            Kind::OneOrMany(one) => one,
            kind => kind,
        };
        let kind = match one {
            Kind::Entries(entries) => match entries.get(name) {
                Some(of) => Kind::of_type(*of),
                None => {
                    self.wrong.push(undeclared(&whole, name, entries));
                    Kind::Any
                }
            },
            Kind::Any | Kind::Mapping | Kind::OneOrMany(_) => Kind::Any,
            other => {
                let message = format!("{} is {}, which has no {name:?}", whole.path, other.words());
                let mut wrong = whole.wrong(name, "E0707", message);
                wrong.help = match other {
                    Kind::List(_) => {
                        let (list, word) = (&whole.path, name);
                        format!("read it of one: {list}[0].{word}, or of all: {list}.map(r, r.{word})")
                    }
                    _ => "read the value itself".to_owned(),
                };
                self.wrong.push(wrong);
                Kind::Any
            }
        };
        Seen { kind, stage: whole.stage, path }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|(known, _)| known == name)
    }

    fn call(&mut self, call: &CallExpr) -> Seen<'a> {
        if let (op::INDEX, [of, at]) = (call.func_name.as_str(), call.args.as_slice()) {
            if let Expr::Literal(LiteralValue::String(name)) = &at.expr {
                return self.part(of, name.inner());
            }
            return self.index(of, at);
        }
        let target = call.target.as_ref().map(|target| self.see(target));
        let args: Vec<Seen> = call.args.iter().map(|arg| self.see(arg)).collect();
        let kind = match (call.func_name.as_str(), args.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, args) => {
                args.iter().for_each(|arg| self.truth(arg));
                Kind::Bool
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [left, right]) => {
                self.alike(left, right, "can't be compared to");
                Kind::Bool
            }
            (op::EQUALS | op::NOT_EQUALS | op::IN, _) => Kind::Bool,
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [left, right]) => {
                self.alike(left, right, "does not go with");
                if left.kind == right.kind && matches!(left.kind, Kind::Number | Kind::Text) {
                    left.kind.clone()
                } else {
                    Kind::Any
                }
            }
            (op::CONDITIONAL, [when, yes, no]) => {
                self.truth(when);
                if yes.kind == no.kind { yes.kind.clone() } else { Kind::Any }
            }
            ("size", []) => self.size(target.as_ref()),
            ("size", [of]) => self.size(Some(of)),
            ("int" | "uint" | "double", [_]) => Kind::Number,
            ("string", [_]) => Kind::Text,
            ("contains" | "startsWith" | "endsWith" | "matches", _) => Kind::Bool,
            _ => Kind::Any,
        };
        Seen::plain(kind)
    }

    fn truth(&mut self, arg: &Seen<'a>) {
        if matches!(arg.kind, Kind::Number | Kind::Text | Kind::List(_) | Kind::Mapping | Kind::Entries(_)) {
            self.wrong.push(arg.misfit("where true or false is needed", "compare it to something, like > 0"));
        }
    }

    fn size(&mut self, of: Option<&Seen<'a>>) -> Kind<'a> {
        if let Some(of) = of.filter(|of| matches!(of.kind, Kind::Number | Kind::Bool)) {
            self.wrong.push(of.misfit("which has no size", "take size() away"));
        }
        Kind::Number
    }

    /// Two sides of which one is a text and the other a number.
    fn alike(&mut self, left: &Seen<'a>, right: &Seen<'a>, but: &str) {
        if let (Kind::Number, Kind::Text) | (Kind::Text, Kind::Number) = (&left.kind, &right.kind) {
            let of = if left.path.is_empty() { right } else { left };
            let other = if left.path.is_empty() { left } else { right };
            let help = match of.kind {
                Kind::Text => "make a number of it: int(...)",
                _ => "compare numbers to numbers, and texts to texts",
            };
            self.wrong.push(of.misfit(&format!("which {but} {}", other.kind.words()), help));
        }
    }

    fn index(&mut self, of: &IdedExpr, at: &IdedExpr) -> Seen<'a> {
        let (whole, at) = (self.see(of), self.see(at));
        let kind = match &whole.kind {
            Kind::List(item) | Kind::OneOrMany(item) => (**item).clone(),
            Kind::Bool | Kind::Number => {
                self.wrong.push(whole.misfit("which has no parts", "read the value itself"));
                Kind::Any
            }
            Kind::Entries(_) if at.kind == Kind::Number => {
                self.wrong.push(whole.misfit("not a list", "read an entry of it by its name"));
                Kind::Any
            }
            _ => Kind::Any,
        };
        Seen { kind, stage: whole.stage, path: format!("{}[...]", whole.path) }
    }

    /// `map`, `filter`, `all`, `exists`.
    fn a_loop(&mut self, of: &ComprehensionExpr) -> Seen<'a> {
        let range = self.see(&of.iter_range);
        if matches!(range.kind, Kind::Number | Kind::Text | Kind::Bool) {
            self.wrong.push(range.misfit("not a list", "read a list, or the value itself"));
        }
        self.see(&of.accu_init);
        let before = self.bound.len();
        let (first, second) = (range.item(&of.iter_var), Seen::unknown());
        match &of.iter_var2 {
            None => self.bound.push((of.iter_var.clone(), first)),
            Some(name) => self.bound.extend([(of.iter_var.clone(), Seen::unknown()), (name.clone(), second)]),
        }
        self.bound.push((of.accu_var.clone(), Seen::unknown()));
        for part in [&of.loop_cond, &of.loop_step, &of.result] {
            self.see(part);
        }
        self.bound.truncate(before);
        let kind = match &of.accu_init.expr {
            Expr::List(_) => Kind::List(Box::new(Kind::Any)),
            Expr::Literal(LiteralValue::Boolean(_) | LiteralValue::Int(_)) => Kind::Bool,
            _ => Kind::Any,
        };
        Seen { kind, stage: range.stage, path: String::new() }
    }
}

fn undeclared(whole: &Seen, name: &str, entries: &BTreeMap<String, ResultType>) -> Wrong {
    let names = || entries.keys().map(String::as_str);
    let stage = whole.stage.replace('_', "-");
    let mut wrong = whole.wrong(name, "E0705", format!("stage {stage:?} declares no {name:?} among its results"));
    wrong.help = format!("its results are {}; add it to them, or read one of these", listed(names()));
    if let Some(near) = nearest(name, names()) {
        wrong.label = format!("did you mean {near:?}?");
    }
    wrong
}

#[cfg(test)]
mod tests {
    use cel::Program;

    use super::*;

    fn entries() -> Declared {
        let all =
            [("rows", "int"), ("name", "string"), ("parts", "list"), ("ok", "bool"), ("more", "map?"), ("x", "any")];
        Declared::Entries(all.into_iter().map(|(n, of)| (n.to_owned(), ResultType::parse(of).unwrap())).collect())
    }

    /// What an expression over stages `a` (one task), `w` (many), `m` (one or many) and `n` (a number) gives.
    fn of(expression: &str) -> (String, Vec<String>) {
        let (declared, number) = (entries(), Declared::Whole(ResultType::parse("int").unwrap()));
        let results = |name: &str| match name {
            "a" => Kind::of(&declared),
            "w" => Kind::List(Box::new(Kind::of(&declared))),
            "m" => Kind::OneOrMany(Box::new(Kind::of(&declared))),
            "n" => Kind::of(&number),
            _ => Kind::Any,
        };
        let mut kinds = Kinds::new(&results);
        let program = Program::compile(expression).unwrap();
        let seen = kinds.see(program.expression());
        (seen.kind.words().to_owned(), kinds.wrong.into_iter().map(|wrong| wrong.message).collect())
    }

    #[test]
    fn what_is_declared_is_known_wherever_it_is_read() {
        for (expression, kind) in [
            ("results.a.rows", "a number"),
            ("results['a']['name']", "a text"),
            ("results.a.rows + 1", "a number"),
            ("results.a.rows > 1 && results.a.ok", "true or false"),
            ("has(results.a.more) ? results.a.more.x : 1", "a value"),
            ("results.a.more.anything", "a value"),
            ("results.a.x.y.z > 3", "true or false"),
            ("results.a", "a mapping"),
            ("results.w", "a list"),
            ("results.w[0].rows", "a number"),
            ("results.w.map(r, r.rows)", "a list"),
            ("results.w.filter(r, r.rows > 3 && r.ok)", "a list"),
            ("results.w.all(r, r.name == 'x')", "true or false"),
            ("results.m.rows", "a number"),
            ("results.m[1].rows", "a number"),
            ("results.m.map(r, r.rows)", "a list"),
            ("results.n * 2", "a number"),
            ("size(results.a.parts) + results.a.parts.size()", "a number"),
            ("results.a.parts[0].x", "a value"),
            ("results.other.a.b", "a value"),
            ("results.a != null && results.a.rows in [1, 2]", "true or false"),
            ("[1].map(results, results.a.b)", "a list"),
        ] {
            assert_eq!(of(expression), (kind.to_owned(), Vec::new()), "{expression}");
        }
    }

    #[test]
    fn what_is_not_declared_or_does_not_fit_is_told() {
        for (expression, why) in [
            ("results.a.rwos > 0", "stage \"a\" declares no \"rwos\" among its results"),
            ("has(results.a.rwos)", "stage \"a\" declares no \"rwos\" among its results"),
            ("results.a['rwos']", "stage \"a\" declares no \"rwos\" among its results"),
            ("results.w.map(r, r.rwos)", "stage \"w\" declares no \"rwos\" among its results"),
            ("results.w.all(r, r.rows > 0 && r.oks)", "stage \"w\" declares no \"oks\" among its results"),
            ("results.m.rwos", "stage \"m\" declares no \"rwos\" among its results"),
            ("results.w.rows", "results.w is a list, which has no \"rows\""),
            ("results.n.rows", "results.n is a number, which has no \"rows\""),
            ("results.a.rows.x", "results.a.rows is a number, which has no \"x\""),
            ("results.a.rows && true", "results.a.rows is a number, where true or false is needed"),
            ("results.a.name > 3", "results.a.name is a text, which can't be compared to a number"),
            ("'x' + results.a.rows", "results.a.rows is a number, which does not go with a text"),
            ("size(results.a.rows)", "results.a.rows is a number, which has no size"),
            ("results.a[0]", "results.a is a mapping, not a list"),
            ("results.a.rows.map(x, x)", "results.a.rows is a number, not a list"),
            ("results.w.map(r, r.rows + r.name)", "r.rows is a number, which does not go with a text"),
        ] {
            assert_eq!(of(expression).1, [why], "{expression}");
        }
    }
}
