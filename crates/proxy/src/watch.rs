//! Stays with a container that runs: sees its init's verdict, samples its usage, asks the engine when in doubt.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{CODE_IDLE, CgroupPaths, Seen, Verdict};
use dybox_logic::proxy::Event;
use dybox_logic::usage::Gauge;
use dybox_model::{AttemptId, Millis, Note, Usage};
use dybox_redact::Words;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::files::Files;
use crate::inbox::{Arrived, Dead};
use crate::line::{Line, Quiet};
use crate::ports::Ports;
use crate::result::{read_result, read_verdict};
use crate::ship::Shipper;

/// Usage is read this often, the first time soon after the start.
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
const FIRST_SAMPLE: Duration = Duration::from_millis(800);
/// The engine is asked this often whether a silent container still runs.
const ASK_EVERY: Duration = Duration::from_secs(4);
/// The kernel is asked this often whether its init is there: whoever kills it from outside leaves no verdict.
const PEEK_EVERY: Duration = Duration::from_millis(500);
/// After a signal that nothing survives, it is asked more often, for a while.
const ASK_OFTEN: Duration = Duration::from_millis(150);
const OFTEN_FOR: Duration = Duration::from_secs(5);
/// The output of a task that follows another is shipped while it runs when it runs for longer than this.
const OPEN_AFTER: Duration = Duration::from_millis(250);
/// Where the kernel gives no notice of files, they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What watches one container.
pub(crate) struct Eyes {
    attempt: AttemptId,
    /// Name or, better, id of the container.
    container: String,
    files: Files,
    kick: Arc<Notify>,
    notices: Option<AsyncFd<Notices>>,
    cgroup: Option<CgroupPaths>,
    /// Of its init, where that is a process of this machine.
    pid: Option<u32>,
    gauge: Gauge,
    /// The way to an init that takes further tasks, and its last word.
    line: Option<Line>,
    said: Option<String>,
    /// It is not the first one in its container.
    follows: bool,
    /// Who ships the output, once it is worth it.
    late: Option<Shipper>,
    /// Not to be seen in what it leaves.
    words: Arc<Words>,
    /// What the container has used in all, and what of it before this attempt.
    raw: Usage,
    base: Usage,
}

/// What is known of a container that waits between two runs.
#[derive(Debug)]
pub(crate) struct Rested {
    /// The engine's id.
    pub(crate) container: String,
    line: Quiet,
    cgroup: Option<CgroupPaths>,
    pid: Option<u32>,
    raw: Usage,
}

impl fmt::Debug for Eyes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eyes").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

/// The kernel's notices about the directory that the verdict will be in.
struct Notices(Inotify);

impl AsRawFd for Notices {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Notices {
    #[expect(deprecated, reason = "its successor is unsafe; an inotify owns its descriptor for as long as it lives")]
    fn of(files: &Files) -> io::Result<AsyncFd<Self>> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(&files.output, AddWatchFlags::IN_MOVED_TO)?;
        AsyncFd::new(Self(inotify))
    }
}

impl Eyes {
    /// Must be opened before the container starts, so that no verdict is missed.
    pub(crate) fn open(attempt: AttemptId, name: &str, files: Files, kick: Arc<Notify>) -> Self {
        // A user's inotify instances are counted; without one the directory is looked at.
        let notices = Notices::of(&files).map_err(|error| tracing::info!(%error, "no notices from the kernel")).ok();
        Self {
            attempt,
            container: name.to_owned(),
            files,
            kick,
            notices,
            cgroup: None,
            pid: None,
            gauge: Gauge::default(),
            line: None,
            said: None,
            follows: false,
            late: None,
            words: Arc::default(),
            raw: Usage::default(),
            base: Usage::default(),
        }
    }

    /// Hides these words in its result.
    pub(crate) fn hide(&mut self, words: Arc<Words>) {
        self.words = words;
    }

    /// Calls an init that takes further tasks. Without an answer its container is one for this task alone.
    pub(crate) async fn listen(&mut self) {
        let opened = Line::open(&self.files.output).await;
        let attempt = self.attempt;
        self.line =
            opened.map_err(|error| tracing::warn!(%attempt, %error, "its container takes no further task")).ok();
    }

