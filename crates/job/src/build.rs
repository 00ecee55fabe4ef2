//! From a job to its plan: names become numbers, the DAG is checked and cut, defaults are filled in.

use std::collections::BTreeMap;

use dybox_model::{Keep, Need, Network, SubDagId};

use crate::apart;
use crate::assemble::{Needs, assemble, check_growth, tasks_of};
use crate::cluster::Cluster;
use crate::draft::{self, Job};
use crate::grantable::{self, Spots};
use crate::graph::Graph;
use crate::late::{self, Around};
use crate::lint::never_run;
use crate::plan::{Plan, SubDag};
use crate::reader::Spot;
use crate::report::{Report, listed};
use crate::reuse;
use crate::split::{Class, Uncut, split};
use crate::text::Span;

/// Most sub-DAGs of a run.
const MOST_SUBDAGS: usize = 1_000;

/// Builds the plan; nothing when the DAG or something before it is wrong.
pub(crate) fn build(report: &mut Report, job: Job, cluster: Option<&Cluster>) -> Option<Plan> {
    let names: BTreeMap<&str, u32> =
        job.stages.iter().enumerate().map(|(at, stage)| (stage.name.value.as_str(), at as u32)).collect();
    report_hook_names(report, &job, &names);
    reuse::check(report, &job);
    check_growth(report, &job);
    let needs = resolve_needs(report, &job, &names);
    let aparts = apart::resolve(report, &job, &names);
    let afters: Vec<Vec<u32>> = job.hooks.iter().map(|hook| resolve_after(report, hook, &names)).collect();
    let graph = Graph::new(needs.iter().map(|needs| needs.iter().map(|&(id, ..)| id).collect()).collect());
    if graph.order().is_none() {
        report_circles(report, &job, &needs, &graph);
        return None;
    }
    report_never(report, &job, &needs, &graph);
    let hooks: Vec<(Vec<u32>, Vec<u32>)> = afters.iter().map(|after| (after.clone(), holds(&graph, after))).collect();
    report_waiting_hooks(report, &job, &graph, &hooks);
    let mut held = vec![false; job.stages.len()];
    hooks.iter().flat_map(|(_, holds)| holds).for_each(|&stage| held[stage as usize] = true);
    let lates = late::resolve(report, &job, &Around { names: &names, graph: &graph, held: &held, ended: &[] });
    let together: Vec<Vec<u32>> = afters
        .iter()
        .cloned()
        .chain(networks(&job))
        .chain(volumes(&job))
        .chain(apart::together(&aparts))
        .chain([last(&job), ranked(&job)])
        .collect();
    let mut subdags = cut(report, &job, &graph, &together)?;
    wait_for_all(&job, &mut subdags);
    let mut of = vec![SubDagId(0); job.stages.len()];
    for (number, subdag) in subdags.iter().enumerate() {
        subdag.stages.iter().for_each(|stage| of[stage.0 as usize] = SubDagId(number as u32));
    }
    report_crossing(report, &job, &hooks, &of);
    apart::report_crossing(report, &job, &aparts, &of);
    if subdags.is_empty() {
        return None;
    }
    let spots = cluster.map(|_| Spots::of(&job));
    let plan = assemble(job, (&needs, &aparts, lates), hooks, (subdags, of));
    if let Some((cluster, spots)) = cluster.zip(spots) {
        grantable::check(report, &spots, &plan, cluster);
    }
    (!report.failed()).then_some(plan)
}

/// A hook with an image is shown, and found in logs, as a stage of its own.
fn report_hook_names(report: &mut Report, job: &Job, names: &BTreeMap<&str, u32>) {
    for (number, hook) in job.hooks.iter().enumerate().filter(|(_, hook)| hook.body.is_some()) {
        let name = draft::Hook::stage_name(number);
        if let Some(&id) = names.get(name.as_str()) {
            let message = format!("stage {name:?} has the name by which a hook with an image is known");
            let note = format!("the hook is at {}", report.text.short(hook.span));
            let span = job.stages[id as usize].name.span;
            report.error("E0302", span, message).note(note).help("rename the stage");
        }
    }
}

