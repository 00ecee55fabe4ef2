//! One visitor of a running task: a command beside the payload, with streams of its own.
//!
//! The visitor says what it wants in the first frame, in the words of the spec (`argv.N`, `attach`, `env`, `workdir`),
//! then speaks as a client of the payload does. It is told the output, then the exit code. When its line is cut, the
//! command ends: HUP and TERM, then KILL, to everything of its session.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, chdir};

use crate::attach::{self, Client, Word};
use crate::lease::boot_ms;
use crate::secrets::Secrets;
use crate::spec::{Attach, Spec};
use crate::streams::{self, Streams};
use crate::verdict::Failure;
use crate::{find, start};

/// How long a visitor may take to say what it wants.
const ASK_MS: u64 = 5_000;
/// How long a terminal's visitor may take to say its size.
const SIZE_MS: u16 = 1_000;
/// Between HUP and KILL for a visitor that has gone.
const GRACE_MS: u64 = 2_000;
/// For output that is still on its way when the command has ended; whatever it left running may hold it open.
const DRAIN_MS: u64 = 500;
/// For the visitor to take the last of it.
const LAST_WORDS_MS: u64 = 10_000;
/// How long to wait at most, so that the end of the command is seen.
const LOOK_MS: u16 = 20;

struct Visit {
    client: Client,
    streams: Streams,
    payload: Pid,
    /// The visitor has gone; when the rest is killed.
    gone: Option<u64>,
    code: Option<i32>,
}

/// Serves the visitor whose socket is this process's stdin.
/// `hides`: this process's stdout is the memory that holds the task's secrets.
pub(crate) fn visit(hides: bool) -> i32 {
    let secrets = match hides {
        true => std::io::stdout().as_fd().try_clone_to_owned().ok().and_then(Secrets::of_visit),
        false => Some(Secrets::default()),
    };
    let Some(secrets) = secrets else { return 125 };
    let Ok(stdin) = std::io::stdin().as_fd().try_clone_to_owned() else { return 125 };
    let Some(mut client) = Client::of(UnixStream::from(stdin)) else { return 125 };
    let Some((ask, mut words)) = asked(&mut client) else { return 125 };
    match begin(client, (&ask, &secrets), &mut words) {
        Ok(mut visit) => visit.serve(words),
        Err((mut client, failure)) => {
            client.fail(failure.code, &failure.text);
            farewell(&mut client);
            0
        }
    }
}

/// What the visitor wants, and what it has said since.
fn asked(client: &mut Client) -> Option<(Spec, Vec<Word>)> {
    let until = boot_ms() + ASK_MS;
    while boot_ms() < until {
        attach::readable(client.stream().as_fd(), 100);
        let mut words = client.hear().into_iter();
        match words.next() {
            Some(Word::Ask(text)) => return Some((Spec::parse(&text).ok()?, words.collect())),
            Some(_) => return None,
            None => {}
        }
    }
    None
}

/// `words`: what the visitor has said beside; what it says now comes to it.
fn begin(client: Client, (ask, secrets): (&Spec, &Secrets), words: &mut Vec<Word>) -> Result<Visit, (Client, Failure)> {
    let mut client = client;
    let null = Path::new("/dev/null");
    let (mut streams, ends) = match Streams::open(ask.attach.or(Some(Attach::Output)), [null, null]) {
        Ok(opened) => opened,
        Err(error) => return Err((client, Failure::own(format!("streams: {error}")))),
    };
    streams.hide(&secrets.words);
    if let Some(terminal) = &streams.terminal {
        // The command must not see a terminal without a size: the visitor tells it first, maybe together with its ask.
        if !words.iter().any(|word| matches!(word, Word::Window { .. })) {
            attach::readable(client.stream().as_fd(), SIZE_MS);
            words.extend(client.hear());
        }
        for word in words.iter() {
            if let Word::Window { rows, cols } = *word {
                attach::resize(terminal, rows, cols);
            }
        }
    }
    let started = enter(ask).and_then(|program| start::start(&program, &ask.argv, &ask.env, &ends));
    match started {
        Ok(payload) => Ok(Visit { client, streams, payload, gone: None, code: None }),
        Err(failure) => Err((client, failure)),
    }
}

