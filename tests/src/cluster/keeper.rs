//! The keeper: parent of all daemons of one cluster, alone in starting and reaping them.
//!
//! It reaps what the daemons orphan too: where process 1 does not, a NodeManager that comes back would take the
//! zombie of a finished YARN container for one that lives. It takes the cluster down when its owner's end of the
//! pipe on stdin closes, so a test that is killed leaves nothing. Whoever finds its lock free may sweep its directory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::layout::{Layout, Ports};
use super::process::Process;
use super::teardown::teardown;
use super::{Broken, Context, classes};

/// Stands in a daemon's log before all that it says from each start on.
pub(super) const MARK: &str = "== started by the keeper";

/// Keeps the cluster in `dir` until it is told to end, or its owner is gone.
///
/// # Errors
/// When another keeper has the directory, or there is no room for it.
pub fn keep(dir: &Path) -> Result<(), Broken> {
    let layout = Layout::new(dir);
    let lock =
        File::options().create(true).truncate(false).write(true).open(layout.lock()).doing("opening the lock")?;
    lock.try_lock().map_err(|_| Broken::new(format!("{} has a keeper already", dir.display())))?;
    nix::sys::prctl::set_child_subreaper(true).doing("becoming the parent of orphans")?;
    let (ports, _held) = Ports::take()?;
    std::fs::write(layout.at("ports"), ports.base().to_string()).doing("writing the ports")?;
    let _ = std::fs::remove_file(layout.keeper());
    let listener = UnixListener::bind(layout.keeper()).doing("listening")?;
    let mut owned = true;
    loop {
        let ready = wait(&listener, owned)?;
        reap();
        if ready.owner && owner_gone() {
            return end(&layout);
        }
        if !ready.caller {
            continue;
        }
        let (stream, _) = listener.accept().doing("accepting a caller")?;
        match serve(&layout, stream) {
            Some(Next::Alone) => owned = false,
            Some(Next::End(mut stream)) => {
                classes::gather(&layout, reap);
                let done = end(&layout);
                let _ = writeln!(
                    stream,
                    "{}",
                    done.as_ref().map_or_else(|error| format!("error {error}"), |()| "ok".into())
                );
                return done;
            }
            None => {}
        }
    }
}

struct Ready {
    caller: bool,
    owner: bool,
}

/// Waits for a caller or for the owner's end, at most 200 ms: zombies are reaped that often.
fn wait(listener: &UnixListener, owned: bool) -> Result<Ready, Broken> {
    let stdin = std::io::stdin();
    let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    if owned {
        fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    match poll(&mut fds, PollTimeout::from(200_u16)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(Broken::new(format!("waiting for callers: {error}"))),
    }
    let some = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
    Ok(Ready { caller: some(&fds[0]), owner: fds.get(1).is_some_and(some) })
}

/// Takes the cluster down, and reaps what that killed: where process 1 does not, it would stay as zombies.
fn end(layout: &Layout) -> Result<(), Broken> {
    let done = teardown(layout);
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline && waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)).is_ok() {
        reap();
        std::thread::sleep(Duration::from_millis(5));
    }
    done
}

/// The owner never writes: readable means closed.
fn owner_gone() -> bool {
    !matches!(std::io::stdin().read(&mut [0; 64]), Ok(1..))
}

fn reap() {
    while let Ok(status) = waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

enum Next {
    Alone,
    End(UnixStream),
}

/// Answers one caller: a line with a command, a line with the outcome.
fn serve(layout: &Layout, mut stream: UnixStream) -> Option<Next> {
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit)).ok()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    let (answer, next) = match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
        ("start", name) => match start(layout, name) {
            Ok(pid) => (format!("ok {pid}"), None),
            Err(error) => (format!("error {error}"), None),
        },
        ("alone", _) => ("ok".to_owned(), Some(Next::Alone)),
        ("end", _) => return Some(Next::End(stream)),
        (other, _) => (format!("error no command {other}"), None),
    };
    let _ = writeln!(stream, "{answer}");
    next
}

fn start(layout: &Layout, name: &str) -> Result<u32, Broken> {
    let text = std::fs::read_to_string(layout.at("daemons.json")).doing("reading daemons.json")?;
    let all: Value = serde_json::from_str(&text).map_err(|error| Broken::new(format!("daemons.json: {error}")))?;
    let spec = all.get(name).ok_or_else(|| Broken::new(format!("no daemon is called {name}")))?;
    if Process::read(&layout.pid(name)).is_some_and(|process| process.lives()) {
        return Err(Broken::new(format!("{name} runs already")));
    }
    let texts = |key: &str| spec[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    for path in texts("clear") {
        let _ = std::fs::remove_file(path);
    }
    let log = spec["log"].as_str().unwrap_or_default();
    let mut log = File::options().create(true).append(true).open(log).doing("opening a log")?;
    writeln!(log, "{MARK}").doing("writing a log")?;
    let env = spec["env"].as_object().into_iter().flatten();
    let child = Command::new("setsid")
        .args(texts("line"))
        .env_clear()
        .envs(env.filter_map(|(key, value)| Some((key, value.as_str()?))))
        .current_dir(layout.at("tmp"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().doing("a log")?)
        .stderr(log)
        .spawn()
        .doing("starting a daemon")?;
    // The loop reaps it: nobody else waits for children here.
    Process::of(child.id()).write(&layout.pid(name))?;
    Ok(child.id())
}

/// Says one command to the keeper of a cluster and gives its answer.
pub(super) fn say(layout: &Layout, command: &str, limit: Duration) -> Result<String, Broken> {
    let mut stream = UnixStream::connect(layout.keeper()).doing("reaching the keeper")?;
    stream.set_read_timeout(Some(limit)).doing("a deadline")?;
    writeln!(stream, "{command}").doing("speaking to the keeper")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).doing("listening to the keeper")?;
    match answer.trim().split_once(' ').unwrap_or((answer.trim(), "")) {
        ("ok", rest) => Ok(rest.to_owned()),
        ("error", rest) => Err(Broken::new(rest)),
        _ => Err(Broken::new(format!("the keeper of {} went away", layout.root().display()))),
    }
}

/// Starts the keeper of `layout`, with a pipe to its owner, and waits until it listens.
pub(super) fn launch(layout: &Layout) -> Result<std::process::Child, Broken> {
    let log = File::options().create(true).append(true).open(layout.log("keeper")).doing("opening a log")?;
    let mut child = Command::new("setsid")
        .arg(binary()?)
        .arg("keep")
        .arg(layout.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .doing("starting the keeper")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while UnixStream::connect(layout.keeper()).is_err() {
        if Instant::now() > deadline || child.try_wait().ok().flatten().is_some() {
            let said = std::fs::read_to_string(layout.log("keeper")).unwrap_or_default();
            return Err(Broken::new(format!("the keeper did not come up: {}", said.trim())));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child)
}

/// The program `cluster`, which lies beside this one, or one directory above a test's.
fn binary() -> Result<std::path::PathBuf, Broken> {
    let own = std::env::current_exe().doing("finding this program")?;
    let places = own.ancestors().skip(1).take(2).map(|dir| dir.join("cluster"));
    places
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Broken::new("the program `cluster` is not built: cargo build -p dybox-tests --bin cluster"))
}
