//! A run told one plain line an event, for files, pipes and CI.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{
    AttemptId, Cause, Decision, Exit, Fact, Millis, Note, Published, StageEnd, StageId, StageOutline, SubDagId, TaskId,
    format_bytes, format_duration,
};

use super::line::shown;

/// A wait that is shorter is not worth a line.
const WORTH_A_LINE: Millis = Millis(2000);
/// Of stages with more tasks only failures and every tenth part are told.
const TOLD_ONE_BY_ONE: u32 = 20;

/// Clocks and ways of two masters differ by less: for what is told live, time does not go back.
const JITTER: Millis = Millis(2000);

/// What must be remembered to tell the next event in one line.
#[derive(Debug, Default)]
pub(crate) struct Story {
    begin: Option<Millis>,
    /// The time of the last line: time does not go back.
    last: Millis,
    stages: BTreeMap<StageId, Told>,
    running: BTreeMap<AttemptId, Millis>,
    pulling: BTreeMap<String, u64>,
    /// Why stages wait, since when, and the reasons that were told.
    waits: BTreeMap<StageId, (String, Millis)>,
    told: BTreeSet<(StageId, String)>,
    /// How tries failed that are followed by another: a registry that is down says the same nine times.
    failed: BTreeMap<TaskId, String>,
    subdags: usize,
}

#[derive(Debug, Default)]
struct Told {
    name: String,
    tasks: u32,
    succeeded: u32,
    from: Option<Millis>,
    /// Its only task has ended for good, and that was told.
    said: bool,
    /// It has ended: it waits for nothing any more, whatever a note from before says.
    over: bool,
}

impl Story {
    /// The story of a run of so many sub-DAGs, told from now on.
    pub(crate) fn of(subdags: usize, now: Millis) -> Self {
        Self { subdags, begin: Some(now), ..Self::default() }
    }

    /// The line for a fact; nothing for what is only bookkeeping.
    pub(crate) fn fact(&mut self, subdag: SubDagId, fact: &Fact) -> Option<String> {
        let (at, text) = match fact {
            Fact::Submitted { at, stages, .. } => {
                self.begin = Some(self.begin.map_or(*at, |begin| begin.min(*at)));
                self.outlined(stages.iter());
                return None;
            }
            Fact::Opened { epoch, at, .. } if *epoch > 1 => {
                (*at, format!("master {epoch} goes on{}", self.of_subdag(subdag)))
            }
            Fact::Reopened { at } => {
                self.stages.values_mut().for_each(|told| told.over = false);
                (*at, format!("goes on: what did not succeed runs again{}", self.of_subdag(subdag)))
            }
            Fact::StageStarted { stage, tasks, at } => (*at, self.stage_started(*stage, *tasks, *at)?),
            Fact::AttemptRuns { attempt, at, ports, .. } => (*at, self.attempt_runs(*attempt, *at, ports)?),
            Fact::AttemptEnded { attempt, exit, again } => (exit.ended, self.attempt_ended(*attempt, exit, *again)?),
            Fact::StageEnded { stage, end, why, at, .. } => (*at, self.stage_ended(*stage, *end, why, *at)?),
            Fact::HookDecided { decision, at, .. } => {
                self.outlined(decision.add.iter().map(|added| &added.outline));
                (*at, format!("hook decided: {}", decided(decision)))
            }
            Fact::HookFailed { why, at, .. } => (*at, format!("hook failed: {}", shown(why))),
            Fact::StageTaken { stage, from, cached, at, .. } => {
                let name = self.stages.get(stage).map_or("?", |told| told.name.as_str());
                let how = if *cached { "cached" } else { "taken" };
                let from = from.as_ref().map_or_else(|| "is left out".to_owned(), |run| format!("is {how} from {run}"));
                (*at, format!("{name} {from}"))
            }
            Fact::Visited { attempt, by, want, at } => {
                let name = self.stages.get(&attempt.task.stage).map_or("?", |told| told.name.as_str());
                (*at, format!("{name}/{}: {} by {}", attempt.task.index, shown(want), shown(by)))
            }
            Fact::StopAsked { why, at } => (*at, format!("stopping{}: {}", self.of_subdag(subdag), shown(why))),
            // Its stages have told the rest.
            Fact::Ended { end: end @ StageEnd::Lost, why, at } => {
                (*at, format!("{end}{}{}", self.of_subdag(subdag), because(why)))
            }
            _ => return None,
        };
        Some(self.line(at, &text))
    }

