//! `secrets` at the top, `secrets` and `registry_auth` of a stage: which value goes where, never a value.

use std::collections::BTreeMap;
use std::path::Path;

use dybox_model::{RegistryAuth, SECRETS_DIR, SecretRef, SecretSource, SecretUse, format_bytes};

use super::mounts::target_path;
use crate::draft::Body;
use crate::fields::Scope;
use crate::node::{Key, Node, Value};
use crate::reader::{Reader, Spot};
use crate::text::Span;

/// What a reference looks like, for messages.
const REFERENCE: &str = "{env: NAME}, {file: PATH} or {hdfs: hdfs://HOST/DIR/NAME}";
/// Values with fewer bytes than this can't be looked for in output: they would be found everywhere.
const HIDDEN_FROM: u64 = 4;
const MODE: u32 = 0o400;

/// A secret of the job.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// Nothing where the reference is wrong and was reported.
    from: Option<SecretSource>,
    span: Span,
    used: bool,
}

/// Reads `secrets` at the top.
pub(crate) fn declared(reader: &mut Reader, node: &Node) -> BTreeMap<String, Declared> {
    let mut all = BTreeMap::new();
    for (key, node) in reader.entries(node, "secrets", "a mapping of names to references").unwrap_or_default() {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = key.text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || key.text.len() > 63 || !key.text.chars().all(fits) {
            let message = format!("{:?} can't be the name of a secret", key.text);
            let help = "write at most 63 letters, digits, -, _ and ., beginning with a letter or a digit";
            reader.report.error("E0301", key.span, message).help(help);
            continue;
        }
        let from = source(reader, node);
        if let Some(from) = &from {
            look(reader, &key.text, from, node.span);
        }
        all.insert(key.text.clone(), Declared { from, span: key.span, used: false });
    }
    all
}

/// One reference.
fn source(reader: &mut Reader, node: &Node) -> Option<SecretSource> {
    let Value::Map(entries) = &node.value else {
        reader
            .report
            .error("E0521", node.span, format!("a secret is a reference, found {}", node.found()))
            .help(format!("write {REFERENCE}; a value that stands in the file is no secret"));
        return None;
    };
    let mut found = Vec::new();
    let mut wrong = false;
    for (key, node) in entries {
        match key.text.as_str() {
            "env" | "file" | "hdfs" => match place(reader, &key.text, node) {
                Some(place) => found.push(place),
                None => wrong = true,
            },
            _ => {
                reader.unknown(Scope::Secret, key);
                wrong = true;
            }
        }
    }
    if found.len() == 1 || wrong {
        return found.pop().filter(|_| !wrong);
    }
    let message = format!("a secret is one reference, found {}", found.len());
    reader.report.error("E0521", node.span, message).help(format!("write {REFERENCE}"));
    None
}

fn place(reader: &mut Reader, key: &str, node: &Node) -> Option<SecretSource> {
    let text = reader.text(node, key, "a text")?;
    let wrong = |reader: &mut Reader, why: &str, help: &str| {
        let message = format!("{:?} is no {why}", text.value);
        reader.report.error("E0521", text.span, message).help(help.to_owned());
        None
    };
    match key {
        "env" if text.value.is_empty() || text.value.contains(['=', '\0', ' ', '$']) => {
            wrong(reader, "name of a variable", "write its name, like {env: DB_PASSWORD}")
        }
        "env" => Some(SecretSource::Env(text.value)),
        "file" if text.value.is_empty() || text.value.starts_with('~') => {
            wrong(reader, "path", "write an absolute path, or one that begins at the job file's directory")
        }
        "file" => {
            let path: std::path::PathBuf = reader.dir.join(&text.value).components().collect();
            Some(SecretSource::File(path))
        }
        _ => {
            let full = if text.value.starts_with('/') { format!("hdfs://{}", text.value) } else { text.value.clone() };
            let dir = full.strip_prefix("hdfs://").and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
            match dir.is_some_and(|path| path.trim_matches('/').contains('/'))
                && !full.split('/').any(|part| part == "..")
            {
                true => Some(SecretSource::Hdfs(full)),
                false => wrong(reader, "file in HDFS", "write hdfs://HOST/DIR/NAME or /DIR/NAME"),
            }
        }
    }
}

