//! Where the ports of running tasks are reached.

use dybox_model::{Published, StageId};
use serde_json::{Value, json};

use super::look::Looked;

/// Ports of one stage that are named in a line.
const SHOWN: usize = 6;

/// Each with its task, by the index.
fn of(looked: &Looked, stage: StageId) -> impl Iterator<Item = (u32, &Published)> {
    let run = looked.standing.view.stage(stage).map(|(run, _)| run);
    let all = run.into_iter().flat_map(move |run| run.published(stage));
    all.map(|(attempt, port)| (attempt.task.index, port))
}

/// `port 80 at 127.0.0.1:32768`: of one task, or of all of a stage; empty where there is none.
pub(super) fn words(looked: &Looked, stage: StageId, task: Option<u32>) -> String {
    let named: Vec<String> = of(looked, stage)
        .filter(|(index, _)| task.is_none_or(|task| task == *index))
        .map(|(_, port)| port.to_string())
        .collect();
    let more = named.len().saturating_sub(SHOWN);
    let mut text = named[..named.len() - more].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The same for `why`: nothing where there is none.
pub(super) fn said(looked: &Looked, stage: StageId) -> Option<String> {
    let words = words(looked, stage, looked.task);
    (!words.is_empty()).then(|| format!("it is reached: {words}"))
}

/// One port.
pub(super) fn json_of(port: &Published) -> Value {
    json!({ "container": port.container, "protocol": port.protocol.word(), "host": port.host, "port": port.port,
            "address": port.address() })
}

/// Those of a stage's running tasks, each with its task.
pub(super) fn json(looked: &Looked, stage: StageId) -> Vec<Value> {
    let one = |(task, port): (u32, &Published)| {
        let mut one = json_of(port);
        one["task"] = json!(task);
        one
    };
    of(looked, stage).map(one).collect()
}
