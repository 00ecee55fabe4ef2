//! `volumes` and `tmpfs`: what of the machine a container may see.

use std::path::{Component, Path, PathBuf};

use dybox_model::policy::is_never_given;
use dybox_model::{Found, Keep, Mount, Tmpfs};

use crate::draft::Body;
use crate::node::Node;
use crate::reader::{Reader, Spot};
use crate::text::Span;
use crate::units::parse_size;

/// Targets that would break the container, with all below them.
const TAKEN: [&str; 4] = ["/.dybox", "/proc", "/sys", "/dev"];

/// Reads `volumes`: `source:target[:ro|rw]`.
pub(crate) fn volumes(reader: &mut Reader, node: &Node) -> Option<Vec<Spot<Mount>>> {
    let items = reader.texts(node, "volumes")?;
    Some(items.iter().filter_map(|item| volume(reader, item)).collect())
}

fn volume(reader: &mut Reader, item: &Spot<String>) -> Option<Spot<Mount>> {
    let text = item.value.as_str();
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] => (source, target, "rw"),
        [source, target, mode @ ("ro" | "rw")] => (source, target, mode),
        _ => {
            let message = format!("{text:?} is no volume");
            let wrong =
                reader.report.error("E0501", item.span, message).help("write /source:/target or /source:/target:ro");
            if parts.len() > 2 {
                wrong.note("a path can't hold a colon, and the mode is ro or rw");
            }
            return None;
        }
    };
    let target_good = target_path(reader, item, target);
    let is_name = !source.contains(['/', '~']) && !source.starts_with('.');
    let (source, named) = match is_name {
        true => (PathBuf::from(source), Some(named(reader, item, source)?)),
        false => (source_path(reader, item, source)?, None),
    };
    let mount = Mount { source, target: tidy(target), read_only: mode == "ro", named };
    target_good.then_some(Spot { value: mount, span: item.span })
}

/// How long the volume of this name is kept; nothing where the job has none.
fn named(reader: &mut Reader, item: &Spot<String>, name: &str) -> Option<Keep> {
    let span = reader.inside(item.span, &item.value, 0..name.len());
    let Some(declared) = &reader.volumes else {
        return reader.check_name(name, span, "a volume").then_some(Keep::Always);
    };
    if let Some(keep) = declared.get(name) {
        return Some(*keep);
    }
    let known: Vec<String> = declared.keys().cloned().collect();
    let message = format!("the job has no volume {name:?}");
    let help =
        format!("add volumes: {{ {name}: {{}} }} at the top of the file, or write ./{name} for a path beside it");
    reader.report.error("E0509", span, message).nearest(name, known.iter().map(String::as_str)).help(help);
    None
}

/// The absolute path that a source means, when it may be mounted.
fn source_path(reader: &mut Reader, item: &Spot<String>, source: &str) -> Option<PathBuf> {
    let span = reader.inside(item.span, &item.value, 0..source.len());
    let relative = source == "." || source.starts_with("./");
    if source.split('/').any(|part| part == "..") {
        let message = format!("the source {source:?} of a volume goes up with ..");
        reader.report.error("E0503", span, message).help("write the absolute path");
        return None;
    }
    if !relative && !source.starts_with('/') {
        let message = format!("the source {source:?} of a volume is no absolute path");
        let help = match source.strip_prefix("~/") {
            Some(rest) => format!("write /home/YOU/{rest}; ~ is the shell's word"),
            None => format!("write ./{source} for a path beside the job file"),
        };
        reader.report.error("E0502", span, message).help(help);
        return None;
    }
    let path: PathBuf = match relative {
        true => reader.dir.join(source.trim_start_matches("./").trim_start_matches('.')).components().collect(),
        false => Path::new(source).components().collect(),
    };
    if is_never_given(&path) {
        never(reader, span, source, None);
        return None;
    }
    allowed(reader, span, source, &path).then_some(path)
}

fn never(reader: &mut Reader, span: Span, source: &str, real: Option<&Path>) {
    let message = match real {
        Some(real) => format!("{source} is {}, which is never given to a container", real.display()),
        None => format!("{source} is never given to a container"),
    };
    let note = "it would let the container change the machine or leave its limits";
    reader.report.error("E0801", span, message).note(note).help("mount the directory that the stage works on");
}

