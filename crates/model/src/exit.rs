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
    /// Memory that can't be had back, in bytes: all of it but file pages that lie idle.
    #[serde(default)]
    pub working_set: u64,
    /// Page cache in it, in bytes.
    #[serde(default)]
    pub cache: u64,
    /// Its limit, in bytes; 0 = not known.
    #[serde(default)]
    pub limit: u64,
    /// Thousandths of a cpu that it used since the sample before.
    #[serde(default)]
    pub cpu_milli: u64,
    /// For how long it was held back by its cpu limit so far, in milliseconds of all its threads together.
    #[serde(default)]
    pub throttled_ms: u64,
}

/// What stays of an attempt's usage after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peak {
    /// Cpu time, in milliseconds.
    pub cpu_ms: u64,
    /// Highest memory, in bytes, page cache included.
    pub memory: u64,
    /// How often it was looked at while it ran; the rest of these fields is 0 where it never was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub samples: u64,
    /// The working set that half of the samples stayed below, in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub working_p50: u64,
    /// The same for 95 of 100 samples.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub working_p95: u64,
    /// The largest working set of any sample.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub working_max: u64,
    /// The most page cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_max: u64,
    /// Thousandths of a cpu that 95 of 100 samples stayed below.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_p95: u64,
    /// Bytes read from block devices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read_bytes: u64,
    /// Bytes written to block devices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub written_bytes: u64,
    /// For how long its cpu limit held it back, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttled_ms: u64,
    /// Its working set over time, in MiB times seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mib_seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Peak {
    /// What two attempts used together: what adds up is added, of the rest the larger counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms + other.cpu_ms,
            memory: self.memory.max(other.memory),
            samples: self.samples + other.samples,
            working_p50: self.working_p50.max(other.working_p50),
            working_p95: self.working_p95.max(other.working_p95),
            working_max: self.working_max.max(other.working_max),
            cache_max: self.cache_max.max(other.cache_max),
            cpu_p95: self.cpu_p95.max(other.cpu_p95),
            read_bytes: self.read_bytes + other.read_bytes,
            written_bytes: self.written_bytes + other.written_bytes,
            throttled_ms: self.throttled_ms + other.throttled_ms,
            mib_seconds: self.mib_seconds + other.mib_seconds,
        }
    }

    /// The memory that the attempt needed, in bytes: the largest working set that was seen, or, where nobody looked,
    /// the kernel's own highest figure, page cache included. 0 = not known.
    #[must_use]
    pub const fn needed(&self) -> u64 {
        if self.samples > 0 { self.working_max } else { self.memory }
    }
}

/// An input or output that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Whether it is an output.
    pub out: bool,
    /// The path in the container.
    pub path: String,
    /// Where it came from or went to.
    pub place: String,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// CRC-32C of one file's content, or over names and contents of a directory in order.
    pub crc32c: u32,
    /// How long that took.
    pub took: Millis,
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
    /// Inputs that were brought in and outputs that were brought out.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub moved: Box<[Moved]>,
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
            moved: Box::default(),
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
