//! What a run came to: a table of its stages, and for each failure its cause, its last lines and the next step.

use dybox_job::Plan;
use dybox_journal::{RunView, Spent, Stage, StageState};
use dybox_model::{Cause, Exit, Millis, RunId, format_bytes, format_duration};
use serde_json::{Value, json};

use super::state::{odd_words, owner};
use super::time::seconds;
use super::{ANSWER_VERSION, Paint, Screen, table_text};
use crate::live::shown;

/// Failed tasks that are shown in full.
pub(crate) const FAILURES_SHOWN: usize = 3;

/// Smaller asks are not worth a word.
const MUCH: u64 = 256 << 20;
/// GiB-hours or core-hours below which nobody asks what a run came to.
const WORTH_A_LINE: f64 = 0.01;

/// Three digits that say something.
fn figure(number: f64) -> String {
    match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 1.0 => format!("{n:.1}"),
        n if n >= 0.01 => format!("{n:.2}"),
        n if n >= 0.000_05 => format!("{n:.4}"),
        _ => "0".to_owned(),
    }
}

/// A failed attempt with the end of what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// `stage` or `stage/index`.
    pub task: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Whether a hook ran as it.
    pub hook: bool,
    /// How it ended.
    pub exit: Exit,
    /// Which stream the lines are of.
    pub stream: &'static str,
    /// Its last lines.
    pub tail: Vec<String>,
}

/// All that a summary shows.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its plan.
    pub plan: &'a Plan,
    /// What its journals say.
    pub view: &'a RunView,
    /// Now, for what has not ended.
    pub now: Millis,
    /// The word for how it ended.
    pub word: &'a str,
    /// Failures to show in full.
    pub failed: Vec<Failed>,
}

impl Summary<'_> {
    /// For people.
    pub(crate) fn text(&self, screen: &Screen) -> String {
        let mut text = self.table(screen);
        text.push_str(&self.spent());
        text.push_str(&self.odd(screen));
        for failed in &self.failed {
            text.push('\n');
            text.push_str(&failure(screen, failed));
        }
        let more = self.failures().saturating_sub(self.failed.len());
        if more > 0 {
            text.push_str(&format!("\n{more} more failed: dybox why {}\n", self.run));
        }
        let next = match self.word {
            "succeeded" => String::new(),
            "failed" => format!(
                "again: dybox resume {} (the same job), or dybox run --cache JOB.yaml (a corrected one)\n",
                self.run
            ),
            _ => format!("go on with it: dybox resume {}\n", self.run),
        };
        text.push_str(&format!("\n{}\nlogs: dybox logs {}\n{next}", self.verdict(screen), self.run));
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let stages: Vec<_> = self.view.stages().into_iter().map(|stage| self.stage_json(stage)).collect();
        let failures: Vec<_> = self.failed.iter().map(failure_json).collect();
        json!({
            "version": ANSWER_VERSION,
            "run": self.run,
            "job": self.plan.name,
            "state": self.word,
            "why": self.view.why(),
            "seconds": seconds(self.elapsed()),
            "granted": { "gib_hours": self.granted().gib_hours(), "core_hours": self.granted().core_hours() },
            "used": { "gib_hours": self.used().0, "core_hours": self.used().1 },
            "stages": stages,
            "failures": failures,
        })
    }

    fn table(&self, screen: &Screen) -> String {
        let mut table = screen.table(&["STAGE", "STATE", "TASKS", "WALL", "MEMORY", "CPU", "TRIES"]);
        for stage in self.view.stages() {
            let counts = &stage.counts;
            let wall = stage.wall(self.now).map_or_else(|| "-".to_owned(), format_duration);
            let (memory, cpu) = match stage.used.memory {
                0 => ("-".to_owned(), "-".to_owned()),
                peak => (
                    format!("{} of {}", format_bytes(peak), format_bytes(stage.outline.ask.memory)),
                    format_duration(Millis(stage.used.cpu_ms)),
                ),
            };
            let (state, paint) = state(stage);
            table.add_row([
                stage.outline.name.clone(),
                screen.paint(paint, state),
                format!("{}/{}", counts.succeeded, counts.total()),
                wall,
                memory,
                cpu,
                stage.tries.to_string(),
            ]);
        }
        table_text(table, &[2, 3, 4, 5, 6])
    }

    /// What succeeded, and a person should look at all the same.
    fn odd(&self, screen: &Screen) -> String {
        let of = |stage: &&Stage| odd_words(stage).map(|words| format!("{}: {words}", stage.outline.name));
        let lead = screen.paint(Paint::Warn, "warning");
        self.view.stages().iter().filter_map(of).map(|text| format!("\n{lead}: {text}\n")).collect()
    }

    /// What was asked for beside what was used, where that is much, and what it came to over time.
    fn spent(&self) -> String {
        let mut text = String::new();
        for stage in self.view.stages() {
            let (asked, used) = (stage.outline.ask.memory, stage.used.needed());
            if used > 0 && asked >= MUCH && used.saturating_mul(4) <= asked && stage.counts.succeeded > 0 {
                let (name, asked, used) = (&stage.outline.name, format_bytes(asked), format_bytes(used));
                let line =
                    format!("{name}: you asked for {asked} and used {used}: --right-size asks for what is used\n");
                text.push_str(&line);
            }
        }
        let granted = self.granted();
        if granted.gib_hours().max(granted.core_hours()) >= WORTH_A_LINE {
            let (gib, cores) = self.used();
            let granted =
                format!("{} GiB-hours, {} core-hours", figure(granted.gib_hours()), figure(granted.core_hours()));
            text.push_str(&format!("granted: {granted}; used: {} and {}\n", figure(gib), figure(cores)));
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }

    fn granted(&self) -> Spent {
        let until = self.view.ended().unwrap_or(self.now);
        self.view.subs.values().fold(Spent::default(), |sum, run| sum + run.bill.until(until))
    }

    /// GiB-hours and core-hours that the tasks used.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn used(&self) -> (f64, f64) {
        let used = self.view.used();
        (used.mib_seconds as f64 / 1024.0 / 3600.0, used.cpu_ms as f64 / 3_600_000.0)
    }

    fn verdict(&self, screen: &Screen) -> String {
        let paint = match self.word {
            "succeeded" => Paint::Good,
            "stopped" => Paint::Warn,
            _ => Paint::Bad,
        };
        let why = match self.view.why() {
            "" => String::new(),
            why => format!(": {}", shown(why)),
        };
        let took = format_duration(self.elapsed());
        format!("{} {} {} after {took}{why}", shown(&self.plan.name), self.run, screen.paint(paint, self.word))
    }

    fn elapsed(&self) -> Millis {
        let from = self.view.subs.values().filter_map(|sub| sub.submitted).min();
        from.map_or(Millis(0), |from| self.view.ended().unwrap_or(self.now).since(from))
    }

    /// Tasks that used up their tries.
    fn failures(&self) -> usize {
        let counts = self.view.counts();
        (counts.failed + counts.lost) as usize
    }

    fn stage_json(&self, stage: &Stage) -> Value {
        let counts = &stage.counts;
        json!({
            "stage": stage.outline.name,
            "state": state(stage).0,
            "why": stage.why,
            "tasks": counts.total(),
            "succeeded": counts.succeeded,
            "failed": counts.failed + counts.lost,
            "stopped": counts.stopped,
            "tries": stage.tries,
            "wall_seconds": stage.wall(self.now).map(seconds),
            "cpu_seconds": seconds(Millis(stage.used.cpu_ms)),
            "peak_memory_bytes": stage.used.memory,
            "needed_memory_bytes": stage.used.needed(),
            "memory_bytes": stage.outline.ask.memory,
        })
    }
}