/// What each stage needs, by number.
pub(crate) fn resolve_needs(report: &mut Report, job: &Job, names: &BTreeMap<&str, u32>) -> Needs {
    let mut all = Vec::with_capacity(job.stages.len());
    for (own, stage) in job.stages.iter().enumerate() {
        let mut needs: Vec<(u32, Need, Span)> = Vec::with_capacity(stage.needs.len());
        let mut seen = std::collections::BTreeSet::new();
        for (name, need) in &stage.needs {
            let own_name = &stage.name.value;
            match names.get(name.value.as_str()) {
                None => {
                    let message = format!("stage {own_name:?} needs {:?}, which does not exist", name.value);
                    unknown_stage(report, "E0312", name, &message, names);
                }
                Some(&id) if id as usize == own => {
                    let message = format!("stage {own_name:?} needs itself");
                    report.error("E0313", name.span, message).help("take it away");
                }
                Some(&id) if job.stages[id as usize].last && !stage.last => {
                    let message = format!("stage {own_name:?} needs {:?}, which runs after everything", name.value);
                    let help = format!("move {own_name:?} under on_exit, or {:?} under stages", name.value);
                    report.error("E0317", name.span, message).help(help);
                }
                Some(&id) if !seen.insert(id) => {
                    let message = format!("stage {own_name:?} needs {:?} twice", name.value);
                    report.error("E0315", name.span, message).help("keep one of them");
                }
                Some(&id) => needs.push((id, *need, name.span)),
            }
        }
        all.push(needs);
    }
    all
}

pub(crate) fn unknown_stage(
    report: &mut Report,
    code: &'static str,
    name: &Spot<String>,
    message: &str,
    names: &BTreeMap<&str, u32>,
) {
    if report.is_full() {
        report.error(code, name.span, message);
        return;
    }
    let mut by_place: Vec<(&u32, &&str)> = names.iter().map(|(name, id)| (id, name)).collect();
    by_place.sort();
    let known = by_place.iter().map(|(_, name)| **name);
    let help = stages_of_this_job(known.clone());
    report.error(code, name.span, message).nearest(&name.value, known).help(help);
}

/// What may be named instead.
pub(crate) fn stages_of_this_job<'a>(known: impl Iterator<Item = &'a str> + Clone) -> String {
    match known.clone().next() {
        Some(_) => format!("the stages of this job are {}", listed(known)),
        None => "this job has no stages yet: write them under stages".to_owned(),
    }
}

fn resolve_after(report: &mut Report, hook: &draft::Hook, names: &BTreeMap<&str, u32>) -> Vec<u32> {
    let mut after = Vec::new();
    for name in &hook.after {
        match names.get(name.value.as_str()) {
            None => {
                let message = format!("a hook runs after {:?}, which does not exist", name.value);
                unknown_stage(report, "E0316", name, &message, names);
            }
            Some(id) if after.contains(id) => {
                let message = format!("a hook runs after {:?} twice", name.value);
                report.error("E0315", name.span, message).help("keep one of them");
            }
            Some(id) => after.push(*id),
        }
    }
    after
}

pub(crate) fn report_circles(report: &mut Report, job: &Job, needs: &Needs, graph: &Graph) {
    for circle in graph.circles() {
        let name = |id: u32| job.stages[id as usize].name.value.as_str();
        let way: Vec<&str> = circle.iter().chain(circle.first()).map(|&id| name(id)).collect();
        let steps: Vec<(u32, u32, Span)> = circle
            .iter()
            .zip(circle.iter().cycle().skip(1))
            .filter_map(|(&from, &to)| {
                needs[from as usize].iter().find(|(id, ..)| *id == to).map(|&(_, _, span)| (from, to, span))
            })
            .collect();
        let span = steps.first().map_or(Span::NOWHERE, |step| step.2);
        let notes: Vec<String> = steps
            .iter()
            .map(|&(from, to, span)| format!("{}: {:?} needs {:?}", report.text.short(span), name(from), name(to)))
            .collect();
        let message = format!("stages need each other in a circle: {}", way.join(" -> "));
        let problem = report.error("E0311", span, message);
        problem.help("take one of these needs away");
        problem.notes = notes;
    }
}

