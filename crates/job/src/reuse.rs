//! `reuse: true` beside keys that it can't keep.

use std::path::Path;

use dybox_model::Network;

use crate::draft::{Body, Job};
use crate::report::Report;

/// Reports stages whose containers can't be made ready for a next task.
pub(crate) fn check(report: &mut Report, job: &Job) {
    for stage in &job.stages {
        let Some(reuse) = stage.body.reuse.as_ref().filter(|reuse| reuse.value) else { continue };
        for (key, why) in against(&stage.body) {
            let message = format!("stage {:?} has reuse and {key}", stage.name.value);
            report.error("E0206", reuse.span, message).note(why).help("keep one of them");
        }
    }
}

/// What stands against it, and why.
fn against(body: &Body) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if body.keep_failed == Some(true) {
        found.push(("keep_failed".to_owned(), "a container that is kept for a look takes no further task"));
    }
    if body.memory.as_ref().is_some_and(|memory| memory.limit.is_some()) {
        let why = "a container keeps the size that it was made with, for all of its tasks";
        found.push(("a memory that grows".to_owned(), why));
    }
    if body.cpus_words.is_some() || body.memory_words.is_some() {
        let why = "a container keeps the size that it was made with, for all of its tasks";
        found.push(("sizes that differ from task to task".to_owned(), why));
    }
    if body.image_words.as_ref().is_some_and(|words| words.value.known.is_none()) {
        let why = "a container keeps the image that it was made of, for all of its tasks";
        found.push(("an image that differs from task to task".to_owned(), why));
    }
    for (key, moved) in [("inputs", &body.inputs), ("outputs", &body.outputs)] {
        if moved.as_ref().is_some_and(|moved| !moved.is_empty()) {
            found.push((
                key.to_owned(),
                "files are brought to a container before it is made, and taken from it when it is over",
            ));
        }
    }
    if let Some(Network::Named(name)) = &body.network {
        let why = "each task has a name of its own on it, and a container keeps the one that it was made with";
        found.push((format!("network {name}"), why));
    }
    if body.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        let why = "who speaks to one task at its address would speak to the next one after its end";
        found.push(("ports".to_owned(), why));
    }
    let cleared = body.tmpfs.iter().flatten().map(|tmpfs| tmpfs.value.target.as_str()).chain(["/dev/shm"]);
    for dir in cleared {
        let under = |target: &str| target != dir && Path::new(target).starts_with(dir);
        for volume in body.volumes.iter().flatten().filter(|volume| under(&volume.value.target)) {
            let why = "the directory is emptied between two tasks, and a volume must not be";
            found.push((format!("a volume in {dir}, at {}", volume.value.target), why));
        }
    }
    found
}
