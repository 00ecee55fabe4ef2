//! The payload's stdin, stdout and stderr: pipes, or one terminal.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use dybox_redact::Words;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::unistd::{dup2_stderr, dup2_stdout, pipe2};

use crate::attach::{self, STDERR, STDOUT, Word};
use crate::pump::{Backlog, Pump, nonblocking};
use crate::spec::Attach;
use crate::start::Ends;

/// Init's ends of the streams.
pub(crate) struct Streams {
    /// With the kind of frame that a client gets.
    pub(crate) pumps: Vec<(u8, Pump)>,
    /// What the client typed and the payload has not read.
    pub(crate) stdin: Option<Stdin>,
    /// The terminal, where there is one.
    pub(crate) terminal: Option<OwnedFd>,
    /// The payload's end of it: a payload may close all of its own and open the terminal again later.
    pub(crate) kept_open: Option<OwnedFd>,
}

/// The way to the payload's stdin.
pub(crate) struct Stdin {
    pub(crate) to: File,
    pub(crate) backlog: Backlog,
    /// The client has said its last word.
    pub(crate) ended: bool,
}

/// A client that types faster than the payload reads waits from this much on.
const TYPED_AHEAD: usize = 64 << 10;
/// What a terminal takes for the end of input.
const END_OF_INPUT: u8 = 4;

impl Streams {
    /// Opens the streams, and the payload's ends of them; the output goes into these files, too.
    pub(crate) fn open(attach: Option<Attach>, [stdout_file, stderr_file]: [&Path; 2]) -> io::Result<(Self, Ends)> {
        if attach == Some(Attach::Tty) {
            return Self::terminal(stdout_file);
        }
        let (out, stdout) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, stderr) = pipe2(OFlag::O_CLOEXEC)?;
        let tee = attach.is_some();
        let pumps = vec![(STDOUT, Pump::new(out, stdout_file, tee)?), (STDERR, Pump::new(err, stderr_file, tee)?)];
        let (stdin, typed) = if attach == Some(Attach::Stdin) {
            let (stdin, to) = pipe2(OFlag::O_CLOEXEC)?;
            (stdin, Some(Stdin::new(to)?))
        } else {
            (File::open("/dev/null")?.into(), None)
        };
        Ok((Self { pumps, stdin: typed, terminal: None, kept_open: None }, Ends { stdin, stdout, stderr, tty: false }))
    }

    /// The same for a hook: it reads this file, and its stdout is wanted here. Nothing for what is no hook.
    pub(crate) fn of_hook((mut streams, mut ends): (Self, Ends), stdin: Option<&Path>) -> io::Result<(Self, Ends)> {
        if let Some(stdin) = stdin {
            ends.stdin = File::open(stdin)?.into();
            streams.pumps.iter_mut().filter(|(kind, _)| *kind == STDOUT).for_each(|(_, pump)| pump.show());
        }
        Ok((streams, ends))
    }

    fn terminal(file: &Path) -> io::Result<(Self, Ends)> {
        let pty = openpty(None, None)?;
        for fd in [&pty.master, &pty.slave] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        let stdin = Some(Stdin::new(pty.master.try_clone()?)?);
        let pumps = vec![(STDOUT, Pump::new(pty.master.try_clone()?, file, true)?)];
        let kept_open = Some(pty.slave.try_clone()?);
        let (stdout, stderr) = (pty.slave.try_clone()?, pty.slave.try_clone()?);
        let ends = Ends { stdin: pty.slave, stdout, stderr, tty: true };
        Ok((Self { pumps, stdin, terminal: Some(pty.master), kept_open }, ends))
    }

    /// Hides the words in all output.
    pub(crate) fn hide(&mut self, words: &Rc<Words>) {
        let person = self.terminal.is_some();
        self.pumps.iter_mut().for_each(|(_, pump)| pump.hide(words, person));
    }

    /// Whether any output may still come.
    pub(crate) fn open_ended(&self) -> bool {
        self.pumps.iter().any(|(_, pump)| pump.source().is_some())
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.pumps.iter().map(|(_, pump)| pump.dropped).sum()
    }

    /// Takes what a client says to the streams; anything else comes back.
    pub(crate) fn take(&mut self, word: Word) -> Option<Word> {
        match (word, &mut self.stdin) {
            (Word::Stdin(bytes), Some(stdin)) if !stdin.ended => stdin.backlog.push(&bytes),
            (Word::StdinEnd, Some(stdin)) => stdin.end(self.terminal.is_some()),
            (Word::Stdin(_) | Word::StdinEnd, _) => {}
            (Word::Window { rows, cols }, _) => {
                if let Some(terminal) = &self.terminal {
                    attach::resize(terminal, rows, cols);
                }
            }
            (other, _) => return Some(other),
        }
        None
    }

    /// Gives the payload what was typed.
    pub(crate) fn feed(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        let open = stdin.backlog.flush(&stdin.to);
        if !open || stdin.ended && stdin.backlog.len() == 0 && self.terminal.is_none() {
            self.stdin = None;
        }
    }
}

impl Stdin {
    fn new(to: OwnedFd) -> io::Result<Self> {
        nonblocking(&to)?;
        Ok(Self { to: to.into(), backlog: Backlog::default(), ended: false })
    }

    pub(crate) const fn full(&self) -> bool {
        self.backlog.len() >= TYPED_AHEAD
    }

    /// Nothing more will be typed. A terminal is told so, a pipe is closed once it is empty.
    pub(crate) fn end(&mut self, terminal: bool) {
        if terminal && !self.ended {
            self.backlog.push(&[END_OF_INPUT]);
        }
        self.ended = true;
    }
}

/// Makes the payload's pipes init's own stdout and stderr, for images that log to `/proc/1/fd/1`.
pub(crate) fn lend(ends: &Ends) {
    if !ends.tty {
        // Where it fails such logs are lost, as without init.
        let _ = dup2_stdout(&ends.stdout);
        let _ = dup2_stderr(&ends.stderr);
    }
}

/// Lets go of them, so that the pipes can end.
pub(crate) fn unlend() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
}