fn report_never(report: &mut Report, job: &Job, needs: &Needs, graph: &Graph) {
    let plain: Vec<Vec<(u32, Need)>> =
        needs.iter().map(|needs| needs.iter().map(|&(id, need, _)| (id, need)).collect()).collect();
    let name = |id: u32| job.stages[id as usize].name.value.as_str();
    for never in never_run(graph, &plain) {
        let own = &job.stages[never.stage as usize].name;
        let other = name(never.other);
        let message = format!("stage {:?} can never run", own.value);
        report
            .warning("W0314", own.span, message)
            .note(format!("what it needs asks that {other:?} fails, and that {other:?} succeeds"))
            .help(format!("ask for {other:?}: finished, or take one of the needs away"));
    }
}

/// Every stage downstream of one in `after`, but those that `after` itself depends on.
fn holds(graph: &Graph, after: &[u32]) -> Vec<u32> {
    let below = Graph::reach(&graph.down, after);
    let above = Graph::reach(&graph.up, after);
    (0..below.len() as u32).filter(|&stage| below[stage as usize] && !above[stage as usize]).collect()
}

/// Hooks that hold back what other hooks wait for.
fn report_waiting_hooks(report: &mut Report, job: &Job, graph: &Graph, hooks: &[(Vec<u32>, Vec<u32>)]) {
    if hooks.len() < 2 {
        return;
    }
    let stages = graph.up.len();
    let mut up = graph.up.clone();
    for (number, (after, holds)) in hooks.iter().enumerate() {
        up.push(after.clone());
        holds.iter().for_each(|&stage| up[stage as usize].push((stages + number) as u32));
    }
    let both = Graph::new(up);
    if both.order().is_some() {
        return;
    }
    for circle in both.circles() {
        let waiting: Vec<usize> = circle.iter().filter_map(|&node| (node as usize).checked_sub(stages)).collect();
        let Some(&first) = waiting.first() else { continue };
        let notes = waiting.iter().map(|&number| {
            let after = job.hooks[number].after.iter().map(|name| name.value.as_str());
            format!("{}: after {}", report.text.short(job.hooks[number].span), listed(after))
        });
        let notes = notes.collect();
        let message = "hooks wait for each other: each holds back a stage that another one waits for";
        let problem = report.error("E0318", job.hooks[first].span, message);
        problem.help("make one hook of them, or take a stage out of after");
        problem.notes = notes;
    }
}

fn cut(report: &mut Report, job: &Job, graph: &Graph, together: &[Vec<u32>]) -> Option<Vec<SubDag>> {
    let class: Vec<Class> = job.stages.iter().map(|stage| class(job, stage)).collect();
    let tasks: Vec<u32> = job.stages.iter().map(tasks_of).collect();
    let uncut = Uncut { graph, class: &class, tasks: &tasks, together, split: job.split };
    match split(&uncut) {
        Ok(subdags) if subdags.len() > MOST_SUBDAGS => {
            let message = format!("the job would be cut into {} sub-DAGs; at most {MOST_SUBDAGS}", subdags.len());
            report.error("E0322", Span::NOWHERE, message).help("write split: auto, or fewer names of subdag");
            None
        }
        Ok(subdags) => Some(subdags),
        Err(circle) => {
            let name = |id: u32| job.stages[id as usize].name.value.as_str();
            let of = |id: u32| class_words(&class[id as usize], job);
            let span = circle.first().map_or(Span::NOWHERE, |&(stage, _)| job.stages[stage as usize].name.span);
            let words: Vec<String> = circle.iter().map(|&(stage, _)| of(stage)).collect();
            let notes = circle.iter().map(|&(stage, need)| {
                let at = report.text.short(job.stages[stage as usize].name.span);
                let (stage_in, need_in) = (of(stage), of(need));
                format!("{at}: {:?} of {stage_in} needs {:?} of {need_in}", name(stage), name(need))
            });
            let notes = notes.collect();
            let message = format!("sub-DAGs need each other in a circle: {}", words.join(" and "));
            let problem = report.error("E0320", span, message);
            problem.help("give these stages the same subdag, or cut the job elsewhere");
            problem.notes = notes;
            None
        }
    }
}

