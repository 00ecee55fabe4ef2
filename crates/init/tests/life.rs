//! The life of a payload under init, outside of a container: with `--root`, as an ordinary process.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Root(tempfile::TempDir);

impl Root {
    fn new(spec: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().join(".dybox");
        for sub in ["in", "out"] {
            std::fs::create_dir_all(home.join(sub)).expect("a directory");
        }
        for file in ["stdout", "stderr"] {
            std::fs::write(home.join(file), "").expect("a file");
        }
        std::fs::write(home.join("in/spec"), spec).expect("a spec");
        std::fs::write(home.join("in/lease"), 1u64.to_le_bytes()).expect("a lease");
        Self(dir)
    }

    fn shell(script: &str, more: &str) -> Self {
        Self::new(&format!("argv.0 sh\nargv.1 -c\nargv.2 {}\n{more}", script.replace('\n', "\\n")))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(".dybox").join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn start(&self) -> Init {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dybox-init"));
        command.arg("--root").arg(self.0.path()).stdin(Stdio::null());
        Init(command.spawn().expect("init starts"))
    }

    fn run(&self) -> i32 {
        self.start().code()
    }

    /// The value of a line of the verdict.
    fn verdict(&self, key: &str) -> String {
        let text = self.text("out/verdict");
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::to_owned);
        value.unwrap_or_else(|| panic!("no {key} in {text:?}"))
    }
}

/// An init that does not outlive its test.
struct Init(Child);

