//! Fills in what depends on items and numbers alone, so that its faults are seen when planning.

use dybox_model::Resources;

use crate::draft::{self, Job, Words};
use crate::expr::{Evaluator, Known, OfTask};
use crate::filled;
use crate::late::{Each, Late, texts};
use crate::report::Report;
use crate::uses::Use;

/// Tasks of a stage that are tried.
const TRIED: u32 = 100;

/// What is tried of a stage.
struct Trial<'a> {
    texts: Vec<&'a Words>,
    image: Option<&'a Words>,
    places: Vec<&'a Words>,
    sizes: Vec<&'a Words>,
}

/// Whether all that it reads is known when planning, task by task.
fn own(words: &&Words) -> bool {
    words.known.is_none() && words.uses.iter().all(|what| what.value.is_of_task() || what.value == Use::Params)
}

impl<'a> Trial<'a> {
    fn of(stage: &'a draft::Stage) -> Self {
        let body = &stage.body;
        let sizes = body.cpus_words.iter().chain(&body.memory_words).map(|spot| &spot.value);
        let all: Vec<&Words> = sizes.collect();
        Self {
            texts: texts(body).filter(own).collect(),
            image: body.image_words.as_ref().map(|spot| &spot.value).filter(own),
            places: places(body).filter(own).collect(),
            // Both, or none: a size is one value.
            sizes: if all.iter().all(own) { all } else { Vec::new() },
        }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.image.is_none() && self.places.is_empty() && self.sizes.is_empty()
    }

    /// Tries the task that the evaluator has entered; gives its size. Else the words that are wrong, and why.
    fn one(&self, late: &Late, scope: &mut Evaluator) -> Result<Option<Resources>, (&'a Words, String)> {
        for words in &self.texts {
            scope.fill(&words.template()).map_err(|why| (*words, why))?;
        }
        if let Some(words) = self.image {
            filled::image(&words.template(), scope).map_err(|why| (words, why))?;
        }
        for words in &self.places {
            filled::place(&words.template(), scope).map_err(|why| (*words, why))?;
        }
        let Some((first, sizes)) = self.sizes.first().zip(late.sizes.as_ref()) else { return Ok(None) };
        sizes.of(scope, Resources::default()).map(Some).map_err(|why| (*first, why))
    }
}

/// The places of inputs and outputs.
pub(crate) fn places(body: &draft::Body) -> impl Iterator<Item = &Words> {
    body.inputs.iter().chain(&body.outputs).flatten().map(|moved| &moved.value.place)
}

/// Tries the tasks that are known; gives the size of the largest, of what templates say of it.
pub(crate) fn try_out(report: &mut Report, job: &Job, stage: &draft::Stage, late: &Late) -> Option<Resources> {
    let trial = Trial::of(stage);
    let count = match &late.each {
        None => stage.body.parallelism.unwrap_or(1),
        Some(Each::Items(items)) => u32::try_from(items.len()).unwrap_or(u32::MAX),
        Some(Each::Of(_)) => return None,
    };
    if trial.is_empty() {
        return None;
    }
    let mut scope = Evaluator::new(&Known { params: job.params.clone(), ..Known::default() });
    let mut largest: Option<Resources> = None;
    for index in 0..count.min(TRIED) {
        let item = late.items().and_then(|items| items.get(index as usize)).map(String::as_str);
        scope.enter(OfTask { item, index, count });
        match trial.one(late, &mut scope) {
            Ok(size) => largest = largest.max(size),
            Err((words, why)) => {
                let what = words.uses.iter().find(|what| what.value.is_of_task());
                let span = what.map_or(stage.name.span, |what| what.span);
                let message = format!("task {index} of stage {:?}: {why}", stage.name.value);
                let problem = report.error("E0707", span, message);
                if let Some(item) = item {
                    problem.note(format!("its item is {item}"));
                }
                problem.help("correct the item or the text");
                return None;
            }
        }
    }
    largest
}
