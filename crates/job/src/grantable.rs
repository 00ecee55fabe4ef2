//! What a live cluster could never grant, said before anything is asked of it.

use dybox_model::{Placement, Resources, Spread, format_bytes, format_cpus};

use crate::cluster::{Cluster, QueueFacts, has_label};
use crate::draft::Job;
use crate::plan::Plan;
use crate::reader::Spot;
use crate::report::{Report, listed};
use crate::text::Span;
use crate::wish_of;

/// Checks queues, labels, sizes and placements of a plan whose stages are those of `job`, in order, and hooks with images
/// after them.
pub(crate) fn check(report: &mut Report, job: &Spots, plan: &Plan, cluster: &Cluster) {
    let queues = job.queues.iter().collect::<Vec<_>>();
    for spot in &queues {
        queue(report, spot, cluster);
    }
    if queues.is_empty() {
        default_queue(report, cluster);
    }
    let mut labels_good = true;
    for spot in &job.labels {
        labels_good &= label(report, spot, cluster);
    }
    for (at, stage) in job.stages.iter().zip(&plan.stages) {
        let label = plan.subdags.get(stage.subdag.0 as usize).and_then(|subdag| subdag.node_label.as_deref());
        let asked = Asked {
            name: &stage.name,
            size: wish_of(&stage.with_memory(stage.most_memory())),
            tasks: stage.tasks,
            label,
        };
        if labels_good && size(report, at.name, &asked, cluster) {
            placement(report, at, &asked, &stage.placement, cluster);
        }
    }
}

/// Places in the file of what the cluster has a say in.
pub(crate) struct Spots {
    queues: Vec<Spot<String>>,
    labels: Vec<Spot<String>>,
    stages: Vec<StageSpots>,
}

struct StageSpots {
    name: Span,
    /// What says how few may be on one machine, or in one rack.
    spread: Option<Span>,
    /// Pinned hosts and racks.
    pins: Vec<Spot<String>>,
    avoid: Vec<Spot<String>>,
}

impl Spots {
    pub(crate) fn of(job: &Job) -> Self {
        let stages = || job.stages.iter();
        let pins = |list: &Option<Vec<Spot<String>>>| list.clone().unwrap_or_default();
        Self {
            queues: job.queue.iter().chain(stages().filter_map(|stage| stage.queue.as_ref())).cloned().collect(),
            labels: job.node_label.iter().chain(stages().filter_map(|one| one.node_label.as_ref())).cloned().collect(),
            stages: stages()
                .map(|stage| StageSpots {
                    name: stage.name.span,
                    spread: {
                        let placement = &stage.body.placement;
                        let most = placement.max_per_host.as_ref().map(|spot| spot.span);
                        most.or(placement.spread.as_ref().map(|spot| spot.span))
                    },
                    pins: [pins(&stage.body.placement.nodes), pins(&stage.body.placement.racks)].concat(),
                    avoid: pins(&stage.body.placement.avoid),
                })
                .chain(job.hooks.iter().filter(|hook| hook.body.is_some()).map(|hook| StageSpots::at(hook.span)))
                .collect(),
        }
    }
}

impl StageSpots {
    /// What has no placement.
    const fn at(name: Span) -> Self {
        Self { name, spread: None, pins: Vec::new(), avoid: Vec::new() }
    }
}

/// What one stage asks for.
struct Asked<'a> {
    name: &'a str,
    size: Resources,
    tasks: u32,
    label: Option<&'a str>,
}

fn queue(report: &mut Report, spot: &Spot<String>, cluster: &Cluster) {
    if cluster.queues.is_empty() {
        return;
    }
    let name = spot.value.as_str();
    let leaves = || cluster.queues.iter().filter(|queue| !queue.parent).map(|queue| queue.name.as_str());
    match cluster.queue(name) {
        None => {
            let message = format!("the cluster has no queue {name:?}{}", whose(spot.span));
            let help = format!("the queues are {}", listed(leaves()));
            report.error("E0901", spot.span, message).nearest(name, leaves()).help(help);
        }
        Some(queue) if queue.parent => {
            let inside = format!("{}.", queue.path);
            let below = cluster.queues.iter().filter(|other| !other.parent && other.path.starts_with(&inside));
            let help = format!("name one of its queues: {}", listed(below.map(|queue| queue.name.as_str())));
            let whose = whose(spot.span);
            let message = format!("the queue {name:?} holds other queues and takes no jobs itself{whose}");
            report.error("E0902", spot.span, message).help(help);
        }
        Some(queue) => takes_jobs(report, spot.span, queue, cluster),
    }
}

