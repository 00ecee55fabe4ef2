//! What lies on this machine under a path that a job file names.
//!
//! All calls block.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dybox_model::Found;

/// Most bytes of a file that [`read_small`] reads.
const MOST: u64 = 1 << 20;

/// What is there, symbolic links followed.
#[must_use]
pub fn look(path: &Path) -> Found {
    match fs::canonicalize(path).and_then(|real| real.metadata().map(|facts| (real, facts))) {
        Ok((real, facts)) => kind(real, &facts),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
        Err(error) => Found::Unreadable(words(&error)),
    }
}

/// The bytes of a file of at most 1 MiB.
///
/// # Errors
/// Why not, as a fragment of a sentence.
pub fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    let facts = path.metadata().map_err(|error| words(&error))?;
    if !facts.is_file() {
        return Err("not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| words(&error))?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| words(&error))?;
    if bytes.len() as u64 > MOST {
        return Err("it has more than 1 MiB".to_owned());
    }
    Ok(bytes)
}

fn kind(real: PathBuf, facts: &Metadata) -> Found {
    let kind = facts.file_type();
    if kind.is_dir() {
        Found::Directory(real)
    } else if kind.is_file() {
        Found::File(real)
    } else if kind.is_socket() {
        Found::Socket(real)
    } else {
        Found::Other(real)
    }
}

/// The system's words for the usual reasons, as fragments without numbers.
#[must_use]
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "part of its path is not a directory".to_owned(),
        _ if error.raw_os_error() == Some(nix::libc::ELOOP) => "its symbolic links go in a circle".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_what_is_really_there() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        fs::write(real.join("file"), "A=1").unwrap();
        std::os::unix::fs::symlink(real.join("file"), real.join("link")).unwrap();
        std::os::unix::fs::symlink(real.join("gone"), real.join("broken")).unwrap();
        std::os::unix::fs::symlink(real.join("circle"), real.join("circle")).unwrap();
        assert_eq!(look(&real.join("link")), Found::File(real.join("file")));
        assert_eq!(look(&real), Found::Directory(real.clone()));
        assert_eq!(look(&real.join("broken")), Found::Missing);
        assert_eq!(look(Path::new("/dev/null")), Found::Other(PathBuf::from("/dev/null")));
        assert!(matches!(look(&real.join("circle")), Found::Unreadable(_)));
    }

    #[test]
    fn a_file_that_cant_be_read_says_why() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("env"), "A=1").unwrap();
        fs::write(dir.path().join("large"), vec![b'a'; (1 << 20) + 1]).unwrap();
        assert_eq!(read_small(&dir.path().join("env")), Ok(b"A=1".to_vec()));
        assert_eq!(read_small(&dir.path().join("none")), Err("no such file".to_owned()));
        assert_eq!(read_small(dir.path()), Err("not a file".to_owned()));
        assert_eq!(read_small(&dir.path().join("large")), Err("it has more than 1 MiB".to_owned()));
    }
}
