//! From what is known of a dead container to the end of its attempt.

use dybox_model::{Cause, EndedBy, Exit, Millis, Peak, Usage, format_bytes};

/// What the command's exec failed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecError {
    /// Why it never ran, as init found it.
    pub cause: Cause,
    /// What was tried and what the kernel said.
    pub text: String,
}

/// What init wrote at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Exit code, where the payload exited.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Who ended it.
    pub by: EndedBy,
    /// Why it was never started.
    pub error: Option<ExecError>,
    /// When the payload started.
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Millis,
    /// What it used.
    pub used: Peak,
    /// How often the kernel's OOM killer struck in the container.
    pub oom_kills: u64,
}

/// What was found at `$DYBOX_RESULT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ResultFile {
    /// Nothing.
    #[default]
    Absent,
    /// JSON text.
    Json(String),
    /// Something that is not a result, and why.
    Bad(String),
}

/// What is known of a dead container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its init told.
    Verdict(Verdict, ResultFile),
    /// It died without a word: what the engine says.
    Gone {
        /// `EngineRestarted`, `KilledOutside`, `Oom`...
        cause: Cause,
        /// The engine's words or what was seen, for a person.
        text: String,
    },
}

/// Why DYbox itself ended an attempt, if it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) cause: Cause,
    pub(super) text: String,
}

impl Ending {
    fn by(&self) -> EndedBy {
        match self.cause {
            Cause::RunTimeout | Cause::SilenceTimeout => EndedBy::Timeout,
            _ => EndedBy::Stop,
        }
    }
}

/// The end of an attempt that DYbox did not stop, from what its container left.
#[must_use]
pub fn conclude(end: End, last: Option<Usage>, started: Option<Millis>, now: Millis) -> Exit {
    settle(end, &None, last, (started, now))
}

pub(super) fn settle(
    end: End,
    ending: &Option<Ending>,
    last: Option<Usage>,
    (started, now): (Option<Millis>, Millis),
) -> Exit {
    let sampled = last.map_or(Peak::default(), |usage| Peak { cpu_ms: usage.cpu_ms, memory: usage.peak_memory });
    match end {
        End::Verdict(verdict, result) => {
            let mut exit = judge(verdict, ending);
            // A very short container's cgroup may be gone or unreadable from inside; the samples may know more.
            exit.used.cpu_ms = exit.used.cpu_ms.max(sampled.cpu_ms);
            exit.used.memory = exit.used.memory.max(sampled.memory);
            take_result(&mut exit, result);
            exit
        }
        End::Gone { cause, text } => {
            let (cause, by, text) = match ending {
                Some(ending) => (ending.cause, ending.by(), ending.text.clone()),
                None if cause == Cause::Oom => (cause, EndedBy::Oom, text),
                None => (cause, EndedBy::Outside, text),
            };
            let signal = Some(9);
            Exit { code: None, signal, cause: Some(cause), by, text, started, ended: now, used: sampled, result: None }
        }
    }
}

fn judge(verdict: Verdict, ending: &Option<Ending>) -> Exit {
    let (cause, by, text) = reason(&verdict, ending);
    Exit {
        code: verdict.code,
        signal: verdict.signal,
        cause,
        by,
        text,
        started: verdict.started,
        ended: verdict.ended,
        used: verdict.used,
        result: None,
    }
}

fn reason(verdict: &Verdict, ending: &Option<Ending>) -> (Option<Cause>, EndedBy, String) {
    if let Some(error) = &verdict.error {
        return (Some(error.cause), EndedBy::NotStarted, error.text.clone());
    }
    match (verdict.by, ending) {
        (EndedBy::Stop | EndedBy::Lease | EndedBy::NotStarted, Some(ending)) => {
            return (Some(ending.cause), ending.by(), ending.text.clone());
        }
        (EndedBy::Lease, None) => return (Some(Cause::LeaseExpired), EndedBy::Lease, String::new()),
        (EndedBy::NotStarted, None) => {
            return (Some(Cause::Internal), EndedBy::NotStarted, "its init could not start it".to_owned());
        }
        // TERM that we did not send: `docker stop`, or the machine goes down.
        (EndedBy::Stop, None) => {
            let text = "its init was told to end by somebody else (`docker stop`?)".to_owned();
            return (Some(Cause::KilledOutside), EndedBy::Outside, text);
        }
        _ => {}
    }
    let failed = verdict.signal.is_some() || verdict.code != Some(0);
    if failed && (verdict.by == EndedBy::Oom || (verdict.oom_kills > 0 && verdict.signal == Some(9))) {
        let text = match verdict.used.memory {
            0 => String::new(),
            peak => format!("it had reached {}", format_bytes(peak)),
        };
        return (Some(Cause::Oom), EndedBy::Oom, text);
    }
    match (verdict.code, verdict.signal) {
        (Some(0), None) => (None, EndedBy::Itself, oom_warning(verdict)),
        (_, Some(signal)) => (Some(Cause::Signal), EndedBy::Itself, format!("signal {signal}")),
        (Some(code), None) => (Some(Cause::ExitCode), EndedBy::Itself, format!("exit code {code}")),
        (None, None) => (Some(Cause::Internal), EndedBy::Itself, "its init left no exit status".to_owned()),
    }
}

/// A success after an OOM kill is a success that a person should know of (the engine would call it OOMKilled).
fn oom_warning(verdict: &Verdict) -> String {
    match verdict.oom_kills {
        0 => String::new(),
        n => format!("the kernel killed {n} of its processes for want of memory, yet it ended with 0"),
    }
}

fn take_result(exit: &mut Exit, result: ResultFile) {
    match result {
        ResultFile::Absent => {}
        ResultFile::Json(text) => exit.result = Some(text),
        ResultFile::Bad(why) if exit.cause.is_none() => {
            exit.cause = Some(Cause::BadResult);
            exit.text = why;
        }
        ResultFile::Bad(_) => {}
    }
}
