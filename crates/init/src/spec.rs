//! What the proxy says in `in/spec`: one `key value` a line, with `\n` and `\\` escaped.

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
                _ if key.starts_with("argv.") => spec.argv.push(value),
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
    fn signals_are_known_by_name_and_number() {
        assert_eq!(["SIGQUIT", "QUIT", "3"].map(signal), [Some(Signal::SIGQUIT); 3]);
        assert_eq!(signal("SIGRTMIN+3"), None);
        assert!(Spec::parse("grace_ms soon\n").is_err());
    }
}
