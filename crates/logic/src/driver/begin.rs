//! What is decided when a stage begins: whether it runs at all, and for which items. All that it reads is in the journal.

use std::collections::BTreeMap;

use dybox_job::{Each, Evaluator, Known, Late, MOST_TASKS, ParamRule, Plan, Stage};
use dybox_model::{Decision, Exit, Fact, Resources, StageId, SubDagId, TaskId};
use serde_json::Value as Json;

/// How a stage begins.
pub(super) enum Begin {
    /// Its condition is false.
    Skip(String),
    /// With so many tasks.
    Go(Go),
}

/// What a stage begins with.
#[derive(Debug, Default)]
pub(super) struct Go {
    pub(super) tasks: u32,
    /// The items of its tasks, where they are not written down already.
    pub(super) items: Option<Vec<String>>,
    /// What its tasks ask for, where they differ.
    pub(super) sizes: Option<Sized>,
}

/// How many tasks in a row, and what each of them asks for.
type Sizes = Vec<(u32, Resources)>;

/// Sizes, and whether they are not written down yet.
#[derive(Debug)]
pub(super) struct Sized {
    pub(super) sizes: Sizes,
    pub(super) new: bool,
}

/// The results of a stage that a condition or a list of ours reads.
#[derive(Debug, Default)]
struct Results {
    /// Of one of ours: what each task wrote.
    ours: BTreeMap<u32, String>,
    /// Of another sub-DAG's: all of it.
    told: Option<Json>,
    fanned: bool,
}

/// What decisions at the begin of stages need.
#[derive(Debug, Default)]
pub(super) struct Begins {
    /// Of stages of ours that have a condition or a list.
    rules: BTreeMap<u32, Late>,
    results: BTreeMap<u32, Results>,
    names: BTreeMap<u32, String>,
    items: BTreeMap<u32, Vec<String>>,
    /// What the tasks of stages ask for that have begun.
    sizes: BTreeMap<u32, Sizes>,
    /// What those stages ask for that have sizes of their own for each task, beside these.
    asks: BTreeMap<u32, Resources>,
    params: BTreeMap<String, String>,
    types: BTreeMap<String, ParamRule>,
    run: BTreeMap<String, String>,
    last: bool,
    /// A hook may add a stage that reads any of them: the results of all are kept.
    all: bool,
}

/// Whether something of a stage is decided when it begins.
fn has_rule(late: &Late) -> bool {
    late.when.is_some() || late.sizes.is_some() || matches!(late.each, Some(Each::Of(_)))
}

impl Begins {
    pub(super) fn new(plan: &Plan, subdag: SubDagId) -> Self {
        let all = plan.subdags.get(subdag.0 as usize).is_some_and(|subdag| !subdag.hooks.is_empty());
        let ours = (0u32..).zip(&plan.stages).filter(|(_, stage)| stage.subdag == subdag && has_rule(&stage.late));
        let rules: BTreeMap<u32, Late> = ours.map(|(id, stage)| (id, stage.late.clone())).collect();
        let mut read: Vec<u32> = rules.values().flat_map(|late| &late.reads).map(|stage| stage.0).collect();
        if all {
            read.extend((0u32..).zip(&plan.stages).filter(|(_, stage)| stage.subdag == subdag).map(|(id, _)| id));
        }
        let stage = |id: u32| &plan.stages[id as usize];
        let results =
            read.iter().map(|&id| (id, Results { fanned: stage(id).late.each.is_some(), ..Results::default() }));
        Self {
            results: results.collect(),
            names: read.iter().map(|&id| (id, stage(id).name.clone())).collect(),
            asks: rules.keys().map(|&id| (id, stage(id).ask)).collect(),
            rules,
            items: BTreeMap::new(),
            sizes: BTreeMap::new(),
            params: plan.params.clone(),
            types: plan.rules.clone(),
            run: BTreeMap::from([("name".to_owned(), plan.name.clone())]),
            last: plan.is_last(subdag),
            all,
        }
    }

    /// A stage is new; `name` tells those of others.
    pub(super) fn add(&mut self, id: u32, stage: &Stage, name: impl Fn(u32) -> String) {
        self.results.entry(id).or_default().fanned = stage.late.each.is_some();
        self.names.insert(id, stage.name.clone());
        for read in stage.late.reads.iter().map(|read| read.0) {
            self.results.entry(read).or_default();
            self.names.entry(read).or_insert_with(|| name(read));
        }
        if has_rule(&stage.late) {
            self.rules.insert(id, stage.late.clone());
        }
    }