/// Asks the world what lies there, and the policy whether it may be mounted.
fn allowed(reader: &mut Reader, span: Span, source: &str, path: &Path) -> bool {
    // What lies on the cluster's machines is theirs to tell: there the path counts as it is written.
    let found = match reader.cluster {
        Some(_) => Found::Directory(path.to_owned()),
        None => reader.world.look(path),
    };
    let real = match found {
        Found::File(real) | Found::Directory(real) => real,
        Found::Missing => {
            let message = format!("the source {source} of a volume does not exist");
            let note = format!("it is looked for at {}", path.display());
            reader.report.error("E0504", span, message).note(note).help("correct the path, or make it");
            return false;
        }
        Found::Unreadable(why) => {
            let message = format!("the source {source} of a volume can't be looked at: {why}");
            reader.report.error("E0504", span, message).help("ask for the right to read it");
            return false;
        }
        Found::Socket(real) | Found::Other(real) => {
            never(reader, span, source, Some(&real).filter(|real| *real != path).map(PathBuf::as_path));
            return false;
        }
    };
    if is_never_given(&real) {
        never(reader, span, source, Some(&real));
        return false;
    }
    if reader.policy.mount_roots.iter().any(|root| real.starts_with(root)) {
        return true;
    }
    let roots: Vec<String> = reader.policy.mount_roots.iter().map(|root| root.display().to_string()).collect();
    let allowed = if roots.is_empty() { "nothing".to_owned() } else { roots.join(", ") };
    let inside = reader.policy.mount_roots.iter().any(|root| path.starts_with(root));
    let message = match inside {
        true => format!("{source} leads to {} by a symbolic link, outside of what may be mounted", real.display()),
        false => format!("{source} is outside of what may be mounted"),
    };
    let file = reader.policy.file.display();
    let note = match reader.policy.exists {
        true => format!("{file} decides; it allows {allowed}"),
        false if reader.cluster.is_some() => format!("there is no {file}, so a cluster's machines give nothing away"),
        false => format!("there is no {file}, so only the job file's own directory is allowed: {allowed}"),
    };
    let help = match roots.is_empty() {
        true => format!("have mount roots added to {file}"),
        false => format!("move the data there, or have mount roots added to {file}"),
    };
    reader.report.error("E0802", span, message).note(note).help(help);
    false
}

/// Whether something may be mounted at a path in the container.
pub(crate) fn target_path(reader: &mut Reader, item: &Spot<String>, target: &str) -> bool {
    let at = item.value.find(&format!(":{target}")).map_or(0, |at| at + 1);
    let span = reader.inside(item.span, &item.value, at..at + target.len());
    let path = Path::new(target);
    let (code, message, help) = if !target.starts_with('/') {
        ("E0505", format!("the target {target:?} is no absolute path"), format!("write /{target}"))
    } else if path.components().any(|part| part == Component::ParentDir) {
        ("E0505", format!("the target {target:?} goes up with .."), "write the path itself".to_owned())
    } else if tidy(target) == "/" {
        ("E0505", "the target can't be / itself".to_owned(), "write a directory below it".to_owned())
    } else if let Some(taken) = TAKEN.iter().find(|taken| path.starts_with(taken)) {
        let message = format!("the target {target} lies over {taken}, which the container needs");
        ("E0506", message, "write another target".to_owned())
    } else {
        return true;
    };
    reader.report.error(code, span, message).help(help);
    false
}

/// A path without doubled and trailing slashes.
fn tidy(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// Reads `tmpfs`: `/path` or `/path:size=64MiB`.
pub(crate) fn tmpfs(reader: &mut Reader, node: &Node) -> Option<Vec<Spot<Tmpfs>>> {
    let items = reader.text_or_texts(node, "tmpfs")?;
    Some(items.iter().filter_map(|item| one_tmpfs(reader, item)).collect())
}

fn one_tmpfs(reader: &mut Reader, item: &Spot<String>) -> Option<Spot<Tmpfs>> {
    let (target, options) = item.value.split_once(':').map_or((item.value.as_str(), None), |(t, o)| (t, Some(o)));
    let target_good = target_path(reader, item, target);
    let size = match options.map(|options| options.strip_prefix("size=").map(parse_size)) {
        None => None,
        Some(Some(Ok(size))) if size > 0 => Some(size),
        Some(Some(Err(bad))) => {
            let message = format!("\"tmpfs\": {}", bad.why);
            reader.report.error("E0211", item.span, message).help(bad.write);
            return None;
        }
        Some(_) => {
            let message = format!("{:?} is no tmpfs", item.value);
            reader.report.error("E0507", item.span, message).help("write /path or /path:size=64MiB");
            return None;
        }
    };
    target_good.then(|| Spot { value: Tmpfs { target: tidy(target), size }, span: item.span })
}

/// Reports targets that two mounts of a stage share.
pub(crate) fn check_targets(reader: &mut Reader, body: &Body) {
    let volumes = body.volumes.iter().flatten().map(|mount| (&mount.value.target, mount.span));
    let tmpfs = body.tmpfs.iter().flatten().map(|tmpfs| (&tmpfs.value.target, tmpfs.span));
    let moved = body.inputs.iter().chain(&body.outputs).flatten().map(|moved| (&moved.value.path, moved.span));
    let mut all: Vec<(&String, Span)> = volumes.chain(tmpfs).chain(moved).collect();
    all.sort();
    for pair in all.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let message = format!("two mounts have the target {}", pair[1].0);
        let note = format!("the other one is at {}", reader.report.text.short(pair[0].1));
        reader.report.error("E0508", pair[1].1, message).note(note).help("give one of them another target");
    }
}