fn state(stage: &Stage) -> (&'static str, Paint) {
    use dybox_model::StageEnd::{Failed, Lost, Skipped, Stopped, Succeeded};
    match stage.state {
        StageState::Waiting => ("waiting", Paint::Dim),
        StageState::Running => ("running", Paint::Busy),
        StageState::Ended(end @ Succeeded) => (end.word(), Paint::Good),
        StageState::Ended(end @ (Failed | Lost)) => (end.word(), Paint::Bad),
        StageState::Ended(end @ (Skipped | Stopped)) => (end.word(), Paint::Warn),
    }
}

fn failure(screen: &Screen, failed: &Failed) -> String {
    let Failed { task, attempt, hook, exit, stream, tail } = failed;
    let cause = exit.cause.unwrap_or(Cause::Internal);
    let info = cause.info();
    let ran =
        exit.started.map(|from| format!(" after {}", format_duration(exit.ended.since(from)))).unwrap_or_default();
    let number = if *attempt > 1 { format!(" on try {attempt}") } else { String::new() };
    let head = screen.paint(Paint::Bad, &format!("{task} failed{number}{ran}:"));
    let mut text = format!("{head} {} ({} {})\n", shown(&exit.words()), info.code, info.name);
    text.push_str(&format!("  owner: {}\n", owner(info.owner)));
    if !tail.is_empty() {
        text.push_str(&format!("  last lines of its {stream}:\n"));
    }
    for line in tail {
        text.push_str(&format!("  {} {line}\n", screen.paint(Paint::Dim, "|")));
    }
    text.push_str(&format!("  next: {}\n", cause.next(*hook)));
    text
}

fn failure_json(failed: &Failed) -> Value {
    let cause = failed.exit.cause.unwrap_or(Cause::Internal);
    let info = cause.info();
    json!({
        "task": failed.task,
        "attempt": failed.attempt,
        "cause": info.name,
        "code": info.code,
        "owner": info.owner,
        "text": failed.exit.text,
        "exit_code": failed.exit.code,
        "signal": failed.exit.signal,
        "tail": failed.tail,
        "next": cause.next(failed.hook),
    })
}

#[cfg(test)]
#[path = "summary/tests.rs"]
mod tests;
