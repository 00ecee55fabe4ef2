//! Stages that a hook adds: read and checked as if they stood in the job file, against the run as it stands then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dybox_model::{Added, HookId, Network, StageId, SubDagId};
use serde_json::Value as Json;

use crate::assemble::{Needs, assemble_stage, check_growth, tasks_of};
use crate::build::{report_circles, resolve_needs};
use crate::diagnostic::Diagnostic;
use crate::draft::{self, Body, Job};
use crate::graph::Graph;
use crate::grow::{MOST_RUN_TASKS, MOST_STAGES};
use crate::hidden::report_hidden;
use crate::late::{self, Around, Begins};
use crate::load::load;
use crate::node::{Node, Value};
use crate::plan::{Plan, Stage};
use crate::read::Shelf;
use crate::reader::{Reader, Spot};
use crate::report::Report;
use crate::template::Templates;
use crate::text::{Span, Text, decode};
use crate::world::{Profiles, World};
use crate::{apart, extends, reuse, said};

/// What a hook wants to add, and to what.
#[derive(Debug, Clone, Copy)]
pub struct Adding<'a> {
    /// The plan as it is now, with all that was added before.
    pub plan: &'a Plan,
    /// Which hook.
    pub hook: HookId,
    /// All that it wrote to its standard output: JSON with the key `add`.
    pub said: &'a str,
    /// The job file's directory.
    pub dir: &'a Path,
    /// Parameters that hooks changed for stages that are held by this one.
    pub params: &'a BTreeMap<String, String>,
    /// Results of stages that have succeeded, by name.
    pub results: &'a BTreeMap<String, Json>,
}

/// Plans the stages that a hook adds. They join its sub-DAG.
///
/// # Errors
/// Every problem, each with its place in what the hook said.
pub fn add(adding: &Adding, world: &dyn World) -> Result<Vec<Added>, Vec<Diagnostic>> {
    let said = said::as_yaml(adding.said);
    let name = format!("hook {:?}", adding.plan.hooks[adding.hook.0 as usize].label());
    let own = Text::new(&name, &said);
    let mut first = Report::new(&own);
    let root = load(&mut first);
    let Some(node) = root.and_then(|root| entry(root, "add")) else { return Err(first.into_sorted()) };
    report_hidden(&mut first, &node);
    let ground = adding.plan.ground.as_deref().unwrap_or("{}");
    let (whole, start) = (format!("{said}\n{ground}"), said.len() + 1);
    let text = Text::joined(&name, &whole, [(start, "defaults of the job file")].into_iter());
    let mut report = Report::new(&text);
    report.found = first.found;
    let mut root = joined(node, ground, start);
    extends::resolve(&mut report, &mut root);
    let profiles = world.profiles();
    let registry = match &profiles {
        Profiles::File { name, bytes } => decode(name, "the registry", bytes).ok().map(|text| Text::new(name, text)),
        _ => None,
    };
    let mut reader = Reader::new(report, world, adding.dir);
    reader.profiles = Shelf::of(&profiles, registry.as_ref(), world);
    let job = read(&mut reader, root, adding);
    let mut report = reader.report;
    report.found.extend(reader.profiles.problems());
    let added = plan(&mut report, job, adding);
    match report.failed() {
        true => Err(report.into_sorted().into_iter().filter(|problem| !problem.is_warning()).collect()),
        false => Ok(added),
    }
}

fn entry(root: Node, name: &str) -> Option<Node> {
    let Value::Map(entries) = root.value else { return None };
    entries.into_iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
}

/// The tree as a job file would have it: what is added as its stages.
fn joined(added: Node, ground: &str, start: usize) -> Node {
    let own = Text::new("", ground);
    let mut all = load(&mut Report::new(&own)).unwrap_or_else(|| Node::map([]));
    all.shift(start);
    if let Value::Map(entries) = &mut all.value {
        entries.retain(|(key, _)| key.text != "stages");
        entries.push((crate::node::Key { text: "stages".to_owned(), span: added.span }, added));
    }
    all
}

