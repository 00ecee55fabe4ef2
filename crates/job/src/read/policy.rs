//! What the administrator's policy says of a stage beside its mounts and its registry: sizes, digests, users; and, where
//! more than one policy counts, what the others say of all of it.

use dybox_model::policy::{Asks, Refusal, Submitter};

use crate::draft::Body;
use crate::node::{Key, Node, Value};
use crate::reader::Reader;
use crate::text::Span;

/// Reports every rule that a stage, or a hook with an image, breaks, at the key that breaks it, or at its name where that is elsewhere.
pub(crate) fn check(reader: &mut Reader, (who_asks, name, node): (&str, Span, &Node), body: &Body) {
    let policy = reader.policy.clone();
    let (who, uid, gid) = &policy.submitter;
    let who = Submitter { name: who, uid: *uid, gid: *gid };
    for (at, rules) in policy.rules.iter().enumerate() {
        // What is known late the master judges.
        let known = body.memory.filter(|_| body.memory_words.is_none());
        let memory = known.map_or(0, |memory| memory.limit.unwrap_or(memory.request).max(memory.request));
        let late_image = body.image_words.as_ref().is_some_and(|words| words.value.known.is_none());
        // Mounts and images were judged by the first one where they were read.
        let paths = body.volumes.iter().flatten().filter(|mount| at > 0 && mount.value.named.is_none());
        let ports: Vec<_> = body.ports.iter().flatten().map(|spot| spot.value.clone()).collect();
        let asks = Asks {
            ports: &ports,
            image: body.image.as_deref().filter(|_| !late_image).unwrap_or_default(),
            user: body.user.as_deref(),
            cpu_milli: if body.cpus_words.is_some() { 0 } else { body.cpus.unwrap_or(1_000) },
            memory,
            paths: paths.map(|mount| mount.value.source.as_path()).collect(),
        };
        for refusal in rules.refuse(who, &asks) {
            if at > 0 || refusal.rule != "trusted_registries" {
                report(reader, (who_asks, key_span(node, &refusal).unwrap_or(name)), &refusal);
            }
        }
    }
}

/// Where the stage itself says what the rule is about.
fn key_span(node: &Node, refusal: &Refusal) -> Option<Span> {
    let wanted = match refusal.rule {
        "max_cpus" => "cpus",
        "max_memory" => "memory",
        "may_run_as" => "user",
        "mount_roots" => "volumes",
        "published_ports" => "ports",
        _ => "image",
    };
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.text == wanted).map(|(_, node)| node.span)
}

fn report(reader: &mut Reader, (who, span): (&str, Span), refusal: &Refusal) {
    let (code, help) = match refusal.rule {
        "max_cpus" | "max_memory" => ("E0805", "ask for less, or ask the administrator"),
        "require_digest" => ("E0806", "add @sha256:... (`docker image inspect` shows it), or ask the administrator"),
        "may_run_as" => ("E0807", "take user: away to run as yourself, or ask the administrator"),
        "published_ports" => ("E0809", "leave out the host port, or ask the administrator"),
        "mount_roots" => ("E0802", "move the data there, or ask the administrator"),
        _ => ("E0803", "use an image of a trusted registry, or ask the administrator"),
    };
    let note = format!("`{}` in {} decides", refusal.rule, refusal.file);
    reader.report.error(code, span, format!("{who} {}", refusal.what)).note(note).help(help);
}

/// Whether a key asks for rights that no container gets, and reports it.
pub(crate) fn asks_for_rights(reader: &mut Reader, key: &Key) -> bool {
    const RIGHTS: [&str; 6] = ["privileged", "cap_add", "devices", "security_opt", "pid", "ipc"];
    if !RIGHTS.contains(&key.text.as_str()) {
        return false;
    }
    let message = format!("{:?} is given to no container", key.text);
    let note = "containers have no capabilities, no devices and no way to new privileges; this rule is built in, and no policy loosens it";
    reader.report.error("E0808", key.span, message).note(note).help("take it away");
    true
}
