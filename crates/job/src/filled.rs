//! A stage with all that was left open filled in for one of its tasks.

use std::collections::BTreeMap;

use dybox_model::ImageRef;

use crate::expr::{Evaluator, OfTask};
use crate::late::Late;
use crate::places;
use crate::plan::Stage;

impl Late {
    /// Whether something of the stage is filled in for each of its tasks.
    #[must_use]
    pub const fn fills(&self) -> bool {
        self.texts || self.image || self.places || self.sizes.is_some()
    }
}

impl Stage {
    /// This stage for the task that the evaluator has entered.
    ///
    /// # Errors
    /// A sentence: which text has no value, or is not what it should be.
    pub fn filled(&self, evaluator: &mut Evaluator) -> Result<Self, String> {
        let mut filled = self.clone();
        if self.late.texts {
            let lists = filled.command.iter_mut().chain(&mut filled.entrypoint).flatten();
            let texts = lists.chain(&mut filled.script).chain(&mut filled.workdir).chain(filled.env.values_mut());
            for text in texts {
                *text = evaluator.fill(text)?;
            }
            if let Some(dir) = filled.workdir.as_ref().filter(|dir| !dir.starts_with('/')) {
                return Err(format!("\"workdir\" takes an absolute path, and this is {dir:?}"));
            }
        }
        if self.late.image {
            filled.image = image(&self.image, evaluator)?;
        }
        if self.late.places {
            for moved in filled.inputs.iter_mut().chain(&mut filled.outputs) {
                moved.place = place(&moved.place, evaluator)?;
            }
        }
        if let Some(sizes) = &self.late.sizes {
            filled.ask = sizes.of(evaluator, self.ask)?;
        }
        Ok(filled)
    }
}

/// An image that is known for a task.
pub(crate) fn image(template: &str, evaluator: &mut Evaluator) -> Result<String, String> {
    let image = evaluator.fill(template)?;
    match ImageRef::parse(&image) {
        Ok(_) => Ok(image),
        Err(bad) => Err(format!("{image:?}, of {template}, is no image reference: {}", bad.why)),
    }
}

/// A place that is known for a task.
pub(crate) fn place(template: &str, evaluator: &mut Evaluator) -> Result<String, String> {
    let place = evaluator.fill(template)?;
    places::check(&place, template)?;
    Ok(place)
}

/// Two tasks of a stage that would write one place, in a sentence.
#[must_use]
pub fn outputs_clash(
    stage: &Stage,
    evaluator: &mut Evaluator,
    (items, count): (Option<&[String]>, u32),
) -> Option<String> {
    // What ends in / gets the number of the task, and what has it in its name differs.
    let alike = |place: &&str| !place.ends_with('/') && !place.contains("task.index");
    let templates: Vec<&str> = stage.outputs.iter().map(|output| output.place.as_str()).filter(alike).collect();
    if !stage.late.places || templates.is_empty() || count < 2 {
        return None;
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for index in 0..count {
        let item = items.and_then(|items| items.get(index as usize)).map(String::as_str);
        evaluator.enter(OfTask { item, index, count });
        for template in &templates {
            // What has no value its own task tells.
            let Ok(place) = evaluator.fill(template) else { continue };
            if let Some(other) = seen.get(&place).filter(|other| **other != index) {
                return Some(format!("tasks {other} and {index} would write the same place, {place}"));
            }
            seen.insert(place, index);
        }
    }
    None
}
