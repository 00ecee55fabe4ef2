//! The terminal of the person at the other end.

use std::io::{self, IsTerminal};

use dybox_client::Say;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// A terminal in raw mode: every key goes to the payload. Dropping it restores what was there.
#[derive(Debug)]
pub(in crate::command) struct Raw(Termios);

impl Raw {
    /// Makes stdin raw; nothing where it is no terminal.
    pub(in crate::command) fn enter() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody is left to be told if it fails.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Whether keys come from a terminal.
pub(in crate::command) fn is_there() -> bool {
    io::stdin().is_terminal()
}

/// The terminal's size, to be told to the payload.
pub(in crate::command) fn size() -> Option<Say> {
    let (cols, rows) = terminal_size::terminal_size_of(io::stdout())
        .or_else(|| terminal_size::terminal_size_of(io::stdin()))
        .map(|(cols, rows)| (cols.0, rows.0))?;
    Some(Say::Size { rows, cols })
}