/// The stages of the run and the new ones after them, as drafts.
fn read(reader: &mut Reader, root: Node, adding: &Adding) -> Job {
    let plan = adding.plan;
    let mut texts = plan.params.clone();
    texts.extend(adding.params.clone());
    let params: BTreeMap<String, Json> =
        texts.iter().map(|(name, text)| (name.clone(), plan.param(name, text))).collect();
    let templates = Templates::new(params.clone(), BTreeSet::new(), &plan.name);
    reader.templates = Some(templates.with_results(adding.results));
    let Value::Map(entries) = &root.value else { return Job::default() };
    let get = |name: &str| entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
    reader.volumes = Some(get("volumes").map(|node| crate::read::volumes(reader, node)).unwrap_or_default());
    let fetched = plan.secrets(Some(subdag_of(adding)));
    reader.secrets = crate::read::fetched_secrets(fetched.into_values());
    let defaults = get("defaults").map(|node| crate::read::body(reader, node, "defaults")).unwrap_or_default();
    let mut stages: Vec<draft::Stage> = plan.stages.iter().map(|stage| known(plan, stage)).collect();
    if let Some(node) = get("stages") {
        let before = stages.len();
        crate::read::more(reader, ("add", node), &defaults, &mut stages);
        let last = plan.is_last(subdag_of(adding));
        stages[before..].iter_mut().for_each(|stage| stage.last = last);
    }
    Job { name: plan.name.clone(), params, rules: plan.rules.clone(), stages, ..Job::default() }
}

fn subdag_of(adding: &Adding) -> SubDagId {
    adding.plan.hooks[adding.hook.0 as usize].subdag
}

/// What of a stage that is planned already matters to new ones: its name and its place in the DAG.
fn known(plan: &Plan, stage: &Stage) -> draft::Stage {
    let nowhere = |text: &str| Spot { value: text.to_owned(), span: Span::NOWHERE };
    let needs = stage.needs.iter().map(|(id, need)| (nowhere(&plan.stages[id.0 as usize].name), *need));
    draft::Stage {
        needs: needs.collect(),
        // What is fanned out stays a list.
        each: stage.late.each.as_ref().map(|_| draft::Each::default()),
        results: stage.results.clone(),
        last: stage.late.last,
        ..draft::Stage::plain(nowhere(&stage.name), Body::default())
    }
}

/// From drafts to stages: names become numbers, and all that concerns more than one stage is checked.
fn plan(report: &mut Report, job: Job, adding: &Adding) -> Vec<Added> {
    let before = adding.plan.stages.len();
    let numbered = (0u32..).zip(&job.stages).filter(|(_, stage)| !stage.name.value.is_empty());
    let names: BTreeMap<&str, u32> = numbered.map(|(at, stage)| (stage.name.value.as_str(), at)).collect();
    reuse::check(report, &job);
    check_growth(report, &job);
    let needs = resolve_needs(report, &job, &names);
    let aparts = apart::resolve(report, &job, &names);
    let graph = Graph::new(needs.iter().map(|needs| needs.iter().map(|&(id, ..)| id).collect()).collect());
    if graph.order().is_none() {
        report_circles(report, &job, &needs, &graph);
        return Vec::new();
    }
    let held: Vec<bool> = (0..job.stages.len()).map(|at| at >= before).collect();
    let ended: Vec<bool> = job.stages.iter().map(|stage| adding.results.contains_key(&stage.name.value)).collect();
    let lates = late::resolve(report, &job, &Around { names: &names, graph: &graph, held: &held, ended: &ended });
    check_place(report, &job, adding, (&needs, &aparts, &lates));
    check_bounds(report, &job, adding);
    if report.failed() { Vec::new() } else { assembled(job, adding, (&needs, &aparts, lates)) }
}

fn assembled(job: Job, adding: &Adding, (needs, aparts, lates): (&Needs, &[Vec<u32>], Vec<Begins>)) -> Vec<Added> {
    let (before, subdag) = (adding.plan.stages.len(), subdag_of(adding));
    let ids: Vec<StageId> = adding.plan.next_ids(subdag).take(job.stages.len() - before).collect();
    let number = |id: u32| (id as usize).checked_sub(before).map_or(StageId(id), |nth| ids[nth]);
    let learns = adding.plan.stages.iter().any(|stage| stage.elastic.is_some_and(|elastic| elastic.learns));
    let drafts = job.stages.into_iter().zip(lates).zip(needs.iter().zip(aparts)).skip(before);
    let mut all = Vec::with_capacity(ids.len());
    for ((draft, (needs, apart)), &id) in drafts.zip(&ids) {
        let mut stage = assemble_stage(draft, needs, apart, subdag);
        stage.needs.iter_mut().for_each(|(need, _)| *need = number(need.0));
        stage.late.reads.iter_mut().for_each(|read| *read = number(read.0));
        stage.placement.apart_from.iter_mut().for_each(|other| *other = number(other.0));
        stage.added = Some(adding.hook);
        if learns {
            stage.right_size(None);
        }
        let text = serde_json::to_string(&stage).expect("a stage is data");
        all.push(Added { outline: stage.outline(id), stage: text });
    }
    all
}

