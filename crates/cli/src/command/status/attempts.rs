//! Every attempt of one task.

use std::collections::BTreeMap;

use dybox_model::{Exit, Fact, GrantId, Millis, TaskId, format_bytes, format_duration};
use serde_json::{Value, json};

use super::run_field;
use crate::command::Context;
use crate::command::look::{Looked, facts};
use crate::report::state::state_paint;
use crate::report::time::{local, rfc3339, seconds};
use crate::report::{Answer, Failure, Screen, table_text};

/// One try, as the facts tell it.
#[derive(Debug)]
struct Try {
    grant: GrantId,
    given: Millis,
    runs: Option<Millis>,
    container: String,
    exit: Option<(Exit, bool)>,
}

impl Try {
    fn word(&self) -> &'static str {
        match &self.exit {
            None if self.runs.is_some() => "running",
            None => "starting",
            Some((exit, _)) if exit.ok() => "succeeded",
            Some(_) => "failed",
        }
    }

    fn wall(&self) -> Option<Millis> {
        let (exit, _) = self.exit.as_ref()?;
        Some(exit.ended.since(exit.started?))
    }
}

/// The attempts of a task, from the journal of its sub-DAG.
pub(super) async fn answer(context: &Context, looked: &Looked, task: TaskId) -> Result<Answer, Failure> {
    let subdag = looked.plan.stages[task.stage.0 as usize].subdag;
    let tries = tries(facts(&context.client()?, &looked.info.run, subdag).await?, task);
    let name = format!("{}/{}/{}", looked.info.run, looked.name(task.stage), task.index);
    Ok(Answer {
        kind: "attempts",
        items: tries.iter().map(|(&number, one)| json(number, one)).collect(),
        names: tries.keys().map(|number| format!("{name}#{number}")).collect(),
        text: format!("{name}\n{}", text(&context.screen, &tries)),
        extra: run_field(looked),
    })
}

fn tries(facts: Vec<Fact>, task: TaskId) -> BTreeMap<u32, Try> {
    let mut tries = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::AttemptStarted { attempt, grant, at } if attempt.task == task => {
                let one = Try { grant, given: at, runs: None, container: String::new(), exit: None };
                tries.insert(attempt.number, one);
            }
            Fact::AttemptRuns { attempt, container, at } if attempt.task == task => {
                if let Some(one) = tries.get_mut(&attempt.number) {
                    one.runs = Some(at);
                    one.container = container;
                }
            }
            Fact::AttemptEnded { attempt, exit, again } if attempt.task == task => {
                if let Some(one) = tries.get_mut(&attempt.number) {
                    one.exit = Some((exit, again));
                }
            }
            _ => {}
        }
    }
    tries
}

fn json(number: u32, one: &Try) -> Value {
    let exit = one.exit.as_ref().map(|(exit, _)| exit);
    json!({
        "attempt": number, "state": one.word(), "grant": one.grant.to_string(), "given": rfc3339(one.given),
        "container": one.container, "started": exit.and_then(|exit| exit.started).or(one.runs).map(rfc3339),
        "ended": exit.map(|exit| rfc3339(exit.ended)), "seconds": one.wall().map(seconds),
        "code": exit.and_then(|exit| exit.code), "signal": exit.and_then(|exit| exit.signal),
        "cause": exit.and_then(|exit| exit.cause).map(|cause| cause.info().code),
        "text": exit.map(|exit| &exit.text), "again": one.exit.as_ref().map(|(_, again)| again),
        "cpu_seconds": exit.map(|exit| seconds(Millis(exit.used.cpu_ms))), "peak_memory": exit.map(|exit| exit.used.memory),
        "result": exit.and_then(|exit| exit.result.as_ref()),
    })
}

fn text(screen: &Screen, tries: &BTreeMap<u32, Try>) -> String {
    if tries.is_empty() {
        return "it was not tried yet\n".to_owned();
    }
    let mut table = screen.table(&["ATTEMPT", "STATE", "CODE", "STARTED", "TIME", "CPU", "PEAK", "GRANT", "WHY"]);
    for (number, one) in tries {
        let exit = one.exit.as_ref().map(|(exit, _)| exit);
        let word = one.word();
        table.add_row([
            number.to_string(),
            screen.paint(state_paint(word), word),
            exit.map(|exit| exit.shell_code().to_string()).unwrap_or_default(),
            local(exit.and_then(|exit| exit.started).or(one.runs).unwrap_or(one.given)),
            one.wall().map(format_duration).unwrap_or_default(),
            exit.map(|exit| format_duration(Millis(exit.used.cpu_ms))).unwrap_or_default(),
            exit.map(|exit| format_bytes(exit.used.memory)).unwrap_or_default(),
            one.grant.to_string(),
            exit.map(why).unwrap_or_default(),
        ]);
    }
    table_text(table, &[0, 2, 4, 5, 6])
}

fn why(exit: &Exit) -> String {
    let Some(cause) = exit.cause else { return String::new() };
    let info = cause.info();
    let text = if exit.text.is_empty() { info.phrase } else { &exit.text };
    format!("{} {text}", info.code)
}
