//! One hook's process, from its start to its answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use dybox_model::{HookId, LONGEST_ANSWER, Millis, format_duration};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::answer::{Answer, answer};
use crate::orphan::{NOTE, end_orphan};

/// How much of its stderr a failed hook shows.
const STDERR_TAIL: usize = 64 << 10;
/// Most of its stderr that is kept in its log.
const LOG_MAX: u64 = 16 << 20;
/// Between TERM and KILL, for a hook that is stopped or late.
const GRACE: Duration = Duration::from_secs(2);
/// How long a process that a hook left behind may hold its output open.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// A hook, ready to run.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Which.
    pub hook: HookId,
    /// Program and arguments.
    pub run: Vec<String>,
    /// The job file's directory.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: BTreeMap<String, OsString>,
    /// Its standard input: [`crate::Story::text`].
    pub stdin: String,
    /// Most time.
    pub timeout: Millis,
    /// Most address space, in bytes.
    pub memory: u64,
    /// Where its stderr goes, too.
    pub log: PathBuf,
    /// Where its process is noted while it runs, for [`crate::end_orphan`].
    pub pid_file: PathBuf,
}

/// A hook that runs. Dropping it stops it.
#[derive(Debug)]
pub struct RunningHook {
    _stop: oneshot::Sender<()>,
}

/// A hook has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEnd {
    /// Which.
    pub hook: HookId,
    /// What it said, or why it has nothing to say.
    pub answer: Result<Answer, String>,
}

/// Starts a hook; its end comes through `events`, always, also after a stop.
pub fn start(hook: Hook, events: mpsc::UnboundedSender<HookEnd>) -> RunningHook {
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let id = hook.hook;
        let answer = run(hook, stopped).await;
        // The master may have ended meanwhile; then nobody wants to know.
        let _ = events.send(HookEnd { hook: id, answer });
    });
    RunningHook { _stop: stop }
}

async fn run(hook: Hook, stopped: oneshot::Receiver<()>) -> Result<Answer, String> {
    end_orphan(&hook.pid_file).await;
    let mut child = spawn(&hook)?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let text = hook.stdin.clone();
    tokio::spawn(async move {
        // A hook need not read it.
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(text.as_bytes()).await;
        }
    });
    let stdout = tokio::spawn(async move { head(stdout.expect("it is piped")).await });
    let log = File::from_std(log(&hook.log)?);
    let stderr = tokio::spawn(async move { tail(stderr.expect("it is piped"), log).await });
    let ended = wait(&mut child, group, &hook, stopped).await;
    // It has ended, or was ended.
    let _ = std::fs::remove_file(&hook.pid_file);
    let outputs = async { (stdout.await.unwrap_or_default(), stderr.await.unwrap_or_default()) };
    tokio::pin!(outputs);
    let (stdout, stderr) = match timeout(LEFTOVERS, &mut outputs).await {
        Ok(outputs) => outputs,
        // It left somebody behind who holds its output open.
        Err(_) => {
            signal(group, Signal::SIGKILL);
            timeout(LEFTOVERS, &mut outputs).await.unwrap_or_default()
        }
    };
    let stderr = String::from_utf8_lossy(&stderr).trim_end().to_owned();
    let status = ended.map_err(|why| with_stderr(why, &stderr))?;
    match status.success() {
        false => Err(with_stderr(how(status), &stderr)),
        true if stdout.len() > LONGEST_ANSWER => Err(format!("its answer is longer than {} KiB", LONGEST_ANSWER >> 10)),
        true => answer(&stdout).map_err(|why| with_stderr(why, &stderr)),
    }
}

/// The shell notes its process and sets the limit of memory: between fork and exec nothing unsafe runs, and `exec` leaves
/// no process between.
fn spawn(hook: &Hook) -> Result<Child, String> {
    let mut command = Command::new("/bin/sh");
    // The word after the script is the shell's own name in what it says of a program that does not exist.
    let limited = format!("{NOTE}ulimit -v \"$2\" && shift 2 && exec \"$@\"");
    command.args(["-c", &limited, "hook"]).arg(&hook.pid_file).arg((hook.memory >> 10).max(1).to_string());
    command.args(&hook.run).current_dir(&hook.cwd).env_clear().envs(&hook.env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command.spawn().map_err(|error| format!("it could not be started in {}: {error}", hook.cwd.display()))
}

fn log(path: &Path) -> Result<std::fs::File, String> {
    let open = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    open.map_err(|error| format!("its log {} could not be opened: {error}", path.display()))
}

/// Waits for its end, its time limit or a stop, whichever is first; then nothing of it runs any more.
async fn wait(
    child: &mut Child,
    group: Option<Pid>,
    hook: &Hook,
    stopped: oneshot::Receiver<()>,
) -> Result<ExitStatus, String> {
    let why = tokio::select! {
        status = child.wait() => return status.map_err(|error| format!("its end was not seen: {error}")),
        () = sleep(Duration::from_millis(hook.timeout.0)) => {
            format!("it ran longer than its time limit of {}", format_duration(hook.timeout))
        }
        _ = stopped => "it was stopped".to_owned(),
    };
    signal(group, Signal::SIGTERM);
    let _ = timeout(GRACE, child.wait()).await;
    signal(group, Signal::SIGKILL);
    let _ = child.wait().await;
    Err(why)
}

/// Signals its whole process group. Its leader is our child, so the number can't have become somebody else's before
/// we have waited for it; after that only a member that is left keeps it in use.
fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = killpg(group, signal);
    }
}

/// The beginning of a stream, and one byte more than allowed; the rest is read and dropped, so that nobody blocks.
async fn head(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let limit = LONGEST_ANSWER as u64 + 1;
    let _ = (&mut stream).take(limit).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    kept
}

/// The end of a stream; all of it, up to a limit, goes to the log.
async fn tail(mut stream: impl AsyncRead + Unpin, mut log: File) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    let mut logged = 0;
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..read]);
        kept.drain(..kept.len().saturating_sub(STDERR_TAIL));
        if logged < LOG_MAX {
            logged += read as u64;
            // A full disk must not stop the hook; what it said is still in its failure.
            let _ = log.write_all(&buffer[..read]).await;
        }
    }
    let _ = log.flush().await;
    kept
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(127), _) => "its program does not exist (exit 127)".to_owned(),
        (Some(126), _) => "its program is not executable (exit 126)".to_owned(),
        (Some(code), _) => format!("it exited with {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it ended".to_owned(),
    }
}

fn with_stderr(why: String, stderr: &str) -> String {
    if stderr.is_empty() { why } else { format!("{why}\n{stderr}") }
}