impl Init {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).expect("it lives");
    }

    fn code(mut self) -> i32 {
        let status: ExitStatus = self.0.wait().expect("an end");
        status.code().expect("init is never killed here")
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn eventually(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_hook_reads_the_run_so_far_and_its_answer_is_its_result() {
    let root = Root::shell("read line; echo \"heard $line\"; echo note >&2; echo last", "hook yes\n");
    std::fs::write(root.file("in/needs.json"), "{\"run\":1}\nmore").expect("a file");
    // Whatever it leaves there by itself is none.
    std::fs::write(root.file("out/result"), "before").expect("a file");
    assert_eq!(root.run(), 0);
    assert_eq!(root.text("out/result"), "heard {\"run\":1}\nlast\n");
    assert_eq!((root.text("stdout"), root.text("stderr")), (root.text("out/result"), "note\n".to_owned()));
    let silent = Root::shell("cat > /dev/null", "hook yes\n");
    std::fs::write(silent.file("in/needs.json"), "{}").expect("a file");
    assert_eq!((silent.run(), silent.file("out/result").exists()), (0, false));
}

#[test]
fn code_and_output_are_told() {
    let root = Root::shell("printf out; printf err >&2; exit 7", "");
    assert_eq!(root.run(), 7);
    assert_eq!((root.text("stdout").as_str(), root.text("stderr").as_str()), ("out", "err"));
    assert_eq!((root.verdict("code").as_str(), root.verdict("by").as_str()), ("7", "itself"));
    assert_eq!(root.verdict("end"), "ok");
    assert!(!Path::new(&root.file("out/verdict.tmp")).exists());
}

#[test]
fn a_signal_is_told_as_such() {
    let root = Root::shell("kill -SEGV $$", "");
    assert_eq!((root.run(), root.verdict("signal").as_str()), (139, "11"));
}

#[test]
fn the_payload_starts_with_default_signals_and_a_session_of_its_own() {
    let root = Root::shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o sid= -p $$ | tr -d ' '; echo $$", "");
    assert_eq!(root.run(), 0);
    let text = root.text("stdout");
    let lines: Vec<_> = text.lines().collect();
    // Above 31 are signals that the C library keeps for itself.
    let plain = |line: &str| u64::from_str_radix(&line[8..], 16).expect("a mask") & 0x7fff_ffff;
    assert_eq!((plain(lines[0]), plain(lines[1])), (0, 0), "{text}");
    assert_eq!(lines[2], lines[3], "{text}");
}

#[test]
fn signals_are_passed_on() {
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH]
    {
        let name = &signal.as_str()[3..];
        let root = Root::shell(&format!("trap 'exit 42' {name}; echo up; while :; do sleep 0.05; done"), "");
        let init = root.start();
        eventually(|| root.text("stdout") == "up\n");
        init.signal(signal);
        assert_eq!((init.code(), root.verdict("by").as_str()), (42, "itself"), "{name}");
    }
}

#[test]
fn term_stops_with_the_images_own_signal_and_then_kills() {
    let root =
        Root::shell("trap 'echo int' INT; echo up; while :; do sleep 0.05; done", "stop_signal SIGINT\ngrace_ms 400\n");
    let init = root.start();
    eventually(|| root.text("stdout") == "up\n");
    init.signal(Signal::SIGTERM);
    assert_eq!(init.code(), 137);
    assert_eq!((root.verdict("by").as_str(), root.text("stdout").as_str()), ("stop", "up\nint\n"));
}

#[test]
fn the_lease_ends_the_payload() {
    let root = Root::shell("trap '' TERM; sleep 60 & wait; sleep 60", "lease_ttl_ms 600\nlease_grace_ms 200\n");
    let start = Instant::now();
    assert_eq!(root.run(), 124);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(root.verdict("by"), "lease");
}

#[test]
fn the_lease_is_locked_until_init_is_dead() {
    let root = Root::shell("echo on; sleep 4 & sleep 4", "lease_ttl_ms 60000\n");
    let locked = || {
        let (kind, from) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
        let mut whole = libc::flock { l_type: kind, l_whence: from, l_start: 0, l_len: 0, l_pid: 0 };
        let lease = std::fs::File::open(root.file("in/lease")).expect("a lease");
        fcntl(&lease, FcntlArg::F_OFD_GETLK(&mut whole)).expect("an answer");
        whole.l_type != libc::F_UNLCK as libc::c_short
    };
    assert!(!locked());
    let init = root.start();
    eventually(|| root.text("stdout") == "on\n");
    assert!(locked());
    init.signal(Signal::SIGPWR);
    init.code();
    assert!(!locked() && !root.verdict("by").is_empty());
    // Its payload does not hold it: outside of a container that outlives a killed init.
    let init = root.start();
    eventually(locked);
    init.signal(Signal::SIGKILL);
    drop(init);
    eventually(|| !locked());
}

#[test]
fn a_sandbox_ends_by_its_lease_and_by_term() {
    let root = Root::new("lease_ttl_ms 300\n");
    let pause = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dybox-init"));
        Init(command.arg("pause").arg("--root").arg(root.0.path()).spawn().expect("init starts"))
    };
    assert_eq!(pause().code(), 124);
    std::fs::write(root.file("in/spec"), "").expect("a spec");
    let init = pause();
    let status = format!("/proc/{}/status", init.0.id());
    // Bit 14 is TERM: it is blocked once init listens.
    eventually(|| {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        text.lines().any(|line| line.starts_with("SigBlk") && !line.ends_with("0000000000000000"))
    });
    init.signal(Signal::SIGTERM);
    assert_eq!(init.code(), 0);
}

