//! Signals, as events.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) signal: Signal,
    /// Sent from outside of the container: then the kernel shows no sender.
    pub(crate) outside: bool,
}

/// Signals that are passed on to the payload as they are.
pub(crate) const PASSED_ON: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];

/// Blocks the signals that init cares for and opens the way that they come by. Blocked ones reach PID 1 although it
/// has no handlers.
pub(crate) fn open() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGPWR, Signal::SIGCHLD].into_iter().chain(PASSED_ON) {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// All that came since.
pub(crate) fn take(fd: &SignalFd) -> Vec<Came> {
    let mut came = Vec::new();
    while let Ok(Some(info)) = fd.read_signal() {
        if let Ok(signal) =
            i32::try_from(info.ssi_signo).map_err(|_| ()).and_then(|n| Signal::try_from(n).map_err(|_| ()))
        {
            came.push(Came { signal, outside: info.ssi_pid == 0 || std::process::id() != 1 });
        }
    }
    came
}
