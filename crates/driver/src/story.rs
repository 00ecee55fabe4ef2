//! What a hook reads on its standard input, and what tasks read of the stages that they need.

use std::collections::BTreeMap;

use dybox_model::RunId;
use serde::Serialize;
use serde_json::Value;

/// The run so far, as JSON on a hook's standard input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The run.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// Parameters with their values.
    pub params: BTreeMap<String, Value>,
    /// Stages that have begun or ended, by name.
    pub stages: BTreeMap<String, StageStory>,
    /// Results by stage: the value itself for a stage of one task, else the list in task order.
    pub results: BTreeMap<String, Value>,
}

/// One stage so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageStory {
    /// `running`, or how it ended.
    pub state: String,
    /// How many tasks it has.
    pub tasks: u32,
    /// Exit code of each task's last attempt; null where none has ended.
    pub exit_codes: Vec<Option<i32>>,
    /// What each task wrote to `$DYBOX_RESULT`; null where it wrote nothing.
    pub results: Vec<Value>,
    /// Whether it has one task for each item: then its results are a list, also of one.
    #[serde(skip)]
    pub fanned: bool,
}

impl StageStory {
    /// A stage with what its tasks wrote, as JSON texts.
    #[must_use]
    pub fn new<'a>(
        state: impl Into<String>,
        exit_codes: Vec<Option<i32>>,
        results: impl Iterator<Item = Option<&'a str>>,
    ) -> Self {
        let value = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        let results: Vec<_> = results.map(value).collect();
        let tasks = u32::try_from(results.len()).expect("a stage has at most 100,000 tasks");
        Self { state: state.into(), tasks, exit_codes, results, fanned: false }
    }

    /// The same of a stage with one task for each item.
    #[must_use]
    pub fn fanned(self, fanned: bool) -> Self {
        Self { fanned, ..self }
    }

    /// `results.<stage>`: the value for a stage of one task, the list for more, and where each task has an item.
    #[must_use]
    pub fn result(&self) -> Value {
        match self.results.as_slice() {
            [one] if !self.fanned => one.clone(),
            many => Value::Array(many.to_vec()),
        }
    }
}

impl Story {
    /// Puts a stage in, with its results.
    pub fn tell(&mut self, stage: &str, told: StageStory) {
        self.results.insert(stage.to_owned(), told.result());
        self.stages.insert(stage.to_owned(), told);
    }

    /// The text for standard input.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("its keys are text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_one_task_is_the_value_and_of_more_the_list() {
        let one = StageStory::new("succeeded", vec![Some(0)], [Some("{\"rows\":3}")].into_iter());
        assert_eq!(one.result(), serde_json::json!({"rows": 3}));
        let two = StageStory::new("succeeded", vec![Some(0), None], [Some("1"), None].into_iter());
        assert_eq!(two.result(), serde_json::json!([1, null]));
        let none = StageStory::new("succeeded", vec![], [].into_iter());
        assert_eq!(none.result(), serde_json::json!([]));
    }
}
