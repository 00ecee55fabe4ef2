//! A run as a tree of stages and tasks.

use dybox_journal::{Stage, Task};
use dybox_model::{AttemptId, Millis, StageId, TaskId, TaskState, format_bytes, format_duration};

use crate::command::look::Looked;
use crate::command::published::words;
use crate::live::shown;
use crate::report::state::{odd_words, stage_word, state_paint, taken_words, task_word, waits_words};
use crate::report::time::{ago, local, span_or_dash};
use crate::report::{Paint, Screen, table_text};

/// Tasks of a stage that are shown in the tree of a whole run.
const TASKS_SHOWN: usize = 10;

/// The whole answer for people.
pub(super) fn text(screen: &Screen, looked: &Looked, now: Millis) -> String {
    let head = ["STAGE", "STATE", "TASKS", "TRIES", "TIME", "CPU", "PEAK", "WHY"];
    // On a narrow terminal what it used gives way to why.
    let fits = |at: usize| !screen.is_narrow() || ![3, 5, 6].contains(&at);
    let fitting = |row: Vec<String>| row.into_iter().enumerate().filter(|(at, _)| fits(*at)).map(|(_, cell)| cell);
    let names: Vec<&str> = head.iter().enumerate().filter(|(at, _)| fits(*at)).map(|(_, name)| *name).collect();
    let mut table = screen.table(&names);
    let stages = looked.shown();
    for (at, &id) in stages.iter().enumerate() {
        let last = at + 1 == stages.len();
        let (branch, stem) = if last { ("└─", "   ") } else { ("├─", "│  ") };
        table.add_row(fitting(stage_row(screen, looked, id, branch, now)));
        if let Some(seen) = looked.seen(id) {
            for row in task_rows(screen, looked, seen, stem, now) {
                table.add_row(fitting(row));
            }
        }
    }
    let table = match stages.is_empty() {
        true if looked.never_began() => "no master of it ever ran\n".to_owned(),
        true => "its master has not written its plan down yet\n".to_owned(),
        false if screen.is_narrow() => table_text(table, &[2, 3]),
        false => table_text(table, &[2, 3, 4, 5, 6]),
    };
    format!("{}{table}{}", self::head(screen, looked, now), foot(screen, looked))
}

fn head(screen: &Screen, looked: &Looked, now: Millis) -> String {
    let (info, standing) = (&looked.info, &looked.standing);
    let word = standing.word();
    let wall = standing.view.ended().unwrap_or(now).since(info.submitted);
    let time = match standing.view.ended() {
        _ if standing.is_lost() => String::new(),
        Some(_) => format!(" in {}", format_duration(wall)),
        None => format!(" for {}", format_duration(wall)),
    };
    let mut head = format!(
        "{} {}  {}{time}\n",
        screen.paint(Paint::Bold, &info.job),
        info.run,
        screen.paint(state_paint(word), word)
    );
    head.push_str(&format!("submitted {} ({}) by {}\n", local(info.submitted), ago(now, info.submitted), info.user));
    let why = standing.view.why();
    if !why.is_empty() {
        head.push_str(&format!("why: {why}\n"));
    }
    head.push_str(&applications(screen, looked));
    head
}

/// On the cluster: the application of each sub-DAG, and why it waits or is over.
fn applications(screen: &Screen, looked: &Looked) -> String {
    let mut text = String::new();
    let all = &looked.standing.applications;
    for application in all.values() {
        let of = if all.len() > 1 { format!("sub-DAG {}: ", application.subdag.0) } else { String::new() };
        let ended = looked.standing.view.subs.get(&application.subdag).is_some_and(|sub| sub.end.is_some());
        // All is done, and its master says goodbye: what is listed as running would be taken for more.
        let live = application.phase.is_live() && !ended;
        let at = application.master.as_ref().map(|(host, _)| format!(", master on {host}")).unwrap_or_default();
        let state = match ended && application.phase.is_live() {
            true => "ending".to_owned(),
            false => application.state.to_ascii_lowercase(),
        };
        text.push_str(&format!("{of}{} {state} in queue {}{at}\n", application.id, application.queue));
        if live && !application.page.is_empty() && application.page != "N/A" {
            text.push_str(&format!("  {} {}\n", screen.paint(Paint::Dim, "page:"), application.page));
        }
    }
    if let Some(application) = looked.standing.said_by_yarn() {
        text.push_str(&format!("  {} {}\n", screen.paint(Paint::Dim, "YARN:"), shown(&application.diagnostics)));
    }
    text
}

fn foot(screen: &Screen, looked: &Looked) -> String {
    let run = &looked.info.run;
    let hint = match looked.standing.word() {
        _ if looked.never_began() => "nothing of it is left to go on with: run the job file again".to_owned(),
        _ if looked.standing.is_killed() => format!("it was killed through YARN; go on with it: dybox resume {run}"),
        _ if looked.standing.is_lost() => format!("its master is gone; go on with it: dybox resume {run}"),
        "failed" => format!("what happened: dybox why {run}"),
        "lost" | "stopped" => format!("go on with it: dybox resume {run}"),
        _ => return String::new(),
    };
    format!("{}\n", screen.paint(Paint::Dim, &hint))
}

