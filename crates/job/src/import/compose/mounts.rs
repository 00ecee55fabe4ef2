//! `volumes` and `tmpfs` of a service.

use std::path::{Path, PathBuf};

use dybox_model::policy::is_never_given;

use super::Compose;
use crate::fields::Scope;
use crate::import::out::{Mapping, Out};
use crate::import::{is_built, quantity};
use crate::names::make_name;
use crate::node::Node;
use crate::reader::Reader;

/// One volume, whichever way it is written.
struct Volume {
    /// Nothing: a nameless one.
    source: Option<String>,
    target: String,
    read_only: bool,
}

/// Reads `volumes`.
pub(super) fn volumes(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let mut kept = Vec::new();
    let mut dropped = Vec::new();
    let mut tmpfs = Vec::new();
    for item in node.items() {
        let line = reader.line(item.span);
        if item.get("type").and_then(Node::said) == Some("tmpfs") {
            tmpfs.extend(item.get("target").and_then(Node::said).map(str::to_owned));
            continue;
        }
        let Some(volume) = volume(item) else {
            dropped.push(format!("volume ({line}): it is not understood"));
            continue;
        };
        match mounted(compose, &volume) {
            Ok(text) => kept.push(text),
            Err(why) => dropped.push(format!("volume {} ({line}): {why}", volume.target)),
        }
    }
    for why in dropped {
        stage.note(why);
    }
    if !kept.is_empty() {
        stage.put("volumes", Out::texts(kept));
    }
    if !tmpfs.is_empty() {
        stage.put("tmpfs", Out::texts(tmpfs));
    }
}

fn volume(item: &Node) -> Option<Volume> {
    let of = |key: &str| item.get(key).and_then(Node::said).map(str::to_owned);
    if let Some(target) = of("target") {
        let read_only = of("read_only").is_some_and(|word| word == "true");
        return Some(Volume { source: of("source"), target, read_only });
    }
    let text = item.said()?;
    // A variable with a default has a colon of its own.
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ':' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    let read_only = parts.get(2).is_some_and(|mode| mode.split(',').any(|word| word == "ro"));
    match parts[..] {
        [target] => Some(Volume { source: None, target: target.to_owned(), read_only }),
        [source, target, ..] => Some(Volume { source: Some(source.to_owned()), target: target.to_owned(), read_only }),
        [] => None,
    }
}

/// As the job file has it, or why it can't be.
fn mounted(compose: &mut Compose, volume: &Volume) -> Result<String, String> {
    let target = compose.variables.fill(&volume.target);
    let mode = if volume.read_only { ":ro" } else { "" };
    let Some(source) = &volume.source else {
        return Err("a volume without a name; what is written there is gone with the container anyway".to_owned());
    };
    if source.starts_with("~") || source.split('/').any(|part| part == "..") {
        return Err(format!("{source}: write an absolute path, or one below the job file as ./path"));
    }
    if source.starts_with(['/', '.', '$']) {
        if is_never_given(&Path::new(source).components().collect::<PathBuf>()) {
            return Err(format!("{source} is never given to a container"));
        }
        return Ok(format!("{}:{target}{mode}", compose.variables.fill(source)));
    }
    if !is_built(Scope::Top, "volumes") {
        return Err(format!(
            "{source} is a named volume, which is not supported yet; mount a directory: ./{source}:{target}"
        ));
    }
    compose.volumes.insert(source.clone());
    Ok(format!("{}:{target}{mode}", make_name(source).unwrap_or_else(|| "data".to_owned())))
}

/// Reads `tmpfs`: a path or a list, each perhaps with options.
pub(super) fn tmpfs(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, node: &Node) {
    let mut kept = Vec::new();
    for item in reader.text_or_texts(node, "tmpfs").unwrap_or_default() {
        let (path, options) = item.value.split_once(':').unwrap_or((&item.value, ""));
        let size = options.split(',').find_map(|option| option.strip_prefix("size=")).and_then(quantity::compose_size);
        let size = size.map(|size| format!(":size={size}")).unwrap_or_default();
        kept.push(format!("{}{size}", compose.variables.fill(path)));
    }
    if !kept.is_empty() {
        stage.put("tmpfs", Out::texts(kept));
    }
}
