//! Moving the payload's output into its file. Never keeps the payload waiting for a disk that is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use dybox_redact::{self as redact, Words};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::read;

use crate::lease::boot_ms;

/// Most bytes moved in one step, so that the lease and signals get their turn.
const STEP: usize = 1 << 20;
/// A pipe grows when this much went through it: pipes count against the user's limit of pipe pages, and most payloads
/// write little.
const GROW_AFTER: u64 = 1 << 20;

/// How long the begin of what may be a secret is kept from a person at a terminal.
const PATIENCE_MS: u64 = 100;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Moved,
    Empty,
    End,
}

/// One stream of output on its way into a file.
pub(crate) struct Pump {
    from: Option<OwnedFd>,
    to: File,
    /// Splice refuses files in append mode; init is the only writer, so it keeps the place itself.
    offset: u64,
    moved: u64,
    grown: bool,
    by_splice: bool,
    pub(crate) dropped: u64,
    buffer: Vec<u8>,
    hidden: Option<Hidden>,
}

/// What must not be seen in the output.
struct Hidden {
    words: Rc<Words>,
    held: redact::Stream,
    /// What is certain, of the piece in hand.
    clear: Vec<u8>,
    /// When the last bytes came, where a person waits for each: then the begin of a word is not held back for long.
    waits: Option<u64>,
}

impl Pump {
    /// `tee` says that the bytes are wanted here, too.
    pub(crate) fn new(from: OwnedFd, file: &Path, tee: bool) -> io::Result<Self> {
        let to = OpenOptions::new().write(true).open(file)?;
        let offset = to.metadata()?.len();
        nonblocking(&from)?;
        let from = Some(from);
        let (buffer, hidden) = (Vec::new(), None);
        Ok(Self { from, to, offset, moved: 0, grown: false, by_splice: !tee, dropped: 0, buffer, hidden })
    }

    /// From now on the bytes are wanted here, too.
    pub(crate) const fn show(&mut self) {
        self.by_splice = false;
    }

    /// From now on the words are hidden. `person`: one at a terminal sees the output.
    pub(crate) fn hide(&mut self, words: &Rc<Words>, person: bool) {
        if !words.is_empty() {
            self.by_splice = false;
            let (words, waits) = (Rc::clone(words), person.then(boot_ms));
            self.hidden = Some(Hidden { words, held: redact::Stream::default(), clear: Vec::new(), waits });
        }
    }

    /// The end to wait on, until the stream has ended.
    pub(crate) const fn source(&self) -> Option<&OwnedFd> {
        self.from.as_ref()
    }

    /// Moves what is there; shows it to `tee` where bytes are wanted.
    pub(crate) fn step(&mut self, tee: impl FnOnce(&[u8])) -> Step {
        let step = if self.by_splice { self.splice() } else { self.copy(tee) };
        if step == Step::End {
            self.from = None;
        }
        if !self.grown && self.moved >= GROW_AFTER {
            self.grown = true;
            if let Some(from) = &self.from {
                // Refused where the user has too many large pipes: then it stays as it is.
                let _ = fcntl(from, FcntlArg::F_SETPIPE_SZ(1 << 20));
            }
        }
        step
    }