/// New stages join the sub-DAG of their hook: what they say of queues, and what they need, must be there, or be over.
fn check_place(
    report: &mut Report,
    job: &Job,
    adding: &Adding,
    (needs, aparts, lates): (&Needs, &[Vec<u32>], &[Begins]),
) {
    let (plan, own) = (adding.plan, subdag_of(adding));
    let subdag = &plan.subdags[own.0 as usize];
    let before = plan.stages.len();
    let afar = |id: u32| {
        let stage = plan.stages.get(id as usize)?;
        let there = stage.subdag == own || subdag.needs.contains(&stage.subdag);
        (!there).then_some(stage.name.as_str())
    };
    for (at, stage) in job.stages.iter().enumerate().skip(before) {
        let name = &stage.name.value;
        let class =
            [(&stage.subdag, &subdag.name), (&stage.queue, &subdag.queue), (&stage.node_label, &subdag.node_label)];
        for (word, _) in class
            .into_iter()
            .filter_map(|(own, all)| Some((own.as_ref()?, all)))
            .filter(|(own, all)| all.as_ref() != Some(&own.value))
        {
            let message =
                format!("stage {name:?} can't go to {:?}: added stages join the sub-DAG of their hook", word.value);
            report.error("E0325", word.span, message).help("take it away");
        }
        let needed = needs[at].iter().filter_map(|&(id, _, span)| Some((afar(id)?, span)));
        let read = lates[at].0.reads.iter().filter_map(|id| Some((afar(id.0)?, stage.name.span)));
        for (other, span) in needed.chain(read).collect::<BTreeMap<_, _>>() {
            let message = format!("stage {name:?} needs {other:?}, which is in another sub-DAG that may still run");
            let help = "need what the hook's own sub-DAG has, or give these stages the same subdag";
            report.error("E0325", span, message).help(help);
        }
        if let Some(other) = aparts[at].iter().find_map(|&id| plan.stages.get(id as usize)) {
            let message = format!("stage {name:?} can't be kept apart from {:?}, which was there before", other.name);
            let note = "tasks of that one may have been placed already";
            report.error("E0324", stage.name.span, message).note(note).help("keep apart what is added together");
        }
        if let Some(shared) = shared_afar(plan, own, &stage.body) {
            let message = format!("stage {name:?} shares {shared} with a stage of another sub-DAG");
            report.error("E0325", stage.name.span, message).help("give it one of its own");
        }
    }
}

/// A network or a volume of the run that another sub-DAG has alone.
fn shared_afar(plan: &Plan, own: SubDagId, body: &Body) -> Option<String> {
    let alone = |has: &dyn Fn(&Stage) -> bool| {
        let mut all = plan.stages.iter().filter(|stage| has(stage)).peekable();
        all.peek().is_some() && all.all(|stage| stage.subdag != own)
    };
    let network = body.network.as_ref().filter(|network| matches!(network, Network::Named(_)));
    if let Some(Network::Named(name)) = network.filter(|network| alone(&|stage| stage.network == **network)) {
        return Some(format!("network {name:?}"));
    }
    let mut volumes = body.volumes.iter().flatten().map(|mount| &mount.value);
    let volume = volumes.find(|mount| {
        let same = |stage: &Stage| stage.volumes.iter().any(|v| v.named == mount.named && v.source == mount.source);
        mount.named == Some(dybox_model::Keep::Run) && alone(&same)
    })?;
    Some(format!("volume {:?}", volume.source.display().to_string()))
}

/// A run to which hooks add can't grow without an end.
fn check_bounds(report: &mut Report, job: &Job, adding: &Adding) {
    let before = adding.plan.stages.len();
    let new = &job.stages[before..];
    let Some(first) = new.first() else { return };
    if job.stages.len() > MOST_STAGES {
        let message = format!(
            "the run would have {} stages; a run that hooks add to has at most {MOST_STAGES}",
            job.stages.len()
        );
        report.error("E0326", first.name.span, message).help("add one stage with each: instead of many alike");
    }
    let had: u64 = adding.plan.stages.iter().map(|stage| u64::from(stage.tasks)).sum();
    let tasks = had + new.iter().map(|stage| u64::from(tasks_of(stage))).sum::<u64>();
    if tasks > MOST_RUN_TASKS {
        let message = format!("the run would have {tasks} tasks; a run that hooks add to has at most {MOST_RUN_TASKS}");
        report.error("E0326", first.name.span, message).help("let each task do several of them");
    }
}
