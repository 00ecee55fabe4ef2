//! How an attempt ended, and what it used.

use serde::{Deserialize, Serialize};

use crate::{Cause, Millis};

/// Who ended the payload, as its init or the proxy saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The payload itself.
    #[default]
    Itself,
    /// The kernel, for want of memory.
    Oom,
    /// DYbox, on a stop.
    Stop,
    /// DYbox, on a timeout.
    Timeout,
    /// Its init, because the lease stood still.
    Lease,
    /// Somebody else (`docker kill`, the engine, the machine).
    Outside,
    /// It never ran.
    NotStarted,
}

/// What a container used, read from its cgroup files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Cpu time so far, in milliseconds.
    pub cpu_ms: u64,
    /// Memory now, in bytes, page cache included.
    pub memory: u64,
    /// Highest memory so far, in bytes, as the kernel keeps it: page cache included.
    pub peak_memory: u64,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub written_bytes: u64,
    /// How often the kernel's OOM killer struck in this cgroup.
    pub oom_kills: u64,
    /// Processes and threads now.
    pub pids: u64,
}

/// What stays of an attempt's usage after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peak {
    /// Cpu time, in milliseconds.
    pub cpu_ms: u64,
    /// Highest memory, in bytes, page cache included.
    pub memory: u64,
}

/// The end of one attempt. Failures of tasks are data, not errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The payload's exit code, where it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why it failed; nothing for a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Who ended it.
    #[serde(default)]
    pub by: EndedBy,
    /// One sentence for a person: what exactly happened (path, digest, engine's words). May be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// When the payload started; nothing where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Millis,
    /// What it used.
    #[serde(default)]
    pub used: Peak,
    /// What it wrote to `$DYBOX_RESULT`, as JSON text; nothing where it wrote nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

impl Exit {
    /// The end of an attempt whose container never ran.
    #[must_use]
    pub fn not_started(cause: Cause, text: impl Into<String>, now: Millis) -> Self {
        Self {
            code: None,
            signal: None,
            cause: Some(cause),
            by: EndedBy::NotStarted,
            text: text.into(),
            started: None,
            ended: now,
            used: Peak::default(),
            result: None,
        }
    }

    /// Whether the attempt succeeded.
    #[must_use]
    pub const fn ok(&self) -> bool {
        self.cause.is_none()
    }

    /// What happened, for a person: each thing once, without a capital and without a full stop.
    #[must_use]
    pub fn words(&self) -> String {
        let Some(cause) = self.cause else { return "succeeded".to_owned() };
        let phrase = match (cause, self.code, self.signal) {
            (Cause::ExitCode, Some(code), _) => format!("exit code {code}"),
            (Cause::Signal, _, Some(signal)) => match signal_name(signal) {
                Some(name) => format!("signal {signal}, {name}"),
                None => format!("signal {signal}"),
            },
            _ => cause.info().phrase.to_owned(),
        };
        let known = self.text.is_empty() || phrase.starts_with(&self.text);
        if known { phrase } else { format!("{phrase}: {}", self.text) }
    }

    /// What `docker run` would return: the code, or 128 + the signal; 125 where nothing ran.
    #[must_use]
    pub fn shell_code(&self) -> i32 {
        match (self.code, self.signal, self.cause) {
            (_, _, Some(Cause::CommandNotFound | Cause::BadInterpreter)) => 127,
            (_, _, Some(Cause::NotExecutable)) => 126,
            (Some(code), _, _) => code,
            (None, Some(signal), _) => 128 + signal,
            (None, None, _) => 125,
        }
    }
}

/// Names of the signals that end programs.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_each_thing_once() {
        let end = |cause, text: &str, code, signal| {
            let exit = Exit { code, signal, ..Exit::not_started(cause, text, Millis(0)) };
            exit.words()
        };
        assert_eq!(end(Cause::ExitCode, "exit code 3", Some(3), None), "exit code 3");
        assert_eq!(end(Cause::ExitCode, "", Some(3), None), "exit code 3");
        assert_eq!(end(Cause::Signal, "signal 11", None, Some(11)), "signal 11, SIGSEGV");
        assert_eq!(end(Cause::Oom, "", Some(137), None), "it used more memory than it asked for");
        let missing = end(Cause::ImageNotFound, "no image nope:1", None, None);
        assert_eq!(missing, "the image does not exist: no image nope:1");
    }
}
