//! A plan as text: what `dybox plan` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use dybox_model::{
    Idle, Keep, Mount, Need, Network, Placement, Resources, Spread, StageId, SubDagId, Timeouts, format_bytes,
    format_cpus, format_duration,
};
use petgraph::unionfind::UnionFind;

use crate::cluster::{Cluster, wish_of};
use crate::graph::{critical_path, levels};
use crate::late::Each;
use crate::lint::{lint, lint_on_cluster};
use crate::plan::{Elastic, Plan, RetryOn, Stage, SubDag};
use crate::profiled;
use crate::sizes::Sizes;

/// Names of a list that are shown.
const MOST_NAMES: usize = 8;

/// The plan as plain text: DAG, sub-DAGs, hooks, longest chain, warnings; for one machine.
#[must_use]
pub fn print(plan: &Plan) -> String {
    text(plan, None)
}

/// The same for a cluster: with what YARN is asked for and what it will give, queues and labels.
#[must_use]
pub fn print_on(plan: &Plan, cluster: &Cluster) -> String {
    text(plan, Some(cluster))
}

fn text(plan: &Plan, cluster: Option<&Cluster>) -> String {
    let mut out = String::new();
    let counts = [
        counted(plan.stages.len() as u64, "stage"),
        plan.counted().words(),
        counted(plan.subdags.len() as u64, "sub-DAG"),
    ];
    let _ = writeln!(out, "job {}: {}", plan.name, counts.join(", "));
    if !plan.tags.is_empty() {
        let _ = writeln!(out, "tags: {}", plan.tags.join(", "));
    }
    for (name, value) in &plan.params {
        let _ = writeln!(out, "param {name} = {value:?}");
    }
    if plan.fail_fast {
        out.push_str("fail_fast: the first failed stage stops the run\n");
    }
    if let Some(timeout) = plan.timeout {
        let _ = writeln!(out, "timeout: stopped, and failed, after {}", format_duration(timeout));
    }
    if let Some(priority) = plan.priority.filter(|_| cluster.is_some()) {
        let _ = writeln!(out, "priority: {priority}");
    }
    dag(&mut out, plan, cluster);
    hooks(&mut out, plan);
    subdags(&mut out, plan, cluster);
    let path = critical_path(plan);
    let _ = writeln!(out, "\nlongest chain: {}: {}", counted(path.len() as u64, "stage"), chain(plan, &path));
    let warnings = if cluster.is_some() { lint_on_cluster(plan) } else { lint(plan) };
    for warning in warnings {
        let _ = writeln!(out, "warning[{}]: {}", warning.code, warning.message);
    }
    out
}

fn dag(out: &mut String, plan: &Plan, cluster: Option<&Cluster>) {
    let width = plan.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0).min(32);
    for (number, level) in levels(plan).iter().enumerate() {
        let _ = writeln!(out, "\nlevel {number}");
        for id in level {
            let stage = &plan.stages[id.0 as usize];
            let ask = match &stage.late.sizes {
                Some(sizes) => late_size(stage.ask, sizes),
                None => size(stage.ask, "cpu"),
            };
            let each = if stage.tasks > 1 { " each" } else { "" };
            let tasks = match &stage.late.each {
                Some(Each::Of(list)) => {
                    format!("a task for each of {list}, known {}", plan.known_when(stage).unwrap_or_default())
                }
                _ => counted(u64::from(stage.tasks), "task"),
            };
            let _ = write!(out, "  {:width$}  {tasks}, {ask}{each}, {}", stage.name, stage.image);
            for extra in extras(plan, stage) {
                let _ = write!(out, ", {extra}");
            }
            out.push('\n');
            if !stage.needs.is_empty() {
                let _ = writeln!(out, "  {:width$}  needs {}", "", needs(plan, stage));
            }
            if let Some(cluster) = cluster {
                let _ = writeln!(out, "  {:width$}  {}", "", granted(stage, cluster));
            }
            for line in stage.profile.iter().flat_map(|profile| profiled::lines(stage, profile)) {
                let _ = writeln!(out, "  {:width$}  {line}", "");
            }
        }
    }
}

/// What YARN is asked for, and what it gives where that is more.
fn granted(stage: &Stage, cluster: &Cluster) -> String {
    if stage.late.sizes.is_some() {
        return "asks YARN for what each task needs".to_owned();
    }
    let asked = wish_of(stage);
    let given = cluster.given(asked);
    let more = if given == asked { String::new() } else { format!(", rounded up to {}", size(given, "vcore")) };
    format!("asks YARN for {}{more}", size(asked, "vcore"))
}

