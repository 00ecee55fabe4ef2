//! A person at the other end: `out/attach.sock`, frames of `[kind][length, u32 LE][bytes]`.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::libc;
use nix::pty::Winsize;

use crate::pump::Backlog;

/// What the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Stdin(Vec<u8>),
    StdinEnd,
    Window {
        rows: u16,
        cols: u16,
    },
    Signal(i32),
    /// What a visitor wants, in the words of the spec.
    Ask(String),
    /// The client hung up, or talks nonsense.
    Gone,
}

/// Kinds of frames to the client.
pub(crate) const STDOUT: u8 = 10;
pub(crate) const STDERR: u8 = 11;
const END: u8 = 12;
/// How a visitor's command ended: its code, i32 LE.
const CODE: u8 = 13;
/// It did not start: the code, i32 LE, and why.
const FAILED: u8 = 14;
/// A client that takes its output slowly slows the payload down, as with `docker run`, from this much on.
const SLOW_AT: usize = 256 << 10;
const LONGEST_FRAME: usize = 1 << 20;

/// Opens the socket for clients. Its directory is closed to others on the machine.
pub(crate) fn listen(out: &Path) -> io::Result<UnixListener> {
    listen_at(&out.join("attach.sock"))
}

/// The same for any path.
pub(crate) fn listen_at(path: &Path) -> io::Result<UnixListener> {
    // Left over only where the directory is used twice.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The connected client.
pub(crate) struct Client {
    stream: UnixStream,
    heard: Vec<u8>,
    backlog: Backlog,
}

impl Client {
    /// Takes the client that waits, if one does.
    pub(crate) fn accept(listener: &UnixListener) -> Option<Self> {
        Self::of(listener.accept().ok()?.0)
    }

    /// The client at the other end of a line.
    pub(crate) fn of(stream: UnixStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Self { stream, heard: Vec::new(), backlog: Backlog::default() })
    }

    pub(crate) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(crate) const fn slow(&self) -> bool {
        self.backlog.len() >= SLOW_AT
    }

    pub(crate) const fn waiting(&self) -> bool {
        self.backlog.len() > 0
    }

    pub(crate) fn show(&mut self, kind: u8, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.backlog.push(&[kind]);
        self.backlog.push(&len.to_le_bytes());
        self.backlog.push(bytes);
    }

    pub(crate) fn end(&mut self) {
        self.show(END, &[]);
    }

    pub(crate) fn code(&mut self, code: i32) {
        self.show(CODE, &code.to_le_bytes());
    }

    pub(crate) fn fail(&mut self, code: i32, why: &str) {
        self.show(FAILED, &[&code.to_le_bytes()[..], why.as_bytes()].concat());
    }

    /// Drops what nobody will take.
    pub(crate) fn forget(&mut self) {
        self.backlog = Backlog::default();
    }

    /// Hands over what waits. False where the client is gone.
    pub(crate) fn flush(&mut self) -> bool {
        self.backlog.flush(&self.stream)
    }

    /// What the client has said since.
    pub(crate) fn hear(&mut self) -> Vec<Word> {
        let mut bytes = [0; 16 << 10];
        let mut words = Vec::new();
        match self.stream.read(&mut bytes) {
            Ok(0) => words.push(Word::Gone),
            Ok(len) => self.heard.extend_from_slice(&bytes[..len]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => words.push(Word::Gone),
        }
        while let Some((word, len)) = frame(&self.heard) {
            self.heard.drain(..len);
            words.push(word);
        }
        words
    }
}

/// The first whole frame and its length.
fn frame(bytes: &[u8]) -> Option<(Word, usize)> {
    let (&kind, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > LONGEST_FRAME {
        return Some((Word::Gone, bytes.len()));
    }
    let body = rest.get(..len)?;
    let word = match (kind, body) {
        (0, _) => Word::Stdin(body.to_vec()),
        (1, _) => Word::StdinEnd,
        (2, &[r0, r1, c0, c1]) => {
            Word::Window { rows: u16::from_le_bytes([r0, r1]), cols: u16::from_le_bytes([c0, c1]) }
        }
        (3, &[signal]) => Word::Signal(i32::from(signal)),
        (4, _) => Word::Ask(String::from_utf8_lossy(body).into_owned()),
        _ => Word::Gone,
    };
    Some((word, 5 + len))
}

/// Tells the terminal its size; its programs get WINCH from the kernel.
pub(crate) fn resize(terminal: &OwnedFd, rows: u16, cols: u16) {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    set_size(terminal.as_raw_fd(), &size);
}

#[expect(unsafe_code, reason = "an ioctl; it reads a struct that lives on this stack")]
fn set_size(fd: i32, size: &Winsize) {
    nix::ioctl_write_ptr_bad!(tiocswinsz, libc::TIOCSWINSZ, Winsize);
    // A terminal whose other end is closed has no size.
    let _ = unsafe { tiocswinsz(fd, size) };
}

/// Whether `fd` has a client that waits, without taking it.
pub(crate) fn readable(fd: BorrowedFd<'_>, timeout_ms: u16) -> bool {
    let mut fds = [nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, timeout_ms).is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_or_not_at_all() {
        assert_eq!(frame(&[0, 2, 0, 0, 0, 7]), None);
        assert_eq!(frame(&[0, 2, 0, 0, 0, 7, 8, 9]), Some((Word::Stdin(vec![7, 8]), 7)));
        assert_eq!(frame(&[1, 0, 0, 0, 0]), Some((Word::StdinEnd, 5)));
        assert_eq!(frame(&[2, 4, 0, 0, 0, 24, 0, 80, 0]), Some((Word::Window { rows: 24, cols: 80 }, 9)));
        assert_eq!(frame(&[3, 1, 0, 0, 0, 2]), Some((Word::Signal(2), 6)));
    }

    #[test]
    fn nonsense_ends_the_talk_and_nothing_else() {
        assert_eq!(frame(&[9, 0, 0, 0, 0]), Some((Word::Gone, 5)));
        assert_eq!(frame(&[0, 255, 255, 255, 255, 1]), Some((Word::Gone, 6)));
        assert_eq!(frame(&[3, 2, 0, 0, 0, 2, 2]), Some((Word::Gone, 7)));
    }
}
