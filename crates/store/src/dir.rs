//! A store that is a directory of this machine. All calls block.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::StoreError;
use crate::local::{STAGED, make_dir, sync_dir};
use crate::store::{Entry, Stat};

/// Runs what blocks on a thread made for that.
pub(crate) async fn off_loop<T, F>(operation: &'static str, place: &Path, call: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(call).await {
        Ok(done) => done,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(join) => Err(StoreError::new(operation, place.display(), io::Error::other(join))),
        },
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|e| StoreError::new("read", path.display(), e))
}

pub(crate) fn stat(path: &Path) -> Result<Stat, StoreError> {
    let meta = fs::metadata(path).map_err(|e| StoreError::new("look at", path.display(), e))?;
    Ok(Stat { len: meta.len(), mtime_ms: mtime_ms(&meta), mode: meta.mode() & 0o7777, is_dir: meta.is_dir() })
}

fn mtime_ms(meta: &fs::Metadata) -> u64 {
    meta.mtime().cast_unsigned() * 1000 + meta.mtime_nsec().cast_unsigned() / 1_000_000
}

pub(crate) fn make_dir_of(path: &Path, mode: u32) -> Result<(), StoreError> {
    make_dir(path)?;
    set_mode(path, mode)
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), StoreError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|e| StoreError::new("set the permissions of", path.display(), e))
}

pub(crate) fn put_file(path: &Path, local: &Path, mode: u32) -> Result<(), StoreError> {
    crate::local::write_atomic(path, &read(local)?, mode)
}

/// Under the new name nothing may be but a file.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|e| StoreError::new("rename", from.display(), e))?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Whether everybody may read it: its own bits, and the way to it.
pub(crate) fn is_public(path: &Path) -> Result<bool, StoreError> {
    let open = |dir: &Path| stat(dir).map(|stat| stat.mode & 0o001 != 0);
    if stat(path)?.mode & 0o004 == 0 {
        return Ok(false);
    }
    for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        if !open(dir)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn gone(path: &Path, removed: io::Result<()>) -> Result<bool, StoreError> {
    match removed {
        Ok(()) => path.parent().map_or(Ok(()), sync_dir).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::new("remove", path.display(), e)),
    }
}

pub(crate) fn list(dir: &Path) -> Result<Vec<Entry>, StoreError> {
    let failed = |e| StoreError::new("list", dir.display(), e);
    let found = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut entries = Vec::new();
    for entry in found {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(STAGED) {
            continue;
        }
        match entry.metadata() {
            Ok(meta) => {
                let len = if meta.is_dir() { 0 } else { meta.len() };
                entries.push(Entry { name, is_dir: meta.is_dir(), len, mtime_ms: mtime_ms(&meta) })
            }
            // Removed since the directory was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
    }
    entries.sort();
    Ok(entries)
}
