//! What a plan must know about the machine. The client answers; this crate touches no file.

use std::path::{Path, PathBuf};

use dybox_model::policy::Rules;
use dybox_model::{Found, Resources, SecretSource};

use crate::Cluster;

/// What the administrator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The file that decides, for the message: `/etc/dybox/policy.toml`.
    pub file: PathBuf,
    /// Whether that file exists; without it the rules are DYbox's defaults.
    pub exists: bool,
    /// Real paths under which host paths may be mounted. Without a policy: the job file's own directory.
    pub mount_roots: Vec<PathBuf>,
    /// Registries that may be pulled from (`docker.io` for images that name none); nothing = any.
    pub registries: Option<Vec<String>>,
    /// All policies that count, that of `file` first; what else they say is asked of each.
    pub rules: Vec<Rules>,
    /// Who submits: name, user id, group id.
    pub submitter: (String, u32, u32),
}

impl Policy {
    /// No policy, where this file would be one: nothing is mounted, and nothing else is refused.
    #[must_use]
    pub fn none(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            exists: false,
            mount_roots: Vec::new(),
            registries: None,
            rules: Vec::new(),
            submitter: (String::new(), 0, 0),
        }
    }

    /// What these policies say together for this submitter, that of the first one's file first; `none` where there are none.
    #[must_use]
    pub fn of(rules: Vec<Rules>, submitter: (String, u32, u32), none: Self) -> Self {
        let Some(first) = rules.first() else { return Self { submitter, ..none } };
        Self {
            file: PathBuf::from(&first.file),
            exists: true,
            mount_roots: first.mount_roots.clone().unwrap_or_default(),
            registries: first.trusted_registries.clone(),
            rules,
            submitter,
        }
    }
}

/// The administrator's registry of profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Profiles {
    /// Nobody looked for it.
    #[default]
    Unasked,
    /// There is none.
    Missing {
        /// Where it was looked for.
        place: String,
    },
    /// It is there and can't be read.
    Unread {
        /// Where it is.
        place: String,
        /// Why, as a lower-case fragment.
        why: String,
    },
    /// It is there.
    File {
        /// Where it is, for messages.
        name: String,
        /// What is in it.
        bytes: Vec<u8>,
    },
}

/// Answers about the machine that the job will run on and the files that the job names.
pub trait World {
    /// Cpus and memory of the largest machine; nothing when that is not known.
    fn largest(&self) -> Option<Resources>;
    /// What lies at this absolute path.
    fn look(&self, path: &Path) -> Found;
    /// The content of an `env_file` (at most 1 MiB), or why it can't be read.
    ///
    /// # Errors
    /// The reason as a lower-case fragment: `no such file`, `permission denied`, ...
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;
    /// What the administrator allows.
    fn policy(&self) -> Policy;
    /// The cluster that the job will run on; nothing = one machine. With it, [`World::largest`] counts no more.
    fn cluster(&self) -> Option<Cluster> {
        None
    }
    /// Whether the job will run on a cluster, known or not.
    fn is_cluster(&self) -> bool {
        self.cluster().is_some()
    }
    /// How many bytes the value of a secret has that the submitter gives, or why it can't be read; nothing = not known.
    fn secret(&self, _from: &SecretSource) -> Option<Result<u64, String>> {
        None
    }
    /// The administrator's registry of profiles.
    fn profiles(&self) -> Profiles {
        Profiles::Unasked
    }
}

/// A world where nothing is known: no file exists, every size fits, nothing may be mounted.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWorld;

impl World for NoWorld {
    fn largest(&self) -> Option<Resources> {
        None
    }

    fn look(&self, _path: &Path) -> Found {
        Found::Missing
    }

    fn read(&self, _path: &Path) -> Result<Vec<u8>, String> {
        Err("no such file".to_owned())
    }

    fn policy(&self) -> Policy {
        Policy::none("/etc/dybox/policy.toml")
    }
}
