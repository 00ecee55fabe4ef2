//! The machine that a job is planned for, and the files that the job names.

use std::path::Path;

use dybox_job::{Cluster, Policy, Profiles, World};
use dybox_model::{Found, Resources, SecretSource};
use dybox_store::look;

use crate::secrets;

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
        look::look(path)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        look::read_small(path)
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