/// What keeps a stage apart from others.
fn class<'a>(job: &'a Job, stage: &'a draft::Stage) -> Class<'a> {
    let text = |own: &'a Option<Spot<String>>, all: &'a Option<Spot<String>>| {
        own.as_ref().or(all.as_ref()).map(|text| text.value.as_str())
    };
    Class {
        name: stage.subdag.as_ref().map(|name| name.value.as_str()),
        queue: text(&stage.queue, &job.queue),
        label: text(&stage.node_label, &job.node_label),
        last: stage.last,
    }
}

/// A class as people know it: by what it has and others have not.
fn class_words(class: &Class, job: &Job) -> String {
    let other = |own: Option<&str>, all: &Option<Spot<String>>| own != all.as_ref().map(|text| text.value.as_str());
    let mut words = match class.name {
        Some(name) => format!("{name:?}"),
        None if class.last => "the stages of on_exit".to_owned(),
        None => "the stages without subdag".to_owned(),
    };
    if let Some(queue) = class.queue.filter(|_| other(class.queue, &job.queue)) {
        words.push_str(&format!(" in queue {queue}"));
    }
    if let Some(label) = class.label.filter(|_| other(class.label, &job.node_label)) {
        words.push_str(&format!(" with label {label}"));
    }
    words
}

/// The stages that run after everything.
fn last(job: &Job) -> Vec<u32> {
    (0u32..).zip(&job.stages).filter(|(_, stage)| stage.last).map(|(id, _)| id).collect()
}

/// What runs after everything waits for all the rest.
fn wait_for_all(job: &Job, subdags: &mut [SubDag]) {
    let is_last = |subdag: &SubDag| subdag.stages.iter().any(|stage| job.stages[stage.0 as usize].last);
    let rest: Vec<SubDagId> =
        (0u32..).zip(&*subdags).filter(|(_, subdag)| !is_last(subdag)).map(|(id, _)| SubDagId(id)).collect();
    for subdag in subdags.iter_mut().filter(|subdag| is_last(subdag)) {
        subdag.needs.extend(&rest);
        subdag.needs.sort_unstable();
        subdag.needs.dedup();
    }
}

/// Stages of which some come before others: one master picks among them, unless the file says how many there are.
fn ranked(job: &Job) -> Vec<u32> {
    let all = || (0u32..).zip(&job.stages).filter(|(_, stage)| !stage.last);
    let mut priorities = all().map(|(_, stage)| stage.body.priority.unwrap_or(0));
    let first = priorities.next();
    let differ = job.split == draft::Split::Auto && priorities.any(|priority| Some(priority) != first);
    if differ { all().map(|(id, _)| id).collect() } else { Vec::new() }
}

/// The stages of each named network.
fn networks(job: &Job) -> impl Iterator<Item = Vec<u32>> {
    let mut by_name: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (id, stage) in job.stages.iter().enumerate() {
        if let Some(Network::Named(name)) = &stage.body.network {
            by_name.entry(name).or_default().push(id as u32);
        }
    }
    by_name.into_values()
}

/// The stages of each volume of the run: whoever ends the last of them removes it.
fn volumes(job: &Job) -> impl Iterator<Item = Vec<u32>> {
    let mut by_name: BTreeMap<&std::path::Path, Vec<u32>> = BTreeMap::new();
    for (id, stage) in job.stages.iter().enumerate() {
        for mount in stage.body.volumes.iter().flatten().filter(|mount| mount.value.named == Some(Keep::Run)) {
            by_name.entry(&mount.value.source).or_default().push(id as u32);
        }
    }
    by_name.into_values()
}

fn report_crossing(report: &mut Report, job: &Job, hooks: &[(Vec<u32>, Vec<u32>)], of: &[SubDagId]) {
    for (hook, (after, holds)) in job.hooks.iter().zip(hooks) {
        let Some(&first) = after.first() else { continue };
        let mut touched = after.iter().chain(holds);
        let Some(&other) = touched.find(|&&stage| of[stage as usize] != of[first as usize]) else { continue };
        let name = |id: u32| job.stages[id as usize].name.value.as_str();
        let message = format!("a hook reaches from {:?} into another sub-DAG, to {:?}", name(first), name(other));
        report
            .error("E0321", hook.span, message)
            .note("a hook runs in the driver of one sub-DAG and decides for that one alone")
            .help("give these stages the same subdag");
    }
}
