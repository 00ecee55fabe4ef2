//! What each stage asks for beside what its tasks used in earlier runs.

use std::collections::BTreeMap;

use dybox_job::Plan;
use dybox_logic::usage::with_margin;
use dybox_model::format_bytes;
use dybox_store::learned::Learned;
use serde_json::{Value, json};

use crate::report::time::{ago, now};
use crate::report::{Screen, table_text};

type Known = BTreeMap<(String, String), Learned>;

/// A table; nothing where nothing is known.
pub(super) fn text(screen: &Screen, plan: &Plan, known: &Known) -> String {
    if known.is_empty() {
        return String::new();
    }
    let mut table = screen.table(&["STAGE", "REQUESTED", "USED", "LEARNED", "ASKS FOR", "MEASURED"]);
    for stage in &plan.stages {
        let requested = stage.elastic.map_or(stage.ask.memory, |elastic| elastic.requested);
        let learned = known.get(&(stage.name.clone(), stage.image.clone()));
        let of = |tell: fn(&Learned) -> String| learned.map_or_else(|| "-".to_owned(), tell);
        table.add_row([
            stage.name.clone(),
            format_bytes(requested),
            of(|learned| format_bytes(learned.memory)),
            of(|learned| format_bytes(with_margin(learned.memory))),
            format_bytes(stage.ask.memory),
            learned.map_or_else(String::new, measured),
        ]);
    }
    let learns = plan.stages.iter().any(|stage| stage.elastic.is_some_and(|elastic| elastic.learns));
    let note = if learns { "" } else { "what was learned counts with --right-size, or rightsize: true\n" };
    format!("\n{}{note}", table_text(table, &[1, 2, 3, 4]))
}

fn measured(learned: &Learned) -> String {
    let tasks = if learned.tasks == 1 { "1 task".to_owned() } else { format!("{} tasks", learned.tasks) };
    format!("{tasks}, {}", ago(now(), learned.at))
}

/// The plan with what is known of its stages.
pub(super) fn json(mut item: Value, plan: &Plan, known: &Known) -> Value {
    let of = |stage: &dybox_job::Stage| {
        let learned = known.get(&(stage.name.clone(), stage.image.clone()));
        json!({
            "stage": stage.name,
            "requested": stage.elastic.map_or(stage.ask.memory, |elastic| elastic.requested),
            "used": learned.map(|learned| learned.memory),
            "learned": learned.map(|learned| with_margin(learned.memory)),
            "asks": stage.ask.memory,
            "tasks": learned.map(|learned| learned.tasks),
        })
    };
    item["learned"] = plan.stages.iter().map(of).collect();
    item["tasks"] = crate::command::check::tasks_of(plan);
    item
}
