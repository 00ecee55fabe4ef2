//! Starts proxies and sweeps.
//!
//! The share's lock is inherited as the child's standard input (descriptor 0): that way no other child can get it by
//! accident, and nothing unsafe runs between fork and exec.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use dybox_model::{AttemptId, Exit, GrantId, SubDagId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::error::{LocalError, file};
use crate::ledger::{Taken, remove};
use crate::{Conf, Share, swept};

/// A sweep waits out a hanging engine (lease, grace, margin) within this time.
const SWEEP: Duration = Duration::from_secs(120);
/// Of a log, to find the reason of a failure.
const LOG_READ: usize = 64 << 10;
const LOCK_AGAIN: Duration = Duration::from_millis(100);

/// What a sweep is about: also of another run, whose master is gone.
#[derive(Debug, Clone)]
pub(crate) struct Dead {
    pub(crate) grant: GrantId,
    pub(crate) subdag: SubDagId,
    pub(crate) run_dir: std::path::PathBuf,
    pub(crate) share: std::path::PathBuf,
    pub(crate) swept: std::path::PathBuf,
    pub(crate) log: std::path::PathBuf,
}

/// Sweeps a dead share, of any run, as its own master would: ends what its proxy left, keeps what it finds for a later
/// `resume`, frees the room. `path` is the share's file, `binary` a dybox. Waits where somebody else sweeps it.
///
/// # Errors
/// [`LocalError`]; the share is still there then, and the sweep may be tried again.
pub(crate) async fn sweep_share(
    share: Share,
    path: &Path,
    binary: &Path,
) -> Result<Vec<(AttemptId, Option<Exit>)>, LocalError> {
    let Share { run_dir, subdag, grant, swept, log, .. } = share;
    sweep(binary, &Dead { grant, subdag, run_dir, share: path.to_owned(), swept, log }).await
}

/// Starts the proxy of a share that was taken.
pub(crate) fn proxy(conf: &Conf, taken: Taken, share: &Path) -> Result<Child, LocalError> {
    let Taken { grant, lock, .. } = taken;
    let mut command = Command::new(&conf.binary);
    command.arg("proxy").arg("--run-dir").arg(&conf.run_dir);
    command.args(["--subdag", &conf.subdag.0.to_string(), "--grant", &grant.to_string()]);
    inherit(&mut command, lock, share);
    command.stdout(Stdio::null()).stderr(log(&conf.log(grant))?);
    start(command, &conf.binary)
}

/// Runs one sweep to its end. On success the share's file is gone.
pub(crate) async fn sweep(binary: &Path, dead: &Dead) -> Result<Vec<(AttemptId, Option<Exit>)>, LocalError> {
    let failed = |why: String| LocalError::Sweep { grant: dead.grant.to_string(), why };
    let lock = take_over(&dead.share).await?;
    let found = |path: &Path| {
        let text = fs::read(path).unwrap_or_default();
        swept::read(&dead.grant.to_string(), &String::from_utf8_lossy(&text))
    };
    // The share is gone and the findings are there: another master has swept before us.
    if let (None, Some(exits)) = (&lock, found(&dead.swept)) {
        return Ok(exits);
    }
    let mut command = Command::new(binary);
    command.args(["proxy", "--sweep"]).arg("--run-dir").arg(&dead.run_dir);
    command.args(["--subdag", &dead.subdag.0.to_string(), "--grant", &dead.grant.to_string()]);
    match lock {
        Some(lock) => inherit(&mut command, lock, &dead.share),
        None => drop(command.stdin(Stdio::null())),
    }
    command.stdout(log(&dead.swept)?).stderr(log(&dead.log)?);
    let mut child = start(command, binary)?;
    let status = match timeout(SWEEP, child.wait()).await {
        Ok(status) => status.map_err(|source| failed(source.to_string()))?,
        Err(_) => {
            let _ = child.start_kill();
            let _ = child.wait().await;
            return Err(failed(format!("not done after {} s", SWEEP.as_secs())));
        }
    };
    if !status.success() {
        return Err(failed(format!("it {}; see {}", how(status), dead.log.display())));
    }
    let exits = found(&dead.swept).ok_or_else(|| failed("it did not say what it found".to_owned()))?;
    remove(&dead.share)?;
    Ok(exits)
}

/// The lock of a dead share; nothing when its file is gone. Waits for a proxy or another sweep to let go.
async fn take_over(share: &Path) -> Result<Option<File>, LocalError> {
    let end = Instant::now() + SWEEP;
    loop {
        let lock = match File::open(share) {
            Ok(lock) => lock,
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(file("open", share)(source)),
        };
        match lock.try_lock() {
            Ok(()) if share.exists() => return Ok(Some(lock)),
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(LOCK_AGAIN).await,
            Err(TryLockError::WouldBlock) => {
                return Err(LocalError::Busy { path: share.to_owned(), secs: SWEEP.as_secs() });
            }
            Err(TryLockError::Error(source)) => return Err(file("lock", share)(source)),
        }
    }
}

fn inherit(command: &mut Command, lock: File, share: &Path) {
    command.stdin(Stdio::from(lock)).env("DYBOX_SHARE_FD", "0").env("DYBOX_SHARE_PATH", share);
}

fn log(path: &Path) -> Result<Stdio, LocalError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(file("make the directory", dir))?;
    }
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(file("open", path))?;
    Ok(Stdio::from(log))
}

/// In a process group of its own: a terminal's Ctrl-C must not reach it. Not in a session of its own: YARN finds the
/// processes of a container by their session.
fn start(mut command: Command, binary: &Path) -> Result<Child, LocalError> {
    command
        .arg0("dybox")
        .process_group(0)
        .spawn()
        .map_err(|source| LocalError::Spawn { program: binary.to_owned(), source })
}

/// Kills the proxy that holds a share. It is its standard input and nobody else's but a sweep's, so it is told by that,
/// not by a number that may be another process's by now.
pub(crate) fn kill_holder(share: &Path) {
    let holds = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let sweeps = words.split(|&byte| byte == 0).any(|word| word == b"--sweep");
        !sweeps && fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|path| path == share)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids.filter(holds) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Adds what a proxy that failed said: the first line of its log that speaks of an error, else the first one.
pub(crate) fn with_words(how: String, log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(LOG_READ)]);
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let said = lines().find(|line| line.contains("error") || line.contains("ERROR")).or_else(|| lines().next());
    said.map_or(how.clone(), |said| format!("{how}: {}", said.trim().escape_debug()))
}

/// How a process ended, in a phrase.
#[must_use]
pub fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