#[test]
fn a_background_process_does_not_hold_the_end_up() {
    let root = Root::shell("sleep 60 & echo done", "");
    let start = Instant::now();
    assert_eq!((root.run(), root.text("stdout").as_str()), (0, "done\n"));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_full_disk_costs_output_and_not_the_payload() {
    let root = Root::shell("head -c 3000000 /dev/zero; echo end >&2", "");
    std::fs::remove_file(root.file("stdout")).expect("a file");
    std::os::unix::fs::symlink("/dev/full", root.file("stdout")).expect("a link");
    assert_eq!(root.run(), 0);
    assert_eq!((root.verdict("dropped").as_str(), root.text("stderr").as_str()), ("3000000", "end\n"));
}

#[test]
fn a_spec_that_makes_no_sense_is_inits_own_failure() {
    for spec in ["", "grace_ms soon\n", "argv.0\n"] {
        let root = Root::new(spec);
        assert_eq!(root.run(), 125, "{spec:?}");
        assert!(root.verdict("error").starts_with("0 internal spec") || root.verdict("error").contains("the spec"));
        assert_eq!(root.verdict("by"), "not-started");
    }
}

#[test]
fn a_command_that_is_not_there_is_told_with_its_path() {
    let root = Root::new("argv.0 nonesuch-at-all\n");
    assert_eq!(root.run(), 127);
    assert!(root.verdict("error").starts_with("2 not-found nonesuch-at-all: not found on PATH"));
}

/// Of an init that ends between two tasks: no task's own code, or the next one would seem to have ended well.
const IDLE: i32 = 123;

/// The proxy's end of a container that is used again.
struct Line(UnixStream);

impl Root {
    fn reused(script: &str, more: &str) -> Self {
        Self::shell(script, &format!("task s0-0-1\nreuse yes\n{more}"))
    }

    fn line(&self) -> Line {
        let path = self.file("out/line.sock");
        let mut line = None;
        eventually(|| {
            line = UnixStream::connect(&path).ok();
            line.is_some()
        });
        let line = line.expect("a line");
        line.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        Line(line)
    }
}

impl Line {
    fn next(&mut self, text: &str) -> String {
        let len = u32::try_from(text.len()).expect("a word");
        self.0.write_all(&[&len.to_le_bytes()[..], text.as_bytes()].concat()).expect("init listens");
        self.hear()
    }

    fn hear(&mut self) -> String {
        let mut len = [0; 4];
        self.0.read_exact(&mut len).expect("an answer");
        let mut text = vec![0; u32::from_le_bytes(len) as usize];
        self.0.read_exact(&mut text).expect("an answer");
        String::from_utf8(text).expect("text")
    }
}

#[test]
fn the_next_task_finds_nothing_of_the_one_before_it() {
    let kept = tempfile::tempdir().expect("a directory");
    let script =
        "ls -A \"$KEPT\" \"$OUT\"; echo \"$N\"; echo x > \"$KEPT/x\"; mkdir \"$OUT/d\"; chmod 0 \"$OUT/d\"; exit 3";
    let root = Root::reused(script, &format!("fresh.0 {}\n", kept.path().display()));
    let out = root.file("out");
    let env = format!("env KEPT={}\nenv OUT={}\n", kept.path().display(), out.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dybox-init"));
    command.arg("--root").arg(root.0.path()).env("KEPT", kept.path()).env("OUT", &out).env("N", "first");
    let init = Init(command.spawn().expect("init starts"));
    let mut line = root.line();
    let end = line.hear();
    assert!(end.contains("code 3\n") && end.ends_with("task s0-0-1\nend ok\nwarm yes\n"), "{end}");
    assert!(root.text("stdout").ends_with("first\n"));
    std::fs::write(root.file("stdout"), "").expect("a file");
    let end = line.next(&format!("task s0-1-1\n{env}env N=second\n"));
    assert!(end.ends_with("task s0-1-1\nend ok\nwarm yes\n"), "{end}");
    let text = root.text("stdout");
    let seen: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.ends_with(':')).collect();
    // The door for visitors is init's own.
    assert_eq!(seen, ["exec.sock", "verdict", "second"], "{text}");
    assert_eq!(root.verdict("task"), "s0-1-1");
    drop(line);
    assert_eq!(init.code(), IDLE);
    assert_eq!(root.verdict("task"), "s0-1-1", "the last words stay");
}

#[test]
fn a_container_that_something_went_wrong_in_is_not_used_again() {
    for script in ["sleep 60 & true", "kill -SEGV $$"] {
        let root = Root::reused(script, "");
        let init = root.start();
        let end = root.line().hear();
        assert!(end.ends_with("end ok\n"), "{script}: {end}");
        init.code();
    }
    let root = Root::reused("true", "");
    let init = root.start();
    let mut line = root.line();
    assert!(line.hear().ends_with("warm yes\n"));
    assert!(line.next("task s0-1-1\n").ends_with("warm yes\n"));
    std::fs::remove_file(root.file("in/spec")).expect("a spec");
    assert_eq!(line.next("task s0-2-1\n"), "cold nobody wants it any more\n");
    assert_eq!((init.code(), root.verdict("task").as_str()), (IDLE, "s0-1-1"));
}

#[test]
fn a_task_in_a_container_that_is_used_again_is_stopped_as_any_other() {
    let root = Root::reused("[ \"$N\" ] || exit 0; echo up; sleep 60", "grace_ms 300\n");
    let init = root.start();
    let mut line = root.line();
    assert!(line.hear().ends_with("warm yes\n"));
    let text = "task s0-1-1\nenv N=1\n";
    line.0.write_all(&[&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()).expect("init listens");
    eventually(|| root.text("stdout") == "up\n");
    init.signal(Signal::SIGTERM);
    let end = line.hear();
    assert!(end.contains("by stop\n") && end.ends_with("task s0-1-1\nend ok\n"), "{end}");
    assert_eq!(init.code(), 143);
}

#[test]
fn a_lease_that_ends_while_nothing_runs_ends_init_alone() {
    let root = Root::reused("true", "lease_ttl_ms 600\n");
    let init = root.start();
    let mut line = root.line();
    assert!(line.hear().ends_with("warm yes\n"));
    assert_eq!((init.code(), root.verdict("by").as_str()), (IDLE, "itself"));
}

/// What a visitor is told: its output and how its command ended.
fn visit(root: &Root, ask: &str, said: &[u8], hang_up_after: Option<&str>) -> (String, Option<i32>) {
    let socket = root.file("out/exec.sock");
    eventually(|| UnixStream::connect(&socket).is_ok());
    let mut line = UnixStream::connect(&socket).expect("the door is open");
    let frame = |kind: u8, bytes: &[u8]| {
        [&[kind][..], &u32::try_from(bytes.len()).expect("short").to_le_bytes(), bytes].concat()
    };
    // Together: the size of a terminal counts also where it comes with the ask.
    line.write_all(&[&frame(4, ask.as_bytes())[..], said].concat()).expect("it listens");
    let (mut shown, mut head) = (String::new(), [0; 5]);
    while line.read_exact(&mut head).is_ok() {
        let mut bytes = vec![0; u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize];
        line.read_exact(&mut bytes).expect("whole frames");
        match head[0] {
            13 | 14 => {
                shown.push_str(&String::from_utf8_lossy(&bytes[4..]));
                return (shown, Some(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
            }
            _ => shown.push_str(&String::from_utf8_lossy(&bytes)),
        }
        if hang_up_after.is_some_and(|word| shown.contains(word)) {
            return (shown, None);
        }
    }
    (shown, None)
}

#[test]
fn a_visitor_has_a_command_of_its_own_beside_the_payload() {
    let root = Root::shell("while [ ! -e go ]; do sleep 0.02; done; exit 3".replace("go", "$GO").as_str(), "");
    let go = root.file("go");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dybox-init"));
    command.arg("--root").arg(root.0.path()).stdin(Stdio::null()).env("GO", &go);
    let init = Init(command.spawn().expect("init starts"));
    let ask = "argv.0 sh\nargv.1 -c\nargv.2 cat; echo $MINE >&2; pwd; exit 9\nattach stdin\nenv MINE=m\nworkdir /tmp\n";
    let typed = [0, 2, 0, 0, 0, b'h', b'i', 1, 0, 0, 0, 0];
    let (shown, code) = visit(&root, ask, &typed, None);
    assert_eq!(code, Some(9));
    assert!(shown.contains("hi") && shown.contains("m\n") && shown.contains("/tmp\n"), "{shown:?}");
    let size = [2, 4, 0, 0, 0, 30, 0, 90, 0];
    let (shown, code) = visit(&root, "argv.0 stty\nargv.1 size\nattach tty\n", &size, None);
    assert_eq!((shown.trim(), code), ("30 90", Some(0)));
    let (shown, code) = visit(&root, "argv.0 no-such-thing\n", &[], None);
    assert_eq!(code, Some(127));
    assert!(shown.contains("not found on PATH"), "{shown:?}");
    std::fs::write(go, "").expect("a file");
    assert_eq!(init.code(), 3);
    assert_eq!((root.text("stdout").as_str(), root.text("stderr").as_str()), ("", ""), "a visitor's output is its own");
}

#[test]
fn a_visitors_command_ends_with_its_line() {
    let root = Root::shell("sleep 60", "");
    let init = root.start();
    let ask = "argv.0 sh\nargv.1 -c\nargv.2 trap '' HUP TERM; echo up $$; while :; do sleep 0.05; done\n";
    let (shown, code) = visit(&root, ask, &[], Some("\n"));
    assert_eq!(code, None);
    let pid: i32 = shown.trim().trim_start_matches("up ").parse().expect("a pid");
    eventually(|| kill(Pid::from_raw(pid), None).is_err());
    init.signal(Signal::SIGPWR);
    assert_eq!(init.code(), 137);
}
