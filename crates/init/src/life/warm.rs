//! A container that is used again: further tasks of the same stage, handed over by the proxy without the engine.
//!
//! The proxy speaks through `out/line.sock`, which is gone before the first payload starts: what runs in the container
//! can't reach it. Each word is `[length, u32 LE][text]`. It says what differs for the next task; init answers with
//! that task's verdict and `warm yes` behind it where another one may follow, or with `cold WHY`: it was not started.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{CLIENT_MS, DRAIN_MS, Last, Life};
use crate::counters::Counters;
use crate::lease::{LOOK_MS, boot_ms};
use crate::spec::Next;
use crate::streams::Streams;
use crate::verdict::{By, Failure, Status, Verdict};
use crate::{attach, clean, signals};

/// Init's exit code where it ended between two tasks: whatever it was told last, nothing of that was started. The proxy
/// must be able to tell this from a task that ended well.
const IDLE: i32 = 123;
/// Of an init whose last task's end could neither be told nor written.
const UNTOLD: i32 = 125;
/// What differs between two tasks is little.
const LONGEST: usize = 1 << 20;

/// The way to the proxy.
pub(super) struct Line {
    stream: UnixStream,
    heard: Vec<u8>,
    /// What a payload with the right to do so may add to.
    devices: Vec<std::ffi::OsString>,
}

/// What came while nothing ran.
enum Came {
    Next(Next),
    /// Init ends, with this code.
    End(i32),
}

impl Life {
    /// Waits until the proxy has connected or the patience for it is over: then it is a container for one task.
    pub(super) fn await_line(&mut self, home: &Path) -> Result<(), Failure> {
        let path = home.join("out/line.sock");
        let listener = attach::listen_at(&path).map_err(|error| Failure::own(format!("line: {error}")))?;
        let until = boot_ms() + CLIENT_MS;
        while self.line.is_none() && self.ending.is_none() && boot_ms() < until {
            attach::readable(listener.as_fd(), 100);
            self.line = Line::accept(&listener);
            self.take_signals();
            self.watch_lease();
        }
        let _ = std::fs::remove_file(&path);
        Ok(())
    }

    /// Whether this end lets another task follow.
    fn stays_warm(&mut self, verdict: &Verdict) -> bool {
        let well = matches!(verdict.status, Ok(Status::Code(_))) && verdict.by == By::Itself;
        well && verdict.counters.oom_kills == 0 && verdict.dropped == 0 && !self.lease.over(boot_ms()) && all_reaped()
    }

    /// Takes away what the last task left and starts the next one. An error: nothing was started.
    fn take(&mut self, next: &Next) -> Result<Result<(), Failure>, String> {
        let home = self.root.join(".dybox");
        self.clean(&home)?;
        (self.payload, self.ending, self.status, self.started_ms) = (None, None, None, None);
        self.finishing = false;
        self.before = Counters::read(&self.root);
        let (streams, ends) = Streams::open(None, [&*home.join("stdout"), &home.join("stderr")])
            .map_err(|error| format!("streams: {error}"))?;
        self.streams = streams;
        // The last look: whoever gives a task up takes the spec away, and lets the lease stand still.
        if self.lease.over(boot_ms()) || !home.join("in/spec").exists() {
            return Err("nobody wants it any more".to_owned());
        }
        self.unveil()?;
        self.spec.task = Some(next.task.clone());
        self.door.reopen();
        Ok(self.start(&ends, next.env.clone()))
    }

    fn clean(&self, home: &Path) -> Result<(), String> {
        let said = |dir: &Path, error: io::Error| format!("{}: {error}", dir.display());
        let out = home.join("out");
        clean::empty(&out, "verdict").map_err(|error| said(&out, error))?;
        for dir in &self.spec.fresh {
            clean::empty(dir, "").map_err(|error| said(dir, error))?;
        }
        if std::process::id() != 1 {
            return Ok(());
        }
        if clean::has_sysv() {
            return Err("objects of System V are left".to_owned());
        }
        match &self.line {
            Some(line) if line.devices != devices() => Err("/dev was changed".to_owned()),
            _ => Ok(()),
        }
    }

