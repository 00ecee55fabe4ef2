//! Starting the payload: fork, set up the child, exec. The only place with `unsafe`, beside the window size.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, pipe2, setsid};

use crate::verdict::Failure;

/// The payload is to be killed before its init when memory is short.
const OOM_SCORE_ABOVE: i32 = 500;

/// The payload's ends of its streams.
pub(crate) struct Ends {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Whether stdin is a terminal that shall be the payload's own.
    pub(crate) tty: bool,
}

/// A program with words and environment as exec wants them: nothing is allocated after the fork that need not be.
struct Image {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

/// Starts `program` as leader of a session of its own, so that signals reach all that it starts.
/// `env` has `KEY=VALUE` that go before init's own.
pub(crate) fn start(program: &Path, argv: &[String], env: &[String], ends: &Ends) -> Result<Pid, Failure> {
    let image = Image::new(program, argv, env)?;
    let own = |what: &str, errno: Errno| Failure::own(format!("{what}: {}", errno.desc()));
    // Closes by itself when exec succeeds; else it carries the errno.
    let (news, tell) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| own("pipe", errno))?;
    #[expect(unsafe_code, reason = "fork is safe in a program that has one thread, and init has one")]
    let forked = unsafe { fork() }.map_err(|errno| own("fork", errno))?;
    let pid = match forked {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let errno = become_payload(&image, ends);
            // The parent learns of it by the pipe; if that fails it sees 127.
            let _ = File::from(tell).write_all(&(errno as i32).to_le_bytes());
            std::process::exit(127);
        }
    };
    drop(tell);
    let mut bytes = [0; 4];
    match File::from(news).read_exact(&mut bytes) {
        Ok(()) => {
            // Nothing but the failed child can be waited for now.
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(crate::find::explain(program, Errno::from_raw(i32::from_le_bytes(bytes))))
        }
        Err(_) => Ok(pid),
    }
}

impl Image {
    fn new(program: &Path, argv: &[String], others: &[String]) -> Result<Self, Failure> {
        let c = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Failure::own("a NUL byte in the command"));
        let replaced = |key: &OsStr| others.iter().any(|other| key_of(other) == key.as_bytes());
        let own = std::env::vars_os().filter(|(key, _)| !replaced(key));
        let own = own.map(|(key, value)| [key.into_vec(), value.into_vec()].join(&b'='));
        let env = own.chain(others.iter().map(|other| other.clone().into_bytes()));
        Ok(Self {
            program: c(program.as_os_str().to_owned().into_vec())?,
            argv: argv.iter().map(|word| c(word.clone().into_bytes())).collect::<Result<_, _>>()?,
            env: env.map(c).collect::<Result<_, _>>()?,
        })
    }
}

fn key_of(pair: &str) -> &[u8] {
    pair.split('=').next().unwrap_or_default().as_bytes()
}

/// Runs in the child. Returns only where something failed.
fn become_payload(image: &Image, ends: &Ends) -> Errno {
    let set_up = || -> nix::Result<()> {
        setsid()?;
        dup2_stdin(&ends.stdin)?;
        dup2_stdout(&ends.stdout)?;
        dup2_stderr(&ends.stderr)?;
        if ends.tty {
            own_terminal()?;
        }
        raise_oom_score();
        default_signals();
        SigSet::empty().thread_set_mask()
    };
    match set_up() {
        Ok(()) => match execve(&image.program, &image.argv, &image.env) {
            Err(errno) => errno,
        },
        // Not an errno of exec: what exec can't return tells the two apart.
        Err(_) => Errno::ENOTRECOVERABLE,
    }
}

#[expect(unsafe_code, reason = "an ioctl; its argument is a plain number")]
fn own_terminal() -> nix::Result<()> {
    nix::ioctl_write_int_bad!(tiocsctty, nix::libc::TIOCSCTTY);
    let stdin = std::io::stdin();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&stdin.as_fd());
    unsafe { tiocsctty(fd, 0) }.map(|_| ())
}

/// Raising one's own score needs no privilege. Where it fails the payload runs with init's.
fn raise_oom_score() {
    let file = "/proc/self/oom_score_adj";
    let now = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or(0);
    let _ = std::fs::write(file, (now + OOM_SCORE_ABOVE).min(1000).to_string());
}

/// Ignored signals would stay ignored over exec: Rust ignores SIGPIPE, and whoever started init may ignore others.
#[expect(unsafe_code, reason = "setting a signal to its default runs no code of ours")]
fn default_signals() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // Only KILL and STOP can fail.
        let _ = unsafe { sigaction(signal, &default) };
    }
}