/// A size that each task has of its own.
fn late_size(ask: Resources, sizes: &Sizes) -> String {
    let cpus = sizes.cpus.clone().unwrap_or_else(|| format_cpus(ask.cpu_milli));
    let memory = sizes.memory.clone().unwrap_or_else(|| format_bytes(ask.memory));
    let s = if cpus == "1" { "" } else { "s" };
    format!("{cpus} cpu{s}, {memory}")
}

fn size(size: Resources, unit: &str) -> String {
    let s = if size.cpu_milli == 1_000 { "" } else { "s" };
    format!("{} {unit}{s}, {}", format_cpus(size.cpu_milli), format_bytes(size.memory))
}

/// A placement in words: `spread over hosts, not on n1`.
fn placed(plan: &Plan, placement: &Placement) -> String {
    let mut words = Vec::new();
    match placement.spread {
        Some(Spread::Host) => words.push("spread over hosts".to_owned()),
        Some(Spread::Rack) => words.push("spread over racks".to_owned()),
        None => {}
    }
    if let Some(most) = placement.max_per_host {
        words.push(format!("at most {most} a machine"));
    }
    if !placement.apart_from.is_empty() {
        words.push(format!("apart from {}", names(plan, &placement.apart_from)));
    }
    let pins: Vec<String> = placement.nodes.iter().chain(&placement.racks).cloned().collect();
    if !pins.is_empty() {
        words.push(format!("on {}", shortened(pins.len(), pins.into_iter())));
    }
    if !placement.avoid.is_empty() {
        words.push(format!("not on {}", shortened(placement.avoid.len(), placement.avoid.iter().cloned())));
    }
    if !placement.hard {
        words.push("where there is room".to_owned());
    }
    words.join(", ")
}

fn extras(plan: &Plan, stage: &Stage) -> Vec<String> {
    let mut extras = Vec::new();
    if stage.late.items().is_some() {
        extras.push("one for each item".to_owned());
    }
    if stage.late.last {
        extras.push("after everything".to_owned());
    }
    if let Some(when) = &stage.late.when {
        extras.push(format!("when {when}"));
    }
    match &stage.network {
        Network::None => {}
        Network::Bridge => extras.push("network bridge".to_owned()),
        Network::Named(name) => extras.push(format!("network {name}")),
    }
    extras.extend(stage.ports.iter().map(|port| format!("publishes {port}")));
    if let Some(Elastic { most, least, learns, .. }) = stage.elastic {
        extras.push(match learns {
            true => format!("memory by what is used, {} to {}", format_bytes(least), format_bytes(most)),
            false => format!("memory up to {}", format_bytes(most)),
        });
    }
    if stage.retry.max > 0 {
        let on: Vec<String> = stage.retry.on.iter().map(|&on| retry_on(on)).collect();
        let on = if on.is_empty() { String::new() } else { format!(" on {}", on.join(", ")) };
        extras.push(format!("{} after {}{on}", retries(stage.retry.max), format_duration(stage.retry.backoff)));
    }
    if let Some((steps, most)) = Some(stage.memory_steps()).and_then(|steps| Some((steps.len(), *steps.last()?))) {
        extras.push(format!("more memory after oom, in {} steps to {}", steps - 1, format_bytes(most)));
    }
    extras.extend(limits(&stage.timeout));
    if let Some(declared) = &stage.results {
        extras.push(format!("writes {declared}"));
    }
    if stage.cache {
        extras.push("may be taken from an earlier run".to_owned());
    }
    if stage.reuse {
        extras.push("containers are used again".to_owned());
    }
    extras.extend(stage.volumes.iter().map(mounted));
    extras.extend(stage.inputs.iter().map(|moved| format!("brings {} to {}", moved.place, moved.path)));
    extras.extend(stage.outputs.iter().map(|moved| format!("puts {} to {}", moved.path, moved.place)));
    if stage.priority != 0 {
        extras.push(format!("priority {}", stage.priority));
    }
    extras.extend(stage.secrets.iter().map(|one| format!("secret {} at {}", one.secret.name, one.target)));
    if let Some(auth) = &stage.registry_auth {
        extras.push(format!("logs in with secret {}", auth.secret.name));
    }
    if !stage.placement.is_anywhere() {
        extras.push(placed(plan, &stage.placement));
    }
    if let Some(user) = &stage.user {
        extras.push(format!("as {user}"));
    }
    extras
}