    /// Waits for the next task. Without the proxy there is none.
    fn rest(&mut self) -> Came {
        loop {
            let Some(line) = &mut self.line else { return Came::End(IDLE) };
            match line.word() {
                Ok(Some(text)) => match Next::parse(&text) {
                    Ok(next) => return Came::Next(next),
                    Err(_) => return Came::End(UNTOLD),
                },
                Ok(None) => {}
                Err(_) => return Came::End(IDLE),
            }
            let mut fds = [self.signals.as_fd(), line.stream.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            // An interrupted or failed wait is a short one.
            let _ = poll(&mut fds, LOOK_MS as u16);
            let came = signals::take(&self.signals);
            let told = came.iter().any(|came| came.outside && matches!(came.signal, Signal::SIGTERM | Signal::SIGPWR));
            if told || self.lease.over(boot_ms()) {
                return Came::End(IDLE);
            }
            // Whom somebody looked in with, by the engine.
            while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(ended) if ended != WaitStatus::StillAlive) {}
        }
    }
}

/// Tells the end of the first task, and goes on with those that follow.
pub(super) fn go_on(mut life: Life, mut verdict: Verdict, mut clean: bool) -> Last {
    loop {
        let warm = clean && life.stays_warm(&verdict);
        let written = verdict.write(&life.root.join(".dybox/out")).is_ok();
        let mut text = verdict.text();
        if warm && written {
            text.push_str("warm yes\n");
        }
        let said = life.line.as_mut().is_some_and(|line| line.say(&text));
        if !(warm && written && said) {
            return Last::Told(if written { verdict.exit_code() } else { UNTOLD });
        }
        let next = match life.rest() {
            Came::Next(next) => next,
            Came::End(code) => return Last::Told(code),
        };
        (verdict, clean) = match life.take(&next) {
            Ok(Ok(())) => life.serve(),
            Ok(Err(failure)) => {
                let task = Some(next.task);
                (Verdict { task, ..Verdict::not_started(failure, &life.root) }, false)
            }
            Err(why) => {
                if let Some(line) = &mut life.line {
                    line.say(&format!("cold {}\n", why.replace('\n', " ")));
                }
                return Last::Told(IDLE);
            }
        };
    }
}

/// Takes the ends of all that were killed; whether no child is left.
fn all_reaped() -> bool {
    let until = boot_ms() + DRAIN_MS;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if boot_ms() < until => std::thread::sleep(std::time::Duration::from_millis(1)),
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

/// Of a payload that is root: others can't change them.
fn devices() -> Vec<std::ffi::OsString> {
    let root = nix::unistd::geteuid().is_root();
    if root { clean::names(Path::new("/dev")).into_iter().collect() } else { Vec::new() }
}

impl Line {
    fn accept(listener: &UnixListener) -> Option<Self> {
        let (stream, _) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(Self { stream, heard: Vec::new(), devices: devices() })
    }

    /// A whole word, if one has come. An error: the proxy is gone.
    fn word(&mut self) -> io::Result<Option<String>> {
        if let Some(text) = self.whole()? {
            return Ok(Some(text));
        }
        let mut bytes = [0; 4 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.heard.extend_from_slice(&bytes[..len]);
                self.whole()
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn whole(&mut self) -> io::Result<Option<String>> {
        let Some((len, rest)) = self.heard.split_first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(text) = rest.get(..len) else { return Ok(None) };
        let text = String::from_utf8_lossy(text).into_owned();
        self.heard.drain(..4 + len);
        Ok(Some(text))
    }

    /// False where the proxy is gone, or does not listen: at most one word is on its way, so there is room for it.
    fn say(&mut self, text: &str) -> bool {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let word = [&len.to_le_bytes()[..], text.as_bytes()].concat();
        self.stream.write_all(&word).is_ok()
    }
}
