//! Secrets of a task: from the proxy through `out/secrets.sock`, which is gone before the payload starts, into files in
//! memory. They are on no disk.
//!
//! What comes is `[length, u32 LE]` and so many bytes: for each secret `[length of its path, its mode, length of its
//! value; u32 LE each][path][value]`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use dybox_redact::Words;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The most that may come.
const LONGEST: usize = 64 << 20;
/// The proxy sends all of it at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// The secrets of a task.
#[derive(Default)]
pub(crate) struct Secrets {
    all: Vec<Secret>,
    /// What to hide in output.
    pub(crate) words: Rc<Words>,
    /// The same bytes for visitors, in memory.
    shared: Option<File>,
}

struct Secret {
    path: PathBuf,
    mode: u32,
    value: Vec<u8>,
}

impl Secrets {
    /// Takes what the proxy says.
    pub(crate) fn hear(mut stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut len = [0; 4];
        stream.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > LONGEST {
            return Err(damaged());
        }
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes)?;
        let mut secrets = Self::parse(&bytes).ok_or_else(damaged)?;
        let mut shared = File::from(memfd_create(c"secrets", MFdFlags::MFD_CLOEXEC)?);
        shared.write_all(&bytes)?;
        secrets.shared = Some(shared);
        // The proxy may go on.
        stream.write_all(&[1])?;
        Ok(secrets)
    }

    /// Those of the task that a visitor comes to: the file is its stdout.
    pub(crate) fn of_visit(file: OwnedFd) -> Option<Self> {
        let file = File::from(file);
        let mut bytes = vec![0; usize::try_from(file.metadata().ok()?.len()).ok()?.min(LONGEST)];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Self::parse(&bytes)
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (numbers, rest) = bytes.split_first_chunk::<12>()?;
            let number = |n: usize| Some(u32::from_le_bytes(numbers.get(4 * n..4 * n + 4)?.try_into().ok()?));
            let (path, rest) = rest.split_at_checked(number(0)? as usize)?;
            let (value, rest) = rest.split_at_checked(number(2)? as usize)?;
            let path = std::str::from_utf8(path).ok()?.into();
            all.push(Secret { path, mode: number(1)?, value: value.to_vec() });
            bytes = rest;
        }
        let words = Rc::new(Words::of(all.iter().map(|secret| secret.value.as_slice())));
        Some(Self { all, words, shared: None })
    }

    /// For a visitor's process.
    pub(crate) fn shared(&self) -> Option<OwnedFd> {
        self.shared.as_ref()?.try_clone().ok().map(OwnedFd::from)
    }

    /// Writes the files anew; `root` is `/` but in tests.
    pub(crate) fn write(&self, root: &Path) -> Result<(), String> {
        for secret in &self.all {
            let path = root.join(secret.path.strip_prefix("/").unwrap_or(&secret.path));
            secret.write(&path).map_err(|error| format!("{}: {error}", secret.path.display()))?;
        }
        Ok(())
    }
}

impl Secret {
    fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&self.value)?;
        file.set_permissions(Permissions::from_mode(self.mode))
    }
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, mode: u32, value: &[u8]) -> Vec<u8> {
        let numbers = [path.len() as u32, mode, value.len() as u32].map(u32::to_le_bytes).concat();
        [&numbers[..], path.as_bytes(), value].concat()
    }

    #[test]
    fn what_comes_is_written_for_its_owner_alone_and_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = [entry("/run/secrets/a", 0o400, b"hunter2"), entry("/run/secrets/d/b", 0o440, b"\xff\n")].concat();
        let secrets = Secrets::parse(&bytes).unwrap();
        secrets.write(dir.path()).unwrap();
        let at = |name: &str| dir.path().join("run/secrets").join(name);
        assert_eq!(
            (fs::read(at("a")).unwrap(), fs::read(at("d/b")).unwrap()),
            (b"hunter2".to_vec(), b"\xff\n".to_vec())
        );
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("d/b")), (0o400, 0o440));
        assert_eq!(secrets.words.text("x hunter2"), "x ***");
        assert!(secrets.write(dir.path()).unwrap_err().contains("/run/secrets/a"), "nothing is written over");
    }

    #[test]
    fn what_is_cut_is_nothing() {
        let bytes = entry("/a", 0o400, b"value");
        assert!((1..bytes.len()).all(|len| Secrets::parse(&bytes[..len]).is_none()));
        assert!(Secrets::parse(&[]).is_some_and(|none| none.words.is_empty()));
    }

    #[test]
    fn a_visitor_knows_the_same() {
        let (mut proxy, init) = UnixStream::pair().unwrap();
        let bytes = entry("/run/secrets/a", 0o400, b"hunter2");
        proxy.write_all(&(bytes.len() as u32).to_le_bytes()).unwrap();
        proxy.write_all(&bytes).unwrap();
        let secrets = Secrets::hear(init).unwrap();
        let visit = Secrets::of_visit(secrets.shared().unwrap()).unwrap();
        assert_eq!(visit.words.text("hunter2"), "***");
        let again = Secrets::of_visit(secrets.shared().unwrap()).unwrap();
        assert_eq!(again.words.text("hunter2"), "***", "the next one reads from the begin");
    }
}
