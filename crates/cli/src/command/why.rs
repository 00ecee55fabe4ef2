//! `dybox why`: why something waits, or why it failed, and what happens next.

use dybox_journal::{Failure as Failed, HookState, Stage, StageState};
use dybox_model::{AttemptId, Cause, Exit, ExitCode, HookId, StageEnd, StageId, TaskId, TaskState, format_duration};
use serde_json::{Value, json};

use super::explain::reaction;
use super::look::{Looked, look};
use super::ps::run_json;
use super::published;
use super::target::Target;
use super::tries::{last_lines, tries};
use super::{Context, Outcome};
use crate::live::shown;
use crate::report::safe::safe;
use crate::report::state::{cache_words, owner, owner_word, stage_word, state_paint};
use crate::report::{Answer, Failure, Output, Paint, Screen};

/// Further failed tries that are listed.
const OTHERS: usize = 10;
/// Stages that are explained at most when a whole run is asked about.
const STAGES: usize = 20;

/// Says why something waits or failed, and what happens next
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  dybox why @latest\n  dybox why nightly/join\n  dybox why 01jd/join/3 -o json")]
pub(crate) struct Args {
    /// RUN, RUN/STAGE or RUN/STAGE/N; a run by id, its beginning, job name or @latest
    #[arg(value_name = "RUN[/STAGE[/N]]", default_value = "@latest")]
    pub target: Target,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What is to be said about one stage, hook, or the run itself.
#[derive(Debug, Default)]
struct Reason {
    subject: String,
    state: &'static str,
    /// Sentences, the most important first.
    said: Vec<String>,
    cause: Option<Cause>,
    stderr: Vec<String>,
    /// Failed tries beside the one that is explained.
    others: Vec<(AttemptId, Exit)>,
    next: String,
}

/// Finds reasons and prints them.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let looked = look(context, &args.target).await?;
    let mut reasons = Vec::new();
    if looked.stage.is_none() {
        reasons.push(of_run(&looked));
        reasons.extend(of_hooks(&looked));
    }
    let waiting = waiting(context, &looked).await?;
    if let Some(first) = reasons.first_mut().filter(|_| !looked.standing.held.is_empty() && looked.stage.is_none()) {
        first.said.extend(room(context, &looked, !waiting.is_empty()).await);
    }
    for id in looked.to_explain(STAGES) {
        reasons.push(of_stage(context, &looked, id, &waiting).await?);
    }
    let mut extra = serde_json::Map::new();
    extra.insert("run".to_owned(), run_json(&looked.info, &looked.standing));
    let answer = Answer {
        kind: "reasons",
        items: reasons.iter().map(Reason::json).collect(),
        names: reasons.iter().map(|reason| reason.subject.clone()).collect(),
        text: reasons.iter().map(|reason| reason.text(&context.screen)).collect::<Vec<_>>().join("\n"),
        extra,
    };
    context.screen.answer(args.output.format(&context.conf), &answer)?;
    Ok(ExitCode::Ok as u8)
}

/// Why stages wait, as the live masters see it.
async fn waiting(context: &Context, looked: &Looked) -> Result<Vec<(StageId, String)>, Failure> {
    if looked.standing.held.is_empty() {
        return Ok(Vec::new());
    }
    let subdags = u32::try_from(looked.plan.subdags.len()).unwrap_or(u32::MAX);
    let waiting = context.client()?.why(&looked.info.run, subdags).await;
    let say = |tasks: u32, why: &str| match tasks {
        // It counts the tasks itself.
        _ if tasks == 0 || why.starts_with("no room") => why.to_owned(),
        1 => format!("1 task waits: {why}"),
        tasks => format!("{tasks} tasks wait: {why}"),
    };
    Ok(waiting.into_iter().map(|one| (one.stage, say(one.tasks, &one.why))).collect())
}

/// On the cluster, while something waits: the queue's headroom and the cluster's free room.
async fn room(context: &Context, looked: &Looked, waiting: bool) -> Vec<String> {
    let all = looked.standing.applications.values();
    let mut live = all.filter(|application| application.phase.is_live() && (waiting || application.waits().is_some()));
    match (live.next(), context.client()) {
        (Some(application), Ok(client)) => client.room(&application.queue).await,
        _ => Vec::new(),
    }
}

