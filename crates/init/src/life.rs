//! The life of one container: start the payload, look after it, end it, tell how it ended.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::answer::Answer;
use crate::attach::{Client, STDOUT};
use crate::counters::Counters;
use crate::door::Door;
use crate::lease::{LOOK_MS, Lease, boot_ms, wall_ms};
use crate::secrets::Secrets;
use crate::signals::{self, Came, PASSED_ON};
use crate::spec::Spec;
use crate::start::{self, Ends};
use crate::streams::{self, Streams};
use crate::verdict::{By, Failure, Status, Verdict};

mod given;
mod talk;
mod warm;

use warm::Line;

/// How long init waits for a client before it starts the payload without.
const CLIENT_MS: u64 = 10_000;
/// How long output may still come once everything in the container was killed.
const DRAIN_MS: u64 = 2_000;
/// How long a client may take to read the last output.
const LAST_WORDS_MS: u64 = 10_000;

/// An end that init brings about.
struct Ending {
    by: By,
    kill_at: u64,
    killed: bool,
}

/// Everything that init looks after.
struct Life {
    root: PathBuf,
    spec: Spec,
    signals: SignalFd,
    lease: Lease,
    streams: Streams,
    client: Option<Client>,
    payload: Option<Pid>,
    ending: Option<Ending>,
    status: Option<Status>,
    /// The payload is gone, and only its last output is awaited.
    finishing: bool,
    /// The proxy, which has further tasks.
    line: Option<Line>,
    /// For visitors.
    door: Door,
    /// The task's own variables, where they are others than init's.
    env: Vec<String>,
    secrets: Secrets,
    /// Of a hook.
    answer: Option<Answer>,
    /// What the container had used when this task began.
    before: Counters,
    started_ms: Option<u64>,
}

/// How init's own life ends.
pub(crate) enum Last {
    /// With what is still to be told.
    Untold(Verdict),
    /// All is told; the exit code.
    Told(i32),
}

/// Lives until the last payload's end and returns what is to be told. `root` is `/` but in tests.
pub(crate) fn live(root: &Path) -> Last {
    match begin(root) {
        Ok(mut life) => {
            let (verdict, clean) = life.serve();
            if life.line.is_some() { warm::go_on(life, verdict, clean) } else { Last::Untold(verdict) }
        }
        Err(failure) => Last::Untold(Verdict::not_started(failure, root)),
    }
}

fn begin(root: &Path) -> Result<Life, Failure> {
    let home = root.join(".dybox");
    let text = std::fs::read_to_string(home.join("in/spec")).map_err(|error| Failure::own(format!("spec: {error}")))?;
    let spec = Spec::parse(&text).map_err(Failure::own)?;
    if spec.argv.is_empty() {
        return Err(Failure::own("the spec names no command"));
    }
    let signals = signals::open().map_err(|errno| Failure::own(format!("signals: {}", errno.desc())))?;
    let lease = Lease::new(home.join("in/lease"), spec.lease_ttl_ms, boot_ms());
    let outputs = [&*home.join("stdout"), &home.join("stderr")];
    let needs = spec.hook.then(|| home.join("in/needs.json"));
    let (streams, ends) = Streams::open(spec.attach, outputs)
        .and_then(|opened| Streams::of_hook(opened, needs.as_deref()))
        .map_err(|error| Failure::own(format!("streams: {error}")))?;
    let root = root.to_owned();
    let (door, before) = (Door::open(&home.join("out")), Counters::default());
    let answer = spec.hook.then(Answer::default);
    let mut life = Life {
        root,
        spec,
        signals,
        lease,
        streams,
        client: None,
        payload: None,
        ending: None,
        status: None,
        finishing: false,
        line: None,
        door,
        env: Vec::new(),
        secrets: Secrets::default(),
        answer,
        before,
        started_ms: None,
    };
    if life.spec.secrets {
        life.await_secrets(&home)?;
    }
    if life.spec.attach.is_some() {
        life.await_client(&home)?;
    }
    if life.spec.reuse {
        life.await_line(&home)?;
    }
    if life.ending.is_some() {
        // Stopped before it started.
        life.status = Some(Status::Signal(Signal::SIGTERM as i32));
        return Ok(life);
    }
    life.start(&ends, Vec::new())?;
    Ok(life)
}

impl Life {
    /// Starts the payload; `env` are its own variables.
    fn start(&mut self, ends: &Ends, env: Vec<String>) -> Result<(), Failure> {
        let program = crate::find::find(&self.spec.argv[0], std::env::var_os("PATH").as_deref())?;
        if std::process::id() == 1 {
            streams::lend(ends);
        }
        self.payload = Some(start::start(&program, &self.spec.argv, &env, ends)?);
        self.env = env;
        self.started_ms = Some(wall_ms());
        Ok(())
    }

    /// Stays with the payload until its end; whether nothing of it is left in the container, too.
    fn serve(&mut self) -> (Verdict, bool) {
        while self.status.is_none() {
            self.turn();
        }
        let ended_ms = wall_ms();
        let clean = self.finish();
        let answered = self.answer.as_ref().map(|answer| answer.leave(&self.root.join(".dybox/out/result")));
        self.hide_result();
        let mut verdict = self.verdict(ended_ms);
        if let (Some(Err(error)), Ok(Status::Code(0))) = (answered, &verdict.status) {
            verdict.status = Err(Failure::own(format!("its answer can't be kept: {error}")));
        }
        (verdict, clean)
    }

