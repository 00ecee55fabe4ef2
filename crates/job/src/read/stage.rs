//! Stages and `defaults`.

use std::collections::BTreeMap;

use dybox_model::{Need, Network, PullPolicy};

use super::{
    data, each, env, idle, image, limits, memory, mounts, placement, policy, ports, profile, results, secrets,
};
use crate::draft::{Body, Memory, ProfileWanted, Stage, When, Words};
use crate::fields::Scope;
use crate::node::{Key, Node, Value};
use crate::profiled::{KeySource, Profiled, sources};
use crate::reader::{Reader, Spot};
use crate::template::Filled;
use crate::values::kind_of;

/// Reads `stages`. Every stage gets what `defaults` says and it does not.
pub(crate) fn all(reader: &mut Reader, key: &Key, node: &Node, defaults: &Body) -> Vec<Stage> {
    let mut stages = Vec::new();
    if node.is_null() || matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        reader
            .report
            .error("E0310", key.span, "the job has no stages")
            .help("add one stage that has an image under stages:");
        return stages;
    }
    more(reader, ("stages", node), defaults, &mut stages);
    stages
}

/// Looks through stages that do not run by themselves, also those that none extends.
pub(crate) fn templates(reader: &mut Reader, node: &Node) {
    for (key, node) in reader.entries(node, "templates", "a mapping of names to stages").unwrap_or_default() {
        reader.check_name(&key.text, key.span, "a template");
        body(reader, node, &format!("template {:?}", key.text));
    }
}

/// Reads the stages of one mapping, beside others.
pub(crate) fn more(reader: &mut Reader, (name, node): (&str, &Node), defaults: &Body, stages: &mut Vec<Stage>) {
    let Some(entries) = reader.entries(node, name, "a mapping of names to stages") else { return };
    let mut lower: BTreeMap<String, String> =
        stages.iter().map(|stage| (stage.name.value.to_lowercase(), stage.name.value.clone())).collect();
    for (key, node) in entries {
        reader.check_name(&key.text, key.span, "a stage");
        if let Some(other) = lower.insert(key.text.to_lowercase(), key.text.clone()) {
            let message = match other == key.text {
                true => format!("there are two stages {other:?}"),
                false => format!("the stages {other:?} and {:?} are equal but for case", key.text),
            };
            reader.report.error("E0302", key.span, message).help("rename one of them");
        }
        stages.push(one(reader, key, node, defaults));
    }
}

fn one(reader: &mut Reader, key: &Key, node: &Node, defaults: &Body) -> Stage {
    let name = Spot { value: key.text.clone(), span: key.span };
    let (subdag, queue, node_label) = Default::default();
    let (profile, when, each, results) = (None, None, None, None);
    let (needs, body) = (Vec::new(), Body::default());
    let last = false;
    let mut stage = Stage { name, needs, subdag, queue, node_label, profile, when, each, results, last, body };
    if let Value::Map(entries) = &node.value {
        for (key, node) in entries {
            match key.text.as_str() {
                "needs" => stage.needs = self::needs(reader, node),
                "when" => stage.when = self::when(reader, node),
                "each" => stage.each = each::each(reader, node),
                "matrix" => stage.each = each::matrix(reader, node),
                "results" => stage.results = results::read(reader, node),
                "subdag" => stage.subdag = reader.name(node, "a sub-DAG"),
                "queue" => stage.queue = placement::word(reader, node, "queue"),
                "node_label" => stage.node_label = placement::word(reader, node, "node_label"),
                _ => {}
            }
        }
    }
    exclude(reader, node, "parallelism", &["each", "matrix"]);
    exclude(reader, node, "matrix", &["each"]);
    let own = self::body(reader, node, &format!("stage {:?}", key.text));
    stage.body = match own.profile.clone().or_else(|| defaults.profile.clone()) {
        Some(wanted) => profiled(reader, &mut stage.profile, own, (&wanted, defaults)),
        None => own.over(defaults),
    };
    mounts::check_targets(reader, &stage.body);
    ports::check(reader, &mut stage.body);
    ports::check_tasks(reader, &stage);
    data::check(reader, &stage.body);
    secrets::check(reader, &stage.body);
    placement::check(reader, &stage.body.placement);
    policy::check(reader, ("the stage", key.span, node), &stage.body);
    if stage.body.image.is_none() && !stage.body.bad_image && !matches!(node.value, Value::Bad) {
        let message = format!("stage {:?} has no image", key.text);
        reader.report.error("E0205", key.span, message).help("add image:, here or under defaults");
    }
    stage
}