fn mounted(mount: &Mount) -> String {
    let mode = if mount.read_only { ":ro" } else { "" };
    let what = match mount.named {
        Some(Keep::Always) => "volume ",
        Some(Keep::Run) => "volume of the run ",
        None => "mounts ",
    };
    format!("{what}{}:{}{mode}", mount.source.display(), mount.target)
}

fn limits(timeouts: &Timeouts) -> Vec<String> {
    let mut limits = Vec::new();
    if let Some(queue) = timeouts.queue {
        limits.push(format!("waits for room at most {}", format_duration(queue)));
    }
    if let Some(run) = timeouts.run {
        limits.push(format!("at most {}", format_duration(run)));
    }
    if let Some(silence) = timeouts.silence {
        limits.push(format!("silent at most {}", format_duration(silence)));
    }
    if let Some(Idle { after, cpu_milli }) = timeouts.idle {
        limits.push(format!("ended when under {} cpus for {}", format_cpus(cpu_milli), format_duration(after)));
    }
    limits
}

fn retry_on(on: RetryOn) -> String {
    match on {
        RetryOn::Any => "any".to_owned(),
        RetryOn::Oom => "oom".to_owned(),
        RetryOn::Infra => "infra".to_owned(),
        RetryOn::Image => "image".to_owned(),
        RetryOn::Timeout => "timeout".to_owned(),
        RetryOn::Idle => "idle".to_owned(),
        RetryOn::Exit(first, last) if first == last => format!("exit:{first}"),
        RetryOn::Exit(first, last) => format!("exit:{first}-{last}"),
        RetryOn::Signal(number) => format!("signal {number}"),
    }
}

fn needs(plan: &Plan, stage: &Stage) -> String {
    let one = |&(id, need): &(StageId, Need)| {
        let name = &plan.stages[id.0 as usize].name;
        match need {
            Need::Succeeded => name.clone(),
            Need::Failed => format!("{name} (failed)"),
            Need::Finished => format!("{name} (finished)"),
        }
    };
    shortened(stage.needs.len(), stage.needs.iter().map(one))
}

fn hooks(out: &mut String, plan: &Plan) {
    if !plan.hooks.is_empty() {
        out.push_str("\nhooks\n");
    }
    for (number, hook) in plan.hooks.iter().enumerate() {
        let _ = writeln!(out, "  {number}  after {}: {}", names(plan, &hook.after), hook.run.join(" "));
        let id = dybox_model::HookId(u32::try_from(number).unwrap_or(u32::MAX));
        let stage = plan.stage_of_hook(id).map(|stage| format!("as stage {}, ", names(plan, &[stage])));
        let limits = format!("at most {}, {}", format_duration(hook.timeout), format_bytes(hook.memory));
        let limits = stage.unwrap_or_default() + &limits;
        let holds = if hook.holds.is_empty() { "nothing".to_owned() } else { names(plan, &hook.holds) };
        let _ = writeln!(out, "     {limits}; waits for it: {holds}");
    }
}

fn subdags(out: &mut String, plan: &Plan, cluster: Option<&Cluster>) {
    out.push_str("\nsub-DAGs\n");
    let parts = parts(plan);
    for (number, (subdag, parts)) in plan.subdags.iter().zip(parts).enumerate() {
        let tasks = plan.counted_of(subdag.stages.iter().map(|id| &plan.stages[id.0 as usize])).words();
        let sizes = format!("{}, {tasks}", counted(subdag.stages.len() as u64, "stage"));
        let _ = writeln!(out, "  {number}  {sizes}: {}", names(plan, &subdag.stages));
        let _ = writeln!(out, "     because {}; {}", reason(plan, subdag, parts), subdag_needs(&subdag.needs));
        if let Some(cluster) = cluster {
            let _ = writeln!(out, "     {}", queue(subdag, cluster));
        }
    }
}

