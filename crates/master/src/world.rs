//! The world that stages are planned for while their run is under way: this machine, or the cluster.

use std::path::{Path, PathBuf};

use dybox_job::{Cluster, Plan, Policy, Profiles, World};
use dybox_model::policy::Rules;
use dybox_model::{Found, Resources};
use dybox_store::layout::PROFILES;
use dybox_store::{Store, look};

use crate::perform::Ports;

/// What the master knows of it.
#[derive(Debug)]
pub(crate) struct Here {
    policy: Policy,
    largest: Option<Resources>,
    far: bool,
    profiles: Profiles,
}

impl Here {
    /// `own`: the job file's directory, of which mounts are allowed on one machine without a policy.
    pub(crate) fn of(ports: &Ports, own: &Path) -> Self {
        let far = ports.rest.store.is_remote();
        let machine = dybox_local::machine();
        let largest = (!far).then(|| Resources {
            cpu_milli: ports.info.budget_cpu_milli.unwrap_or(machine.cpu_milli),
            memory: ports.info.budget_memory.unwrap_or(machine.memory),
        });
        // Without a policy: the job file's directory; on a cluster, what the file itself was allowed when it was planned.
        let roots = if far { mounted(&ports.plan) } else { vec![own.to_owned()] };
        Self { policy: ports.policy.planning(roots, far), largest, far, profiles: ports.profiles.clone() }
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
        // Sizes are the ResourceManager's to judge when they are asked for.
        self.far.then(Cluster::default)
    }

    fn profiles(&self) -> Profiles {
        self.profiles.clone()
    }
}

/// Paths of machines that stages mount.
fn mounted(plan: &Plan) -> Vec<PathBuf> {
    let mounts = plan.stages.iter().flat_map(|stage| &stage.volumes).filter(|mount| mount.named.is_none());
    mounts.map(|mount| mount.source.clone()).collect()
}

/// The registry of profiles in the store.
pub(crate) async fn profiles(store: &Store) -> Profiles {
    let place = store.url(PROFILES);
    match store.get_opt(PROFILES).await {
        Ok(Some(bytes)) => Profiles::File { name: place, bytes: bytes.to_vec() },
        Ok(None) => Profiles::Missing { place },
        Err(error) => Profiles::Unread { place, why: error.to_string() },
    }
}

/// The file that would decide where there is no policy.
const NO_POLICY: &str = "/etc/dybox/policy.toml";
/// What decides of mounts on a cluster where there is no policy.
const AS_BEFORE: &str = "what the job file mounts";

/// A policy as the reader of job files has it; `roots` may be mounted where there is none.
pub(crate) fn as_planned(
    rules: Vec<Rules>,
    (mount_roots, far): (Vec<PathBuf>, bool),
    submitter: (String, u32, u32),
) -> Policy {
    let file = if far { AS_BEFORE } else { NO_POLICY };
    Policy::of(rules, submitter, Policy { mount_roots, exists: far, ..Policy::none(file) })
}