fn of_run(looked: &Looked) -> Reason {
    let (standing, run) = (&looked.standing, &looked.info.run);
    let word = standing.word();
    let mut said = Vec::new();
    match standing.said_by_yarn() {
        Some(application) => {
            let queue =
                if application.phase.is_live() { format!(" in queue {}", application.queue) } else { String::new() };
            said.push(format!(
                "{} is {}{queue}: {}",
                application.id,
                application.state,
                shown(&application.diagnostics)
            ));
        }
        None if standing.is_killed() => said.push("its application was killed through YARN".to_owned()),
        None if standing.is_lost() => {
            said.push(
                "it has not ended and nobody drives it: its master was killed or the machine restarted".to_owned(),
            );
        }
        None => {}
    }
    said.extend(standing.view.subs.values().filter_map(|sub| sub.stop.as_ref()).map(|stop| stop.why.clone()).take(1));
    let why = standing.view.why();
    if !why.is_empty() && !said.iter().any(|known| known == why) {
        said.push(why.to_owned());
    }
    let next = match word {
        _ if looked.never_began() => "no master of it ever ran: run the job file again".to_owned(),
        _ if standing.is_lost() => format!("go on with it: `dybox resume {run}`"),
        "submitted" | "running" => format!("nothing; follow it with `dybox logs {run} -f`"),
        "succeeded" => format!("nothing; `dybox status {run}` shows what it used"),
        "failed" => format!("again: `dybox resume {run}`; with a corrected job file: `dybox run --cache JOB.yaml`"),
        _ => format!("go on with it: `dybox resume {run}`"),
    };
    Reason { subject: format!("run {run}"), state: word, said, next, ..Reason::default() }
}

fn of_hooks(looked: &Looked) -> Vec<Reason> {
    let hooks = looked.standing.view.subs.values().flat_map(|sub| &sub.hooks);
    // The stage that a hook runs as says it by itself.
    hooks
        .filter(|(id, _)| looked.plan.stage_of_hook(**id).is_none())
        .filter_map(|(id, state)| match state {
            HookState::Failed { why, .. } => Some(Reason {
                subject: looked.hook(*id),
                state: "failed",
                stderr: why.lines().map(|line| safe(line.as_bytes()).into_owned()).collect(),
                next: "correct the hook; run it by hand with the same JSON on its stdin".to_owned(),
                ..Reason::default()
            }),
            HookState::Decided { .. } => None,
        })
        .collect()
}

async fn of_stage(
    context: &Context,
    looked: &Looked,
    id: StageId,
    waiting: &[(StageId, String)],
) -> Result<Reason, Failure> {
    let seen = looked.seen(id);
    let task = looked.task.map(|index| format!("/{index}")).unwrap_or_default();
    let mut reason =
        Reason { subject: format!("{}{task}", looked.name(id)), state: state(looked, seen), ..Reason::default() };
    let failed = seen.and_then(|stage| failure(looked, stage));
    // A failure says the same with more: which task, which try, what it wrote.
    let says_more = |stage: &&Stage| failed.is_none() || stage.state == StageState::Ended(StageEnd::Stopped);
    if let Some(stage) = seen.filter(|stage| !stage.why.is_empty()).filter(says_more) {
        reason.said.push(stage.why.clone());
    }
    match (failed, seen) {
        (Some(failed), Some(stage)) => {
            explain(&mut reason, stage, failed);
            // When it is tried again.
            reason.said.extend(stage.tried_again().into_iter().flat_map(|_| waits(looked, id, seen, waiting)));
            reason.stderr = last_lines(context, looked, failed.attempt).await?;
        }
        (None, Some(stage)) if matches!(stage.state, StageState::Ended(_)) => ended(&mut reason, looked, stage),
        _ => reason.said.extend(waits(looked, id, seen, waiting)),
    }
    reason.said.extend(published::said(looked, id));
    reason.said.extend(cache_words(looked.plan.stages.get(id.0 as usize), seen));
    if let Some(stage) = seen {
        reason.others = others(context, looked, stage).await?;
    }
    if reason.next.is_empty() {
        reason.next = match looked.standing.is_lost() || looked.is_dead(id) {
            true => format!("go on with it: `dybox resume {}`", looked.info.run),
            false => "nothing: it goes on by itself".to_owned(),
        };
    }
    reason.next = reason.next.replace("`dybox resume RUN`", &format!("`dybox resume {}`", looked.info.run));
    Ok(reason)
}

