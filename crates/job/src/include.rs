//! `include`: fragments beside the job file, read as if they stood in it. What is wrong in one is said at its place there.

use std::path::{Component, Path};

use dybox_model::Found;

use crate::hidden::report_hidden;
use crate::load::load;
use crate::node::{Key, Node, Value};
use crate::report::Report;
use crate::text::{Span, Text, decode};
use crate::world::World;

/// Fragments of a job, at most.
const MOST: usize = 100;
/// Keys of a fragment.
const KEYS: [&str; 4] = ["params", "templates", "stages", "on_exit"];

/// A file that a job includes.
pub(crate) struct Fragment {
    pub(crate) name: String,
    pub(crate) text: String,
    root: Node,
}

/// Reads the fragments that a job names; what can't be read is reported.
pub(crate) fn fragments(report: &mut Report, root: &Node, dir: &Path, world: &dyn World) -> Vec<Fragment> {
    let Value::Map(entries) = &root.value else { return Vec::new() };
    let Some((_, node)) = entries.iter().find(|(key, _)| key.text == "include") else { return Vec::new() };
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.len() > MOST {
        let message = format!("a job includes at most {MOST} files, and these are {}", items.len());
        report.error("E0216", node.span, message).help("put more into each of them");
        return Vec::new();
    }
    items.iter().filter_map(|item| fragment(report, item, dir, world)).collect()
}

fn fragment(report: &mut Report, node: &Node, dir: &Path, world: &dyn World) -> Option<Fragment> {
    let Value::Scalar(scalar) = &node.value else {
        let message = format!("\"include\" takes a path or a list of paths, found {}", node.found());
        report.error("E0202", node.span, message).help("write include: [stages.yaml]");
        return None;
    };
    let name = scalar.text.trim_start_matches("./");
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let path = dir.join(name);
    let real = |path: &Path| match world.look(path) {
        Found::File(real) | Found::Directory(real) | Found::Socket(real) | Found::Other(real) => Some(real),
        Found::Missing | Found::Unreadable(_) => None,
    };
    let leaves = real(&path).zip(real(dir)).is_some_and(|(file, dir)| !file.starts_with(dir));
    if name.is_empty() || !inside || leaves {
        let message = format!("{:?} does not lie in the job file's directory", scalar.text);
        report.error("E0121", node.span, message).help("put it there, and name it like stages.yaml or parts/load.yaml");
        return None;
    }
    let bytes = match world.read(&path) {
        Ok(bytes) => bytes,
        Err(why) => {
            let message = format!("the file {name:?} can't be read: {why}");
            let note = format!("it is looked for at {}", path.display());
            report.error("E0121", node.span, message).note(note).help("correct the path, or make the file");
            return None;
        }
    };
    match decode(name, "the included file", &bytes) {
        Ok(text) => read(report, name, text),
        Err(wrong) => {
            report.found.push(*wrong);
            None
        }
    }
}

fn read(report: &mut Report, name: &str, text: &str) -> Option<Fragment> {
    let own = Text::new(name, text);
    let mut inner = Report::new(&own);
    let root = load(&mut inner);
    if let Some(root) = &root {
        report_hidden(&mut inner, root);
        check_keys(&mut inner, root);
    }
    report.found.extend(inner.into_sorted());
    Some(Fragment { name: name.to_owned(), text: own.text.to_owned(), root: root? })
}

fn check_keys(report: &mut Report, root: &Node) {
    let Value::Map(entries) = &root.value else {
        let message = format!("an included file is a mapping of keys, found {}", root.found());
        report.error("E0118", root.span, message).help("start with stages:");
        return;
    };
    for (key, _) in entries.iter().filter(|(key, _)| !KEYS.contains(&key.text.as_str())) {
        let message = format!("an included file has no key {:?}", key.text);
        let help = format!("its keys are {}; the rest belongs to the job file", KEYS.join(", "));
        report.error("E0201", key.span, message).nearest(&key.text, KEYS.into_iter()).help(help);
    }
}

/// The job file and its fragments as one text, and where each begins.
pub(crate) fn joined(own: &str, fragments: &[Fragment]) -> (String, Vec<usize>) {
    let mut whole = own.to_owned();
    let mut starts = Vec::with_capacity(fragments.len());
    for fragment in fragments {
        whole.push('\n');
        starts.push(whole.len());
        whole.push_str(&fragment.text);
    }
    (whole, starts)
}

/// The tree of the whole: entries of each key follow those of the job file. `starts`: of [`joined`].
pub(crate) fn merged(report: &mut Report, mut root: Node, fragments: Vec<Fragment>, starts: &[usize]) -> Node {
    let Value::Map(entries) = &mut root.value else { return root };
    for (mut fragment, &start) in fragments.into_iter().zip(starts) {
        fragment.root.shift(start);
        let Value::Map(more) = fragment.root.value else { continue };
        more.into_iter().for_each(|(key, node)| add(report, entries, key, node));
    }
    root
}

fn add(report: &mut Report, entries: &mut Vec<(Key, Node)>, key: Key, node: Node) {
    let Some(at) = entries.iter().position(|(known, _)| known.text == key.text) else {
        return entries.push((key, node));
    };
    let (Value::Map(own), Value::Map(more)) = (&mut entries[at].1.value, node.value) else { return };
    for (key, node) in more {
        if let Some((first, _)) = own.iter().find(|(known, _)| known.text == key.text) {
            let note = format!("it is first given at {}", report.text.short(first.span));
            let message = format!("the key {:?} is given twice", key.text);
            report.error("E0110", key.span, message).note(note).help("rename one of them");
        } else {
            own.push((key, node));
        }
    }
}

impl Node {
    /// The same tree, so many bytes further back.
    pub(crate) fn shift(&mut self, by: usize) {
        self.span = self.span.shifted(by);
        match &mut self.value {
            Value::Scalar(_) | Value::Bad => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Value::Map(entries) => {
                for (key, node) in entries {
                    key.span = key.span.shifted(by);
                    node.shift(by);
                }
            }
        }
    }
}

impl Span {
    fn shifted(self, by: usize) -> Self {
        if self == Self::NOWHERE { self } else { Self::new(self.start as usize + by, self.end as usize + by) }
    }
}
