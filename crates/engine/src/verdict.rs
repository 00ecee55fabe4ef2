//! The verdict: the last words of a container's init, which outlive the engine.

use dybox_model::{EndedBy, Millis};

/// Why init could not start the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartFailure {
    /// The file does not exist.
    NotFound,
    /// It can't be executed.
    NotExecutable,
    /// Its `#!` line names a program that does not exist.
    BadInterpreter,
    /// Init itself failed.
    Internal,
}

/// What init wrote into `out/verdict`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The payload's exit code, where it exited.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Who ended it, as init saw it.
    pub by: EndedBy,
    /// Why it was not started, and what init says about it.
    pub error: Option<(StartFailure, String)>,
    /// When the payload started.
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Millis,
    /// Cpu time of the container.
    pub cpu_ms: u64,
    /// Highest memory of the container.
    pub peak_memory: u64,
    /// How often the OOM killer struck in the container.
    pub oom_kills: u64,
    /// Bytes of output that found no room on the disk.
    pub dropped: u64,
    /// The attempt, as its proxy named it; only where one container has several.
    pub task: Option<String>,
    /// Its container waits for the next task.
    pub warm: bool,
}

impl Verdict {
    /// Reads a verdict file; nothing where it is not whole. Unknown lines are for newer readers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut verdict = Self::default();
        let mut whole = false;
        for line in text.lines() {
            let (key, value) = line.split_once(' ')?;
            match key {
                "code" => verdict.code = Some(value.parse().ok()?),
                "signal" => verdict.signal = Some(value.parse().ok()?),
                "by" => verdict.by = by(value)?,
                "error" => verdict.error = Some(error(value)?),
                "started_ms" => verdict.started = Some(Millis(value.parse().ok()?)),
                "ended_ms" => verdict.ended = Millis(value.parse().ok()?),
                "cpu_ms" => verdict.cpu_ms = value.parse().ok()?,
                "peak_memory" => verdict.peak_memory = value.parse().ok()?,
                "oom_kills" => verdict.oom_kills = value.parse().ok()?,
                "dropped" => verdict.dropped = value.parse().ok()?,
                "task" => verdict.task = Some(value.to_owned()),
                "warm" => verdict.warm = true,
                "end" => whole = true,
                _ => {}
            }
        }
        whole.then_some(verdict)
    }
}

fn by(word: &str) -> Option<EndedBy> {
    Some(match word {
        "itself" => EndedBy::Itself,
        "oom" => EndedBy::Oom,
        "stop" => EndedBy::Stop,
        "lease" => EndedBy::Lease,
        "not-started" => EndedBy::NotStarted,
        _ => return None,
    })
}

/// `<errno> <kind> <text>`.
fn error(value: &str) -> Option<(StartFailure, String)> {
    let mut parts = value.splitn(3, ' ');
    let _errno = parts.next()?;
    let kind = match parts.next()? {
        "not-found" => StartFailure::NotFound,
        "not-executable" => StartFailure::NotExecutable,
        "bad-interpreter" => StartFailure::BadInterpreter,
        _ => StartFailure::Internal,
    };
    Some((kind, parts.next().unwrap_or_default().to_owned()))
}
