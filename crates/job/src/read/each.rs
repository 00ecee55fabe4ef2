//! `each` and `matrix`: the items of a stage, one task each.

use serde_json::{Map, Value as Json};

use crate::draft::Each;
use crate::expr::MOST_TASKS;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;
use crate::text::Span;
use crate::values::{json_of, kind_of};

type Combination = Map<String, Json>;

/// `each`: a list, or an expression that gives one.
pub(crate) fn each(reader: &mut Reader, node: &Node) -> Option<Each> {
    const TAKES: &str = "a list, or one like ${results.split}";
    match &node.value {
        Value::List(items) => {
            let mut each = Each::default();
            let items: Option<Vec<Json>> = items.iter().map(|item| reader.json(item, "an item of \"each\"")).collect();
            each.items = Some(within(reader, node.span, items?)?);
            Some(each)
        }
        Value::Scalar(scalar) if scalar.text.trim_start().starts_with("${") => {
            let read = reader.expression(node, "each", TAKES)?;
            let items = match read.value {
                Some(value) => Some(list(reader, node.span, &read.text, &value)?),
                None => None,
            };
            Some(Each { items, expression: Some(read.text), uses: read.uses })
        }
        _ => {
            reader.wrong_type(node, "each", TAKES);
            None
        }
    }
}

fn list(reader: &mut Reader, span: Span, text: &str, value: &cel::Value) -> Option<Vec<String>> {
    match json_of(value) {
        Ok(Json::Array(items)) => within(reader, span, items),
        _ => {
            let message = format!("{text} is {}, not a list", kind_of(value));
            let help = "give a parameter type: list, or write the list itself";
            reader.report.error("E0707", span, message).help(help);
            None
        }
    }
}

fn within(reader: &mut Reader, span: Span, items: Vec<Json>) -> Option<Vec<String>> {
    if items.len() > MOST_TASKS {
        let message = format!("a stage has at most {MOST_TASKS} tasks, and these are {}", items.len());
        reader.report.error("E0216", span, message).help("let each task do several of them");
        return None;
    }
    Some(items.iter().map(Json::to_string).collect())
}

/// `matrix`: every combination of some lists, less `exclude`, with `include`.
pub(crate) fn matrix(reader: &mut Reader, node: &Node) -> Option<Each> {
    let entries = reader.entries(node, "matrix", "a mapping of names to lists, like { os: [a, b] }")?;
    let (mut axes, mut include, mut exclude) = (Vec::new(), Vec::new(), Vec::new());
    let mut good = true;
    for (key, node) in entries {
        match key.text.as_str() {
            "include" => include = combinations(reader, node, "include").unwrap_or_default(),
            "exclude" => exclude = combinations(reader, node, "exclude").unwrap_or_default(),
            _ => match axis(reader, key, node) {
                Some(values) => axes.push((key.text.clone(), values)),
                None => good = false,
            },
        }
    }
    for key in exclude.iter().flat_map(Combination::keys).filter(|key| !axes.iter().any(|(name, _)| name == *key)) {
        let message = format!("\"exclude\" names {key:?}, which the matrix does not have");
        let names = axes.iter().map(|(name, _)| name.as_str());
        reader.report.error("E0201", node.span, message).nearest(key, names).help("name what the matrix has");
        good = false;
    }
    let many = axes.iter().fold(1_usize, |all, (_, values)| all.saturating_mul(values.len()));
    if many.saturating_add(include.len()) > MOST_TASKS {
        let message = format!("a stage has at most {MOST_TASKS} tasks, and this matrix has {many}");
        reader.report.error("E0216", node.span, message).help("let each task do several of them");
        return None;
    }
    good.then_some(())?;
    let items = joined(product(&axes, &exclude), &axes, include);
    let items = items.into_iter().map(|combination| Json::Object(combination).to_string()).collect();
    // A hook's parameters don't change a matrix: it is what it was when planning.
    Some(Each { items: Some(items), expression: None, uses: Vec::new() })
}

/// The values of one name: a list, or a parameter that is one.
fn axis(reader: &mut Reader, key: &Key, node: &Node) -> Option<Vec<Json>> {
    let name = key.text.as_str();
    let word = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !word(name) {
        let message = format!("{name:?} can't be a name in a matrix");
        let help = "write letters, digits and _: a task reads it as ${item.NAME}";
        reader.report.error("E0301", key.span, message).help(help);
        return None;
    }
    let values = match each(reader, node)? {
        Each { items: Some(items), .. } => items,
        late => {
            let span = late.uses.first().map_or(node.span, |what| what.span);
            let message = format!("{name:?} of a matrix must be known when planning");
            let help = "write each: with one list that a stage gives, or the values themselves";
            reader.report.error("E0709", span, message).help(help);
            return None;
        }
    };
    if values.is_empty() {
        let message = format!("{name:?} of the matrix has no value at all");
        reader.report.error("E0207", node.span, message).help("list at least one value, or take it away");
        return None;
    }
    Some(values.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

fn combinations(reader: &mut Reader, node: &Node, name: &str) -> Option<Vec<Combination>> {
    let Value::List(items) = &node.value else {
        reader.wrong_type(node, name, "a list of mappings");
        return None;
    };
    let one = |item: &Node| match (&item.value, reader.json(item, name)?) {
        (_, Json::Object(entries)) => Some(entries),
        _ => {
            reader.wrong_type(item, name, "mappings of names to values");
            None
        }
    };
    items.iter().map(one).collect()
}

/// Every combination, in the order of the file: the last name changes first.
fn product(axes: &[(String, Vec<Json>)], exclude: &[Combination]) -> Vec<Combination> {
    if axes.is_empty() {
        return Vec::new();
    }
    let mut all = vec![Combination::new()];
    for (name, values) in axes {
        let longer = |one: Combination| {
            values.iter().map(move |value| {
                let mut more = one.clone();
                more.insert(name.clone(), value.clone());
                more
            })
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    let out =
        |one: &Combination| exclude.iter().any(|none| none.iter().all(|(name, value)| one.get(name) == Some(value)));
    all.retain(|one| !out(one));
    all
}

/// An `include` adds its values to every combination of which it changes none of the matrix's own; where there is no
/// such combination it is one more.
fn joined(mut all: Vec<Combination>, axes: &[(String, Vec<Json>)], include: Vec<Combination>) -> Vec<Combination> {
    let own = all.len();
    for more in include {
        let fits =
            |one: &Combination| axes.iter().all(|(name, _)| more.get(name).is_none_or(|value| one[name] == *value));
        let mut found = false;
        for one in all[..own].iter_mut().filter(|one| fits(one)) {
            found = true;
            one.extend(more.clone());
        }
        if !found {
            all.push(more);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(json: Json) -> Combination {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn a_matrix_is_every_combination_less_exclude_with_include() {
        let axes = [("os".to_owned(), vec![json!("a"), json!("b")]), ("py".to_owned(), vec![json!(1), json!(2)])];
        let all = product(&axes, &[object(json!({"os": "a", "py": 1}))]);
        let include = vec![object(json!({"os": "b", "fast": true})), object(json!({"os": "c", "py": 9}))];
        let found: Vec<Json> = joined(all, &axes, include).into_iter().map(Json::Object).collect();
        let expected = [
            json!({"os": "a", "py": 2}),
            json!({"os": "b", "py": 1, "fast": true}),
            json!({"os": "b", "py": 2, "fast": true}),
            json!({"os": "c", "py": 9}),
        ];
        assert_eq!(found, expected);
        assert!(product(&[], &[]).is_empty());
    }
}
