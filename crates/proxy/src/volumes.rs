//! Named volumes: directories of DYbox's own on this machine, of one user each.
//!
//! Those of a run lie in its directory: on a cluster's node they go with the last grant of the run there, on one machine
//! its master removes them once it has succeeded. Parents are closed to all but the user; the directory itself is open, for
//! a task may run as anybody.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dybox_model::{Cause, Keep, TaskSpec};
use dybox_store::layout::VOLUMES;

use crate::conf::Places;
use crate::start::Refused;

/// The attempt with its named volumes as paths of this machine, which are there now; nothing where it has none.
pub(crate) fn with_paths(places: &Places, spec: &TaskSpec) -> Result<Option<TaskSpec>, Refused> {
    if spec.volumes.iter().all(|mount| mount.named.is_none()) {
        return Ok(None);
    }
    let mut spec = spec.clone();
    for mount in &mut spec.volumes {
        let Some(keep) = mount.named.take() else { continue };
        let parent = match keep {
            Keep::Always => VOLUMES.to_owned(),
            Keep::Run => places.run.volumes(),
        };
        let parent = places.path(&parent);
        dybox_store::local::make_dir(&parent)?;
        let path = parent.join(&mount.source);
        make(&path).map_err(|error| Refused {
            cause: if error.kind() == ErrorKind::StorageFull { Cause::DiskFull } else { Cause::StoreFailed },
            text: format!("volume {} can't be made at {}: {error}", mount.source.display(), path.display()),
        })?;
        mount.source = path;
    }
    Ok(Some(spec))
}

/// Whoever finds something else than a directory there did not find what DYbox made.
fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o777)),
        Err(there) if there.kind() == ErrorKind::AlreadyExists && fs::symlink_metadata(path)?.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_once_and_a_link_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("cache"), dir.path().join("link"));
        make(&path).unwrap();
        fs::write(path.join("x"), "kept").unwrap();
        make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(make(&link).is_err() && path.join("x").exists());
    }
}
