//! The sandbox: an init without a payload, which holds a network namespace.

use std::os::fd::AsFd;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::lease::{LOOK_MS, Lease, boot_ms};
use crate::signals;
use crate::spec::Spec;

/// Waits for a signal or the end of the lease, as the sandbox does; returns the exit code.
pub(crate) fn pause(root: &Path) -> i32 {
    let Ok(signals) = signals::open() else { return 125 };
    let spec = std::fs::read_to_string(root.join(".dybox/in/spec")).ok().and_then(|text| Spec::parse(&text).ok());
    let spec = spec.unwrap_or_else(Spec::idle);
    let mut lease = Lease::new(root.join(".dybox/in/lease"), spec.lease_ttl_ms, boot_ms());
    loop {
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        // Whatever poll says, the lease is looked at.
        let _ = poll(&mut fds, LOOK_MS as u16);
        if signals::take(&signals).iter().any(|came| matches!(came.signal, Signal::SIGTERM | Signal::SIGPWR)) {
            return 0;
        }
        if lease.over(boot_ms()) {
            return 124;
        }
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
    }
}