fn state(looked: &Looked, seen: Option<&Stage>) -> &'static str {
    let task = looked.task.and_then(|index| seen?.tasks.get(index as usize));
    task.map_or_else(|| stage_word(seen), |task| crate::report::state::task_word(task.state))
}

/// The failure that matters: of the task that was asked about its last one, else the one that ended the stage.
fn failure<'a>(looked: &Looked, stage: &'a Stage) -> Option<&'a Failed> {
    match looked.task {
        None => stage.final_failure(),
        Some(index) => {
            let succeeded = stage.tasks.get(index as usize).is_some_and(|task| task.state == TaskState::Succeeded);
            stage.failed.iter().rev().find(|failed| failed.attempt.task.index == index && !succeeded)
        }
    }
}

fn explain(reason: &mut Reason, stage: &Stage, failed: &Failed) {
    let exit = &failed.exit;
    let Some(cause) = exit.cause else { return };
    let info = cause.info();
    let of = if stage.tasks.len() > 1 { format!(" of task {}", failed.attempt.task.index) } else { String::new() };
    let after = exit.started.map(|from| format!(" after {}", format_duration(exit.ended.since(from))));
    let again = if failed.again { "; it is tried again" } else { "" };
    let (number, after, words) = (failed.attempt.number, after.unwrap_or_default(), shown(&exit.words()));
    let how = if cause == Cause::Stopped { "was stopped" } else { "failed" };
    reason.said.push(format!("try {number}{of} {how}{after}: {words} ({}){again}", info.code));
    reason.said.push(info.reason.to_owned());
    reason.cause = Some(cause);
    reason.next = cause.next(stage.outline.hook).to_owned();
}

/// Failed tries beside the one that was explained: all of a task, of a stage those that were kept.
async fn others(context: &Context, looked: &Looked, stage: &Stage) -> Result<Vec<(AttemptId, Exit)>, Failure> {
    let but = failure(looked, stage).map(|failed| failed.attempt);
    let index = looked.task.or((stage.tasks.len() == 1).then_some(0));
    let all: Vec<_> = match index {
        Some(index) => {
            let task = TaskId { stage: stage.outline.id, index };
            let ended = tries(context, looked, task).await?.into_iter();
            let ended = ended.filter_map(|(number, one)| Some((AttemptId { task, number }, one.exit?.0)));
            ended.filter(|(_, exit)| !exit.ok()).collect()
        }
        None => stage.failures_of_its_own().map(|failed| (failed.attempt, failed.exit.clone())).collect(),
    };
    Ok(all.into_iter().filter(|(attempt, _)| Some(*attempt) != but).collect())
}

fn ended(reason: &mut Reason, looked: &Looked, stage: &Stage) {
    if let (StageState::Ended(StageEnd::Failed | StageEnd::Lost), Some(cause)) = (stage.state, stage.cause()) {
        reason.said.push(cause.info().reason.to_owned());
        reason.cause = Some(cause);
        reason.next = cause.next(stage.outline.hook).to_owned();
        return;
    }
    reason.next = match stage.state {
        StageState::Ended(StageEnd::Succeeded) => "nothing: it succeeded".to_owned(),
        StageState::Ended(StageEnd::Skipped) => "look at what it needs".to_owned(),
        _ => format!("go on with it: `dybox resume {}`", looked.info.run),
    };
    if stage.state == StageState::Ended(StageEnd::Skipped) {
        reason.said.extend(stage.outline.needs.iter().filter_map(|(need, _)| {
            let needed = looked.seen(*need)?;
            Some(format!("it needs {}, which is {}", looked.name(*need), stage_word(Some(needed))))
        }));
    }
}

