//! `results`: what a stage's tasks write to `$DYBOX_RESULT`.

use dybox_model::{Declared, ResultType, ValueKind};

use crate::node::{Key, Node, Value};
use crate::reader::Reader;

const TAKES: &str = "a type, or a mapping of names to types, like { rows: int, note: string? }";
/// Entries of a result that may be declared.
const MOST: usize = 100;
/// What types are called elsewhere.
const ELSEWHERE: [(&str, &str); 14] = [
    ("text", "string"),
    ("str", "string"),
    ("integer", "int"),
    ("long", "int"),
    ("number", "float"),
    ("double", "float"),
    ("boolean", "bool"),
    ("array", "list"),
    ("sequence", "list"),
    ("object", "map"),
    ("mapping", "map"),
    ("dict", "map"),
    ("json", "any"),
    ("value", "any"),
];

/// One type for the whole value, or one for each entry of a mapping.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> Option<Declared> {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::Scalar(_) if !node.is_null() => return one(reader, node, "results").map(Declared::Whole),
        _ => {
            reader.wrong_type(node, "results", TAKES);
            return None;
        }
    };
    if entries.is_empty() || entries.len() > MOST {
        let message = match entries.len() {
            0 => "\"results\" declares nothing".to_owned(),
            many => format!("\"results\" declares {many} entries; at most {MOST}"),
        };
        let help = "name what each task writes, like { rows: int }, or take it away";
        reader.report.error("E0207", node.span, message).help(help);
        return None;
    }
    let entry = |(key, node): &(Key, Node)| {
        let good = name(reader, key);
        let of = one(reader, node, &key.text)?;
        good.then(|| (key.text.clone(), of))
    };
    let read: Vec<Option<(String, ResultType)>> = entries.iter().map(entry).collect();
    read.into_iter().collect::<Option<_>>().map(Declared::Entries)
}

fn name(reader: &mut Reader, key: &Key) -> bool {
    let good = key.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.text.len() <= 63
        && key.text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !good {
        let message = format!("{:?} can't name an entry of a result", key.text);
        let help = "write letters, digits and _: others read it as results.STAGE.NAME";
        reader.report.error("E0301", key.span, message).help(help);
    }
    good
}

fn one(reader: &mut Reader, node: &Node, name: &str) -> Option<ResultType> {
    let text = reader.text(node, name, "a type, like int")?;
    let read = ResultType::parse(&text.value);
    if read.is_none() {
        let word = text.value.trim_end_matches('?');
        let words = ValueKind::WORDS.join(", ");
        let message = format!("{name:?} takes one of {words}, found {:?}", text.value);
        let wrong = reader.report.error("E0208", text.span, message);
        wrong
            .nearest(word, ValueKind::WORDS.into_iter())
            .help("write one of them; with a ? behind it, it may be missing");
        if let Some((_, ours)) = ELSEWHERE.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(word)) {
            wrong.label(format!("it is called {ours} here"));
        }
    }
    read
}
