//! What of a stage is decided late: when it begins, or when each of its tasks does.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{Resources, StageId};
use serde::{Deserialize, Serialize};

use crate::build::stages_of_this_job;
use crate::declared;
use crate::draft::{self, Job, Words};
use crate::graph::Graph;
use crate::reader::Spot;
use crate::report::Report;
use crate::sizes::Sizes;
use crate::text::Span;
use crate::trial::{places, try_out};
use crate::uses::Use;

/// What of a stage is decided when it begins, or when each of its tasks does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Late {
    /// The stage is skipped where this expression is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Its tasks: one for each item. Nothing = as many as the plan says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Each>,
    /// Whether command, entrypoint, script, workdir and env are templates still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub texts: bool,
    /// Whether the image is a template still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub image: bool,
    /// Whether the places of inputs and outputs are templates still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub places: bool,
    /// What each task asks for, where that is known late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
    /// It runs when everything else of the run has ended, whatever became of it (`on_exit`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// The stages whose results these read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<StageId>,
}

/// The items of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// These, each as JSON.
    Items(Vec<String>),
    /// Those of the list that this expression gives when the stage begins.
    Of(String),
}

impl Late {
    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The items, where the plan knows them.
    #[must_use]
    pub fn items(&self) -> Option<&[String]> {
        match &self.each {
            Some(Each::Items(items)) => Some(items),
            _ => None,
        }
    }
}

/// What is decided late of a stage, and where its templates say sizes that are known now, the largest.
pub(crate) type Begins = (Late, Option<Resources>);

/// What names mean and who is whose.
pub(crate) struct Around<'a> {
    pub(crate) names: &'a BTreeMap<&'a str, u32>,
    pub(crate) graph: &'a Graph,
    /// Whether a hook comes before each stage: it may change parameters.
    pub(crate) held: &'a [bool],
    /// Whether the results of each stage are there already; empty = of none.
    pub(crate) ended: &'a [bool],
}

/// What is decided late of each stage; what reads something that it can't know is reported.
pub(crate) fn resolve(report: &mut Report, job: &Job, around: &Around) -> Vec<Begins> {
    let stages = (0u32..).zip(&job.stages);
    stages.map(|(own, stage)| one(report, job, (own, stage), around)).collect()
}

fn one(report: &mut Report, job: &Job, (own, stage): (u32, &draft::Stage), around: &Around) -> Begins {
    let held = around.held[own as usize];
    let mut late = Late { last: stage.last, ..Late::default() };
    let mut reads = BTreeSet::new();
    let mut above = None;
    let mut check = |report: &mut Report, what: &Spot<Use>| match &what.value {
        Use::Result(name) => {
            let above = above.get_or_insert_with(|| {
                let mut above = Graph::reach(&around.graph.up, &[own]);
                let before = job.stages.iter().map(|other| stage.last && !other.last);
                above.iter_mut().zip(before).for_each(|(above, before)| *above |= before);
                above
            });
            if let Some(id) = result(report, stage, (name, what.span), (around, above)).filter(|id| reads.insert(*id)) {
                declared::never_written(report, (stage, what.span), &job.stages[id as usize]);
            }
        }
        Use::Item if stage.each.is_none() => {
            let message = format!("\"item\" is not defined: stage {:?} has neither each nor matrix", stage.name.value);
            report.error("E0705", what.span, message).help("add each: with a list, or take the item away");
        }
        Use::Run(field) if field == "state" && !stage.last => {
            let message = "\"run.state\" is known only to what runs after everything";
            report.error("E0705", what.span, message).help("use it in a stage under on_exit");
        }
        _ => {}
    };
    values(report, (&stage.body, held), &mut late, &mut check);
    if let Some(when) = &stage.when {
        when.uses.iter().for_each(|what| check(report, what));
        when.uses.iter().filter(|what| what.value.is_of_task()).for_each(|what| of_task(report, what, "when"));
        late.when = Some(when.expression.clone());
    }
    if let Some(each) = &stage.each {
        each.uses.iter().filter(|what| what.value != Use::Item).for_each(|what| check(report, what));
        each.uses.iter().filter(|what| what.value.is_of_task()).for_each(|what| of_task(report, what, "each"));
        let changes = held && each.uses.iter().any(|what| what.value == Use::Params);
        late.each = Some(match (&each.items, &each.expression) {
            (Some(items), None) => Each::Items(items.clone()),
            (Some(items), _) if !changes => Each::Items(items.clone()),
            (_, expression) => Each::Of(expression.clone().unwrap_or_default()),
        });
    }
    declared::check(report, job, stage, around);
    late.reads = reads.into_iter().map(StageId).collect();
    let largest = if report.failed() { None } else { try_out(report, job, stage, &late) };
    (late, largest)
}

/// What of a stage's values is filled in for each of its tasks; each name that they read is checked.
fn values(
    report: &mut Report,
    (body, held): (&draft::Body, bool),
    late: &mut Late,
    check: &mut dyn FnMut(&mut Report, &Spot<Use>),
) {
    let mut look = |words: &Words| {
        words.uses.iter().for_each(|what| check(report, what));
        words.known.is_none() || (held && words.uses.iter().any(|what| what.value == Use::Params))
    };
    texts(body).for_each(|words| late.texts |= look(words));
    places(body).for_each(|words| late.places |= look(words));
    body.image_words.iter().for_each(|words| late.image |= look(&words.value));
    let mut size = |words: &Option<Spot<Words>>| {
        words.as_ref().map(|words| {
            look(&words.value);
            words.value.template()
        })
    };
    let sizes = Sizes { cpus: size(&body.cpus_words), memory: size(&body.memory_words) };
    late.sizes = (sizes != Sizes::default()).then_some(sizes);
}

/// All texts of a task.
pub(crate) fn texts(body: &draft::Body) -> impl Iterator<Item = &Words> {
    let lists = body.command.iter().chain(&body.entrypoint).flatten();
    let ones = body.script.iter().chain(&body.workdir);
    lists.chain(ones).chain(body.env.values()).chain(body.file_env.values())
}

fn of_task(report: &mut Report, what: &Spot<Use>, key: &str) {
    let message = format!("{} is known to each task only, and {key} is decided for all of them", what.value);
    report.error("E0705", what.span, message).help("use it in command, script or env");
}

/// The stage whose results are read: it must have ended when this one begins.
fn result(
    report: &mut Report,
    stage: &draft::Stage,
    (name, span): (&str, Span),
    (around, above): (&Around, &[bool]),
) -> Option<u32> {
    let own = &stage.name.value;
    let Some(&id) = around.names.get(name).or_else(|| around.names.get(name.replace('_', "-").as_str())) else {
        let known = around.names.keys().copied();
        let help = stages_of_this_job(known.clone());
        let message = format!("there is no stage {name:?} to read results of");
        report.error("E0709", span, message).nearest(name, known).help(help);
        return None;
    };
    if around.names.get(own.as_str()) == Some(&id) {
        let message = format!("stage {own:?} reads its own results, which are there when it has ended");
        report.error("E0709", span, message).help("read those of a stage that it needs");
        return None;
    }
    let ended = around.ended.get(id as usize).is_some_and(|ended| *ended);
    if !(above[id as usize] || ended) {
        let message = format!("stage {own:?} reads the results of {name:?}, which may not have ended then");
        let help = format!("add {name:?} to the needs of {own:?}");
        report.error("E0709", span, message).help(help);
        return None;
    }
    Some(id)
}