    /// Tells init what comes next.
    pub(crate) async fn say(&mut self, text: &str) -> io::Result<()> {
        match &mut self.line {
            Some(line) => line.say(text).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// From now on it watches the next attempt in the same container.
    pub(crate) fn next(&mut self, attempt: AttemptId, files: Files, shipper: Shipper) {
        (self.attempt, self.files, self.late) = (attempt, files, Some(shipper));
        (self.said, self.gauge, self.base, self.follows) = (None, Gauge::default(), self.raw, true);
    }

    /// What another run's proxy needs to go on with the container; nothing where its init takes no further task.
    pub(crate) fn rest(self) -> Option<Rested> {
        let Self { container, line, cgroup, pid, raw, .. } = self;
        Some(Rested { container, line: line?.quiet().ok()?, cgroup, pid, raw })
    }

    /// On a container that waited between two runs.
    pub(crate) fn wake(
        rested: Rested,
        attempt: AttemptId,
        files: Files,
        (kick, shipper): (Arc<Notify>, Shipper),
    ) -> io::Result<Self> {
        let Rested { container, line, cgroup, pid, raw } = rested;
        let mut eyes = Self::open(attempt, &container, files.clone(), kick);
        (eyes.line, eyes.cgroup, eyes.pid, eyes.raw) = (Some(line.wake()?), cgroup, pid, raw);
        eyes.next(attempt, files, shipper);
        Ok(eyes)
    }

    /// From now on it has an id, which no stranger's container can have.
    pub(crate) fn on(&mut self, id: &str) {
        id.clone_into(&mut self.container);
    }

    fn verdict(&self) -> Option<Verdict> {
        if self.line.is_some() {
            return self.said.as_deref().and_then(Verdict::parse);
        }
        let verdict = self.written()?;
        // Where a container has several attempts, it may be that of the one before.
        let own = verdict.task.as_ref().is_none_or(|task| *task == self.attempt.to_string());
        own.then_some(Verdict { warm: false, ..verdict })
    }

    /// Whether init ended before it heard of the attempt, or did not take it.
    fn is_cold(&self, seen: Option<&Seen>) -> bool {
        let idle = seen.is_some_and(|seen| seen.code == Some(CODE_IDLE));
        self.follows && idle || self.said.as_ref().is_some_and(|said| said.starts_with("cold"))
    }

    fn written(&self) -> Option<Verdict> {
        match read_verdict(&self.files.verdict()) {
            Ok(text) => Verdict::parse(&text?),
            Err(error) => {
                tracing::warn!(attempt = %self.attempt, %error, "can't read the verdict");
                None
            }
        }
    }

    async fn noticed(&mut self) {
        if let Some(line) = &mut self.line {
            match line.word().await {
                Ok(text) => self.said = Some(text),
                Err(_) => {
                    self.line = None;
                    self.kick.notify_one();
                }
            }
            return;
        }
        let Some(notices) = &self.notices else { return tokio::time::sleep(LOOK_EVERY).await };
        if let Ok(mut ready) = notices.readable().await {
            let _ = ready.get_inner().0.read_events();
            ready.clear_ready();
        }
    }

    /// Whether its init was there and is no more; true once.
    fn gone(&mut self) -> bool {
        self.pid.take_if(|pid| !Path::new(&format!("/proc/{pid}")).exists()).is_some()
    }

    /// Reads the cgroup's counters, which the engine shows the way to once.
    async fn sample(&mut self, ports: &Ports) {
        if self.cgroup.is_none() {
            let Ok(known) = ports.engine().await else { return };
            let Ok(Some(Seen { pid: Some(pid), .. })) = known.engine.inspect(&self.container).await else { return };
            self.cgroup = CgroupPaths::of_pid(pid).ok();
            self.pid = self.cgroup.is_some().then_some(pid);
        }
        let Some(Ok(now)) = self.cgroup.as_mut().map(CgroupPaths::read) else { return };
        self.raw = now;
        let now = self.gauge.add(ports.clock.now(), since(now, self.base));
        let used = self.gauge.summary();
        ports.tell(Event::Used(self.attempt, now));
        ports.note(Note::Uses { attempt: self.attempt, used, memory: now.memory, now: Box::new(now) });
    }

    /// The last look: the cgroup lives as long as the engine has not put it away.
    fn last_look(&mut self, ports: &Ports) {
        if let Some(Ok(now)) = self.cgroup.as_mut().map(CgroupPaths::read) {
            self.raw = now;
            self.gauge.close(ports.clock.now(), since(now, self.base));
        }
    }
}

/// Watches until the container is dead, and tells what is known of it.
pub(crate) async fn watch(ports: Ports, mut eyes: Eyes) {
    let kick = Arc::clone(&eyes.kick);
    let mut sample_at = Instant::now() + FIRST_SAMPLE;
    let mut ask_at = Instant::now() + ASK_EVERY;
    let mut often_until = Instant::now();
    let mut peek_at = Instant::now() + PEEK_EVERY;
    let open_at = Instant::now() + OPEN_AFTER;
    let (verdict, seen) = loop {
        if let Some(verdict) = eyes.verdict() {
            break (Some(verdict), None);
        }
        if eyes.is_cold(None) {
            break (None, None);
        }
        tokio::select! {
            () = eyes.noticed() => {}
            () = sleep_until(open_at), if eyes.late.is_some() => {
                if let Some(shipper) = eyes.late.take() {
                    shipper.open(eyes.attempt, &eyes.files);
                }
            }
            () = kick.notified() => {
                ask_at = Instant::now();
                often_until = ask_at + OFTEN_FOR;
            }
            () = sleep_until(peek_at), if eyes.pid.is_some() => {
                peek_at = Instant::now() + PEEK_EVERY;
                if eyes.gone() {
                    ask_at = Instant::now();
                    often_until = ask_at + OFTEN_FOR;
                }
            }
            () = sleep_until(sample_at) => {
                eyes.sample(&ports).await;
                sample_at = Instant::now() + SAMPLE_EVERY;
            }
            () = sleep_until(ask_at) => {
                if let Some(seen) = dead(&ports, &eyes).await {
                    // Init may have written in the meantime.
                    break (eyes.verdict(), seen);
                }
                ask_at = Instant::now() + if Instant::now() < often_until { ASK_OFTEN } else { ASK_EVERY };
            }
        }
    };
    if verdict.is_none() && eyes.is_cold(seen.as_ref()) {
        tracing::info!(attempt = %eyes.attempt, said = eyes.said, "its container takes no further task");
        return ports.tell(Event::Cold(eyes.attempt));
    }
    eyes.last_look(&ports);
    let result = read_result(&eyes.files, &eyes.words);
    let engine_started = if verdict.is_none() { engine_started(&ports).await } else { None };
    let (attempt, usage, used) = (eyes.attempt, eyes.gauge.last(), eyes.gauge.summary());
    let (opened, spent) = (eyes.late.is_none(), verdict.as_ref().map_or(0, |verdict| verdict.cpu_ms));
    eyes.raw.cpu_ms = eyes.raw.cpu_ms.max(eyes.base.cpu_ms + spent);
    let eyes = verdict.as_ref().is_some_and(|verdict| verdict.warm).then(|| Box::new(eyes));
    let dead = Dead { attempt, verdict, seen, result, engine_started, usage, used, eyes, opened };
    ports.arrive(Arrived::Dead(Box::new(dead)));
}

async fn engine_started(ports: &Ports) -> Option<Millis> {
    ports.engine().await.ok()?.engine.started().await
}

/// What of the counters came after `base`. Levels, like the highest memory, are those of the container.
fn since(now: Usage, base: Usage) -> Usage {
    Usage {
        cpu_ms: now.cpu_ms.saturating_sub(base.cpu_ms),
        read_bytes: now.read_bytes.saturating_sub(base.read_bytes),
        written_bytes: now.written_bytes.saturating_sub(base.written_bytes),
        throttled_ms: now.throttled_ms.saturating_sub(base.throttled_ms),
        ..now
    }
}

/// What the engine says of a container that does not run; nothing where it runs, or the engine does not say. One that
/// crashed may have forgotten a container that runs on.
async fn dead(ports: &Ports, eyes: &Eyes) -> Option<Option<Seen>> {
    let known = ports.engine().await.ok()?;
    let name = &eyes.container;
    match known.engine.inspect(name).await {
        Ok(Some(seen)) if seen.running => None,
        Ok(_) if eyes.files.alive() => {
            tracing::warn!(container = name, "the engine takes it for dead, and it runs on");
            None
        }
        Ok(seen) => Some(seen),
        Err(error) => {
            tracing::warn!(container = name, %error, "the engine does not tell whether it runs");
            None
        }
    }
}