/// Who named a queue that is not in the file.
fn whose(span: Span) -> &'static str {
    if span == Span::NOWHERE { " (--queue, or the setting `queue`)" } else { "" }
}

/// The queue of a job that names none. Hadoop's own word for it may be mapped to another one, or to one of the user's.
fn default_queue(report: &mut Report, cluster: &Cluster) {
    let Some(name) = &cluster.default_queue else { return };
    if name != "default" {
        queue(report, &Spot { value: name.clone(), span: Span::NOWHERE }, cluster);
    } else if let Some(queue) = cluster.queue(name) {
        takes_jobs(report, Span::NOWHERE, queue, cluster);
    }
}

fn takes_jobs(report: &mut Report, span: Span, queue: &QueueFacts, cluster: &Cluster) {
    let (name, whose) = (&queue.name, whose(span));
    let open = |queue: &&QueueFacts| !queue.parent && queue.is_running() && queue.may_submit != Some(false);
    let others: Vec<_> = cluster.queues.iter().filter(open).map(|queue| queue.name.as_str()).collect();
    let other = match others.is_empty() {
        true => "no other queue is open to you".to_owned(),
        false => format!("or take a queue that is open to you: {}", listed(others.into_iter())),
    };
    if !queue.is_running() {
        let message = format!("the queue {name:?} is {} and takes no jobs{whose}", queue.state.to_lowercase());
        report.error("E0902", span, message).help(format!("ask the administrator, {other}"));
    } else if queue.may_submit == Some(false) {
        let message = format!("you may not submit to the queue {name:?}{whose}");
        report.error("E0804", span, message).help(format!("ask the administrator for the right, {other}"));
    }
}

/// Whether the label exists.
fn label(report: &mut Report, spot: &Spot<String>, cluster: &Cluster) -> bool {
    let name = spot.value.as_str();
    if cluster.labels.iter().any(|label| label == name) {
        return true;
    }
    let labels = || cluster.labels.iter().map(String::as_str);
    let (message, help) = match cluster.labels.is_empty() {
        true => (format!("the cluster has no node labels, so none is {name:?}"), "take node_label away".to_owned()),
        false => (format!("the cluster has no node label {name:?}"), format!("the labels are {}", listed(labels()))),
    };
    report.error("E0903", spot.span, message).nearest(name, labels()).help(help);
    false
}

/// Whether a container of this size can be given at all.
fn size(report: &mut Report, span: Span, asked: &Asked, cluster: &Cluster) -> bool {
    let name = asked.name;
    let most = cluster.max;
    let limits = [
        (most, "the scheduler gives no container", "yarn.scheduler.maximum-allocation-mb and -vcores decide"),
        (cluster.largest_node(asked.label).unwrap_or(most), "no machine has", "yarn.nodemanager.resource.* decide"),
    ];
    for (most, whose, note) in limits.into_iter().filter(|(most, ..)| *most != Resources::default()) {
        let what = if asked.size.memory > most.memory {
            format!("{} of memory; {whose} more than {}", format_bytes(asked.size.memory), format_bytes(most.memory))
        } else if asked.size.cpu_milli > most.cpu_milli {
            let (asks, has) = (format_cpus(asked.size.cpu_milli), format_cpus(most.cpu_milli));
            format!("{asks} vcores; {whose} more than {has}")
        } else {
            continue;
        };
        let with = asked.label.map(|label| format!(" (with label {label})")).unwrap_or_default();
        let message = format!("stage {name:?} could never be granted: it asks for {what}{with}");
        report.error("E0904", span, message).note(note).help("ask for less");
        return false;
    }
    true
}

