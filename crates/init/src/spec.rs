//! What the proxy says in `in/spec`: one `key value` a line, with `\n` and `\\` escaped.

use std::path::PathBuf;
use std::str::FromStr;

use nix::sys::signal::Signal;

/// A person at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attach {
    /// Gets the output.
    Output,
    /// Feeds stdin, too.
    Stdin,
    /// Has a terminal.
    Tty,
}

/// The payload and its limits in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) argv: Vec<String>,
    pub(crate) grace_ms: u64,
    pub(crate) lease_ttl_ms: u64,
    pub(crate) lease_grace_ms: u64,
    /// What the image wants to be stopped by.
    pub(crate) stop_signal: Signal,
    pub(crate) attach: Option<Attach>,
    /// Which task it is; told in the verdict.
    pub(crate) task: Option<String>,
    /// Further tasks may come in the same container.
    pub(crate) reuse: bool,
    /// Directories whose content goes before each further task.
    pub(crate) fresh: Vec<PathBuf>,
    /// `KEY=VALUE` that go before init's own; of a visitor.
    pub(crate) env: Vec<String>,
    /// Where to run, where that is another place than init's own; of a visitor.
    pub(crate) workdir: Option<PathBuf>,
    /// The proxy has secrets for it.
    pub(crate) secrets: bool,
    /// It reads the run so far on its stdin, and what it says on its stdout is its result.
    pub(crate) hook: bool,
}

/// A further task: what differs from the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Next {
    pub(crate) task: String,
    /// `KEY=VALUE` of the container's environment that are others for this task.
    pub(crate) env: Vec<String>,
}

impl Next {
    /// Reads what the proxy says, in the words of the spec.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut next = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').ok_or_else(|| format!("next: no value in {line:?}"))?;
            match key {
                "task" => next.task = unescape(value),
                "env" => next.env.push(unescape(value)),
                _ => {}
            }
        }
        if next.task.is_empty() { Err("next: no task".to_owned()) } else { Ok(next) }
    }
}

impl Spec {
    /// The settings of a sandbox, which has no payload.
    pub(crate) fn idle() -> Self {
        Self {
            argv: Vec::new(),
            grace_ms: 10_000,
            lease_ttl_ms: 15_000,
            lease_grace_ms: 4_000,
            stop_signal: Signal::SIGTERM,
            attach: None,
            task: None,
            reuse: false,
            fresh: Vec::new(),
            env: Vec::new(),
            workdir: None,
            secrets: false,
            hook: false,
        }
    }

    /// Reads the file. Keys of a newer proxy are passed over.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut spec = Self::idle();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').ok_or_else(|| format!("spec: no value in {line:?}"))?;
            let value = unescape(value);
            let ms = || value.parse::<u64>().map_err(|_| format!("spec: {key} is no number"));
            match key {
                "grace_ms" => spec.grace_ms = ms()?,
                "lease_ttl_ms" => spec.lease_ttl_ms = ms()?,
                "lease_grace_ms" => spec.lease_grace_ms = ms()?,
                "stop_signal" => spec.stop_signal = signal(&value).unwrap_or(Signal::SIGTERM),
                "attach" => {
                    spec.attach = match value.as_str() {
                        "tty" => Some(Attach::Tty),
                        "stdin" => Some(Attach::Stdin),
                        _ => Some(Attach::Output),
                    }
                }
                "task" => spec.task = Some(value),
                "reuse" => spec.reuse = true,
                "secrets" => spec.secrets = true,
                "hook" => spec.hook = true,
                "env" => spec.env.push(value),
                "workdir" => spec.workdir = Some(value.into()),
                _ if key.starts_with("argv.") => spec.argv.push(value),
                _ if key.starts_with("fresh.") => spec.fresh.push(value.into()),
                _ => {}
            }
        }
        Ok(spec)
    }
}

/// `SIGINT`, `INT` or `2`; a real-time signal counts as none.
fn signal(text: &str) -> Option<Signal> {
    match text.parse::<i32>() {
        Ok(number) => Signal::try_from(number).ok(),
        Err(_) if text.starts_with("SIG") => Signal::from_str(text).ok(),
        Err(_) => Signal::from_str(&format!("SIG{text}")).ok(),
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.as_str().starts_with('n') => {
                chars.next();
                plain.push('\n');
            }
            '\\' => plain.push(chars.next().unwrap_or('\\')),
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_word_arrives() {
        let spec =
            Spec::parse("argv.0 sh\nargv.1 a\\nb\\\\n c\nargv.2 \ngrace_ms 70\nnewer x\nstop_signal INT\n").unwrap();
        assert_eq!(spec.argv, ["sh", "a\nb\\n c", ""]);
        assert_eq!((spec.grace_ms, spec.lease_ttl_ms, spec.stop_signal), (70, 15_000, Signal::SIGINT));
        assert_eq!(spec.attach, None);
    }

    #[test]
    fn a_further_task_is_what_differs() {
        let next = Next::parse("task s0-7-1\nenv A=x\\ny\nenv B=\n").unwrap();
        assert_eq!(next, Next { task: "s0-7-1".to_owned(), env: vec!["A=x\ny".to_owned(), "B=".to_owned()] });
        assert!(Next::parse("env A=1\n").is_err() && Next::parse("task\n").is_err());
        let spec =
            Spec::parse("argv.0 a\ntask s0-0-1\nreuse yes\nsecrets yes\nfresh.0 /tmp\nfresh.1 /dev/shm\n").unwrap();
        assert_eq!((spec.task.as_deref(), spec.reuse, spec.fresh.len()), (Some("s0-0-1"), true, 2));
        assert!(spec.secrets && !Spec::idle().secrets);
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        assert_eq!(["SIGQUIT", "QUIT", "3"].map(signal), [Some(Signal::SIGQUIT); 3]);
        assert_eq!(signal("SIGRTMIN+3"), None);
        assert!(Spec::parse("grace_ms soon\n").is_err());
    }
}