/// The program that is meant, seen from where it is to run.
fn enter(ask: &Spec) -> Result<PathBuf, Failure> {
    let Some(word) = ask.argv.first() else { return Err(Failure::own("no command")) };
    if let Some(dir) = &ask.workdir {
        let failed =
            |errno: Errno| Failure { code: 126, ..Failure::own(format!("{}: {}", dir.display(), errno.desc())) };
        chdir(dir.as_path()).map_err(failed)?;
    }
    let own = ask.env.iter().rev().find_map(|pair| pair.strip_prefix("PATH="));
    let path = own.map(Into::into).or_else(|| std::env::var_os("PATH"));
    find::find(word, path.as_deref())
}

impl Visit {
    fn serve(&mut self, words: Vec<Word>) -> i32 {
        for word in words {
            self.obey(word);
        }
        while self.code.is_none() {
            self.turn(LOOK_MS);
            self.reap();
            self.end_what_nobody_wants();
        }
        // Its other end must close for the last output to end.
        self.streams.kept_open = None;
        let until = boot_ms() + DRAIN_MS;
        while self.streams.open_ended() && boot_ms() < until && self.gone.is_none() {
            self.turn(LOOK_MS);
        }
        if self.gone.is_none() {
            self.client.code(self.code.unwrap_or(125));
            farewell(&mut self.client);
        }
        0
    }

    fn turn(&mut self, ms: u16) {
        self.wait(ms);
        for i in 0..self.streams.pumps.len() {
            if self.client.slow() && self.gone.is_none() {
                break;
            }
            let (kind, pump) = &mut self.streams.pumps[i];
            pump.step(|bytes| self.client.show(*kind, bytes));
        }
        if self.gone.is_some() {
            self.client.forget();
            return;
        }
        let alive = self.client.flush();
        let full = self.streams.stdin.as_ref().is_some_and(streams::Stdin::full);
        let words = if full { Vec::new() } else { self.client.hear() };
        for word in words {
            self.obey(word);
        }
        if !alive {
            self.leave();
        }
        self.streams.feed();
    }

    fn wait(&self, ms: u16) {
        let mut fds = Vec::with_capacity(4);
        if self.gone.is_none() {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, self.client.waiting());
            fds.push(PollFd::new(self.client.stream().as_fd(), flags));
        }
        if !self.client.slow() {
            let sources = self.streams.pumps.iter().filter_map(|(_, pump)| pump.source());
            fds.extend(sources.map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        }
        // An interrupted or failed wait is a short one.
        let _ = poll(&mut fds, ms);
    }

    fn obey(&mut self, word: Word) {
        match self.streams.take(word) {
            Some(Word::Signal(number)) => {
                if let Ok(signal) = Signal::try_from(number) {
                    // Its group may be gone already.
                    let _ = killpg(self.payload, signal);
                }
            }
            Some(Word::Gone) => self.leave(),
            _ => {}
        }
    }

    /// The visitor has gone: nothing of it stays.
    fn leave(&mut self) {
        if self.gone.is_none() {
            self.gone = Some(boot_ms() + GRACE_MS);
            self.streams.stdin = None;
            for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGCONT] {
                self.signal_all(signal);
            }
        }
    }

    fn end_what_nobody_wants(&self) {
        if self.gone.is_some_and(|at| boot_ms() >= at) {
            self.signal_all(Signal::SIGKILL);
        }
    }

    /// To all of the command's session: a shell with a terminal gives each of its jobs a group of its own.
    fn signal_all(&self, signal: Signal) {
        let _ = killpg(self.payload, signal);
        for pid in of_session(self.payload) {
            let _ = kill(pid, signal);
        }
    }

    fn reap(&mut self) {
        let ended = match waitpid(self.payload, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => return,
            Err(_) => 125,
        };
        self.code = Some(ended);
        if self.gone.is_some() {
            self.signal_all(Signal::SIGKILL);
        }
    }
}

fn farewell(client: &mut Client) {
    client.end();
    let until = boot_ms() + LAST_WORDS_MS;
    while client.flush() && client.waiting() && boot_ms() < until {
        let mut fds = [PollFd::new(client.stream().as_fd(), PollFlags::POLLOUT)];
        let _ = poll(&mut fds, 50_u16);
    }
}

/// The processes of a session, as far as this process may see them.
fn of_session(leader: Pid) -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_it = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // What follows the name, which may hold anything: state, parent, group, session.
        let session = stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse::<i32>().ok()?;
        (session == leader.as_raw()).then_some(())
    };
    pids.filter(|pid| of_it(pid).is_some()).map(Pid::from_raw).collect()
}
