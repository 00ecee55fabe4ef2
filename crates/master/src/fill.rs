//! What of a stage is filled in when its tasks begin: the same for whoever reads the journal again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dybox_driver::StageStory;
use dybox_job::{Evaluator, Known, OfTask, Plan, Stage, outputs_clash, shown};
use dybox_model::{RunId, StageEnd, StageId, SubDagId};

use crate::mind::Mind;
use crate::spec;

/// A stage that has begun, as its tasks see it. Made once.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// `$DYBOX_NEEDS`, or why it can't be.
    pub(crate) needs: Result<String, String>,
    /// `DYBOX_PARAM_<NAME>` of every parameter.
    pub(crate) params: Vec<(String, String)>,
    items: Option<Vec<String>>,
    evaluator: Option<Evaluator>,
    /// Whether two tasks would write one place; nothing = nobody looked yet.
    clash: Option<Option<String>>,
}

/// A stage as one of its tasks has it, and the task's item.
pub(crate) type Filled<'s> = (Cow<'s, Stage>, Option<String>);

impl Prepared {
    pub(crate) fn new(
        (plan, run): (&Plan, BTreeMap<String, String>),
        stage: StageId,
        mind: &Mind,
        story: impl Fn(StageId) -> Option<StageStory>,
    ) -> Self {
        let late = &plan.stages[stage.0 as usize].late;
        let mut params = plan.params.clone();
        params.extend(mind.driver.params_of(stage));
        let evaluator = late.fills().then(|| {
            let result = |id: &StageId| {
                let of = &plan.stages[id.0 as usize];
                let none = || StageStory::new("", Vec::new(), std::iter::empty()).fanned(of.late.each.is_some());
                (of.name.clone(), story(*id).unwrap_or_else(none).result())
            };
            Evaluator::new(&Known {
                params: params.iter().map(|(name, text)| (name.clone(), plan.param(name, text))).collect(),
                results: late.reads.iter().map(result).collect(),
                run,
            })
        });
        let items = late.items().or_else(|| mind.driver.items_of(stage)).map(<[String]>::to_vec);
        Self {
            needs: spec::needs(plan, stage, story),
            params: spec::params(params).collect(),
            items,
            evaluator,
            clash: None,
        }
    }

    /// The stage, with all that was left open filled in for one task.
    ///
    /// # Errors
    /// Which text has no value, and why.
    pub(crate) fn fill<'s>(&mut self, stage: &'s Stage, (index, count): (u32, u32)) -> Result<Filled<'s>, String> {
        let items = self.items.as_deref();
        let item = items.and_then(|items| items.get(index as usize)).map(String::as_str);
        let told = item.map(|item| serde_json::from_str(item).map_or_else(|_| item.to_owned(), |json| shown(&json)));
        let Some(evaluator) = &mut self.evaluator else { return Ok((Cow::Borrowed(stage), told)) };
        if let Some(why) = self.clash.get_or_insert_with(|| outputs_clash(stage, evaluator, (items, count))) {
            return Err(why.clone());
        }
        evaluator.enter(OfTask { item, index, count });
        Ok((Cow::Owned(stage.filled(evaluator)?), told))
    }
}

/// What expressions know of the run; `state` where it has one.
pub(crate) fn run_words(plan: &Plan, run: &RunId, state: Option<&str>) -> BTreeMap<String, String> {
    let words = [("name", plan.name.clone()), ("id", run.to_string())].into_iter();
    let words = words.chain(state.map(|state| ("state", state.to_owned())));
    words.map(|(name, word)| (name.to_owned(), word)).collect()
}

/// How the run ended before what runs after everything. Failed work says most; then what nobody could help; then what
/// somebody wanted, of which those have no end whose application was killed.
pub(crate) fn state_of(rest: &BTreeMap<SubDagId, Mind>) -> &'static str {
    let ends = || rest.values().map(|mind| mind.driver.ended().unwrap_or(StageEnd::Stopped));
    let worst = [StageEnd::Failed, StageEnd::Lost, StageEnd::Stopped];
    worst.into_iter().find(|end| ends().any(|seen| seen == *end)).unwrap_or(StageEnd::Succeeded).word()
}
