//! From what was seen of a container's end to the attempt's end. Pure: the table of causes is here and nowhere else.

use dybox_model::{Cause, EndedBy, Exit, Millis, Peak, Usage};

use crate::container::Seen;
use crate::verdict::{StartFailure, Verdict};

/// Who asked for the end, and why; known to the proxy alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// [`EndedBy::Stop`] or [`EndedBy::Timeout`].
    pub by: EndedBy,
    /// The cause that it makes: `Stopped`, `RunTimeout`, `SilenceTimeout`, `Idle`, `MasterLost`, `GrantLost`.
    pub cause: Cause,
    /// One sentence for a person.
    pub text: String,
}

/// Everything that is known about a container that does not run any more.
#[derive(Debug, Clone, Default)]
pub struct End<'a> {
    /// What init wrote, where it did.
    pub verdict: Option<&'a Verdict>,
    /// What the engine says, where it has the container.
    pub seen: Option<&'a Seen>,
    /// Who asked for the end, where somebody did before it came.
    pub asked: Option<&'a Asked>,
    /// When the engine's process started, where that is known.
    pub engine_started: Option<Millis>,
    /// The last usage that was read while it ran.
    pub usage: Usage,
    /// Now.
    pub now: Millis,
}

/// The exit code of an init whose lease was over.
const CODE_LEASE: i32 = 124;
/// The exit code of an init that ended between two tasks: of the one that it was told last, nothing was started.
pub const CODE_IDLE: i32 = 123;
/// The exit code of an init that failed by itself.
const CODE_OWN: i32 = 125;
const SIGKILL: i32 = 9;

/// Decides how an attempt ended. The engine's `OOMKilled` and 137 both lie: out of memory is only what the cgroup's
/// own counter says together with a payload that did not end well.
#[must_use]
pub fn exit_of(end: &End<'_>) -> Exit {
    match (end.verdict, end.seen) {
        (Some(verdict), _) => by_verdict(end, verdict),
        (None, Some(seen)) if seen.started.is_none() => {
            let mut exit = Exit::not_started(Cause::EngineFailed, seen.error.clone(), end.now);
            if let Some(asked) = end.asked {
                blame(&mut exit, asked.cause, &asked.text);
            }
            exit
        }
        (None, seen) => without_verdict(end, seen),
    }
}

fn by_verdict(end: &End<'_>, verdict: &Verdict) -> Exit {
    let mut exit = Exit {
        code: verdict.code,
        signal: verdict.signal,
        cause: None,
        by: verdict.by,
        text: String::new(),
        started: verdict.started,
        ended: verdict.ended,
        used: Peak {
            cpu_ms: verdict.cpu_ms.max(end.usage.cpu_ms),
            memory: verdict.peak_memory.max(end.usage.peak_memory),
            ..Peak::default()
        },
        result: None,
        moved: Box::default(),
    };
    if let Some((failure, text)) = &verdict.error {
        // Whoever ends an attempt before it began takes its spec away: its init complains of that.
        if let (StartFailure::Internal, Some(asked)) = (failure, end.asked) {
            exit.by = asked.by;
            blame(&mut exit, asked.cause, &asked.text);
            return exit;
        }
        let cause = match failure {
            StartFailure::NotFound => Cause::CommandNotFound,
            StartFailure::NotExecutable => Cause::NotExecutable,
            StartFailure::BadInterpreter => Cause::BadInterpreter,
            StartFailure::Internal => Cause::Internal,
        };
        blame(&mut exit, cause, text);
        return exit;
    }
    match (verdict.by, end.asked) {
        (EndedBy::Stop | EndedBy::Lease | EndedBy::NotStarted, Some(asked)) => {
            exit.by = asked.by;
            blame(&mut exit, asked.cause, &asked.text);
        }
        (EndedBy::Lease, None) => blame(&mut exit, Cause::LeaseExpired, ""),
        (EndedBy::Stop, None) => {
            exit.by = EndedBy::Outside;
            blame(&mut exit, Cause::KilledOutside, "somebody outside DYbox stopped the container");
        }
        (EndedBy::NotStarted, None) => blame(&mut exit, Cause::Internal, "its init did not start the command"),
        (EndedBy::Oom, _) => blame(&mut exit, Cause::Oom, ""),
        _ => by_status(&mut exit, verdict.oom_kills),
    }
    exit
}

/// A payload that ended by itself.
fn by_status(exit: &mut Exit, oom_kills: u64) {
    match (exit.code, exit.signal) {
        (Some(0), _) if oom_kills > 0 => {
            exit.text = format!("succeeded, but the kernel killed {oom_kills} of its processes for want of memory");
        }
        (Some(0), _) => {}
        (Some(code), _) => blame(exit, Cause::ExitCode, &format!("exit code {code}")),
        (None, Some(signal)) => blame(exit, Cause::Signal, &format!("signal {signal}")),
        (None, None) => blame(exit, Cause::Internal, "its init told neither code nor signal"),
    }
}

/// Init was killed with the container, or could not write.
fn without_verdict(end: &End<'_>, seen: Option<&Seen>) -> Exit {
    let code = seen.and_then(|seen| seen.code);
    let mut exit = Exit {
        code: None,
        signal: None,
        cause: None,
        by: EndedBy::Outside,
        text: String::new(),
        started: seen.and_then(|seen| seen.started),
        ended: seen.and_then(|seen| seen.finished).unwrap_or(end.now),
        used: Peak { cpu_ms: end.usage.cpu_ms, memory: end.usage.peak_memory, ..Peak::default() },
        result: None,
        moved: Box::default(),
    };
    match code {
        _ if end.asked.is_some() => {}
        // Init returns the payload's code even where it finds no room for its verdict.
        Some(CODE_LEASE) => {
            exit.by = EndedBy::Lease;
            blame(&mut exit, Cause::LeaseExpired, "");
            return exit;
        }
        Some(CODE_OWN) => {
            blame(&mut exit, Cause::Internal, "its init failed and left no verdict");
            return exit;
        }
        Some(code) if (0..128).contains(&code) => {
            exit.code = Some(code);
            exit.by = EndedBy::Itself;
            by_status(&mut exit, 0);
            return exit;
        }
        _ => {}
    }
    exit.signal = code.filter(|&code| code > 128).map(|code| code - 128).or(Some(SIGKILL));
    if let Some(asked) = end.asked {
        exit.by = asked.by;
        blame(&mut exit, asked.cause, &asked.text);
    } else if end.usage.oom_kills > 0 && seen.is_some_and(|seen| seen.oom_flag) {
        exit.by = EndedBy::Oom;
        blame(&mut exit, Cause::Oom, "");
    } else if restarted(end, seen) {
        blame(&mut exit, Cause::EngineRestarted, "the engine's process is younger than the container");
    } else {
        let text =
            if seen.is_none() { "the container is gone" } else { "the container died and its init left no verdict" };
        blame(&mut exit, Cause::KilledOutside, text);
    }
    exit
}

/// Whether the engine's process is younger than the container.
fn restarted(end: &End<'_>, seen: Option<&Seen>) -> bool {
    match (end.engine_started, seen.and_then(|seen| seen.started)) {
        (Some(engine), Some(container)) => engine > container,
        _ => false,
    }
}

fn blame(exit: &mut Exit, cause: Cause, text: &str) {
    exit.cause = Some(cause);
    exit.text = text.to_owned();
}

#[cfg(test)]
mod tests;
