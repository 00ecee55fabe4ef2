//! Every attempt of one task.

use std::collections::BTreeMap;

use dybox_journal::Where;
use dybox_model::{Exit, GrantId, Millis, Moved, TaskId, format_bytes, format_duration};
use serde_json::{Value, json};

use super::run_field;
use crate::command::Context;
use crate::command::look::Looked;
use crate::command::published::json_of;
use crate::command::tries::{Try, tries};
use crate::live::shown;
use crate::report::state::{owner_word, state_paint};
use crate::report::time::{local, rfc3339, seconds};
use crate::report::{Answer, Failure, Screen, table_text};

/// The attempts of a task, from the journal of its sub-DAG.
pub(super) async fn answer(context: &Context, looked: &Looked, task: TaskId) -> Result<Answer, Failure> {
    let tries = tries(context, looked, task).await?;
    let name = format!("{}/{}/{}", looked.info.run, looked.name(task.stage), task.index);
    let places = looked.standing.view.stage(task.stage).map(|(run, _)| run.places.clone()).unwrap_or_default();
    Ok(Answer {
        kind: "attempts",
        items: tries.iter().map(|(&number, one)| json(number, one, places.get(&one.grant))).collect(),
        names: tries.keys().map(|number| format!("{name}#{number}")).collect(),
        text: format!("{name}\n{}", text(&context.screen, &tries, &places)),
        extra: run_field(looked),
    })
}

fn json(number: u32, one: &Try, place: Option<&Where>) -> Value {
    let exit = one.exit.as_ref().map(|(exit, _)| exit);
    let cause = exit.and_then(|exit| exit.cause).map(dybox_model::Cause::info);
    json!({
        "attempt": number, "state": one.word(), "grant": one.grant.to_string(),
        "host": place.map(|place| &place.host), "yarn_container": place.map(|place| &place.container), "given": rfc3339(one.given),
        "container": one.container, "ports": one.ports.iter().map(json_of).collect::<Vec<_>>(), "started": exit.and_then(|exit| exit.started).or(one.runs).map(rfc3339),
        "ended": exit.map(|exit| rfc3339(exit.ended)), "seconds": one.wall().map(seconds),
        "code": exit.and_then(|exit| exit.code), "signal": exit.and_then(|exit| exit.signal),
        "cause": cause.map(|info| info.code), "cause_name": cause.map(|info| info.name),
        "owner": cause.map(|info| info.owner), "why": exit.filter(|exit| !exit.ok()).map(Exit::words),
        "text": exit.map(|exit| &exit.text), "again": one.exit.as_ref().map(|(_, again)| again),
        "cpu_seconds": exit.map(|exit| seconds(Millis(exit.used.cpu_ms))), "peak_memory": exit.map(|exit| exit.used.memory),
        "usage": exit.map(|exit| exit.used),
        "moved": exit.map(|exit| &exit.moved),
        "result": exit.and_then(|exit| exit.result.as_ref()),
        "visits": one.visits.iter().map(|visit| json!({
            "by": visit.by, "want": visit.want, "at": rfc3339(visit.at),
        })).collect::<Vec<_>>(),
    })
}

fn text(screen: &Screen, tries: &BTreeMap<u32, Try>, places: &BTreeMap<GrantId, Where>) -> String {
    if tries.is_empty() {
        return "it was not tried yet\n".to_owned();
    }
    let head = ["ATTEMPT", "STATE", "CODE", "STARTED", "TIME", "CPU", "PEAK", "GRANT", "OWNER", "WHY"];
    // A narrow terminal shows how each try ended.
    let fits = |at: usize| !screen.is_narrow() || [0, 1, 2, 4, 9].contains(&at);
    let names: Vec<&str> = head.iter().enumerate().filter(|(at, _)| fits(*at)).map(|(_, name)| *name).collect();
    let mut table = screen.table(&names);
    for (number, one) in tries {
        let exit = one.exit.as_ref().map(|(exit, _)| exit);
        let cause = exit.and_then(|exit| exit.cause).map(dybox_model::Cause::info);
        let word = one.word();
        let row = [
            number.to_string(),
            screen.paint(state_paint(word), word),
            exit.map(|exit| exit.shell_code().to_string()).unwrap_or_default(),
            local(exit.and_then(|exit| exit.started).or(one.runs).unwrap_or(one.given)),
            one.wall().map(format_duration).unwrap_or_default(),
            exit.map(|exit| format_duration(Millis(exit.used.cpu_ms))).unwrap_or_default(),
            exit.map(|exit| format_bytes(exit.used.memory)).unwrap_or_default(),
            places
                .get(&one.grant)
                .map_or_else(|| one.grant.to_string(), |place| format!("{} on {}", one.grant, place.host)),
            cause.map(|info| owner_word(info.owner).to_owned()).unwrap_or_default(),
            exit.map(why).unwrap_or_default(),
        ];
        table.add_row(row.into_iter().enumerate().filter(|(at, _)| fits(*at)).map(|(_, cell)| cell));
    }
    let right: &[usize] = if screen.is_narrow() { &[0, 2, 3] } else { &[0, 2, 4, 5, 6] };
    let mut text = table_text(table, right);
    for (number, visit) in tries.iter().flat_map(|(number, one)| one.visits.iter().map(move |visit| (number, visit))) {
        text.push_str(&format!("#{number} {}: {} by {}\n", local(visit.at), shown(&visit.want), shown(&visit.by)));
    }
    let live = tries.iter().filter(|(_, one)| one.exit.is_none() && one.gone.is_none());
    for (number, port) in live.flat_map(|(number, one)| one.ports.iter().map(move |port| (number, port))) {
        text.push_str(&format!("#{number} {}\n", shown(&port.to_string())));
    }
    text.push_str(&moved(tries));
    text
}

/// Why it failed, or what a person should know although it succeeded.
fn why(exit: &Exit) -> String {
    match exit.cause {
        Some(cause) => format!("{} {}", cause.info().code, shown(&exit.words())),
        None => shown(&exit.text),
    }
}

/// What was brought in and put, of the last try that moved anything.
fn moved(tries: &BTreeMap<u32, Try>) -> String {
    let exits = tries.values().rev().filter_map(|one| one.exit.as_ref());
    let all = exits.map(|(exit, _)| &exit.moved).find(|moved| !moved.is_empty());
    let line = |one: &Moved| {
        let (from, to) = if one.out { (&one.path, &one.place) } else { (&one.place, &one.path) };
        let files = if one.files == 1 { String::new() } else { format!("{} files, ", one.files) };
        let (bytes, took) = (format_bytes(one.bytes), format_duration(one.took));
        format!(
            "{} {from} -> {to}: {files}{bytes} in {took}, crc32c {:08x}\n",
            if one.out { "out" } else { "in" },
            one.crc32c
        )
    };
    all.into_iter().flat_map(|moved| moved.iter()).map(line).collect()
}
