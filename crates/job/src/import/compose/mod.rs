//! compose files: services become stages.
//!
//! A compose file says what runs side by side, a job what runs one after the other. What a service waits for to *end*
//! becomes `needs`; that it waits for another one to *start* has no counterpart yet, for no stage is a server.

mod interpolate;
mod limits;
mod mounts;
mod ports;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use super::out::{Mapping, Out};
use super::{Made, Wanted};
use crate::names::make_name;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;
use interpolate::Variables;

/// What reading a service needs at hand.
pub(super) struct Compose<'w> {
    wanted: &'w Wanted,
    names: Names,
    variables: Variables,
    /// Name of the project: images that are built here bear it.
    project: String,
    /// Services that others wait for while they run.
    servers: BTreeSet<String>,
    /// Whether services talk to each other.
    together: bool,
    /// Named volumes that a stage mounts.
    volumes: BTreeSet<String>,
    /// Secrets that a service names.
    secrets: BTreeSet<String>,
}

/// Reads a compose file.
pub(super) fn read(reader: &mut Reader, root: &Node, wanted: &Wanted) -> Made {
    let mut made = Made::default();
    let Value::Map(entries) = &root.value else {
        let message = format!("a compose file is a mapping of keys, found {}", root.found());
        reader.report.error("E0120", root.span, message).help("it has services:");
        return made;
    };
    let Some(services) = root.get("services") else {
        let wrong = reader.report.error("E0120", root.span, "this is no compose file: it has no services");
        wrong.help("name the compose file itself; other formats have names of their own: argo, make, skein");
        return made;
    };
    let takes = "a mapping of names to services";
    let Some(services) = reader.entries(services, "services", takes).map(<[_]>::to_vec) else { return made };
    let name = root.get("name").and_then(Node::said).map(str::to_owned);
    let stem = reader.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let project = name.as_deref().and_then(make_name).or_else(|| make_name(stem)).unwrap_or_else(|| "job".to_owned());
    let mut compose = Compose {
        wanted,
        names: Names::default(),
        variables: Variables::default(),
        project,
        servers: waited_for(&services),
        together: services.len() > 1,
        volumes: BTreeSet::new(),
        secrets: BTreeSet::new(),
    };
    let mut stages = Mapping::default();
    let of_profile = |node: &Node| node.get("profiles").is_some_and(|profiles| !profiles.items().is_empty());
    for (key, node) in &services {
        if of_profile(node) && !services.iter().all(|(_, node)| of_profile(node)) {
            stages.note(format!("{} ({}): left out, it is of a profile", key.text, reader.line(key.span)));
            continue;
        }
        if let Some((name, stage)) = service::read(&mut compose, reader, key, node) {
            stages.put(name, Out::Map(stage));
        }
    }
    head(&compose, &mut made);
    made.job.put("name", Out::text(&compose.project));
    compose.variables.declare(&mut made.job);
    volumes(&compose, reader, root, &mut made.job);
    secrets(&compose, root, &mut made.job);
    for (key, node) in entries {
        let known = ["name", "version", "services", "volumes", "networks", "secrets"].contains(&key.text.as_str());
        if !known && !key.text.starts_with("x-") && !node.is_null() {
            reader.no_counterpart(&mut made.job, key, "");
        }
    }
    made.job.put("stages", Out::Map(stages));
    made
}

/// What is true of every compose file that has more than one service.
fn head(compose: &Compose, made: &mut Made) {
    if !compose.servers.is_empty() {
        let servers: Vec<&str> = compose.servers.iter().map(String::as_str).collect();
        made.head.push(format!(
            "Servers ({}) run until they are stopped, and so does the job: `dybox stop` ends it. Stages that use them start at once and find them by name; let them wait for the port.",
            servers.join(", ")
        ));
    }
    if compose.variables.is_used() {
        made.head.push("Variables of the environment are parameters here: `dybox run -p NAME=VALUE`.".to_owned());
    }
}

/// Services that another one wants to be running, not ended.
fn waited_for(services: &[(Key, Node)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, node) in services {
        for (name, condition) in depends_on(node) {
            if condition != "service_completed_successfully" {
                found.insert(name);
            }
        }
    }
    found
}

/// What a service depends on, each with its condition.
fn depends_on(service: &Node) -> Vec<(String, String)> {
    let Some(node) = service.get("depends_on") else { return Vec::new() };
    match &node.value {
        Value::List(items) => {
            items.iter().filter_map(Node::said).map(|name| (name.to_owned(), "service_started".to_owned())).collect()
        }
        Value::Map(entries) => entries
            .iter()
            .map(|(key, node)| {
                let condition = node.get("condition").and_then(Node::said).unwrap_or("service_started");
                (key.text.clone(), condition.to_owned())
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn volumes(compose: &Compose, reader: &Reader, root: &Node, job: &mut Mapping) {
    if compose.volumes.is_empty() {
        return;
    }
    let declared = root.get("volumes");
    let mut map = Mapping::default();
    for name in &compose.volumes {
        let node = declared.and_then(|volumes| volumes.get(name));
        if let Some(Value::Map(entries)) = node.map(|node| &node.value) {
            for (key, _) in entries {
                reader.no_counterpart(&mut map, key, "");
            }
        }
        let name = make_name(name).unwrap_or_else(|| "data".to_owned());
        map.put(name, Out::Flow(vec![("keep".to_owned(), Out::plain(true))]));
    }
    job.put("volumes", Out::Map(map));
}

/// `secrets` as the job file will have them: by reference.
fn secrets(compose: &Compose, root: &Node, job: &mut Mapping) {
    if compose.secrets.is_empty() {
        return;
    }
    let mut entries: BTreeMap<&str, Vec<(String, Out)>> = BTreeMap::new();
    for name in &compose.secrets {
        let node = root.get("secrets").and_then(|secrets| secrets.get(name));
        let reference = ["file", "environment"].iter().find_map(|key| Some((*key, node?.get(key)?.said()?)));
        let (key, value) = match reference {
            Some(("file", path)) => ("file", path.to_owned()),
            Some((_, name)) => ("env", name.to_owned()),
            None => ("env", name.to_uppercase().replace('-', "_")),
        };
        entries.insert(name, vec![(key.to_owned(), Out::text(value))]);
    }
    let mut map = Mapping::default();
    for (name, reference) in entries {
        map.put(name, Out::Flow(reference));
    }
    job.put("secrets", Out::Map(map));
}