/// A stage's own body over its profile's over `defaults`.
fn profiled(
    reader: &mut Reader,
    taken: &mut Option<Profiled>,
    own: Body,
    (wanted, defaults): (&Spot<ProfileWanted>, &Body),
) -> Body {
    let Some(profile) = profile::take(reader, wanted) else {
        // It might have brought an image.
        return Body { bad_image: true, ..own.over(defaults) };
    };
    let keys =
        sources([(KeySource::Stage, &own), (KeySource::Profile, &profile.body), (KeySource::Defaults, defaults)]);
    *taken = Some(Profiled { name: profile.name, from: profile.from, labels: profile.labels, keys });
    let body = own.over(&profile.body);
    let most = body.memory.map(|memory| memory.limit.unwrap_or(memory.request));
    limits::check_largest(reader, wanted.span, (body.cpus, most));
    body.over(defaults)
}

/// Reads what a stage and `defaults` have in common.
pub(crate) fn body(reader: &mut Reader, node: &Node, what: &str) -> Body {
    let mut body = Body::default();
    let Some(entries) = reader.entries(node, what, "a mapping of keys") else {
        body.bad_image = true;
        return body;
    };
    for (key, node) in entries {
        entry(reader, &mut body, key, node, what);
    }
    exclude(reader, node, "script", &["command", "entrypoint"]);
    body
}

/// Reports a key that stands beside one of others.
fn exclude(reader: &mut Reader, node: &Node, name: &str, others: &[&str]) {
    let Value::Map(entries) = &node.value else { return };
    let key_of = |name: &str| entries.iter().map(|(key, _)| key).find(|key| key.text == name);
    if let (Some(own), Some(other)) = (key_of(name), others.iter().find_map(|other| key_of(other))) {
        let message = format!("{name:?} and {:?} can't both be given", other.text);
        let note = format!("{:?} is given at {}", other.text, reader.report.text.short(other.span));
        reader.report.error("E0206", own.span, message).note(note).help("keep one of them");
    }
}

/// `when`: an expression that is true or false.
fn when(reader: &mut Reader, node: &Node) -> Option<When> {
    let read = reader.expression(node, "when", "an expression, like results.join.rows > 0")?;
    if let Some(value) = read.value.filter(|value| !matches!(value, cel::Value::Bool(_))) {
        let message = format!("{} is {}, not true or false", read.text, kind_of(&value));
        let help = "compare it to something: params.day == \"monday\"";
        reader.report.error("E0707", node.span, message).help(help);
        return None;
    }
    Some(When { expression: read.text, uses: read.uses })
}

fn entry(reader: &mut Reader, body: &mut Body, key: &Key, node: &Node, what: &str) {
    match key.text.as_str() {
        "extends" if what.starts_with("template ") => {}
        "needs" | "subdag" | "queue" | "node_label" | "when" | "each" | "matrix" | "results" if what != "defaults" => {}
        "image" => {
            (body.image, body.image_words) = image::read(reader, node);
            body.bad_image = body.image.is_none();
        }
        "command" => body.command = program(reader, node, "command"),
        "entrypoint" => body.entrypoint = reader.words_list(node, "entrypoint").map(|words| arguments(reader, words)),
        "script" => body.script = script(reader, node),
        "workdir" => body.workdir = limits::workdir(reader, node),
        "env" => body.env = env::read(reader, node),
        "env_file" => body.file_env = env::files(reader, node),
        "cpus" => match size_words(reader, node, "cpus", "a number of cpus, like 1 or 0.5") {
            Some(words) => (body.cpus, body.cpus_words) = (Some(1_000), Some(words)),
            None => body.cpus = limits::cpus(reader, node),
        },
        "memory" => match size_words(reader, node, "memory", "a size, like 512MiB") {
            Some(words) => {
                body.memory = Some(Memory { request: 256 << 20, limit: None });
                body.memory_words = Some(words);
            }
            None => body.memory = memory::read(reader, node),
        },
        "shm_size" => body.shm_size = reader.size(node, "shm_size").map(|size| size.value),
        "pids" => body.pids = reader.integer(node, "pids", (2, 4_000_000)).map(|pids| pids as u32),
        "parallelism" => body.parallelism = reader.integer(node, "parallelism", (1, 100_000)).map(|n| n as u32),
        "priority" => body.priority = limits::priority(reader, node),
        "retry" => body.retry = limits::retry(reader, node),
        "timeout" => body.timeout = limits::timeout(reader, node),
        "idle" => body.idle = idle::read(reader, node),
        "stop_signal" => body.stop_signal = limits::stop_signal(reader, node),
        "stop_grace" => body.stop_grace = reader.duration(node, "stop_grace", true),
        "volumes" => body.volumes = mounts::volumes(reader, node),
        "inputs" => body.inputs = data::transfers(reader, node, "inputs"),
        "outputs" => body.outputs = data::transfers(reader, node, "outputs"),
        "secrets" => body.secrets = secrets::taken(reader, node),
        "registry_auth" => body.registry_auth = secrets::login(reader, node),
        "tmpfs" => body.tmpfs = mounts::tmpfs(reader, node),
        "network" => body.network = network(reader, node),
        "ports" => body.ports = ports::ports(reader, node),
        "user" => body.user = limits::user(reader, node),
        "pull" => {
            const POLICIES: [PullPolicy; 3] = [PullPolicy::Missing, PullPolicy::Always, PullPolicy::Never];
            body.pull = reader.choice(node, "pull", &["missing", "always", "never"]).map(|at| POLICIES[at]);
        }
        "placement" => body.placement = placement::read(reader, node),
        "profile" => {
            body.profile = profile::wanted(reader, node);
            body.bad_image |= body.profile.is_none();
        }
        "keep_failed" => body.keep_failed = reader.truth(node, "keep_failed"),
        "reuse" => body.reuse = reader.truth(node, "reuse").map(|value| Spot { value, span: node.span }),
        "cache" => body.cache = reader.truth(node, "cache"),
        _ => reader.unknown(Scope::Stage, key),
    }
}

