//! `env` and `env_file`.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, is_hidden};
use crate::draft::Words;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;
use crate::report::Report;
use crate::text::{Span, Text, decode};

/// Variables that change whom a program is taken for, or what it loads.
const REFUSED: [&str; 3] = ["HADOOP_USER_NAME", "LD_PRELOAD", "LD_AUDIT"];

/// Reads `env`: a mapping, or a list of `KEY=value`.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> BTreeMap<String, Words> {
    let mut env = BTreeMap::new();
    match &node.value {
        Value::Map(entries) => {
            for (Key { text: key, span }, node) in entries {
                let name = if key.is_empty() { "env" } else { key };
                let value = reader.words(node, name, "a text");
                let good = check_key(&mut reader.report, key, *span);
                if let (Some(value), true) = (value, good) {
                    let shown = value.value.shown();
                    warn_secret(&mut reader.report, key, shown, value.span);
                    reader.report.check_length("the variable", key.len() + 1 + shown.len(), value.span);
                    env.insert(key.clone(), value.value);
                }
            }
        }
        Value::List(items) => {
            for item in items {
                let Some(text) = reader.text(item, "env", "texts like KEY=value") else { continue };
                let Some((key, value)) = text.value.split_once('=') else {
                    let message = format!("{:?} gives {:?} no value", "env", text.value);
                    let help = format!("write {}=value; nothing of the caller's environment goes in", text.value);
                    reader.report.error("E0604", text.span, message).help(help);
                    continue;
                };
                if check_key(&mut reader.report, key, text.span) {
                    warn_secret(&mut reader.report, key, value, text.span);
                    reader.report.check_length("the variable", text.value.len(), text.span);
                    env.insert(key.to_owned(), Words::plain(value));
                }
            }
        }
        _ => reader.wrong_type(node, "env", "a mapping of names to texts"),
    }
    env
}

/// Reads every `env_file`; a later one goes over an earlier one.
pub(crate) fn files(reader: &mut Reader, node: &Node) -> BTreeMap<String, Words> {
    let mut env = BTreeMap::new();
    for file in reader.text_or_texts(node, "env_file").unwrap_or_default() {
        let path = reader.dir.join(&file.value);
        let bytes = match reader.world.read(&path) {
            Ok(bytes) => bytes,
            Err(why) => {
                let message = format!("the env_file {:?} can't be read: {why}", file.value);
                let note = format!("it is looked for at {}", path.display());
                reader.report.error("E0605", file.span, message).note(note).help("correct the path, or make the file");
                continue;
            }
        };
        match decode(&file.value, "the env_file", &bytes) {
            Ok(text) => env.extend(parse(reader, &file.value, text)),
            Err(wrong) => reader.report.found.push(*wrong),
        }
    }
    env
}

/// The variables of every `env_file`, as they are written there.
pub(crate) fn of_files(reader: &mut Reader, node: &Node) -> BTreeMap<String, String> {
    files(reader, node).into_iter().map(|(name, words)| (name, words.known.unwrap_or_default())).collect()
}

/// Lines of `KEY=value`; empty lines and lines that begin with `#` are passed over.
fn parse(reader: &mut Reader, name: &str, text: &str) -> BTreeMap<String, Words> {
    let text = Text::new(name, text);
    let mut report = Report::new(&text);
    let mut env = BTreeMap::new();
    let mut at = 0;
    for line in text.text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let span = Span::new(start, start + line.len());
        let Some((key, value)) = line.split_once('=') else {
            let message = format!("{line:?} is no KEY=value");
            report.error("E0604", span, message).help("write KEY=value; nothing of the caller's environment goes in");
            continue;
        };
        let key = key.trim().strip_prefix("export ").unwrap_or(key.trim()).trim();
        let hidden = value.chars().find(|&c| is_hidden(c) && c != '\t');
        if let Some(c) = hidden {
            let message = format!("the value of {key:?} holds the invisible character U+{:04X}", c as u32);
            report.error("E0117", span, message).help("take it out");
        } else if check_key(&mut report, key, span) {
            let value = unquoted(value.trim());
            warn_secret(&mut report, key, value, span);
            report.check_length("the variable", key.len() + 1 + value.len(), span);
            env.insert(key.to_owned(), Words::plain(value));
        }
    }
    cut(&mut report.found, name);
    reader.report.found.append(&mut report.found);
    env
}

/// Another kind of file given as an env_file has a problem a line; a few of them tell it.
fn cut(found: &mut Vec<Diagnostic>, name: &str) {
    const MOST: usize = 5;
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    if let Some(last) = found.last_mut().filter(|_| more > 0) {
        last.note(format!("{more} more problems of {name} are not shown"));
    }
}

fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

fn check_key(report: &mut Report, key: &str, span: Span) -> bool {
    let (code, message, help) = if key.is_empty() {
        ("E0601", "an environment variable has no name".to_owned(), "write KEY: value")
    } else if key.contains('=') {
        ("E0601", format!("the name {key:?} of an environment variable holds a ="), "write KEY: value")
    } else if key.contains(char::is_whitespace) {
        ("E0601", format!("the name {key:?} of an environment variable holds a space"), "write KEY: value")
    } else if key.starts_with("DYBOX_") {
        ("E0602", format!("{key:?} can't be set: names that begin with DYBOX_ are DYbox's own"), "use another name")
    } else if REFUSED.contains(&key) {
        let message = format!("{key:?} can't be set: it changes whom a program is taken for, or what it loads");
        ("E0603", message, "take it away; set it inside of the script if it must be")
    } else {
        return true;
    };
    report.error(code, span, message).help(help);
    false
}

/// Warns of a value that looks like a secret: it would stand in the plan, the journal and `docker inspect`.
fn warn_secret(report: &mut Report, key: &str, value: &str, span: Span) {
    const NAMES: [&str; 9] =
        ["PASSWORD", "PASSWD", "SECRET", "SECRET_KEY", "TOKEN", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY"];
    const VALUES: [&str; 6] = ["AKIA", "ghp_", "github_pat_", "xoxb-", "-----BEGIN", "eyJhbGciOi"];
    let upper = key.to_uppercase();
    let named = NAMES.iter().any(|name| upper.ends_with(name)) && !value.is_empty() && !value.starts_with('/');
    if named || VALUES.iter().any(|start| value.starts_with(start)) || has_login(value) {
        let message = format!("the value of {key:?} looks like a secret");
        report
            .warning("W0606", span, message)
            .note("it will stand in the plan and in what the engine shows of the container")
            .help("use a secret reference: declare it under secrets: at the top, and take it with secrets: [NAME] as a file");
    }
}

/// Whether it is an address with a password in it: `scheme://user:password@host`.
fn has_login(value: &str) -> bool {
    let place = value.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    let login = place.and_then(|place| place.rsplit_once('@')).and_then(|(login, _)| login.split_once(':'));
    login.is_some_and(|(_, password)| !password.is_empty())
}
