//! `inputs` and `outputs`: files that are brought into a container before it starts, and out of it after it succeeded.

use std::path::{Path, PathBuf};

use dybox_model::Transfer;
use dybox_model::policy::is_never_given;

use super::mounts::target_path;
use crate::draft::Body;
use crate::node::Node;
use crate::reader::{Reader, Spot};
use crate::text::Span;

/// What a place looks like, for messages.
const PLACES: &str = "hdfs://HOST/DIR/NAME, hdfs:///DIR/NAME, file:///DIR/NAME, ./NAME or run:NAME";

/// Reads `inputs` or `outputs`: a mapping of paths in the container to places.
pub(crate) fn transfers(reader: &mut Reader, node: &Node, key: &'static str) -> Option<Vec<Spot<Transfer>>> {
    let entries = reader.entries(node, key, "a mapping of paths in the container to places")?;
    let mut all = Vec::new();
    for (path, node) in entries {
        let target = Spot { value: path.text.clone(), span: path.span };
        let good = target_path(reader, &target, &path.text);
        let place = reader.text(node, key, PLACES).and_then(|text| place(reader, &text, key));
        if let Some(place) = place.filter(|_| good) {
            let path = tidy(&path.text);
            all.push(Spot { value: Transfer { path, place }, span: target.span });
        }
    }
    Some(all)
}

fn tidy(path: &str) -> String {
    format!("/{}", path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"))
}

/// The whole address of a place, where it is one.
fn place(reader: &mut Reader, text: &Spot<String>, key: &str) -> Option<String> {
    let given = text.value.as_str();
    let wrong = |reader: &mut Reader, why: &str| {
        let message = format!("{key:?} can't use {given:?}: {why}");
        reader.report.error("E0510", text.span, message).help(format!("write {PLACES}"));
        None
    };
    if given.split('/').any(|part| part == "..") {
        return wrong(reader, "it goes up with ..");
    }
    if let Some(rest) = given.strip_prefix("hdfs://") {
        let dir = rest.split_once('/').map_or("", |(_, dir)| dir.trim_matches('/'));
        return match dir.contains('/') {
            true => Some(given.to_owned()),
            false => wrong(reader, "it needs a directory and a name"),
        };
    }
    if let Some(name) = given.strip_prefix("run:") {
        return match name.trim_matches('/').is_empty() || name.starts_with('/') {
            true => wrong(reader, "it needs a name"),
            false => Some(given.to_owned()),
        };
    }
    let path = match (given.strip_prefix("file://"), given.strip_prefix("./")) {
        (Some(path), _) if path.starts_with('/') => PathBuf::from(path),
        (None, Some(name)) if !name.trim_matches('/').is_empty() => reader.dir.join(name),
        _ => return wrong(reader, "it is no place that is known"),
    };
    local(reader, text.span, &path).then(|| format!("file://{}", path.display()))
}

/// Whether a path of the machine may be used, as a volume's may.
fn local(reader: &mut Reader, span: Span, path: &Path) -> bool {
    if is_never_given(path) {
        let message = format!("{} is never given to a container", path.display());
        reader.report.error("E0801", span, message).help("name a file in the directory that the stage works on");
        return false;
    }
    let roots = &reader.policy.mount_roots;
    if roots.iter().any(|root| path.starts_with(root)) {
        return true;
    }
    let allowed: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    let file = reader.policy.file.display();
    let note = match reader.policy.exists {
        true => format!("`mount_roots` in {file} decides; it allows {allowed}"),
        false => format!("there is no {file}, so {allowed} is allowed"),
    };
    let message = format!("{} is outside of what may be used of the machine", path.display());
    reader.report.error("E0802", span, message).note(note).help("move the data there, or use hdfs:// or run:");
    false
}

/// What only a whole stage shows: tasks that would write to one place, and outputs that have no directory of their own.
pub(crate) fn check(reader: &mut Reader, body: &Body) {
    let tasks = body.parallelism.unwrap_or(1);
    for output in body.outputs.iter().flatten() {
        let Transfer { path, place } = &output.value;
        if tasks > 1 && !place.ends_with('/') {
            let message = format!("{tasks} tasks would write the same place, {place}");
            let help = format!("end it with /: each task then writes {place}/NAME-INDEX");
            reader.report.error("E0511", output.span, message).help(help);
        }
        let dir = Path::new(path).parent().unwrap_or(Path::new("/"));
        let mounts = body.volumes.iter().flatten().map(|mount| mount.value.target.as_str());
        let inputs = body.inputs.iter().flatten().map(|input| input.value.path.as_str());
        let tmpfs = body.tmpfs.iter().flatten().map(|tmpfs| tmpfs.value.target.as_str());
        let other = mounts.chain(inputs).chain(tmpfs).find(|other| Path::new(other).starts_with(dir));
        if let Some(other) = other {
            let message = format!("the output {path} shares its directory with {other}");
            let note = "the directory of an output is empty when the task starts, and its own";
            reader.report.error("E0512", output.span, message).note(note).help("give it another directory, like /out");
        } else if dir == Path::new("/") {
            let message = format!("the output {path} has no directory of its own");
            reader.report.error("E0512", output.span, message).help(format!("write /out{path}"));
        }
    }
}