/// A size that is known only when the stage begins, or a task of it.
fn size_words(reader: &mut Reader, node: &Node, name: &str, takes: &str) -> Option<Spot<Words>> {
    let templates = reader.templates.as_mut()?;
    let Value::Scalar(scalar) = &node.value else { return None };
    let late = matches!(templates.fill(&scalar.text), Ok(Filled::Late));
    templates.read.clear();
    if late { reader.words(node, name, takes) } else { None }
}

fn program(reader: &mut Reader, node: &Node, name: &str) -> Option<Vec<Words>> {
    let words = reader.words_list(node, name)?;
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let message = format!("{name:?} is empty");
        reader.report.error("E0207", node.span, message).help("take it away to run the image's own command");
        return None;
    }
    Some(arguments(reader, words))
}

fn arguments(reader: &mut Reader, words: Vec<Spot<Words>>) -> Vec<Words> {
    for word in &words {
        reader.report.check_length("an argument", word.value.shown().len(), word.span);
    }
    words.into_iter().map(|word| word.value).collect()
}

fn script(reader: &mut Reader, node: &Node) -> Option<Words> {
    let text = reader.words(node, "script", "a text")?;
    if text.value.shown().trim().is_empty() {
        reader.report.error("E0207", text.span, "the script is empty").help("write at least one line");
        return None;
    }
    Some(text.value)
}

/// `needs`: a list of names, or a mapping of names to the ends that are asked for.
fn needs(reader: &mut Reader, node: &Node) -> Vec<(Spot<String>, Need)> {
    const ENDS: [Need; 3] = [Need::Succeeded, Need::Failed, Need::Finished];
    match &node.value {
        Value::List(items) => {
            let named = items.iter().filter_map(|item| reader.text(item, "needs", "names of stages"));
            named.map(|name| (name, Need::Succeeded)).collect()
        }
        Value::Map(entries) => entries
            .iter()
            .filter_map(|(key, node)| {
                let end = reader.choice(node, &key.text, &["succeeded", "failed", "finished"])?;
                Some((Spot { value: key.text.clone(), span: key.span }, ENDS[end]))
            })
            .collect(),
        _ => {
            reader.wrong_type(node, "needs", "a list of stages, or a mapping of stages to ends");
            Vec::new()
        }
    }
}

fn network(reader: &mut Reader, node: &Node) -> Option<Network> {
    let text = reader.text(node, "network", "none, bridge or a name")?;
    match text.value.as_str() {
        "none" => Some(Network::None),
        "bridge" => Some(Network::Bridge),
        "host" => {
            let message = "the machine's own network is not given to containers";
            reader.report.error("E0224", text.span, message).help("write bridge for the way out, or a name");
            None
        }
        name if name.contains(':') => {
            let message = format!("{name:?} is no network of this run");
            reader.report.error("E0224", text.span, message).help("write none, bridge or a name");
            None
        }
        name => reader.check_name(name, text.span, "a network").then(|| Network::Named(name.to_owned())),
    }
}
