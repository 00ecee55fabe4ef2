//! `hooks`.

use std::path::{Path, PathBuf};

use dybox_model::{Found, Keep, Network, format_bytes};

use super::{image, limits, policy};
use crate::draft::{Body, Hook, Memory, TimeoutDraft, Words};
use crate::fields::Scope;
use crate::node::{Key, Node, Value};
use crate::reader::{Reader, Spot};

/// Reads the list of hooks. One with an image gets some of what `defaults` says and it does not.
pub(crate) fn all(reader: &mut Reader, node: &Node, defaults: &Body) -> Vec<Hook> {
    let Value::List(items) = &node.value else {
        reader.wrong_type(node, "hooks", "a list of hooks");
        return Vec::new();
    };
    items.iter().filter_map(|item| one(reader, item, defaults)).collect()
}

fn one(reader: &mut Reader, node: &Node, defaults: &Body) -> Option<Hook> {
    let entries = reader.entries(node, "hooks", "hooks, each a mapping with after and run")?;
    let (after, run) = (Vec::new(), Vec::new());
    let mut hook = Hook { span: node.span, after, run, timeout: None, memory: None, body: None };
    if let Some((key, _)) = entries.first() {
        hook.span = key.span;
    }
    let contained = entries.iter().any(|(key, _)| key.text == "image");
    let (mut body, mut run) = (Body::default(), Vec::new());
    for (key, node) in entries {
        match key.text.as_str() {
            "after" => hook.after = reader.text_or_texts(node, "after").unwrap_or_default(),
            "run" => {
                run = reader.texts(node, "run").unwrap_or_default();
                if contained {
                    run.iter().for_each(|word| reader.report.check_length("an argument", word.value.len(), word.span));
                }
                hook.run = run.iter().map(|word| word.value.clone()).collect();
            }
            "timeout" => hook.timeout = reader.duration(node, "timeout", false),
            "memory" if contained => hook.memory = limits::memory(reader, node, "memory"),
            "memory" => hook.memory = memory(reader, node),
            "image" => body.image = image_of(reader, node),
            "cpus" if contained => body.cpus = limits::cpus(reader, node),
            "cpus" => {
                let message =
                    "the hook has \"cpus\" and no image: it runs beside the master, which bounds its memory and time";
                reader.report.error("E0205", key.span, message).help("add image:, or take cpus away");
            }
            _ => reader.unknown(Scope::Hook, key),
        }
    }
    check(reader, &hook, entries);
    if contained {
        body = task(&hook, body, defaults);
        policy::check(reader, ("the hook", hook.span, node), &body);
        left_behind(reader, &run, &body);
        hook.body = Some(Box::new(body));
    }
    Some(hook)
}

fn check(reader: &mut Reader, hook: &Hook, entries: &[(Key, Node)]) {
    for (name, empty) in [("after", hook.after.is_empty()), ("run", hook.run.is_empty())] {
        let value = entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
        let listed = matches!(value.map(|node| &node.value), Some(Value::List(items)) if items.is_empty());
        if empty && (value.is_none() || listed) {
            let (code, message) = match listed {
                true => ("E0207", format!("{name:?} of the hook is empty")),
                false => ("E0205", format!("the hook has no {name:?}")),
            };
            let span = value.map_or(hook.span, |value| value.span);
            let help = match name {
                "after" => "name the stages whose end it waits for: after: [extract]",
                _ => "name its program: run: [\"python3\", \"decide.py\"]",
            };
            reader.report.error(code, span, message).help(help);
        }
    }
}

/// A container finds nothing of the job file's directory but what is mounted. A file there of which `run` speaks was
/// meant, most of the time.
fn left_behind(reader: &mut Reader, run: &[Spot<String>], body: &Body) {
    let mounted = |path: &Path| body.volumes.iter().flatten().any(|one| path.starts_with(&one.value.source));
    let lies_there = |(at, word): &(usize, &Spot<String>)| {
        // A program without a slash is looked up on the image's PATH.
        let named = Path::new(&word.value).is_relative() && (*at > 0 || word.value.contains('/'));
        let path: PathBuf = reader.dir.join(&word.value).components().collect();
        named && matches!(reader.world.look(&path), Found::File(_)) && !mounted(&path)
    };
    let Some((_, word)) = run.iter().enumerate().find(lies_there) else { return };
    let message =
        format!("the hook runs in a container, which does not have {:?} of the job file's directory", word.value);
    let help = "put it into the image, mount it (volumes of defaults) and name its path there, or take image: away";
    reader
        .report
        .warning("W0327", word.span, message)
        .note("a hook without an image runs in that directory")
        .help(help);
}

/// An image that is known when planning: nobody fills its templates in later.
fn image_of(reader: &mut Reader, node: &Node) -> Option<String> {
    let (image, words) = image::read(reader, node);
    if let Some(words) = words.filter(|words| words.value.known.is_none()) {
        let message = "the image of a hook must be known when the job is planned";
        let help = "write the image itself, or a parameter: ${params.NAME}";
        reader.report.error("E0709", words.span, message).help(help);
    }
    image
}

/// The task that a hook with an image is. `run` is its whole program, whatever the image would run.
fn task(hook: &Hook, own: Body, defaults: &Body) -> Body {
    let plain = |memory| Memory { request: memory, limit: None };
    Body {
        entrypoint: Some(Vec::new()),
        command: Some(hook.run.iter().map(Words::plain).collect()),
        cpus: own.cpus.or_else(|| defaults.cpus.filter(|_| defaults.cpus_words.is_none())),
        memory: hook.memory.map(plain).or_else(|| defaults.memory.filter(|_| defaults.memory_words.is_none())),
        timeout: TimeoutDraft { run: hook.timeout, pull: defaults.timeout.pull, ..TimeoutDraft::default() },
        pids: defaults.pids,
        pull: defaults.pull,
        registry_auth: defaults.registry_auth.clone(),
        user: defaults.user.clone(),
        volumes: defaults
            .volumes
            .clone()
            .map(|all| all.into_iter().filter(|one| one.value.named != Some(Keep::Run)).collect()),
        // A named one, and a volume of the run, would tie it to stages of other parts of the DAG.
        network: defaults.network.clone().filter(|network| *network == Network::Bridge),
        ..own
    }
}

/// Address space in bytes; less than the least lets no program start.
fn memory(reader: &mut Reader, node: &Node) -> Option<u64> {
    const LEAST: u64 = 16 << 20;
    let size = reader.size(node, "memory")?;
    if size.value < LEAST {
        let message = format!("a hook can't run in {}", format_bytes(size.value));
        reader.report.error("E0213", size.span, message).help("write 16MiB or more");
        return None;
    }
    Some(size.value)
}
