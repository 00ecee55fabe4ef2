//! A run told one plain line an event, for files, pipes and CI.

use std::collections::BTreeMap;

use dybox_model::{
    AttemptId, Cause, Decision, Exit, Fact, Millis, Note, StageEnd, StageId, SubDagId, TaskId, format_bytes,
    format_duration,
};

use super::line::shown;

/// What must be remembered to tell the next event in one line.
#[derive(Debug, Default)]
pub(crate) struct Story {
    begin: Option<Millis>,
    stages: BTreeMap<StageId, Told>,
    running: BTreeMap<AttemptId, Millis>,
    pulling: BTreeMap<String, u64>,
    waits: BTreeMap<StageId, String>,
    subdags: usize,
}

#[derive(Debug, Default)]
struct Told {
    name: String,
    tasks: u32,
    from: Option<Millis>,
}

impl Story {
    /// The story of a run of so many sub-DAGs.
    pub(crate) fn of(subdags: usize) -> Self {
        Self { subdags, ..Self::default() }
    }

    /// The line for a fact; nothing for what is only bookkeeping.
    pub(crate) fn fact(&mut self, subdag: SubDagId, fact: &Fact) -> Option<String> {
        let (at, text) = match fact {
            Fact::Submitted { at, stages, .. } => {
                self.begin = Some(self.begin.map_or(*at, |begin| begin.min(*at)));
                for stage in stages {
                    let told = Told { name: stage.name.clone(), tasks: stage.tasks, from: None };
                    self.stages.insert(stage.id, told);
                }
                return None;
            }
            Fact::Opened { epoch, at, .. } if *epoch > 1 => {
                (*at, format!("master {epoch} goes on{}", self.of_subdag(subdag)))
            }
            Fact::Reopened { at } => {
                (*at, format!("goes on: what did not succeed runs again{}", self.of_subdag(subdag)))
            }
            Fact::StageStarted { stage, tasks, at } => (*at, self.stage_started(*stage, *tasks, *at)),
            Fact::AttemptRuns { attempt, at, .. } => {
                self.running.insert(*attempt, *at);
                (*at, format!("{} runs{}", self.task(attempt.task), try_of(*attempt)))
            }
            Fact::AttemptEnded { attempt, exit, again } => (exit.ended, self.attempt_ended(*attempt, exit, *again)),
            Fact::StageEnded { stage, end, why, at } => (*at, self.stage_ended(*stage, *end, why, *at)?),
            Fact::HookDecided { decision, at, .. } => (*at, format!("hook decided: {}", decided(decision))),
            Fact::HookFailed { why, at, .. } => (*at, format!("hook failed: {}", shown(why))),
            Fact::StopAsked { why, at } => (*at, format!("stopping{}: {}", self.of_subdag(subdag), shown(why))),
            Fact::Ended { end, why, at } if self.subdags > 1 => {
                (*at, format!("sub-DAG {} {end}{}", subdag.0, because(why)))
            }
            _ => return None,
        };
        Some(self.line(at, &text))
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
            Note::Waits { stage, why } => {
                let before = self.waits.insert(*stage, why.clone());
                if why.is_empty() || before.as_ref() == Some(why) {
                    return None;
                }
                format!("{} waits: {}", self.name(*stage), shown(why))
            }
            Note::Warns { text, cause: Some(cause) } => format!("warning: {} ({})", shown(text), cause.info().code),
            Note::Warns { text, cause: None } => format!("warning: {}", shown(text)),
            Note::Uses { .. } => return None,
        };
        Some(self.line(now, &text))
    }

    /// A line that is no event of the run, at its time.
    pub(crate) fn line(&self, at: Millis, text: &str) -> String {
        let elapsed = format_duration(at.since(self.begin.unwrap_or(at)));
        format!("{elapsed:>7}  {text}")
    }

    fn stage_started(&mut self, stage: StageId, tasks: u32, at: Millis) -> String {
        let told = self.stages.entry(stage).or_default();
        (told.tasks, told.from) = (tasks, Some(at));
        let plural = if tasks == 1 { "" } else { "s" };
        format!("{} starts: {tasks} task{plural}", told.name)
    }

    fn attempt_ended(&mut self, attempt: AttemptId, exit: &Exit, again: bool) -> String {
        // When init started it is known better than when its container was seen.
        let seen = self.running.remove(&attempt);
        let ran = exit.started.or(seen);
        let took = ran.map(|from| format_duration(exit.ended.since(from)));
        let task = self.task(attempt.task);
        let Some(cause) = exit.cause else {
            return format!("{task} succeeded{}", took.map(|took| format!(" in {took}")).unwrap_or_default());
        };
        if cause == Cause::Stopped {
            return format!("{task} was stopped{}", took.map(|took| format!(" after {took}")).unwrap_or_default());
        }
        let info = cause.info();
        let after = took.map(|took| format!(" after {took}")).unwrap_or_default();
        let next = if again { "; it is tried again" } else { "" };
        format!("{task}{} failed{after}: {}{next} ({})", try_of(attempt), words(exit), info.code)
    }

    /// Nothing where the stage's only task has said it all.
    fn stage_ended(&mut self, stage: StageId, end: StageEnd, why: &str, at: Millis) -> Option<String> {
        let told = self.stages.get(&stage);
        let from = told.and_then(|told| told.from);
        if from.is_some() && told.is_some_and(|told| told.tasks == 1) && end != StageEnd::Stopped {
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

/// What happened, in words: the cause's phrase, and what exactly (else the code or signal).
pub(crate) fn words(exit: &Exit) -> String {
    let phrase = exit.cause.map_or("it succeeded", |cause| cause.info().phrase);
    let exactly = match (exit.code, exit.signal) {
        _ if !exit.text.is_empty() => exit.text.clone(),
        (_, Some(signal)) => format!("signal {signal}"),
        (Some(code), None) if code != 0 => format!("exit code {code}"),
        _ => String::new(),
    };
    format!("{phrase}{}", because(&exactly))
}

fn decided(decision: &Decision) -> String {
    let skip = decision.skip.iter().map(|stage| format!("skip {}", shown(stage)));
    let sizes = decision.parallelism.iter().map(|(stage, tasks)| format!("{} gets {tasks} tasks", shown(stage)));
    let stop = decision.stop.iter().map(|why| format!("stop: {}", shown(why)));
    let all: Vec<_> = skip.chain(sizes).chain(stop).collect();
    if all.is_empty() { "go on as planned".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
#[path = "story/tests.rs"]
mod tests;
