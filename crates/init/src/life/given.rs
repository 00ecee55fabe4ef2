//! Secrets, before anything of the task runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::{CLIENT_MS, Life};
use crate::attach;
use crate::lease::boot_ms;
use crate::secrets::Secrets;
use crate::verdict::Failure;

/// A longer one is no result; what lies behind is cut off with the first secret that is found.
const LONGEST_RESULT: u64 = 1 << 20;

fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

impl Life {
    /// Waits for the proxy's secrets and writes them. Nothing runs without them.
    pub(super) fn await_secrets(&mut self, home: &Path) -> Result<(), Failure> {
        let failed = |why: String| Failure::own(format!("secrets: {why}"));
        let path = home.join("out/secrets.sock");
        let listener = attach::listen_at(&path).map_err(|error| failed(error.to_string()))?;
        let until = boot_ms() + CLIENT_MS;
        let mut stream = None;
        while stream.is_none() && self.ending.is_none() && boot_ms() < until {
            attach::readable(listener.as_fd(), 100);
            stream = listener.accept().ok();
            self.take_signals();
            self.watch_lease();
        }
        let _ = std::fs::remove_file(&path);
        match stream {
            Some((stream, _)) => {
                self.secrets = Secrets::hear(stream).map_err(|error| failed(error.to_string()))?;
                self.unveil().map_err(failed)
            }
            None if self.ending.is_some() => Ok(()),
            None => Err(failed("they did not come".to_owned())),
        }
    }

    /// Hides the secrets in the task's result, before anybody outside reads it.
    pub(super) fn hide_result(&self) {
        if self.secrets.words.is_empty() {
            return;
        }
        let path = self.root.join(".dybox/out/result");
        let hidden = open_plain(&path).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.by_ref().take(LONGEST_RESULT).read_to_end(&mut bytes)?;
            let hidden = self.secrets.words.bytes(&bytes);
            if hidden != bytes {
                file.set_len(0)?;
                file.write_all_at(&hidden, 0)?;
            }
            Ok(())
        });
        // What is no file is no result. One that can't be read or written is none either.
        if hidden.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            let _ = std::fs::remove_file(&path);
        }
    }

    /// The files, anew, and what is hidden in output.
    pub(super) fn unveil(&mut self) -> Result<(), String> {
        self.streams.hide(&self.secrets.words);
        self.secrets.write(&self.root)
    }
}