/// Whether the submitter can give the value.
fn look(reader: &mut Reader, name: &str, from: &SecretSource, span: Span) {
    match reader.world.secret(from) {
        Some(Err(why)) => {
            let message = format!("the secret {name:?} can't be read: {from}: {why}");
            let help = match from {
                SecretSource::Env(variable) => format!("set {variable} in the environment of dybox run"),
                _ => "correct the path, or make the file".to_owned(),
            };
            reader.report.error("E0522", span, message).help(help);
        }
        Some(Ok(len)) if len < HIDDEN_FROM => {
            let message = format!("the secret {name:?} has {}: it can't be hidden in output", format_bytes(len));
            let note = format!("values of fewer than {HIDDEN_FROM} bytes would be found everywhere");
            reader.report.warning("W0525", span, message).note(note).help("use a longer one");
        }
        _ => {}
    }
}

/// Secrets that were fetched for a run that is under way.
pub(crate) fn fetched<'s>(secrets: impl Iterator<Item = &'s SecretRef>) -> BTreeMap<String, Declared> {
    let known = |one: &SecretRef| Declared { from: Some(one.from.clone()), span: Span::NOWHERE, used: true };
    secrets.map(|one| (one.name.clone(), known(one))).collect()
}

/// Warns of secrets that nobody takes.
pub(crate) fn unused(reader: &mut Reader) {
    let unused =
        reader.secrets.iter().filter(|(_, secret)| !secret.used).map(|(name, secret)| (name.clone(), secret.span));
    for (name, span) in unused.collect::<Vec<_>>() {
        let help = format!("take it away, or add secrets: [{name}] to a stage");
        reader.report.warning("W0524", span, format!("no stage takes the secret {name:?}")).help(help);
    }
}

/// The declared secret of this name.
fn named(reader: &mut Reader, name: &str, span: Span) -> Option<SecretRef> {
    if let Some(secret) = reader.secrets.get_mut(name) {
        secret.used = true;
        return secret.from.clone().map(|from| SecretRef { name: name.to_owned(), from });
    }
    let known: Vec<String> = reader.secrets.keys().cloned().collect();
    let variable = name.to_uppercase().replace(['-', '.'], "_");
    let help = format!("add secrets: {{ {name}: {{ env: {variable} }} }} at the top of the file");
    let message = format!("the job has no secret {name:?}");
    reader.report.error("E0520", span, message).nearest(name, known.iter().map(String::as_str)).help(help);
    None
}

/// Reads `secrets` of a stage: a list of names, or a mapping of names to target and mode.
pub(crate) fn taken(reader: &mut Reader, node: &Node) -> Option<Vec<Spot<SecretUse>>> {
    let mut all = Vec::new();
    match &node.value {
        Value::List(items) => {
            for item in items {
                let Some(name) = reader.text(item, "secrets", "names of secrets") else { continue };
                all.extend(one(reader, (&name.value, name.span), None));
            }
        }
        Value::Map(entries) => {
            for (Key { text, span }, node) in entries {
                all.extend(one(reader, (text, *span), Some(node).filter(|node| !node.is_null())));
            }
        }
        _ => {
            reader.wrong_type(node, "secrets", "a list of names, or a mapping of names to {target, mode}");
            return None;
        }
    }
    Some(all)
}

fn one(reader: &mut Reader, (name, span): (&str, Span), node: Option<&Node>) -> Option<Spot<SecretUse>> {
    let secret = named(reader, name, span);
    let (mut target, mut mode) = (format!("{SECRETS_DIR}/{name}"), MODE);
    let takes = "a mapping, like {target: /run/secrets/x, mode: \"0400\"}";
    let entries = node.and_then(|node| reader.entries(node, "a secret", takes)).unwrap_or_default();
    for (key, node) in entries {
        match key.text.as_str() {
            "target" => target = self::target(reader, node)?,
            "mode" => mode = self::mode(reader, node)?,
            _ => reader.unknown(Scope::File, key),
        }
    }
    Some(Spot { value: SecretUse { secret: secret?, target, mode }, span })
}

