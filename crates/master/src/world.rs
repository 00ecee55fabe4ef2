//! The world that stages are planned for while their run is under way: this machine, or the cluster.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dybox_job::{Cluster, Found, Plan, Policy, Profiles, World};
use dybox_model::Resources;
use dybox_model::policy::Rules;
use dybox_store::Store;
use dybox_store::layout::PROFILES;

use crate::perform::Ports;

/// Most bytes of an `env_file`.
const MAX_ENV_FILE: u64 = 1 << 20;

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
        let real = fs::canonicalize(path).and_then(|real| real.metadata().map(|facts| (real, facts.file_type())));
        match real {
            Ok((real, kind)) if kind.is_dir() => Found::Directory(real),
            Ok((real, kind)) if kind.is_file() => Found::File(real),
            Ok((real, kind)) if kind.is_socket() => Found::Socket(real),
            Ok((real, _)) => Found::Other(real),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Missing,
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let file = match fs::metadata(path).and_then(|facts| Ok((facts, fs::File::open(path)?))) {
            Ok((facts, file)) if facts.is_file() => file,
            Ok(_) => return Err("not a file".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err("no such file".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        file.take(MAX_ENV_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_ENV_FILE { Err("it has more than 1 MiB".to_owned()) } else { Ok(bytes) }
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
    let Some(first) = rules.first() else {
        let file = if far { AS_BEFORE } else { NO_POLICY };
        return Policy { mount_roots, submitter, exists: far, ..Policy::none(file) };
    };
    Policy {
        file: PathBuf::from(&first.file),
        exists: true,
        mount_roots: first.mount_roots.clone().unwrap_or_default(),
        registries: first.trusted_registries.clone(),
        rules,
        submitter,
    }
}
