//! What one task left in the container, taken away before the next one comes.
//!
//! The root of a container that is used again is read-only, so that what a task can write to is known: directories of
//! memory, the exchange with the proxy, and the kernel's own objects.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// In here lies what System V calls of one task would leave to the next.
const SYSV: [&str; 3] = ["shm", "sem", "msg"];

/// Empties a directory, but for the entry `but`. What cannot be removed is an error, and so is another file system in
/// it: that is somebody's, and stays as it is.
pub(crate) fn empty(dir: &Path, but: &str) -> io::Result<()> {
    let device = match fs::metadata(dir) {
        Ok(meta) => meta.dev(),
        // A container without it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    empty_on(device, dir, but)
}

fn empty_on(device: u64, dir: &Path, but: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == but {
            continue;
        }
        let path = entry.path();
        let meta = entry.metadata()?;
        if meta.dev() != device {
            return Err(io::Error::other(format!("{} is another file system", path.display())));
        }
        if meta.is_dir() {
            // Whoever made it may have closed it to themselves.
            fs::set_permissions(&path, Permissions::from_mode(0o700))?;
            empty_on(device, &path, "")?;
            fs::remove_dir(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether objects of System V are there, in the container's own namespace of them.
pub(crate) fn has_sysv() -> bool {
    SYSV.iter().any(|kind| has_lines(&Path::new("/proc/sysvipc").join(kind)))
}

/// A line of titles comes first.
fn has_lines(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.lines().count() > 1)
}

/// The names in a directory that a task may have added to.
pub(crate) fn names(dir: &Path) -> BTreeSet<OsString> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_emptied_whatever_a_task_made_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("closed/deep")).unwrap();
        fs::write(at("closed/deep/file"), "x").unwrap();
        fs::set_permissions(at("closed/deep"), Permissions::from_mode(0o0)).unwrap();
        fs::set_permissions(at("closed"), Permissions::from_mode(0o0)).unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(other.path(), at("link")).unwrap();
        fs::write(at("verdict"), "x").unwrap();
        empty(dir.path(), "verdict").unwrap();
        assert_eq!(names(dir.path()), BTreeSet::from(["verdict".into()]));
        assert!(other.path().join("kept").exists(), "what a link leads to is not the task's");
        empty(dir.path(), "").unwrap();
        empty(&at("nowhere"), "").unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn another_file_system_is_left_alone() {
        // On every Linux; nothing in it can be removed anyway.
        let error = empty_on(u64::MAX, Path::new("/proc/self"), "").unwrap_err();
        assert!(error.to_string().contains("another file system"), "{error}");
    }

    #[test]
    fn a_title_alone_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shm");
        assert!(!has_lines(&file));
        fs::write(&file, "key shmid\n").unwrap();
        assert!(!has_lines(&file));
        fs::write(&file, "key shmid\n0 1\n").unwrap();
        assert!(has_lines(&file));
    }
}