fn stage_row(screen: &Screen, looked: &Looked, id: StageId, branch: &str, now: Millis) -> Vec<String> {
    let seen = looked.seen(id);
    let planned = looked.plan.stages.get(id.0 as usize).map_or(0, |stage| stage.tasks);
    let word = stage_word(seen);
    let counts = seen.map(|stage| stage.counts);
    let (succeeded, total) = counts.map_or((0, planned), |counts| (counts.succeeded, counts.total()));
    let tried = seen.filter(|stage| stage.tries > 0);
    let peak = tried.map(|stage| stage.used.memory).filter(|&bytes| bytes > 0);
    vec![
        format!("{branch} {}", looked.name(id)),
        screen.paint(state_paint(word), word),
        format!("{succeeded}/{total}"),
        tried.map_or_else(String::new, |stage| stage.tries.to_string()),
        seen.and_then(|stage| stage.wall(now)).map(format_duration).unwrap_or_default(),
        tried.map(|stage| format_duration(Millis(stage.used.cpu_ms))).unwrap_or_default(),
        peak.map(format_bytes).unwrap_or_default(),
        seen.map(|stage| why(looked, stage)).unwrap_or_default(),
    ]
}

fn why(looked: &Looked, stage: &Stage) -> String {
    if let Some(words) = taken_words(stage) {
        return words;
    }
    if !stage.why.is_empty() {
        // A stop while it was to be tried again is not for that failure.
        let failure = stage.final_failure().filter(|failure| stage.tasks.len() == 1 && !failure.again);
        let cause = failure.and_then(|failure| failure.exit.cause);
        return cause.map_or_else(|| stage.why.clone(), |cause| format!("{} {}", cause.info().code, stage.why));
    }
    if let Some(words) = odd_words(stage) {
        return words;
    }
    let open: Vec<&str> = stage
        .outline
        .needs
        .iter()
        .filter(|(need, _)| looked.seen(*need).is_none_or(|needed| needed.ended.is_none()))
        .map(|(need, _)| looked.name(*need))
        .collect();
    match stage.state {
        dybox_journal::StageState::Waiting if !open.is_empty() => format!("needs {}", open.join(", ")),
        _ => {
            let waits = waits_words(stage);
            let one = waits.is_empty() && stage.tasks.len() == 1;
            if one { shown(&words(looked, stage.outline.id, None)) } else { waits }
        }
    }
}

/// The tasks that matter: all of a stage that was asked for; else those that failed or are on their way, a few.
fn task_rows(screen: &Screen, looked: &Looked, stage: &Stage, stem: &str, now: Millis) -> Vec<Vec<String>> {
    let all = looked.stage.is_some();
    if !all && stage.tasks.len() == 1 {
        // The stage's own row says the same.
        return Vec::new();
    }
    let matters = |task: &Task| {
        let quiet = matches!(task.state, TaskState::Waiting | TaskState::Succeeded | TaskState::Stopped);
        all || !quiet || task.attempt > 1
    };
    let chosen: Vec<(usize, &Task)> = stage.tasks.iter().enumerate().filter(|(_, task)| matters(task)).collect();
    let shown = if all { chosen.len() } else { chosen.len().min(TASKS_SHOWN) };
    let mut rows: Vec<_> = chosen[..shown]
        .iter()
        .enumerate()
        .map(|(at, &(index, task))| {
            let branch = if at + 1 == chosen.len() { "└─" } else { "├─" };
            let id = TaskId { stage: stage.outline.id, index: u32::try_from(index).unwrap_or(u32::MAX) };
            let mut row = task_row(screen, looked, stage, (id, task), now);
            row[0] = format!("{stem}{branch} {index}");
            row
        })
        .collect();
    if shown < chosen.len() {
        rows.push(vec![format!("{stem}└─ ... {} more", chosen.len() - shown)]);
    }
    rows
}

fn task_row(screen: &Screen, looked: &Looked, stage: &Stage, (id, task): (TaskId, &Task), now: Millis) -> Vec<String> {
    let word = task_word(task.state);
    let attempt = AttemptId { task: id, number: task.attempt };
    let failure = stage.failed.iter().rev().find(|failure| failure.attempt == attempt);
    let live = looked.standing.view.stage(id.stage).and_then(|(run, _)| run.live_of(id)).map(|(_, live)| live);
    let time = match (live, failure) {
        (Some(live), _) => Some(now.since(live.runs.unwrap_or(live.given))),
        (None, Some(failure)) => failure.exit.started.map(|started| failure.exit.ended.since(started)),
        (None, None) => None,
    };
    let used = failure.map(|failure| failure.exit.used).or(live.map(|live| live.used)).unwrap_or_default();
    let cause = failure.and_then(|failure| {
        let code = failure.exit.cause?.info().code;
        Some(format!("{code} {}", shown(&failure.exit.words())))
    });
    vec![
        String::new(),
        screen.paint(state_paint(word), word),
        String::new(),
        if task.attempt > 0 { task.attempt.to_string() } else { String::new() },
        time.map(|time| span_or_dash(Some(time))).unwrap_or_default(),
        if used.cpu_ms > 0 { format_duration(Millis(used.cpu_ms)) } else { String::new() },
        if used.memory > 0 { format_bytes(used.memory) } else { String::new() },
        cause.unwrap_or_else(|| shown(&words(looked, id.stage, Some(id.index)))),
    ]
}
