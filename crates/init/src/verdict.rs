//! The last words: `out/verdict`, one `key value` a line, whole or not there.

use std::fmt::Write as _;
use std::path::Path;

use crate::counters::Counters;

/// Who ended the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Itself,
    Oom,
    Stop,
    Lease,
    NotStarted,
}

impl By {
    const fn word(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Oom => "oom",
            Self::Stop => "stop",
            Self::Lease => "lease",
            Self::NotStarted => "not-started",
        }
    }
}

/// How the payload's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Code(i32),
    Signal(i32),
}

/// Why the payload was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: i32,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// What init returns.
    pub(crate) code: i32,
}

impl Failure {
    /// Init's own failure.
    pub(crate) fn own(text: impl Into<String>) -> Self {
        Self { errno: 0, kind: "internal", text: text.into(), code: 125 }
    }
}

/// Everything that is told.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) status: Result<Status, Failure>,
    pub(crate) by: By,
    pub(crate) started_ms: Option<u64>,
    pub(crate) ended_ms: u64,
    pub(crate) counters: Counters,
    pub(crate) dropped: u64,
    /// Which task it is of, where the proxy named one.
    pub(crate) task: Option<String>,
}

impl Verdict {
    /// Of a payload that never ran.
    pub(crate) fn not_started(failure: Failure, root: &Path) -> Self {
        Self {
            status: Err(failure),
            by: By::NotStarted,
            started_ms: None,
            ended_ms: crate::lease::wall_ms(),
            counters: Counters::read(root),
            dropped: 0,
            task: None,
        }
    }

    /// What init returns.
    pub(crate) fn exit_code(&self) -> i32 {
        match (&self.status, self.by) {
            (_, By::Lease) => 124,
            (Ok(Status::Code(code)), _) => *code,
            (Ok(Status::Signal(signal)), _) => 128 + signal,
            (Err(failure), _) => failure.code,
        }
    }

    /// Out of memory is what the cgroup's counter says together with a payload that did not end well by itself.
    pub(crate) fn blame_memory(&mut self) {
        let bad =
            matches!(self.status, Ok(Status::Signal(9))) || matches!(self.status, Ok(Status::Code(code)) if code != 0);
        if self.by == By::Itself && self.counters.oom_kills > 0 && bad {
            self.by = By::Oom;
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{key} {value}");
        };
        match &self.status {
            Ok(Status::Code(code)) => line("code", code),
            Ok(Status::Signal(signal)) => line("signal", signal),
            Err(failure) => {
                let words = failure.text.replace(['\n', '\r'], " ");
                line("error", &format_args!("{} {} {words}", failure.errno, failure.kind));
            }
        }
        line("by", &self.by.word());
        if let Some(started) = self.started_ms {
            line("started_ms", &started);
        }
        line("ended_ms", &self.ended_ms);
        line("cpu_ms", &self.counters.cpu_ms);
        line("peak_memory", &self.counters.peak_memory);
        line("oom_kills", &self.counters.oom_kills);
        line("dropped", &self.dropped);
        if let Some(task) = &self.task {
            line("task", task);
        }
        line("end", &"ok");
        text
    }

    /// Writes the file. Where the disk is full the exit code alone must tell.
    pub(crate) fn write(&self, out: &Path) -> std::io::Result<()> {
        let draft = out.join("verdict.tmp");
        std::fs::write(&draft, self.text())?;
        std::fs::rename(&draft, out.join("verdict"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: Result<Status, Failure>, oom_kills: u64) -> Verdict {
        let counters = Counters { cpu_ms: 1, peak_memory: 2, oom_kills };
        let by = By::Itself;
        let mut verdict = Verdict { status, by, started_ms: Some(5), ended_ms: 9, counters, dropped: 0, task: None };
        verdict.blame_memory();
        verdict
    }

    #[test]
    fn memory_is_to_blame_only_where_the_counter_moved_and_the_end_was_bad() {
        assert_eq!(verdict(Ok(Status::Signal(9)), 1).by, By::Oom);
        assert_eq!(verdict(Ok(Status::Code(137)), 1).by, By::Oom);
        assert_eq!(verdict(Ok(Status::Code(0)), 1).by, By::Itself);
        assert_eq!(verdict(Ok(Status::Signal(9)), 0).by, By::Itself);
        assert_eq!(verdict(Ok(Status::Signal(11)), 1).by, By::Itself);
    }

    #[test]
    fn the_exit_code_is_as_docker_run_has_it() {
        assert_eq!(verdict(Ok(Status::Code(3)), 0).exit_code(), 3);
        assert_eq!(verdict(Ok(Status::Signal(15)), 0).exit_code(), 143);
        assert_eq!(verdict(Err(Failure::own("x")), 0).exit_code(), 125);
        assert_eq!(Verdict { by: By::Lease, ..verdict(Ok(Status::Code(0)), 0) }.exit_code(), 124);
    }

    #[test]
    fn the_file_is_lines_of_key_and_value() {
        let failure = Failure { errno: 2, kind: "not-found", text: "no\nfile".to_owned(), code: 127 };
        assert_eq!(
            verdict(Err(failure), 0).text(),
            "error 2 not-found no file\nby itself\nstarted_ms 5\nended_ms 9\ncpu_ms 1\npeak_memory 2\noom_kills 0\ndropped 0\nend ok\n"
        );
    }
}
