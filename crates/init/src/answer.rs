//! What a hook says on its stdout: kept, and left as its result, beside going into its output.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The longest answer, and one byte more, by which the proxy knows that it is too long.
const KEPT: usize = (1 << 20) + 1;

/// An answer in the making.
#[derive(Default)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// Takes the next bytes in.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let room = KEPT - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Leaves it at `path`, whatever the payload put there. Silence leaves nothing.
    pub(crate) fn leave(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if self.0.is_empty() {
            return Ok(());
        }
        // The directory is the payload's: nothing that it left there is followed.
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?.write_all(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_the_place_of_what_was_there_and_has_an_end() {
        let dir = std::env::temp_dir().join(format!("dybox-answer-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("result");
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        let mut answer = Answer::default();
        answer.leave(&path).unwrap();
        assert!(path.symlink_metadata().is_err(), "silence is no answer");
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        answer.take(b"{\"stop\":");
        answer.take(b"\"x\"}");
        answer.leave(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"stop\":\"x\"}");
        answer.take(&vec![b'x'; 2 << 20]);
        answer.leave(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), KEPT as u64);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(answer.leave(&path).is_err(), "what can't be left is no silence");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