    fn splice(&mut self) -> Step {
        let Some(from) = &self.from else { return Step::End };
        let mut at = i64::try_from(self.offset).unwrap_or(i64::MAX);
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        match splice(from, None, &self.to, Some(&mut at), STEP, flags) {
            Ok(0) => Step::End,
            Ok(len) => {
                self.offset += len as u64;
                self.moved += len as u64;
                Step::Moved
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Step::Empty,
            Err(Errno::EINVAL) => {
                // This file system can't.
                self.by_splice = false;
                Step::Moved
            }
            Err(_) => self.copy(|_| {}),
        }
    }

    /// Reads and writes. What the disk does not take is dropped and counted.
    fn copy(&mut self, tee: impl FnOnce(&[u8])) -> Step {
        let Some(from) = &self.from else { return Step::End };
        self.buffer.resize(64 << 10, 0);
        let (step, len) = match read(from, &mut self.buffer) {
            // A terminal says EIO when nobody holds its other end any more.
            Ok(0) | Err(Errno::EIO) => (Step::End, 0),
            Err(Errno::EAGAIN | Errno::EINTR) => (Step::Empty, 0),
            Err(_) => (Step::End, 0),
            Ok(len) => (Step::Moved, len),
        };
        self.moved += len as u64;
        let Some(hidden) = &mut self.hidden else {
            if len > 0 {
                let piece = &self.buffer[..len];
                self.dropped += put(&self.to, piece, &mut self.offset);
                tee(piece);
            }
            return step;
        };
        hidden.take(&self.buffer[..len], step);
        if !hidden.clear.is_empty() {
            self.dropped += put(&self.to, &hidden.clear, &mut self.offset);
            tee(&hidden.clear);
            hidden.clear.clear();
        }
        step
    }
}

impl Hidden {
    fn take(&mut self, bytes: &[u8], step: Step) {
        match (step, &mut self.waits) {
            (Step::Moved, waits) => {
                self.held.push(&self.words, bytes, &mut self.clear);
                waits.iter_mut().for_each(|at| *at = boot_ms());
            }
            (Step::End, _) => self.held.end(&self.words, &mut self.clear),
            (Step::Empty, Some(at)) if self.held.holds() && boot_ms() >= *at + PATIENCE_MS => {
                self.held.end(&self.words, &mut self.clear);
            }
            (Step::Empty, _) => {}
        }
    }
}

/// Writes it all at this place, and moves the place on. The bytes that the disk does not take are returned.
fn put(to: &File, mut rest: &[u8], offset: &mut u64) -> u64 {
    while !rest.is_empty() {
        match to.write_at(rest, *offset) {
            Ok(done) if done > 0 => {
                *offset += done as u64;
                rest = &rest[done..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    rest.len() as u64
}

/// Makes reads and writes return instead of waiting.
pub(crate) fn nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Bytes that wait for a reader who may be slow.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    done: usize,
}

impl Backlog {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Hands over as much as `to` takes now. False where `to` is gone.
    pub(crate) fn flush(&mut self, mut to: impl Write) -> bool {
        while self.len() > 0 {
            match to.write(&self.bytes[self.done..]) {
                Ok(0) => return false,
                Ok(len) => self.done += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.bytes.clear();
        self.done = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::pipe2;

    fn drain(pump: &mut Pump) -> Vec<u8> {
        let mut seen = Vec::new();
        while !matches!(pump.step(|bytes| seen.extend_from_slice(bytes)), Step::End | Step::Empty) {}
        seen
    }

    #[test]
    fn bytes_arrive_by_splice_and_by_copy() {
        for tee in [false, true] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let (from, to) = pipe2(OFlag::O_CLOEXEC).unwrap();
            let mut pump = Pump::new(from, file.path(), tee).unwrap();
            let mut to = File::from(to);
            to.write_all(b"a\0b\xff").unwrap();
            let seen = drain(&mut pump);
            to.write_all(b"no newline").unwrap();
            drop(to);
            drain(&mut pump);
            assert_eq!(std::fs::read(file.path()).unwrap(), b"a\0b\xffno newline");
            assert_eq!(seen.len(), if tee { 4 } else { 0 });
            assert!(pump.source().is_none());
        }
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_cut_and_the_end_comes_out() {
        for person in [false, true] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let (from, to) = pipe2(OFlag::O_CLOEXEC).unwrap();
            let mut pump = Pump::new(from, file.path(), false).unwrap();
            pump.hide(&Rc::new(Words::of([b"hunter2".as_slice()])), person);
            let mut to = File::from(to);
            let mut seen = Vec::new();
            for piece in ["pw=hun", "ter2 and hu", "nte"] {
                to.write_all(piece.as_bytes()).unwrap();
                seen.extend(drain(&mut pump));
            }
            assert_eq!(seen, b"pw=*** and ");
            if person {
                while seen.len() < 16 {
                    seen.extend(drain(&mut pump));
                }
            }
            drop(to);
            seen.extend(drain(&mut pump));
            assert_eq!(seen, b"pw=*** and hunte");
            assert_eq!(std::fs::read(file.path()).unwrap(), seen);
        }
    }

    #[test]
    fn a_full_disk_drops_and_counts_and_never_blocks() {
        let (from, to) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut pump = Pump::new(from, Path::new("/dev/full"), false).unwrap();
        let mut to = File::from(to);
        for _ in 0..100 {
            to.write_all(&[7; 4096]).unwrap();
            drain(&mut pump);
        }
        assert_eq!(pump.dropped, 409_600);
    }

    #[test]
    fn a_backlog_keeps_what_the_reader_does_not_take() {
        let (mut one, two) = std::os::unix::net::UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        let mut backlog = Backlog::default();
        backlog.push(&vec![1; 4 << 20]);
        assert!(backlog.flush(&mut one));
        assert!(backlog.len() > 0);
        drop(two);
        assert!(!backlog.flush(&mut one));
    }
}
