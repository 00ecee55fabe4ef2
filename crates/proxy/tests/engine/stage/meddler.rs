//! Between a proxy and the machine's engine: passes calls on, but for those that a test wants to go wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What happens to a call.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The engine never hears of it, and nobody answers.
    Hang,
    /// The engine never hears of it; this is the answer.
    Answer(u16, &'static str),
    /// The engine does it, and this is the answer.
    Lie(u16, &'static str),
    /// The engine does it, and half of its answer gets through.
    Half,
    /// The engine does it, and nobody hears of it.
    Lost,
}

struct Rule {
    /// How the request's first line begins, and what it has in it.
    call: (&'static str, &'static str),
    fault: Fault,
    times: u32,
}

/// An engine that fails on demand.
pub(crate) struct Meddler {
    dir: tempfile::TempDir,
    rules: Arc<Mutex<Vec<Rule>>>,
}

impl Meddler {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let meddler = Self { dir, rules: Arc::default() };
        let listener = UnixListener::bind(meddler.socket()).expect("a socket");
        let rules = Arc::clone(&meddler.rules);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let rules = Arc::clone(&rules);
                std::thread::spawn(move || serve(&stream, &rules));
            }
        });
        meddler
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("d.sock")
    }

    /// From now on the next `times` calls of this method, with this in their path, go wrong like this.
    pub(crate) fn spoil(&self, call: (&'static str, &'static str), fault: Fault, times: u32) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(Rule { call, fault, times });
    }
}

fn fault_of(line: &str, rules: &Mutex<Vec<Rule>>) -> Option<Fault> {
    let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
    let hit = |rule: &&mut Rule| rule.times > 0 && line.starts_with(rule.call.0) && line.contains(rule.call.1);
    let rule = rules.iter_mut().find(hit)?;
    rule.times -= 1;
    Some(rule.fault.clone())
}

/// One connection, one call: the answer says that it closes.
fn serve(stream: &UnixStream, rules: &Mutex<Vec<Rule>>) -> Option<()> {
    let (head, body) = request(stream)?;
    let fault = fault_of(&head, rules);
    match fault {
        Some(Fault::Hang) => {
            // Until the caller hangs up.
            let _ = BufReader::new(stream).read_to_end(&mut Vec::new());
        }
        Some(Fault::Answer(status, message) | Fault::Lie(status, message)) => {
            if matches!(fault, Some(Fault::Lie(..))) {
                pass_on(&head, &body)?.read_to_end(&mut Vec::new()).ok()?;
            }
            let body = format!("{{\"message\":\"{message}\"}}");
            let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nConnection: close\r\n");
            write!(&*stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        }
        Some(Fault::Half | Fault::Lost) => {
            let mut answer = Vec::new();
            pass_on(&head, &body)?.read_to_end(&mut answer).ok()?;
            let most = if matches!(fault, Some(Fault::Half)) { answer.len() - 5 } else { 0 };
            (&*stream).write_all(&answer[..most]).ok()?;
        }
        None => {
            std::io::copy(&mut pass_on(&head, &body)?, &mut &*stream).ok()?;
        }
    }
    stream.shutdown(Shutdown::Both).ok()
}

fn request(stream: &UnixStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let low = line.to_ascii_lowercase();
        if let Some(value) = low.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        if !low.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn pass_on(head: &str, body: &[u8]) -> Option<UnixStream> {
    let mut engine = UnixStream::connect("/var/run/docker.sock").ok()?;
    engine.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    engine.write_all(body).ok()?;
    Some(engine)
}
