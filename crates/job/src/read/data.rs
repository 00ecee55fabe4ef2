//! `inputs` and `outputs`: files that are brought into a container before it starts, and out of it after it succeeded.

use std::path::{Path, PathBuf};

use dybox_model::policy::is_never_given;

use super::mounts::target_path;
use crate::draft::{Body, Moved, Words};
use crate::node::Node;
use crate::places::{self, Kind, PLACES};
use crate::reader::{Reader, Spot};
use crate::text::Span;

/// Reads `inputs` or `outputs`: a mapping of paths in the container to places.
pub(crate) fn transfers(reader: &mut Reader, node: &Node, key: &'static str) -> Option<Vec<Spot<Moved>>> {
    let entries = reader.entries(node, key, "a mapping of paths in the container to places")?;
    let mut all = Vec::new();
    for (path, node) in entries {
        let target = Spot { value: path.text.clone(), span: path.span };
        let good = target_path(reader, &target, &path.text);
        let place = reader.words(node, key, PLACES).and_then(|words| place(reader, words, key));
        if let Some(place) = place.filter(|_| good) {
            let path = tidy(&path.text);
            all.push(Spot { value: Moved { path, place }, span: target.span });
        }
    }
    Some(all)
}

fn tidy(path: &str) -> String {
    format!("/{}", path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"))
}

/// The whole address of a place, where it is one. What templates add later must lie below what stands before them.
fn place(reader: &mut Reader, words: Spot<Words>, key: &str) -> Option<Words> {
    let Spot { value: mut words, span } = words;
    let late = words.known.is_none();
    let given = words.shown().to_owned();
    let known = if late { &given[..given.find("${").unwrap_or(given.len())] } else { given.as_str() };
    let start = match places::kind_of(known, late) {
        Ok(Kind::Far) => 0,
        Ok(Kind::Machine) => "file://".len(),
        Ok(Kind::Beside) => "./".len(),
        Err(why) => {
            let message = format!("{key:?} can't use {given:?}: {why}");
            reader.report.error("E0510", span, message).help(format!("write {PLACES}"));
            return None;
        }
    };
    if start == 0 {
        return Some(words);
    }
    let whole = |rest: &str| if start == 2 { reader.dir.join(rest) } else { PathBuf::from(rest) };
    // A name of which more comes later may become the name of another directory: /data/in${item} is /data/in2, too.
    let end = if late { known.rfind('/').map_or(start, |slash| slash + 1) } else { known.len() };
    let path = whole(&known[start..end]);
    let address = |text: &str| match text.strip_prefix("./") {
        Some(rest) => format!("file://{}", whole(rest).display()),
        None => text.to_owned(),
    };
    words.known = words.known.as_deref().map(address);
    words.written = words.written.as_deref().map(address);
    local(reader, span, &path).then_some(words)
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
        let Moved { path, place } = &output.value;
        let own = place.uses.iter().any(|what| what.value.is_of_task());
        let place = place.shown();
        if tasks > 1 && !own && !place.ends_with('/') {
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
