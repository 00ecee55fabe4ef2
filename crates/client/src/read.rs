//! The text of a job file, or what is wrong with the file itself.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dybox_model::ExitCode;
use thiserror::Error;

/// Most bytes of a job file.
pub const MAX_JOB_FILE: u64 = 1 << 20;

/// Why a job file can't be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
        /// The name in the same directory that looks most like it.
        nearest: Option<PathBuf>,
    },
    /// It is a directory.
    #[error("{} is a directory", path.display())]
    Directory {
        /// What was asked for.
        path: PathBuf,
        /// A job file in it.
        inside: Option<PathBuf>,
    },
    /// It is a device, a pipe or a socket.
    #[error("{} is {kind}, not a file", path.display())]
    Special {
        /// What was asked for.
        path: PathBuf,
        /// What it is ("a device", "a socket").
        kind: &'static str,
    },
    /// It is too large.
    #[error("{} has {size} bytes; a job file has at most 1 MiB", path.display())]
    TooLarge {
        /// What was asked for.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The system would not let us read it.
    #[error("can't read {}", path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ReadError {
    /// One concrete next step.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Missing { nearest: Some(name), .. } => format!("did you mean {}?", name.display()),
            Self::Missing { .. } => "check the path; it is taken from the current directory".to_owned(),
            Self::Directory { inside: Some(name), .. } => format!("did you mean {}?", name.display()),
            Self::Directory { .. } => "name the job file in it".to_owned(),
            Self::Special { .. } => "write the job to a file first".to_owned(),
            Self::TooLarge { .. } => "put data into files that the job mounts, and scripts into images".to_owned(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "ask its owner for the right to read it".to_owned()
            }
            Self::Io { .. } => "check the file system that it lies on".to_owned(),
        }
    }

    /// What the command line returns for it.
    #[must_use]
    pub const fn exit(&self) -> ExitCode {
        ExitCode::Invalid
    }
}

/// Reads a job file whole. Whether it is text is for the parser to say.
///
/// # Errors
/// [`ReadError`]
pub fn read_job(path: &Path) -> Result<Vec<u8>, ReadError> {
    let fail = |source| ReadError::Io { path: path.to_owned(), source };
    let facts = match path.metadata() {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ReadError::Missing { path: path.to_owned(), nearest: nearest(path) });
        }
        Err(error) => return Err(fail(error)),
    };
    refuse_what_is_no_file(path, &facts)?;
    let mut bytes = Vec::new();
    // A file may grow between the look and the reading, or say that it has no bytes (/proc).
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(MAX_JOB_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_JOB_FILE {
        return Err(ReadError::TooLarge { path: path.to_owned(), size: facts.len().max(bytes.len() as u64) });
    }
    Ok(bytes)
}

fn refuse_what_is_no_file(path: &Path, facts: &Metadata) -> Result<(), ReadError> {
    let kind = facts.file_type();
    let special = |kind| Err(ReadError::Special { path: path.to_owned(), kind });
    if kind.is_dir() {
        let inside = names_in(path).into_iter().map(|name| path.join(name)).find(|file| is_yaml(file));
        return Err(ReadError::Directory { path: path.to_owned(), inside });
    }
    if kind.is_socket() {
        return special("a socket");
    }
    if kind.is_char_device() || kind.is_block_device() {
        return special("a device");
    }
    if facts.len() > MAX_JOB_FILE {
        return Err(ReadError::TooLarge { path: path.to_owned(), size: facts.len() });
    }
    Ok(())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

/// The names in a directory, sorted; none where it can't be read.
fn names_in(dir: &Path) -> Vec<String> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut names: Vec<_> = dir
        .read_dir()
        .into_iter()
        .flatten()
        .take(10_000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn nearest(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let dir = path.parent()?;
    let best = names_in(dir)
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, &name), name))
        .filter(|(distance, name)| {
            let stem = Path::new(name).file_stem().is_some_and(|stem| stem == wanted);
            stem && is_yaml(Path::new(name)) || *distance <= wanted.len().div_ceil(4)
        })
        .min()?;
    Some(dir.join(best.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_answered_with_the_nearest_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nightly.yaml"), "x").unwrap();
        let said = |name: &str| read_job(&dir.path().join(name)).unwrap_err().advice();
        let meant = format!("did you mean {}?", dir.path().join("nightly.yaml").display());
        assert_eq!(said("nigthly.yaml"), meant);
        assert_eq!(said("nightly"), meant);
        assert_eq!(said("other.yaml"), "check the path; it is taken from the current directory");
    }

    #[test]
    fn what_is_no_file_is_said_to_be_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "x").unwrap();
        assert!(matches!(read_job(dir.path()), Err(ReadError::Directory { inside: Some(_), .. })));
        assert!(matches!(read_job(Path::new("/dev/zero")), Err(ReadError::Special { kind: "a device", .. })));
    }

    #[test]
    fn a_file_is_read_up_to_a_mebibyte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        std::fs::write(&path, vec![b'#'; 1 << 20]).unwrap();
        assert_eq!(read_job(&path).unwrap().len(), 1 << 20);
        std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(matches!(read_job(&path), Err(ReadError::TooLarge { size: 1_048_577, .. })));
    }
}