    fn outlined<'o>(&mut self, stages: impl Iterator<Item = &'o StageOutline>) {
        for stage in stages {
            let told = Told { name: stage.name.clone(), tasks: stage.tasks, ..Told::default() };
            self.stages.insert(stage.id, told);
        }
    }

    /// The line for a note; nothing for what changes too often to be told.
    pub(crate) fn note(&mut self, note: &Note, now: Millis) -> Option<String> {
        let text = match note {
            Note::Pulling { image, total, .. } if !self.pulling.contains_key(image) => {
                self.pulling.insert(image.clone(), *total);
                format!("pulling {}", shown(image))
            }
            Note::Pulling { image, total, .. } => {
                self.pulling.insert(image.clone(), *total);
                return None;
            }
            Note::Pulled { image } => match self.pulling.remove(image)? {
                0 => format!("pulled {}", shown(image)),
                total => format!("pulled {} ({})", shown(image), format_bytes(total)),
            },
            Note::NotPulled { image } => {
                self.pulling.remove(image);
                return None;
            }
            Note::Moves { place, total, over: true, out, .. } => {
                self.pulling.remove(place)?;
                format!("{} {} ({})", if *out { "put" } else { "fetched" }, shown(place), format_bytes(*total))
            }
            Note::Moves { place, total, out, .. } => {
                if self.pulling.insert(place.clone(), *total).is_some() {
                    return None;
                }
                format!("{} {}", if *out { "putting" } else { "fetching" }, shown(place))
            }
            Note::Waits { stage, why } => {
                self.wait(*stage, why, now);
                return None;
            }
            Note::Warns { text, cause: Some(cause) } => format!("warning: {} ({})", shown(text), cause.info().code),
            Note::Warns { text, cause: None } => format!("warning: {}", shown(text)),
            Note::Uses { .. } | Note::Brought { .. } => return None,
        };
        Some(self.line(now, &text))
    }

    /// Lines for what has waited so long that a person should know; each reason once a stage.
    pub(crate) fn tick(&mut self, now: Millis) -> Vec<String> {
        let long = self.waits.iter().filter(|(_, (_, since))| now.since(*since) >= WORTH_A_LINE);
        let long: Vec<_> = long.map(|(&stage, (why, _))| (stage, why.clone())).collect();
        let mut lines = Vec::new();
        for (stage, why) in long {
            self.waits.remove(&stage);
            // Numbers of a reason change while it stays the same.
            let reason = why.chars().filter(|c| !c.is_ascii_digit()).collect();
            if self.told.insert((stage, reason)) {
                let text = format!("{} waits: {}", self.name(stage), shown(&why));
                lines.push(self.line(now, &text));
            }
        }
        lines
    }

    /// A line that is no event of the run, at its time.
    pub(crate) fn line(&mut self, at: Millis, text: &str) -> String {
        // What another sub-DAG did before somebody began to watch is told at its own time.
        let late = self.last.since(at) > JITTER;
        self.last = self.last.max(at);
        let at = if late { at } else { self.last };
        let elapsed = format_duration(at.since(self.begin.unwrap_or(at)));
        format!("{elapsed:>7}  {text}")
    }

    fn wait(&mut self, stage: StageId, why: &str, now: Millis) {
        if why.is_empty() || self.stages.get(&stage).is_some_and(|told| told.over) {
            self.waits.remove(&stage);
        } else if self.waits.get(&stage).is_none_or(|(known, _)| known != why) {
            self.waits.insert(stage, (why.to_owned(), now));
        }
    }

    /// Nothing where the stage has one task, which tells the same when it runs.
    fn stage_started(&mut self, stage: StageId, tasks: u32, at: Millis) -> Option<String> {
        let told = self.stages.entry(stage).or_default();
        (told.tasks, told.from, told.succeeded) = (tasks, Some(at), 0);
        (told.said, told.over) = (false, false);
        (tasks != 1).then(|| format!("{} starts: {tasks} tasks", told.name))
    }

    fn attempt_runs(&mut self, attempt: AttemptId, at: Millis, ports: &[Published]) -> Option<String> {
        self.running.insert(attempt, at);
        self.waits.remove(&attempt.task.stage);
        let task = self.task(attempt.task);
        let ports: String = ports.iter().map(|port| format!(", {}", shown(&port.to_string()))).collect();
        (!self.is_wide(attempt.task.stage)).then(|| format!("{task} runs{}{ports}", try_of(attempt)))
    }

    fn attempt_ended(&mut self, attempt: AttemptId, exit: &Exit, again: bool) -> Option<String> {
        // When init started it is known better than when its container was seen.
        let seen = self.running.remove(&attempt);
        let ran = exit.started.or(seen);
        let took = ran.map(|from| format_duration(exit.ended.since(from)));
        let task = self.task(attempt.task);
        let after = took.as_ref().map(|took| format!(" after {took}")).unwrap_or_default();
        self.stages.entry(attempt.task.stage).or_default().said = !again && exit.cause != Some(Cause::Stopped);
        match exit.cause {
            None if !exit.text.is_empty() => {
                drop(self.tenth(attempt.task.stage));
                Some(format!("{task} {}", shown(&exit.text)))
            }
            None if self.is_wide(attempt.task.stage) => self.tenth(attempt.task.stage),
            None => Some(format!("{task} succeeded{}", took.map(|took| format!(" in {took}")).unwrap_or_default())),
            Some(Cause::Stopped) => Some(format!("{task} was stopped{after}")),
            Some(cause) => {
                let next = if again { "; tried again" } else { "" };
                let (words, code) = (shown(&exit.words()), cause.info().code);
                let before = if again { self.failed.insert(attempt.task, words.clone()) } else { None };
                let words = if before.as_ref() == Some(&words) { "as before" } else { &words };
                Some(format!("{task}{} failed{after}: {words} ({code}){next}", try_of(attempt)))
            }
        }
    }

    fn is_wide(&self, stage: StageId) -> bool {
        self.stages.get(&stage).is_some_and(|told| told.tasks > TOLD_ONE_BY_ONE)
    }

    /// A further task of a wide stage has succeeded; told at every tenth part but the last, which the stage's end tells.
    fn tenth(&mut self, stage: StageId) -> Option<String> {
        let told = self.stages.get_mut(&stage)?;
        let tenths = |tasks: u32| u64::from(tasks) * 10 / u64::from(told.tasks.max(1));
        let (before, after) = (tenths(told.succeeded), tenths(told.succeeded + 1));
        told.succeeded += 1;
        (before < after && after < 10).then(|| format!("{}: {} of {} succeeded", told.name, told.succeeded, told.tasks))
    }

    /// Nothing where the stage's only task has said it all.
    fn stage_ended(&mut self, stage: StageId, end: StageEnd, why: &str, at: Millis) -> Option<String> {
        self.waits.remove(&stage);
        if let Some(told) = self.stages.get_mut(&stage) {
            told.over = true;
        }
        let told = self.stages.get(&stage);
        let from = told.and_then(|told| told.from);
        if from.is_some()
            && told.is_some_and(|told| told.tasks == 1 && (told.said || end == StageEnd::Succeeded))
            && end != StageEnd::Stopped
        {
            return None;
        }
        let took = from.map(|from| format!(" in {}", format_duration(at.since(from)))).unwrap_or_default();
        match end {
            StageEnd::Succeeded => Some(format!("{} succeeded{took}", self.name(stage))),
            _ => Some(format!("{} {end}{}", self.name(stage), because(why))),
        }
    }

    fn name(&self, stage: StageId) -> String {
        self.stages.get(&stage).map_or_else(|| format!("stage {}", stage.0), |told| told.name.clone())
    }

    fn task(&self, task: TaskId) -> String {
        match self.stages.get(&task.stage) {
            Some(Told { name, tasks: 1, .. }) => name.clone(),
            _ => format!("{}/{}", self.name(task.stage), task.index),
        }
    }

    fn of_subdag(&self, subdag: SubDagId) -> String {
        if self.subdags > 1 { format!(" in sub-DAG {}", subdag.0) } else { String::new() }
    }
}

fn try_of(attempt: AttemptId) -> String {
    if attempt.number > 1 { format!(" (try {})", attempt.number) } else { String::new() }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {}", shown(why)) }
}

/// Added stages that are named.
const TOLD: usize = 8;

fn decided(decision: &Decision) -> String {
    let skip = decision.skip.iter().map(|stage| format!("skip {}", shown(stage)));
    let sizes = decision
        .parallelism
        .iter()
        .map(|(stage, tasks)| format!("{} gets {tasks} task{}", shown(stage), if *tasks == 1 { "" } else { "s" }));
    let stop = decision.stop.iter().map(|why| format!("stop: {}", shown(why)));
    let added: Vec<_> = decision.add.iter().take(TOLD).map(|added| shown(&added.outline.name)).collect();
    let more = decision.add.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let added = (!added.is_empty()).then(|| format!("adds {}{more}", added.join(", ")));
    let all: Vec<_> = added.into_iter().chain(skip).chain(sizes).chain(stop).collect();
    if all.is_empty() { "go on as planned".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
#[path = "story/tests.rs"]
mod tests;
