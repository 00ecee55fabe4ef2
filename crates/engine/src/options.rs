//! Container-creation options as a value: what a task asks for and where it was placed go in, the engine's request
//! comes out. Pure, so that golden tests can show every setting.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use dybox_model::{MOST_SECRET, Millis, SECRETS_DIR, TaskSpec, Tmpfs};
use serde_json::Value;

use crate::image::ImageInfo;
use crate::ports::publish;

/// The static init's path in every container.
const INIT_INSIDE: &str = "/.dybox/init";
/// The script's path in a container whose stage has one.
pub(crate) const SCRIPT_INSIDE: &str = "/.dybox/in/script";
const TMP: &str = "/tmp";
/// What the master counts for a sandbox beside its task (`logic::master::SANDBOX_MEMORY`); the engine takes no less
/// than 6 MiB.
const SANDBOX_MEMORY: i64 = 8 << 20;
/// The engine's smallest share of a cpu.
const LEAST_CPU_MILLI: u64 = 10;
/// How much longer than the grace a `docker stop` by somebody waits: init does the killing itself.
const STOP_MARGIN: Millis = Millis::from_secs(5);

/// How a container is joined to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// No network, made with `NetworkDisabled`.
    Disabled,
    /// No network, made with the network mode `none` (see [`crate::EngineInfo::no_network`]).
    None,
    /// The network namespace of the container with this id: the slot's sandbox.
    Sandbox(String),
    /// An endpoint of its own on the network of this name, known there as `stage` and `stage-N`.
    Network(String),
    /// An endpoint of its own on the engine's default bridge: sandboxes, and tasks with ports that others reach.
    Bridge,
}

/// Where an attempt was placed: what its spec can't know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The container's name.
    pub name: String,
    /// Its labels, from [`crate::Identity::labels`].
    pub labels: BTreeMap<String, String>,
    /// The init binary on the host.
    pub init: PathBuf,
    /// Host directory bound read-only to `/.dybox/in`.
    pub input: PathBuf,
    /// Host directory bound to `/.dybox/out`; mode 0777.
    pub output: PathBuf,
    /// Host file bound to `/.dybox/stdout`; mode 0666.
    pub stdout: PathBuf,
    /// Host file bound to `/.dybox/stderr`; mode 0666.
    pub stderr: PathBuf,
    /// The submitter.
    pub uid: u32,
    /// The submitter's group.
    pub gid: u32,
    /// The network.
    pub network: Joined,
    /// Cpus of the engine's machine: it refuses more than it has. 0 = unknown.
    pub machine_cpus: u32,
    /// The cgroup to be made in; nothing = the engine's own.
    pub cgroup_parent: Option<String>,
}

/// A request for a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub(crate) name: String,
    pub(crate) body: ContainerCreateBody,
}

impl Options {
    /// The container's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The request as the engine gets it, keys sorted.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = serde_json::to_value(&self.body).expect("a request is JSON");
        value.sort_all_objects();
        value
    }
}

/// The request for an attempt's container.
#[must_use]
pub fn options(spec: &TaskSpec, image: &ImageInfo, placed: &Placed) -> Options {
    let index = spec.attempt.task.index;
    let named = format!("{}-{index}", spec.stage);
    let user = spec.user.clone().unwrap_or_else(|| format!("{}:{}", placed.uid, placed.gid));
    let mut mounts = own_mounts(placed);
    mounts.extend(spec.volumes.iter().map(|volume| bind(&volume.source, &volume.target, volume.read_only)));
    let mut host = HostConfig {
        memory: Some(signed(spec.limits.memory)),
        memory_swap: Some(signed(spec.limits.memory)),
        nano_cpus: Some(nano_cpus(spec.limits.cpu_milli, placed.machine_cpus)),
        // Init is one of them, and not the task's.
        pids_limit: Some(i64::from(spec.pids) + 1),
        shm_size: spec.shm.map(signed),
        mounts: Some(mounts),
        tmpfs: memory_dirs(spec, &user),
        // What a task can write to is then what init can clear for the next one.
        readonly_rootfs: spec.reuse.then_some(true),
        cgroup_parent: placed.cgroup_parent.clone(),
        ..safe_host()
    };
    let mut body = ContainerCreateBody {
        image: Some(image.id.clone()),
        user: Some(user),
        env: Some(env(spec)),
        working_dir: spec.workdir.clone(),
        stop_timeout: Some(signed(spec.stop_grace.after(STOP_MARGIN).0.div_ceil(1000))),
        ..under_init(&placed.labels, &[])
    };
    publish(&mut body, &mut host, &spec.ports);
    join(&mut body, host, &placed.network, &[spec.stage.clone(), named.clone()]);
    if !matches!(placed.network, Joined::Sandbox(_)) {
        // The kernel takes 64 bytes at most; a name that is joined to a sandbox has the sandbox's.
        body.hostname = Some(tail(&named, 63).trim_start_matches('-').to_owned());
    }
    Options { name: placed.name.clone(), body }
}

/// The request for a slot's sandbox: an idle container that holds a network namespace for the slot's tasks. It needs
/// an image only for its (unused) file system.
#[must_use]
pub fn sandbox_options(image: &ImageInfo, placed: &Placed) -> Options {
    let host = HostConfig {
        memory: Some(SANDBOX_MEMORY),
        memory_swap: Some(SANDBOX_MEMORY),
        pids_limit: Some(16),
        mounts: Some(own_mounts(placed)),
        cgroup_parent: placed.cgroup_parent.clone(),
        ..safe_host()
    };
    let mut body = ContainerCreateBody {
        image: Some(image.id.clone()),
        user: Some(format!("{}:{}", placed.uid, placed.gid)),
        working_dir: Some("/".to_owned()),
        stop_timeout: Some(1),
        ..under_init(&placed.labels, &["pause"])
    };
    join(&mut body, host, &placed.network, &[]);
    Options { name: placed.name.clone(), body }
}