    /// Takes in what of a fact it needs.
    pub(super) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Submitted { run, .. } => drop(self.run.insert("id".to_owned(), run.to_string())),
            Fact::StageFanned { stage, items } => drop(self.items.insert(stage.0, items.clone())),
            Fact::StageSized { stage, sizes } => drop(self.sizes.insert(stage.0, sizes.clone())),
            Fact::StageTaken { stage, results, .. } => self.taken(stage.0, results),
            // What a stage reads may be otherwise when it begins again, and a size that no machine has must not stay. Its
            // list does: some of its tasks may have succeeded. What runs after everything begins anew, and so do its lists.
            Fact::Reopened { .. } => {
                self.sizes.clear();
                if self.last {
                    self.items.clear();
                }
            }
            Fact::AttemptEnded { attempt, exit, .. } => self.keep(attempt.task, exit),
            _ => {}
        }
    }

    fn keep(&mut self, task: TaskId, exit: &Exit) {
        let Some(results) = self.results.get_mut(&task.stage.0).filter(|_| exit.ok()) else { return };
        match &exit.result {
            Some(result) => drop(results.ours.insert(task.index, result.as_str().to_owned())),
            None => drop(results.ours.remove(&task.index)),
        }
    }

    fn taken(&mut self, stage: u32, all: &[Option<String>]) {
        if let Some(results) = self.results.get_mut(&stage) {
            let known = (0u32..).zip(all).filter_map(|(index, result)| Some((index, result.clone()?)));
            results.ours = known.collect();
        }
    }

    /// The results of a stage of another sub-DAG, as JSON.
    pub(super) fn told(&mut self, stage: StageId, result: &str) {
        if self.all {
            self.results.entry(stage.0).or_default();
        }
        if let Some(results) = self.results.get_mut(&stage.0) {
            results.told = serde_json::from_str(result).ok();
        }
    }

    /// How the rest of the run ended.
    pub(super) fn ended(&mut self, state: String) {
        self.run.insert("state".to_owned(), state);
    }

    /// The items that a stage has begun with, where the plan does not know them.
    pub(super) fn items(&self, stage: u32) -> Option<&[String]> {
        self.items.get(&stage).map(Vec::as_slice)
    }

    /// How a stage begins. `changed`: parameters that hooks changed for it. `tasks` of each stage by its number.
    ///
    /// # Errors
    /// Why that can't be told, as a sentence.
    pub(super) fn of(
        &self,
        stage: u32,
        changed: BTreeMap<String, String>,
        tasks: impl Fn(u32) -> u32,
    ) -> Result<Begin, String> {
        let planned = tasks(stage);
        let Some(late) = self.rules.get(&stage) else {
            return Ok(Begin::Go(Go { tasks: planned, ..Go::default() }));
        };
        let mut evaluator = Evaluator::new(&self.known(late, changed, tasks));
        if let Some(when) = &late.when {
            let holds = evaluator.truth(when).map_err(|why| format!("its condition: {why}"))?;
            if !holds {
                return Ok(Begin::Skip(format!("its condition is false: {when}")));
            }
        }
        let mut go = Go { tasks: planned, ..Go::default() };
        if let Some(Each::Of(list)) = &late.each {
            if self.items(stage).is_none() {
                go.items = Some(evaluator.items(list).map_err(|why| format!("its list: {why}"))?);
            }
            let items = go.items.as_deref().or_else(|| self.items(stage)).unwrap_or_default();
            go.tasks = u32::try_from(items.len()).unwrap_or(u32::MAX);
        }
        if let Some(sizes) = &late.sizes {
            let items = go.items.as_deref().or_else(|| late.items()).or_else(|| self.items(stage));
            let written = self.sizes.get(&stage).filter(|all| all.iter().map(|(row, _)| row).sum::<u32>() == go.tasks);
            go.sizes = Some(match written {
                Some(sizes) => Sized { sizes: sizes.clone(), new: false },
                None => {
                    let all = sizes.all(&mut evaluator, self.asks[&stage], (items, go.tasks));
                    Sized { sizes: all.map_err(|why| format!("the size of {why}"))?, new: true }
                }
            });
        }
        Ok(Begin::Go(go))
    }

    fn known(&self, late: &Late, changed: BTreeMap<String, String>, tasks: impl Fn(u32) -> u32) -> Known {
        let mut params = self.params.clone();
        params.extend(changed);
        let typed = |(name, text): (String, String)| {
            let json =
                self.types.get(&name).map_or_else(|| ParamRule::default().parse(&text), |rule| rule.parse(&text));
            let json = json.unwrap_or(Json::String(text));
            (name, json)
        };
        let read = late.reads.iter().map(|stage| (self.names[&stage.0].clone(), self.result(stage.0, tasks(stage.0))));
        Known { params: params.into_iter().map(typed).collect(), results: read.collect(), run: self.run.clone() }
    }

    /// The value for a stage of one task, else the list in task order.
    fn result(&self, stage: u32, tasks: u32) -> Json {
        let results = &self.results[&stage];
        if let Some(told) = &results.told {
            return told.clone();
        }
        let one = |index: u32| {
            let text = results.ours.get(&index);
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Json::Null)
        };
        let all: Vec<Json> = (0..tasks.min(u32::try_from(MOST_TASKS).unwrap_or(u32::MAX))).map(one).collect();
        match all.as_slice() {
            [one] if !results.fanned => one.clone(),
            _ => Json::Array(all),
        }
    }

    /// Whether a hook may set these parameters.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(super) fn check(&self, decision: &Decision) -> Result<(), String> {
        for (name, text) in &decision.params {
            if !self.params.contains_key(name) {
                return Err(format!("its decision sets the parameter \"{name}\", which the job does not have"));
            }
            let rule = self.types.get(name).cloned().unwrap_or_default();
            let value = rule.parse(text).unwrap_or_else(|| Json::String(text.clone()));
            rule.check(value)
                .map_err(|why| format!("its decision sets the parameter \"{name}\" to {text:?}; it {why}"))?;
        }
        Ok(())
    }
}
