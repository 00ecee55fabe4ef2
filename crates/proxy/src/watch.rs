//! Stays with a container that runs: sees its init's verdict, samples its usage, asks the engine when in doubt.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{CgroupPaths, Seen, Verdict};
use dybox_model::{AttemptId, Note, Peak, Usage};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::files::Files;
use crate::inbox::{Arrived, Dead};
use crate::ports::Ports;
use crate::result::{read_result, read_verdict};

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
    usage: Usage,
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
            usage: Usage::default(),
        }
    }

    /// From now on it has an id, which no stranger's container can have.
    pub(crate) fn on(&mut self, id: &str) {
        id.clone_into(&mut self.container);
    }

    fn verdict(&self) -> Option<Verdict> {
        match read_verdict(&self.files.verdict()) {
            Ok(text) => Verdict::parse(&text?),
            Err(error) => {
                tracing::warn!(attempt = %self.attempt, %error, "can't read the verdict");
                None
            }
        }
    }

    async fn noticed(&self) {
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
        let before = self.usage;
        // Counters only grow; a reading of a dying cgroup must not take anything back.
        self.usage = Usage {
            cpu_ms: now.cpu_ms.max(before.cpu_ms),
            peak_memory: now.peak_memory.max(before.peak_memory),
            oom_kills: now.oom_kills.max(before.oom_kills),
            ..now
        };
        let used = Peak { cpu_ms: self.usage.cpu_ms, memory: self.usage.peak_memory };
        ports.note(Note::Uses { attempt: self.attempt, used, memory: now.memory });
    }
}

/// Watches until the container is dead, and tells what is known of it.
pub(crate) async fn watch(ports: Ports, mut eyes: Eyes) {
    let kick = Arc::clone(&eyes.kick);
    let mut sample_at = Instant::now() + FIRST_SAMPLE;
    let mut ask_at = Instant::now() + ASK_EVERY;
    let mut often_until = Instant::now();
    let mut peek_at = Instant::now() + PEEK_EVERY;
    let (verdict, seen) = loop {
        if let Some(verdict) = eyes.verdict() {
            break (Some(verdict), None);
        }
        tokio::select! {
            () = eyes.noticed() => {}
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
    let result = read_result(&eyes.files.result());
    let engine_started = match (&verdict, ports.engine().await) {
        (None, Ok(known)) => known.engine.started().await,
        _ => None,
    };
    let (attempt, usage) = (eyes.attempt, eyes.usage);
    ports.arrive(Arrived::Dead(Box::new(Dead { attempt, verdict, seen, result, engine_started, usage })));
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
