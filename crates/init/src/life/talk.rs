//! The person at the other end, where there is one: what is typed, and who keeps whom waiting.

use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::signal::Signal;

use super::{CLIENT_MS, Life};
use crate::attach::{self, Client, Word};
use crate::lease::boot_ms;
use crate::streams;
use crate::verdict::Failure;

/// How long a client of a terminal may take to tell its size.
const FIRST_WORDS_MS: u16 = 200;

impl Life {
    /// Waits until a client has connected or the patience for it is over.
    pub(super) fn await_client(&mut self, home: &Path) -> Result<(), Failure> {
        let listener = attach::listen(&home.join("out")).map_err(|error| Failure::own(format!("attach: {error}")))?;
        let until = boot_ms() + CLIENT_MS;
        while self.client.is_none() && self.ending.is_none() && boot_ms() < until {
            attach::readable(listener.as_fd(), 100);
            self.client = Client::accept(&listener);
            self.take_signals();
            self.watch_lease();
        }
        match &self.client {
            None => self.lose_client(),
            // The payload must not see a terminal without a size: the client tells it first.
            Some(client) if self.streams.terminal.is_some() => {
                attach::readable(client.stream().as_fd(), FIRST_WORDS_MS);
                self.talk();
            }
            Some(_) => {}
        }
        Ok(())
    }

    pub(super) fn hears(&self) -> bool {
        !self.streams.stdin.as_ref().is_some_and(streams::Stdin::full)
    }

    /// Whether output has to wait for a client that is behind. The last output waits for nobody.
    pub(super) fn held(&self) -> bool {
        !self.finishing && self.client.as_ref().is_some_and(Client::slow)
    }

    pub(super) fn talk(&mut self) {
        let hears = self.hears();
        let Some(client) = &mut self.client else { return self.streams.feed() };
        let alive = client.flush();
        let words = if hears { client.hear() } else { Vec::new() };
        for word in words {
            self.obey(word);
        }
        if !alive {
            self.lose_client();
        }
        self.streams.feed();
    }

    fn obey(&mut self, word: Word) {
        match self.streams.take(word) {
            Some(Word::Signal(number)) => {
                if let Ok(signal) = Signal::try_from(number) {
                    self.send(signal);
                }
            }
            Some(Word::Gone) => self.lose_client(),
            _ => {}
        }
    }

    /// Goes on without the client; its input has ended.
    pub(super) fn lose_client(&mut self) {
        self.client = None;
        let terminal = self.streams.terminal.is_some();
        if let Some(stdin) = &mut self.streams.stdin {
            stdin.end(terminal);
        }
    }

    pub(super) fn flush_client(&mut self) {
        let Some(client) = &mut self.client else { return };
        if !client.flush() || client.hear().contains(&Word::Gone) {
            self.client = None;
        }
    }
}