/// Where YARN gets a sub-DAG, with what is known of the queue.
fn queue(subdag: &SubDag, cluster: &Cluster) -> String {
    let name = subdag.queue.as_deref().or(cluster.default_queue.as_deref());
    let facts = name.and_then(|name| cluster.queue(name)).map(|queue| {
        let percent = |part: f32| (part * 100.0).round();
        format!(
            " (guaranteed {}% of the cluster, at most {}%, uses {}% of its own now)",
            percent(queue.capacity),
            percent(queue.max_capacity),
            percent(queue.used)
        )
    });
    let label = subdag.node_label.as_ref().map(|label| format!(", label {label}")).unwrap_or_default();
    format!("queue {}{}{label}", name.unwrap_or("of the cluster's choice"), facts.unwrap_or_default())
}

fn reason(plan: &Plan, subdag: &SubDag, parts: usize) -> String {
    let own = |own: &Option<String>, all: &Option<String>| own.clone().filter(|_| own != all);
    let apart = [
        own(&subdag.queue, &plan.queue).map(|queue| format!("queue {queue}")),
        own(&subdag.node_label, &plan.node_label).map(|label| format!("node_label {label}")),
    ];
    let apart: Vec<String> = apart.into_iter().flatten().collect();
    let last = subdag.stages.first().is_some_and(|stage| plan.stages[stage.0 as usize].late.last);
    match &subdag.name {
        None if last => "these run after everything".to_owned(),
        Some(name) => format!("these name subdag {name}"),
        None if !apart.is_empty() => format!("these name {}", apart.join(" and ")),
        None if plan.subdags.len() == 1 && parts == 1 => "everything hangs together".to_owned(),
        None if parts == 1 => "no other part shares an edge with it".to_owned(),
        None if ranked(plan, subdag) => format!("{parts} parts that share no edge wait for room by priority"),
        None => format!("{parts} parts that share no edge are packed together"),
    }
}

/// Whether some stages of it come before others.
fn ranked(plan: &Plan, subdag: &SubDag) -> bool {
    let mut priorities = subdag.stages.iter().map(|stage| plan.stages[stage.0 as usize].priority);
    let first = priorities.next();
    priorities.any(|priority| Some(priority) != first)
}

fn subdag_needs(needs: &[SubDagId]) -> String {
    if needs.is_empty() {
        return "needs nothing".to_owned();
    }
    let numbers: Vec<String> = needs.iter().map(|need| need.0.to_string()).collect();
    format!("needs sub-DAG {}", numbers.join(", "))
}

/// How many parts that share no edge each sub-DAG holds.
fn parts(plan: &Plan) -> Vec<usize> {
    let mut joined: UnionFind<usize> = UnionFind::new(plan.stages.len());
    for (own, stage) in plan.stages.iter().enumerate() {
        for (need, _) in stage.needs.iter().filter(|(need, _)| plan.stages[need.0 as usize].subdag == stage.subdag) {
            joined.union(own, need.0 as usize);
        }
    }
    for pair in plan.hooks.iter().flat_map(|hook| hook.after.windows(2)) {
        joined.union(pair[0].0 as usize, pair[1].0 as usize);
    }
    let mut networks: BTreeMap<(&str, SubDagId), usize> = BTreeMap::new();
    for (own, stage) in plan.stages.iter().enumerate() {
        for other in &stage.placement.apart_from {
            joined.union(own, other.0 as usize);
        }
        if let Network::Named(name) = &stage.network {
            joined.union(own, *networks.entry((name, stage.subdag)).or_insert(own));
        }
    }
    let root = |id: &StageId| joined.find(id.0 as usize);
    let count = |subdag: &SubDag| subdag.stages.iter().map(root).collect::<BTreeSet<_>>().len();
    plan.subdags.iter().map(count).collect()
}

fn chain(plan: &Plan, path: &[StageId]) -> String {
    let all: Vec<&str> = path.iter().map(|id| plan.stages[id.0 as usize].name.as_str()).collect();
    match all.len() {
        0..=12 => all.join(" -> "),
        more => format!("{} -> ... -> {}", all[..6].join(" -> "), all[more - 5..].join(" -> ")),
    }
}

fn names(plan: &Plan, ids: &[StageId]) -> String {
    shortened(ids.len(), ids.iter().map(|id| plan.stages[id.0 as usize].name.clone()))
}

fn shortened(count: usize, words: impl Iterator<Item = String>) -> String {
    let shown: Vec<String> = words.take(MOST_NAMES).collect();
    let more = if count > MOST_NAMES { format!(" and {} more", count - MOST_NAMES) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn counted(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn retries(max: u32) -> String {
    if max == 1 { "1 retry".to_owned() } else { format!("{max} retries") }
}
