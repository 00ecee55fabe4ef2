//! Secrets under init, outside of a container: with `--root`, as an ordinary process.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn entry(path: &str, value: &[u8]) -> Vec<u8> {
    let numbers = [path.len() as u32, 0o400, value.len() as u32].map(u32::to_le_bytes).concat();
    [&numbers[..], path.as_bytes(), value].concat()
}

fn connect(path: &Path) -> UnixStream {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "init does not listen: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_payload_begins_with_its_secrets_and_shows_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join(".dybox");
    let at = |name: &str| home.join(name);
    for sub in ["in", "out"] {
        std::fs::create_dir_all(at(sub)).expect("a directory");
    }
    for file in ["stdout", "stderr"] {
        std::fs::write(at(file), "").expect("a file");
    }
    let root = dir.path().display();
    let script = format!(
        "cat {root}/run/secrets/pw; cat {root}/run/secrets/pw >&2; printf 'is: hun'; sleep 0.2; printf ter2; cat {root}/run/secrets/pw > {root}/.dybox/out/result; ls {root}/.dybox/out"
    );
    std::fs::write(at("in/spec"), format!("argv.0 sh\nargv.1 -c\nargv.2 {script}\nsecrets yes\n")).expect("a spec");
    std::fs::write(at("in/lease"), 1u64.to_le_bytes()).expect("a lease");
    let mut init = Command::new(env!("CARGO_BIN_EXE_dybox-init"))
        .arg("--root")
        .arg(dir.path())
        .stdin(Stdio::null())
        .spawn()
        .expect("init starts");
    let mut proxy = connect(&at("out/secrets.sock"));
    assert_eq!(std::fs::read(at("stdout")).unwrap(), b"", "nothing runs before they came");
    let bytes = entry("/run/secrets/pw", b"hunter2\n");
    proxy.write_all(&(bytes.len() as u32).to_le_bytes()).unwrap();
    proxy.write_all(&bytes).unwrap();
    proxy.read_exact(&mut [0]).expect("it has them");
    assert!(init.wait().expect("it ends").success());
    let text = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    let (out, err, result) = (text("stdout"), text("stderr"), text("out/result"));
    assert!(out.starts_with("***\nis: ***") && !out.contains("secrets.sock"), "{out}");
    assert_eq!((err.as_str(), result.as_str()), ("***\n", "***\n"));
    assert_eq!(std::fs::read(dir.path().join("run/secrets/pw")).unwrap(), b"hunter2\n");
}
