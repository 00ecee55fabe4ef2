//! The real `dybox`, as a user would start it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a finished command left.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
    /// Stdout as bytes.
    pub bytes: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

impl Done {
    pub(crate) fn of(output: Output, took: Duration) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
        Self {
            code,
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
            took,
        }
    }

    /// Asserts the exit code, and shows all output where it differs.
    ///
    /// # Panics
    /// When the code is another one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Asserts that stdout or stderr holds `text`.
    ///
    /// # Panics
    /// When neither does.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let there = self.out.contains(text) || self.err.contains(text);
        assert!(there, "nothing says {text:?}\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// The last column-free word that looks like a run id.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn run_id(&self) -> String {
        find_run_id(&self.out).or_else(|| find_run_id(&self.err)).unwrap_or_else(|| panic!("no run id in {self:?}"))
    }

    /// Stdout as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn find_run_id(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| word.len() == 26 && word.starts_with('0') && !word.contains(|c: char| c.is_ascii_uppercase()))
        .map(str::to_owned)
}

/// Where the binary of this build is.
///
/// # Panics
/// When it has not been built: `cargo build -p dybox-cli` first (`scripts/test` does).
#[must_use]
pub fn binary() -> PathBuf {
    let mut dir = std::env::current_exe().expect("a test has a path");
    while dir.pop() {
        let found = dir.join("dybox");
        if found.is_file() {
            return found;
        }
    }
    panic!("no dybox beside the tests: run `cargo build -p dybox-cli` first");
}

/// The binary without its debug information: a cluster's clients upload what they run, and every node fetches it.
///
/// The copy lies beside the binary, in a directory that names its size and time; where there is no `strip`, the binary
/// serves as it is.
pub(crate) fn stripped() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| without_debug(&binary()).unwrap_or_else(binary)).clone()
}

fn without_debug(whole: &Path) -> Option<PathBuf> {
    let about = whole.metadata().ok()?;
    let written = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let all = whole.parent()?.join("stripped");
    let name = format!("{}-{written}", about.len());
    let copy = all.join(&name).join("dybox");
    if copy.is_file() {
        return Some(copy);
    }
    std::fs::create_dir_all(&all).ok()?;
    // Test programs may do this side by side: each works in a place of its own, and one of them wins.
    let place = tempfile::Builder::new().prefix(".making-").tempdir_in(&all).ok()?;
    let made = Command::new("strip").arg("-o").arg(place.path().join("dybox")).arg(whole).status().ok()?;
    if !made.success() {
        return None;
    }
    if std::fs::rename(place.path(), all.join(&name)).is_ok() {
        let _ = place.keep();
        forget_old(&all, &name);
    }
    copy.is_file().then_some(copy)
}

/// Copies of binaries that have been built over since; a test that still runs one keeps it open.
fn forget_old(all: &Path, but: &str) {
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name != but && !name.to_string_lossy().starts_with('.') {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A command that runs while the test looks at other things. Killed when dropped.
#[derive(Debug)]
pub struct Follow {
    child: Child,
    start: Instant,
    out: std::thread::JoinHandle<Vec<u8>>,
    err: std::thread::JoinHandle<Vec<u8>>,
    seen: std::sync::mpsc::Receiver<(Instant, String)>,
}

impl Follow {
    /// Starts `command` with its output collected.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dybox starts");
        let (tell, seen) = std::sync::mpsc::channel();
        let out = collect(child.stdout.take().expect("stdout is piped"), tell.clone());
        let err = collect(child.stderr.take().expect("stderr is piped"), tell);
        Self { child, start: Instant::now(), out, err, seen }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid fits")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("dybox lives");
    }

    /// Waits for a chunk of output that holds `text`; gives the moment it came and the chunk.
    ///
    /// # Panics
    /// When it does not come in time.
    #[track_caller]
    pub fn until(&self, text: &str, deadline: Duration) -> (Instant, String) {
        let start = Instant::now();
        let mut all = String::new();
        while let Ok((at, chunk)) = self.seen.recv_timeout(deadline.saturating_sub(start.elapsed())) {
            all.push_str(&chunk);
            if all.contains(text) {
                return (at, all);
            }
        }
        panic!("no {text:?} within {deadline:?}; so far:\n{all}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn end(mut self, deadline: Duration) -> Done {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if self.start.elapsed() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let (out, err) = (self.out.join().unwrap_or_default(), self.err.join().unwrap_or_default());
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                panic!("not over within {deadline:?}\n--- stdout\n{}\n--- stderr\n{}", text(&out), text(&err));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = self.start.elapsed();
        let (stdout, stderr) = (self.out.join().expect("read"), self.err.join().expect("read"));
        Done::of(Output { status, stdout, stderr }, took)
    }
}

fn collect(
    mut from: impl Read + Send + 'static,
    tell: std::sync::mpsc::Sender<(Instant, String)>,
) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65536]);
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            all.extend_from_slice(&buffer[..n]);
            let _ = tell.send((Instant::now(), String::from_utf8_lossy(&buffer[..n]).into_owned()));
        }
        all
    })
}