/// An absolute path, or a name in the usual directory.
fn target(reader: &mut Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "target", "a path")?;
    let path = match text.value.contains('/') {
        true => text.value.clone(),
        false => format!("{SECRETS_DIR}/{}", text.value),
    };
    if !target_path(reader, &text, &path) {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let path = format!("/{}", parts.join("/"));
    if Path::new(SECRETS_DIR).starts_with(&path) {
        let message = format!("the target {path} is the directory of all secrets, or above it");
        reader.report.error("E0523", text.span, message).help(format!("write {SECRETS_DIR}/NAME"));
        return None;
    }
    Some(path)
}

fn mode(reader: &mut Reader, node: &Node) -> Option<u32> {
    let text = reader.text(node, "mode", "octal digits, like \"0400\"")?;
    let mode = u32::from_str_radix(text.value.trim_start_matches("0o"), 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777 && mode & 0o400 != 0);
    if mode.is_none() {
        let message = format!("{:?} is no mode that lets its owner read the file", text.value);
        reader.report.error("E0523", text.span, message).help("write \"0400\", or \"0440\" for the group too");
    }
    mode
}

/// Reads `registry_auth`: a secret that is the whole login, or a user and the secret that is their password.
pub(crate) fn login(reader: &mut Reader, node: &Node) -> Option<RegistryAuth> {
    let Value::Map(entries) = &node.value else {
        let name = reader.text(node, "registry_auth", "the name of a secret, or {username, password_secret}")?;
        return Some(RegistryAuth { username: None, secret: named(reader, &name.value, name.span)? });
    };
    let (mut username, mut secret) = (None, None);
    for (key, node) in entries {
        match key.text.as_str() {
            "username" => username = reader.text(node, "username", "a text").filter(|text| !text.value.is_empty()),
            "password_secret" => {
                let name = reader.text(node, "password_secret", "the name of a secret")?;
                secret = Some(named(reader, &name.value, name.span)?);
            }
            _ => reader.unknown(Scope::Login, key),
        }
    }
    if username.is_none() || secret.is_none() {
        let message = "registry_auth has a username and a password_secret";
        let help = "write {username: NAME, password_secret: SECRET}, or one secret that is the whole login";
        reader.report.error("E0205", node.span, message).help(help);
    }
    Some(RegistryAuth { username: Some(username?.value), secret: secret? })
}

/// What only a whole stage shows: paths that two want, and links where none can be put.
pub(crate) fn check(reader: &mut Reader, body: &Body) {
    let secrets: Vec<&Spot<SecretUse>> = body.secrets.iter().flatten().collect();
    let volumes = body.volumes.iter().flatten().map(|mount| mount.value.target.as_str());
    let tmpfs = body.tmpfs.iter().flatten().map(|tmpfs| tmpfs.value.target.as_str());
    let moved = body.inputs.iter().chain(&body.outputs).flatten().map(|moved| moved.value.path.as_str());
    let mounts: Vec<&str> = volumes.chain(tmpfs).chain(moved).collect();
    for (at, one) in secrets.iter().enumerate() {
        let target = Path::new(&one.value.target);
        let wrong = |reader: &mut Reader, what: String, help: &str| {
            let message = format!("the secret {:?} can't be at {}: {what}", one.value.secret.name, target.display());
            reader.report.error("E0523", one.span, message).help(help.to_owned());
        };
        let name = |other: &&&Spot<SecretUse>| {
            let other = Path::new(&other.value.target);
            target.starts_with(other) || other.starts_with(target)
        };
        if let Some(other) = secrets[..at].iter().find(name) {
            wrong(
                reader,
                format!("{:?} is at {}", other.value.secret.name, other.value.target),
                "give it another target",
            );
        } else if let Some(mount) = mounts.iter().find(|mount| Path::new(mount).starts_with(target)) {
            wrong(reader, format!("{mount} is mounted there"), "give one of them another target");
        } else if target.starts_with(SECRETS_DIR) {
            if let Some(mount) = mounts.iter().find(|mount| Path::new(mount).starts_with(SECRETS_DIR)) {
                wrong(reader, format!("{mount} is mounted over it"), "mount it elsewhere");
            }
        } else if let Some(mount) = mounts.iter().find(|mount| target.starts_with(mount)) {
            wrong(reader, format!("{mount} is mounted over it"), "leave it in /run/secrets");
        } else if body.reuse.as_ref().is_some_and(|reuse| reuse.value) {
            let what = "a container that is used again has a read-only root".to_owned();
            wrong(reader, what, "leave it in /run/secrets, or take reuse away");
        }
    }
}