fn placement(report: &mut Report, at: &StageSpots, asked: &Asked, placement: &Placement, cluster: &Cluster) {
    if cluster.nodes.is_empty() || placement.is_anywhere() {
        return;
    }
    let missing = pins(report, at, placement, cluster);
    let open = |node: &&dybox_model::Node| {
        let named = |list: &[String], name: &String| list.contains(name);
        let anywhere = placement.nodes.is_empty() && placement.racks.is_empty();
        let here = anywhere || named(&placement.nodes, &node.host) || named(&placement.racks, &node.rack);
        here && !named(&placement.avoid, &node.host) && node.usable && has_label(node, asked.label)
    };
    let fitting: Vec<_> = cluster.nodes.iter().filter(open).filter(|node| asked.size.fits(node.capacity)).collect();
    let name = asked.name;
    // An ask without a label may borrow machines that have one, but a pinned one does not count on that.
    let bare = |node: &&&dybox_model::Node| asked.label.is_some() || node.labels.is_empty();
    let own: Vec<_> = fitting.iter().filter(bare).collect();
    if fitting.is_empty() {
        if placement.hard && !missing {
            let message = format!("stage {name:?} could never be granted: no machine fits its placement and its size");
            report.error("E0905", at.name, message).help("ask for less, change the placement, or write hard: false");
        }
        return;
    }
    let own = if own.is_empty() { fitting.iter().collect() } else { own };
    let Some(most) = placement.most_on_host() else { return };
    let (there, word) = match placement.spread {
        Some(Spread::Rack) => {
            (own.iter().map(|node| &node.rack).collect::<std::collections::BTreeSet<_>>().len(), "rack")
        }
        _ => (own.len(), "machine"),
    };
    let places = there.saturating_mul(most as usize);
    if asked.tasks as usize > places {
        let s = if there == 1 { "" } else { "s" };
        let each = if most == 1 { String::new() } else { format!(", {most} on each at most") };
        let message = format!("stage {name:?} has {} tasks and {there} {word}{s} to spread over{each}", asked.tasks);
        let then = match placement.hard {
            true => format!("at most {places} run at a time, the rest waits for a free {word}"),
            false => format!("what is over {places} at a time goes anywhere"),
        };
        let help = "lower parallelism, or let it be so";
        report.warning("W0907", at.spread.unwrap_or(at.name), message).note(then).help(help);
    }
}

/// Reports pins and avoided hosts that the cluster does not have; tells whether every pin is missing.
fn pins(report: &mut Report, at: &StageSpots, placement: &Placement, cluster: &Cluster) -> bool {
    let hosts = || cluster.nodes.iter().map(|node| node.host.as_str());
    let mut racks: Vec<&str> = cluster.nodes.iter().map(|node| node.rack.as_str()).collect();
    racks.sort_unstable();
    racks.dedup();
    let known = |name: &str| hosts().any(|host| host == name) || racks.contains(&name);
    let unknown = |list: &[Spot<String>]| list.iter().filter(|pin| !known(&pin.value)).cloned().collect::<Vec<_>>();
    let missing = unknown(&at.pins);
    let all = !at.pins.is_empty() && missing.len() == at.pins.len();
    for pin in &missing {
        let rack = pin.value.starts_with('/');
        let what = if rack { "rack" } else { "machine" };
        let message = format!("the cluster has no {what} {:?}", pin.value);
        let names = if rack { listed(racks.iter().copied()) } else { listed(hosts()) };
        let help = format!("the {what}s are {names}");
        // With another pin that exists, or one that may be left aside, the stage still runs.
        let found = match placement.hard && all {
            true => report.error("E0906", pin.span, message).note("so this stage could never be granted"),
            false => report.warning("W0906", pin.span, message),
        };
        let near: Vec<&str> = if rack { racks.clone() } else { hosts().collect() };
        found.nearest(&pin.value, near.into_iter()).help(help);
    }
    for avoid in unknown(&at.avoid) {
        let message = format!("the cluster has no machine {:?} to avoid", avoid.value);
        report.warning("W0906", avoid.span, message).nearest(&avoid.value, hosts()).help("correct it, or take it away");
    }
    all
}
