//! Times and bounds of a client.

use std::time::Duration;

use crate::conf::{ConfError, Settings};
use crate::sasl::Protection;

/// Times and bounds of a client; the defaults are Hadoop's.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long one connection may take to come up, without the login.
    pub connect: Duration,
    /// The longest wait for one answer; a call's deadline may be shorter.
    pub answer: Duration,
    /// The line is pinged when it waits for an answer and nothing was said for so long.
    pub ping: Duration,
    /// How long to go round all servers when none of them serves, before the call fails. `None`: one round for a
    /// single server, 20 s for several (a failover takes its time).
    pub patience: Option<Duration>,
    /// The pause between two rounds.
    pub pause: Duration,
    /// The largest frame, in bytes, both ways.
    pub largest_frame: usize,
    /// What we accept, best first (`hadoop.rpc.protection`).
    pub protections: Vec<Protection>,
    /// Said in the server's audit log.
    pub caller: Option<String>,
    /// `hadoop.security.authentication` asks for more than simple.
    pub secure: bool,
    /// `ipc.client.fallback-to-simple-auth-allowed`.
    pub fallback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(120),
            ping: Duration::from_secs(60),
            patience: None,
            pause: Duration::from_millis(500),
            largest_frame: 128 << 20,
            protections: vec![Protection::Authentication],
            caller: None,
            secure: false,
            fallback: false,
        }
    }
}

impl Options {
    /// The options that a configuration asks for.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfError> {
        let usual = Self::default();
        let millis = |key: &str, usual: Duration| -> Result<Duration, ConfError> {
            // Zero means "never" to Hadoop; every call here has an end.
            Ok(settings.millis(key)?.filter(|millis| *millis > 0).map_or(usual, Duration::from_millis))
        };
        let largest = settings.int("ipc.maximum.data.length")?.and_then(|bytes| usize::try_from(bytes).ok());
        let mut protections = Vec::new();
        for word in settings.list("hadoop.rpc.protection") {
            let known = Protection::from_word(&word)
                .ok_or_else(|| settings.bad("hadoop.rpc.protection", "authentication, integrity or privacy"))?;
            protections.push(known);
        }
        if protections.is_empty() {
            protections = usual.protections;
        }
        Ok(Self {
            connect: millis("ipc.client.connect.timeout", usual.connect)?,
            answer: millis("ipc.client.rpc-timeout.ms", usual.answer)?,
            ping: millis("ipc.ping.interval", usual.ping)?,
            largest_frame: largest.filter(|bytes| *bytes > 0).unwrap_or(usual.largest_frame),
            protections,
            secure: settings.get("hadoop.security.authentication").is_some_and(|word| word != "simple"),
            fallback: settings.bool("ipc.client.fallback-to-simple-auth-allowed")?.unwrap_or(false),
            ..usual
        })
    }
}
