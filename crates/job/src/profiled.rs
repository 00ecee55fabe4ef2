//! What a stage takes from a profile: each key with who says it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dybox_model::{Idle, Network, PullPolicy, format_bytes, format_cpus, format_duration};
use serde::{Deserialize, Serialize};

use crate::draft::Body;
use crate::plan::Stage;

/// Who says what a key is; the first of them wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// The stage's own key.
    Stage,
    /// The profile.
    Profile,
    /// `defaults` of the job.
    Defaults,
}

impl KeySource {
    const fn words(self) -> &'static str {
        match self {
            Self::Stage => "the stage",
            Self::Profile => "the profile",
            Self::Defaults => "defaults",
        }
    }
}

/// The profile of a stage, as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profiled {
    /// Its name.
    pub name: String,
    /// Its place: file and line.
    pub from: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// For each key that anybody gives, who does: the first one counts. Variables are `env.NAME`.
    pub keys: BTreeMap<String, Vec<KeySource>>,
}

/// A key, and whether a body has it.
type KeyOf = (&'static str, fn(&Body) -> bool);

/// Keys of a stage that a profile may bring.
pub(crate) const KEYS: &[KeyOf] = &[
    ("image", |body| body.image.is_some()),
    ("command", |body| body.command.is_some()),
    ("script", |body| body.script.is_some()),
    ("entrypoint", |body| body.entrypoint.is_some()),
    ("workdir", |body| body.workdir.is_some()),
    ("cpus", |body| body.cpus.is_some()),
    ("memory", |body| body.memory.is_some()),
    ("shm_size", |body| body.shm_size.is_some()),
    ("pids", |body| body.pids.is_some()),
    ("timeout.run", |body| body.timeout.run.is_some()),
    ("timeout.pull", |body| body.timeout.pull.is_some()),
    ("timeout.silence", |body| body.timeout.silence.is_some()),
    ("timeout.queue", |body| body.timeout.queue.is_some()),
    ("idle", |body| body.idle.is_some()),
    ("stop_grace", |body| body.stop_grace.is_some()),
    ("stop_signal", |body| body.stop_signal.is_some()),
    ("volumes", |body| body.volumes.is_some()),
    ("inputs", |body| body.inputs.is_some()),
    ("outputs", |body| body.outputs.is_some()),
    ("tmpfs", |body| body.tmpfs.is_some()),
    ("network", |body| body.network.is_some()),
    ("user", |body| body.user.is_some()),
    ("pull", |body| body.pull.is_some()),
];

/// Whether a profile may bring this key of a stage.
pub(crate) fn brings(name: &str) -> bool {
    name == "env" || KEYS.iter().any(|(key, _)| key.split('.').next() == Some(name))
}

/// Who gives each key, of the three that may: the strongest first.
pub(crate) fn sources(layers: [(KeySource, &Body); 3]) -> BTreeMap<String, Vec<KeySource>> {
    let mut keys: BTreeMap<String, Vec<KeySource>> = BTreeMap::new();
    // Who brings a program brings all of it: what comes below says nothing of it.
    let program = layers.iter().position(|(_, body)| body.command.is_some() || body.script.is_some());
    for (at, (source, body)) in layers.into_iter().enumerate() {
        let below = program.is_some_and(|program| at > program);
        for (key, has) in KEYS.iter().filter(|(key, _)| !below || !matches!(*key, "command" | "script")) {
            if has(body) {
                keys.entry((*key).to_owned()).or_default().push(source);
            }
        }
        let mut names: Vec<&String> = body.env.keys().chain(body.file_env.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            keys.entry(format!("env.{name}")).or_default().push(source);
        }
    }
    keys
}

/// A profile as `dybox plan` shows it: one line a key.
pub(crate) fn lines(stage: &Stage, profile: &Profiled) -> Vec<String> {
    let labels: Vec<String> = profile.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
    let mut lines = vec![format!("profile {}{labels}, {}", profile.name, profile.from)];
    let width = profile.keys.keys().map(String::len).max().unwrap_or(0);
    for (key, sources) in &profile.keys {
        let mut line = format!("  {key:width$}  {}", value(stage, key));
        let mut words = sources.iter().map(|source| source.words());
        if let Some(first) = words.next() {
            let _ = write!(line, "  from {first}");
        }
        let over: Vec<&str> = words.collect();
        if !over.is_empty() {
            let _ = write!(line, ", over {}", over.join(" and "));
        }
        lines.push(line);
    }
    lines
}

fn idle(idle: Idle) -> String {
    format!("{} under {} cpus", format_duration(idle.after), format_cpus(idle.cpu_milli))
}

/// What a key is in the plan; a variable's value may be nobody's business.
fn value(stage: &Stage, key: &str) -> String {
    const LONG: usize = 60;
    let time = |time: Option<dybox_model::Millis>| time.map(format_duration).unwrap_or_default();
    let list = |list: &Option<Vec<String>>| format!("{:?}", list.as_deref().unwrap_or_default());
    let text = match key {
        "image" => stage.image.clone(),
        "command" => list(&stage.command),
        "entrypoint" => list(&stage.entrypoint),
        "script" => stage.script.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
        "workdir" => stage.workdir.clone().unwrap_or_default(),
        "cpus" => format_cpus(stage.ask.cpu_milli),
        "memory" => match &stage.elastic {
            Some(elastic) if elastic.most > elastic.requested => {
                format!("{} to {}", format_bytes(elastic.requested), format_bytes(elastic.most))
            }
            _ => format_bytes(stage.ask.memory),
        },
        "shm_size" => stage.shm.map(format_bytes).unwrap_or_default(),
        "pids" => stage.pids.to_string(),
        "timeout.run" => time(stage.timeout.run),
        "timeout.pull" => time(stage.timeout.pull),
        "timeout.silence" => time(stage.timeout.silence),
        "timeout.queue" => time(stage.timeout.queue),
        "idle" => stage.timeout.idle.map(idle).unwrap_or_default(),
        "stop_signal" => stage.stop_signal.clone().unwrap_or_default(),
        "stop_grace" => format_duration(stage.stop_grace),
        "user" => stage.user.clone().unwrap_or_default(),
        "network" => match &stage.network {
            Network::None => "none".to_owned(),
            Network::Bridge => "bridge".to_owned(),
            Network::Named(name) => name.clone(),
        },
        "pull" => match stage.pull {
            PullPolicy::Missing => "missing".to_owned(),
            PullPolicy::Always => "always".to_owned(),
            PullPolicy::Never => "never".to_owned(),
        },
        "volumes" => {
            let mode = |read_only: bool| if read_only { ":ro" } else { "" };
            let mounts = stage.volumes.iter();
            let one = |mount: &dybox_model::Mount| {
                format!("{}:{}{}", mount.source.display(), mount.target, mode(mount.read_only))
            };
            mounts.map(one).collect::<Vec<_>>().join(" ")
        }
        "tmpfs" => stage.tmpfs.iter().map(|tmpfs| tmpfs.target.as_str()).collect::<Vec<_>>().join(" "),
        _ => "set".to_owned(),
    };
    match text.char_indices().nth(LONG) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