/// Why a stage that is not over does not go on, or that it does.
fn waits(looked: &Looked, id: StageId, seen: Option<&Stage>, waiting: &[(StageId, String)]) -> Vec<String> {
    let needs = looked.plan.stages.get(id.0 as usize).map(|stage| stage.needs.as_slice()).unwrap_or_default();
    let open = |need: &StageId| looked.seen(*need).is_none_or(|needed| needed.ended.is_none());
    let mut said: Vec<String> = needs
        .iter()
        .filter(|(need, _)| open(need))
        .map(|(need, _)| format!("it needs {}, which is {}", looked.name(*need), stage_word(looked.seen(*need))))
        .collect();
    let held = |(_, hook): &(HookId, &dybox_job::Hook)| hook.holds.contains(&id) && said.is_empty();
    let hook = (0..).map(HookId).zip(&looked.plan.hooks).find(held).map(|(hook, _)| hook);
    if said.is_empty() {
        said.extend(waiting.iter().filter(|(stage, _)| *stage == id).map(|(_, why)| why.clone()));
    }
    if let Some(stage) = seen
        && stage.state == StageState::Running
    {
        let counts = stage.counts;
        let all = [(counts.running, "running"), (counts.starting, "starting"), (counts.waiting, "waiting")];
        let some: Vec<_> = all.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if !some.is_empty() {
            said.push(format!("tasks: {}", some.join(", ")));
        }
    } else if let Some(hook) = hook.filter(|_| said.is_empty()) {
        said.push(format!("it waits for the {}", looked.hook(hook)));
    }
    said
}

impl Reason {
    fn text(&self, screen: &Screen) -> String {
        let state = screen.paint(state_paint(self.state), self.state);
        let mut text = format!("{}: {state}\n", screen.paint(Paint::Bold, &self.subject));
        for said in &self.said {
            text.push_str(&format!("  {said}\n"));
        }
        if let Some(cause) = self.cause {
            let info = cause.info();
            text.push_str(&format!("  {} {}\n", screen.paint(Paint::Dim, "owner:"), owner(info.owner)));
            text.push_str(&format!("  {} {}\n", screen.paint(Paint::Dim, "rule: "), reaction(info.reaction)));
        }
        if !self.stderr.is_empty() {
            text.push_str(&format!("  {}\n", screen.paint(Paint::Dim, "the last lines of its stderr:")));
        }
        for line in &self.stderr {
            text.push_str(&format!("  {} {line}\n", screen.paint(Paint::Bad, "|")));
        }
        text.push_str(&self.others_text(screen));
        text.push_str(&format!("  {} {}\n", screen.paint(Paint::Bold, "next: "), self.next));
        text
    }

    fn others_text(&self, screen: &Screen) -> String {
        if self.others.is_empty() {
            return String::new();
        }
        let mut text = format!("  {}\n", screen.paint(Paint::Dim, "other tries that failed:"));
        let one_task = self.others.windows(2).all(|pair| pair[0].0.task == pair[1].0.task);
        for (attempt, exit) in self.others.iter().take(OTHERS) {
            let info = exit.cause.unwrap_or(Cause::Internal).info();
            let of = if one_task { String::new() } else { format!(" of task {}", attempt.task.index) };
            let words = shown(&exit.words());
            text.push_str(&format!(
                "    try {}{of}: {} {words} ({})\n",
                attempt.number,
                info.code,
                owner_word(info.owner)
            ));
        }
        if let Some(more @ 1..) = self.others.len().checked_sub(OTHERS) {
            text.push_str(&format!("    and {more} more\n"));
        }
        text
    }

    fn json(&self) -> Value {
        let info = self.cause.map(Cause::info);
        let other = |(attempt, exit): &(AttemptId, Exit)| {
            let info = exit.cause.map(Cause::info);
            json!({
                "task": attempt.task.index, "attempt": attempt.number, "cause": info.map(|info| info.code),
                "cause_name": info.map(|info| info.name), "owner": info.map(|info| info.owner), "why": exit.words(),
            })
        };
        let others: Vec<_> = self.others.iter().map(other).collect();
        json!({
            "subject": self.subject, "state": self.state, "why": self.said, "cause": info.map(|info| info.code),
            "cause_name": info.map(|info| info.name), "owner": info.map(|info| info.owner),
            "reaction": info.map(|info| info.reaction), "stderr": self.stderr, "other_tries": others, "next": self.next,
        })
    }
}
