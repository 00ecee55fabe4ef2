//! `dybox shell`: a job of one stage from the command line, through the same checks as a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dybox_model::Attach;

use crate::build::build;
use crate::check::Outcome;
use crate::draft;
use crate::hidden::report_hidden;
use crate::node::Node;
use crate::reader::{Reader, Spot};
use crate::report::Report;
use crate::text::{Span, Text};
use crate::world::World;

/// What `dybox shell` was told. Texts are as a job file would have them; nothing is a template.
#[derive(Debug, Clone, Default)]
pub struct ShellJob {
    /// `--name`; nothing = `shell`.
    pub name: Option<String>,
    /// `--image`.
    pub image: String,
    /// After `--`; empty = the image's own.
    pub command: Vec<String>,
    /// `--entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `--env`.
    pub env: BTreeMap<String, String>,
    /// `--env-file`.
    pub env_file: Vec<String>,
    /// `--cpus`, like `1.5`.
    pub cpus: Option<String>,
    /// `--memory`, like `512MiB`.
    pub memory: Option<String>,
    /// `--shm-size`.
    pub shm_size: Option<String>,
    /// `--pids`.
    pub pids: Option<u32>,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--volume source:target[:ro]`.
    pub volumes: Vec<String>,
    /// `--tmpfs`.
    pub tmpfs: Vec<String>,
    /// `--network none|bridge|NAME`.
    pub network: Option<String>,
    /// `--publish [[address:]host:]container[/udp]`.
    pub ports: Vec<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--pull missing|always|never`.
    pub pull: Option<String>,
    /// `--timeout`, like `10m`.
    pub timeout: Option<String>,
    /// `--stop-grace`.
    pub stop_grace: Option<String>,
    /// Keep the container when it fails.
    pub keep_failed: bool,
    /// A person at the other end.
    pub attach: Option<Attach>,
    /// The working directory of the caller: relative volumes start there.
    pub dir: PathBuf,
}

/// Plans a shell. The only stage is called `shell`.
#[must_use]
pub fn shell_plan(job: &ShellJob, world: &dyn World) -> Outcome {
    let text = Text::new("", "");
    let mut report = Report::new(&text);
    let root = stage_node(job);
    report_hidden(&mut report, &root);
    let mut reader = Reader::new(report, world, &job.dir);
    let mut body = crate::read::body(&mut reader, &root, "shell");
    crate::read::check_targets(&mut reader, &body);
    crate::read::check_ports(&mut reader, &mut body);
    crate::read::check_policy(&mut reader, ("the stage", Span::NOWHERE, &root), &body);
    let name = job.name.clone().unwrap_or_else(|| "shell".to_owned());
    reader.check_name(&name, Span::NOWHERE, "a job (--name)");
    let stage = draft::Stage::plain(Spot { value: "shell".to_owned(), span: Span::NOWHERE }, body);
    let (mut report, cluster) = (reader.report, reader.cluster);
    let job_of_one = draft::Job { name, stages: vec![stage], ..draft::Job::default() };
    let mut plan = build(&mut report, job_of_one, cluster.as_ref());
    if let Some(stage) = plan.as_mut().and_then(|plan| plan.stages.first_mut()) {
        stage.attach = job.attach;
    }
    Outcome { plan: plan.filter(|_| !report.failed()), diagnostics: report.into_sorted() }
}

/// The stage as a job file would have it, so that the same reader checks it.
fn stage_node(job: &ShellJob) -> Node {
    let mut entries: Vec<(String, Node)> = Vec::new();
    let mut add = |name: &str, node: Node| entries.push((name.to_owned(), node));
    let texts = |list: &[String]| Node::list(list.iter().map(Node::text));
    let one = [
        ("shm_size", &job.shm_size),
        ("memory", &job.memory),
        ("workdir", &job.workdir),
        ("network", &job.network),
        ("user", &job.user),
        ("pull", &job.pull),
        ("stop_grace", &job.stop_grace),
    ];
    add("image", Node::text(&job.image));
    for (name, value) in one {
        if let Some(value) = value {
            add(name, Node::text(value));
        }
    }
    let lists = [
        ("command", &job.command),
        ("env_file", &job.env_file),
        ("volumes", &job.volumes),
        ("tmpfs", &job.tmpfs),
        ("ports", &job.ports),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        add(name, texts(list));
    }
    if let Some(entrypoint) = &job.entrypoint {
        add("entrypoint", texts(entrypoint));
    }
    if let Some(cpus) = &job.cpus {
        add("cpus", Node::scalar(cpus, true));
    }
    if let Some(pids) = job.pids {
        add("pids", Node::scalar(pids.to_string(), true));
    }
    if let Some(timeout) = &job.timeout {
        add("timeout", Node::map([("run".to_owned(), Node::text(timeout))]));
    }
    add("env", Node::map(job.env.iter().map(|(key, value)| (key.clone(), Node::text(value)))));
    add("keep_failed", Node::scalar(job.keep_failed.to_string(), true));
    Node::map(entries)
}
