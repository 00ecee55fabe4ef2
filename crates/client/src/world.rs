//! The machine that a job is planned for, and the files that the job names.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dybox_job::{Cluster, Found, Policy, Profiles, World};
use dybox_model::{Resources, SecretSource};

use crate::secrets;

/// Most bytes of an `env_file`.
const MAX_ENV_FILE: u64 = 1 << 20;

/// This machine, or the cluster that its jobs run on.
#[derive(Debug, Clone)]
pub struct Here {
    largest: Option<Resources>,
    policy: Policy,
    cluster: Option<Cluster>,
    far: bool,
    profiles: Profiles,
}

impl Here {
    /// This machine with so much room for a run (nothing = not known), under this policy.
    #[must_use]
    pub const fn new(largest: Option<Resources>, policy: Policy) -> Self {
        Self { largest, policy, cluster: None, far: false, profiles: Profiles::Unasked }
    }

    /// This cluster, as it stands now, under this policy. Files that a job names are those of this machine.
    #[must_use]
    pub const fn of_cluster(cluster: Cluster, policy: Policy) -> Self {
        Self { largest: None, policy, cluster: Some(cluster), far: true, profiles: Profiles::Unasked }
    }

    /// A cluster that does not tell how it stands.
    #[must_use]
    pub const fn of_silent_cluster(policy: Policy) -> Self {
        Self { largest: None, policy, cluster: None, far: true, profiles: Profiles::Unasked }
    }

    /// The same with the administrator's registry of profiles.
    #[must_use]
    pub fn with_profiles(self, profiles: Profiles) -> Self {
        Self { profiles, ..self }
    }
}

impl World for Here {
    fn largest(&self) -> Option<Resources> {
        self.largest
    }

    fn look(&self, path: &Path) -> Found {
        match fs::canonicalize(path).and_then(|real| real.metadata().map(|facts| (real, facts))) {
            Ok((real, facts)) => kind(real, &facts),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => Found::Unreadable(words(&error)),
        }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let facts = path.metadata().map_err(|error| words(&error))?;
        if !facts.is_file() {
            return Err("not a file".to_owned());
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(|error| words(&error))?;
        file.take(MAX_ENV_FILE + 1).read_to_end(&mut bytes).map_err(|error| words(&error))?;
        if bytes.len() as u64 > MAX_ENV_FILE {
            return Err("it has more than 1 MiB".to_owned());
        }
        Ok(bytes)
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    fn cluster(&self) -> Option<Cluster> {
        self.cluster.clone()
    }

    fn is_cluster(&self) -> bool {
        self.far
    }

    fn secret(&self, from: &SecretSource) -> Option<Result<u64, String>> {
        secrets::value(from).map(|read| read.map(|value| value.len() as u64))
    }

    fn profiles(&self) -> Profiles {
        self.profiles.clone()
    }
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
pub(crate) fn words(error: &io::Error) -> String {
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

    fn here() -> Here {
        Here::new(None, Policy::none(""))
    }

    #[test]
    fn links_are_followed_to_what_is_really_there() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        fs::write(real.join("file"), "A=1").unwrap();
        std::os::unix::fs::symlink(real.join("file"), real.join("link")).unwrap();
        std::os::unix::fs::symlink(real.join("gone"), real.join("broken")).unwrap();
        std::os::unix::fs::symlink(real.join("circle"), real.join("circle")).unwrap();
        assert_eq!(here().look(&real.join("link")), Found::File(real.join("file")));
        assert_eq!(here().look(&real), Found::Directory(real.clone()));
        assert_eq!(here().look(&real.join("broken")), Found::Missing);
        assert_eq!(here().look(Path::new("/dev/null")), Found::Other(PathBuf::from("/dev/null")));
        assert!(matches!(here().look(&real.join("circle")), Found::Unreadable(_)));
    }

    #[test]
    fn a_file_that_cant_be_read_says_why() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("env"), "A=1").unwrap();
        fs::write(dir.path().join("large"), vec![b'a'; (1 << 20) + 1]).unwrap();
        assert_eq!(here().read(&dir.path().join("env")), Ok(b"A=1".to_vec()));
        assert_eq!(here().read(&dir.path().join("none")), Err("no such file".to_owned()));
        assert_eq!(here().read(dir.path()), Err("not a file".to_owned()));
        assert_eq!(here().read(&dir.path().join("large")), Err("it has more than 1 MiB".to_owned()));
    }
}