/// What every container has in common: init as its entrypoint, no health checks, no stream through the engine.
fn under_init(labels: &BTreeMap<String, String>, args: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        entrypoint: Some(vec![INIT_INSIDE.to_owned()]),
        cmd: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
        labels: Some(labels.clone().into_iter().collect::<HashMap<_, _>>()),
        // A health check of the image would run its command in the container every few seconds.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        stop_signal: Some("SIGTERM".to_owned()),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        open_stdin: Some(false),
        tty: Some(false),
        ..ContainerCreateBody::default()
    }
}

fn safe_host() -> HostConfig {
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        auto_remove: Some(false),
        init: Some(false),
        ipc_mode: Some("private".to_owned()),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        ..HostConfig::default()
    }
}

fn join(body: &mut ContainerCreateBody, mut host: HostConfig, network: &Joined, aliases: &[String]) {
    match network {
        Joined::Disabled => body.network_disabled = Some(true),
        Joined::None => host.network_mode = Some("none".to_owned()),
        Joined::Bridge => host.network_mode = Some("bridge".to_owned()),
        Joined::Sandbox(id) => host.network_mode = Some(format!("container:{id}")),
        Joined::Network(name) => {
            host.network_mode = Some(name.clone());
            let endpoint = EndpointSettings { aliases: Some(aliases.to_vec()), ..EndpointSettings::default() };
            let endpoints = HashMap::from([(name.clone(), endpoint)]);
            body.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints) });
        }
    }
    body.host_config = Some(host);
}

fn own_mounts(placed: &Placed) -> Vec<Mount> {
    vec![
        bind(&placed.init, INIT_INSIDE, true),
        bind(&placed.input, "/.dybox/in", true),
        bind(&placed.output, "/.dybox/out", false),
        bind(&placed.stdout, "/.dybox/stdout", false),
        bind(&placed.stderr, "/.dybox/stderr", false),
    ]
}

/// As a mount, not as a `bind` string: a colon in a path is harmless, and a missing host path is an error instead of
/// a new directory that root owns.
fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    }
}

/// The directories of memory of a task. Where the container is used again it can write to nothing else, so it has a
/// `/tmp` in any case, but where a volume is there.
fn room(spec: &TaskSpec) -> Vec<Tmpfs> {
    let mut all = spec.tmpfs.clone();
    let taken = spec.volumes.iter().map(|volume| &volume.target).chain(spec.tmpfs.iter().map(|one| &one.target));
    if spec.reuse && !taken.into_iter().any(|target| Path::new(target).starts_with(TMP)) {
        all.push(Tmpfs { target: TMP.to_owned(), size: None });
    }
    all
}

/// The directories that are emptied between two tasks of one container: all that they can write to, but for volumes.
pub(crate) fn cleared(spec: &TaskSpec) -> Vec<String> {
    let mut all: Vec<String> = room(spec).into_iter().map(|one| one.target).collect();
    all.extend(["/dev/shm", "/dev/mqueue"].map(str::to_owned));
    // Init writes them anew.
    all.extend((!spec.secrets.is_empty()).then(|| SECRETS_DIR.to_owned()));
    let volume = |dir: &String| spec.volumes.iter().any(|volume| Path::new(dir).starts_with(&volume.target));
    all.retain(|dir| !volume(dir));
    all
}

/// All directories of memory.
fn memory_dirs(spec: &TaskSpec, user: &str) -> Option<HashMap<String, String>> {
    let mut all = tmpfs(&room(spec), user, spec.limits.memory);
    let count = spec.secrets.len() as u64;
    if count > 0 {
        let owner = owner(user);
        // Init writes the files as this user, each for its owner alone. Where the user is a name, whose directory it
        // has to be is known in the container alone.
        let mode = if owner.is_empty() { "1777" } else { "0755" };
        let size = (count * (MOST_SECRET + (4 << 10))).min(spec.limits.memory);
        all.get_or_insert_default().insert(SECRETS_DIR.to_owned(), format!("size={size},mode={mode}{owner}"));
    }
    all
}

fn owner(user: &str) -> String {
    match user.split_once(':').unwrap_or((user, "")) {
        (uid, gid) if is_number(uid) && is_number(gid) => format!(",uid={uid},gid={gid}"),
        (uid, "") if is_number(uid) => format!(",uid={uid}"),
        _ => String::new(),
    }
}

/// The directory's own owner and mode win over the tmpfs's default, so all are said.
fn tmpfs(all: &[Tmpfs], user: &str, memory: u64) -> Option<HashMap<String, String>> {
    let owner = owner(user);
    let one = |fs: &Tmpfs| (fs.target.clone(), format!("size={},mode=1777{owner}", fs.size.unwrap_or(memory / 2)));
    if all.is_empty() { None } else { Some(all.iter().map(one).collect()) }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn env(spec: &TaskSpec) -> Vec<String> {
    let mut env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if spec.attach.is_some_and(|attach| attach.tty) && !spec.env.iter().any(|(key, _)| key == "TERM") {
        env.push("TERM=xterm".to_owned());
    }
    env
}

fn nano_cpus(milli: u32, machine_cpus: u32) -> i64 {
    let most = if machine_cpus == 0 { u64::MAX } else { u64::from(machine_cpus) * 1000 };
    signed(u64::from(milli).max(LEAST_CPU_MILLI).min(most).saturating_mul(1_000_000))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn tail(text: &str, most: usize) -> &str {
    &text[text.len().saturating_sub(most)..]
}

#[cfg(test)]
mod tests;