    /// One turn of the loop: wait, then look at everything.
    fn turn(&mut self) {
        self.wait(self.pause_ms());
        self.take_signals();
        self.watch_lease();
        self.pump();
        self.talk();
        self.door.admit(&self.env, &self.secrets);
    }

    fn pause_ms(&self) -> u64 {
        let kill_in = self.ending.as_ref().filter(|ending| !ending.killed);
        kill_in.map_or(LOOK_MS, |ending| ending.kill_at.saturating_sub(boot_ms()).min(LOOK_MS))
    }

    /// Waits until something can be done, at most `ms`.
    fn wait(&self, ms: u64) {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.door.fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        if !self.held() {
            let sources = self.streams.pumps.iter().filter_map(|(_, pump)| pump.source());
            fds.extend(sources.map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        }
        if let Some(client) = &self.client {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, self.hears());
            flags.set(PollFlags::POLLOUT, client.waiting());
            if !flags.is_empty() {
                fds.push(PollFd::new(client.stream().as_fd(), flags));
            }
        }
        if let Some(stdin) = self.streams.stdin.as_ref().filter(|stdin| stdin.backlog.len() > 0) {
            fds.push(PollFd::new(stdin.to.as_fd(), PollFlags::POLLOUT));
        }
        // An interrupted or failed wait is a short one.
        let _ = poll(&mut fds, u16::try_from(ms).unwrap_or(u16::MAX));
    }

    fn take_signals(&mut self) {
        for came in signals::take(&self.signals) {
            match came {
                Came { signal: Signal::SIGCHLD, .. } => self.reap(),
                Came { signal: Signal::SIGTERM, outside: true } => {
                    self.end(By::Stop, self.spec.stop_signal, self.spec.grace_ms);
                }
                Came { signal: Signal::SIGPWR, outside: true } => self.end(By::Stop, Signal::SIGKILL, 0),
                Came { signal, .. } if PASSED_ON.contains(&signal) || signal == Signal::SIGTERM => self.send(signal),
                Came { .. } => {}
            }
        }
    }

    fn watch_lease(&mut self) {
        let now = boot_ms();
        let ended = self.ending.as_ref().is_some_and(|ending| ending.by == By::Lease);
        if !ended && self.lease.over(now) {
            self.end(By::Lease, Signal::SIGTERM, self.spec.lease_grace_ms);
        }
        if let Some(ending) = self.ending.as_mut().filter(|ending| !ending.killed && now >= ending.kill_at) {
            ending.killed = true;
            self.send(Signal::SIGKILL);
        }
    }

    /// Begins to end the payload. The first reason stays; a later one can only bring the end nearer.
    fn end(&mut self, by: By, signal: Signal, grace_ms: u64) {
        let kill_at = boot_ms() + grace_ms;
        let ending = self.ending.get_or_insert(Ending { by, kill_at, killed: false });
        ending.kill_at = ending.kill_at.min(kill_at);
        self.send(signal);
    }

    /// To all that the payload started and that did not leave its group.
    fn send(&self, signal: Signal) {
        if let Some(payload) = self.payload {
            // The group may be gone already.
            let _ = killpg(payload, signal);
        }
    }

    /// Takes the ends of all children: the payload's and those of orphans.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Status::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Status::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            if Some(pid) == self.payload {
                self.status = Some(status);
            }
        }
    }

    fn pump(&mut self) {
        for i in 0..self.streams.pumps.len() {
            if self.held() {
                return;
            }
            let (kind, pump) = &mut self.streams.pumps[i];
            match (&mut self.client, &mut self.answer) {
                (Some(client), _) => pump.step(|bytes| client.show(*kind, bytes)),
                (None, Some(answer)) if *kind == STDOUT => pump.step(|bytes| answer.take(bytes)),
                (None, _) => pump.step(|_| {}),
            };
        }
    }

    /// The payload is gone: ends what it left behind and takes the last output. Whether it left nothing behind.
    fn finish(&mut self) -> bool {
        self.streams.stdin = None;
        self.streams.kept_open = None;
        let left = if std::process::id() == 1 {
            streams::unlend();
            // Those that ended along with it are none.
            self.reap();
            // Everything in the container but init.
            kill(Pid::from_raw(-1), Signal::SIGKILL)
        } else {
            self.payload.map_or(Ok(()), |payload| killpg(payload, Signal::SIGKILL))
        };
        self.finishing = true;
        let until = boot_ms() + DRAIN_MS;
        while self.streams.open_ended() && boot_ms() < until {
            self.wait(50);
            self.pump();
            self.flush_client();
            self.reap();
        }
        if let Some(client) = &mut self.client {
            client.end();
        }
        let until = boot_ms() + LAST_WORDS_MS;
        while self.client.as_ref().is_some_and(Client::waiting) && boot_ms() < until {
            self.flush_client();
            self.wait(50);
        }
        self.reap();
        left == Err(Errno::ESRCH)
    }

    fn verdict(&self, ended_ms: u64) -> Verdict {
        let mut verdict = Verdict {
            status: self.status.map_or_else(|| Err(Failure::own("no status")), Ok),
            by: self.ending.as_ref().map_or(By::Itself, |ending| ending.by),
            started_ms: self.started_ms,
            ended_ms,
            counters: Counters::read(&self.root).since(self.before),
            dropped: self.streams.dropped(),
            task: self.spec.task.clone(),
        };
        verdict.blame_memory();
        verdict
    }
}
