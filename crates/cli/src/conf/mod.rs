//! Settings: defaults <- /etc/dybox/dybox.toml <- the user's file <- environment <- flags. All of it is parsed and
//! checked before anything starts; every value knows where it came from.

mod key;
mod layer;
mod policy;
#[cfg(test)]
mod tests;
mod value;

use std::path::{Path, PathBuf};

pub(crate) use dybox_model::{parse_bytes as memory, parse_cpus as cpus};
pub(crate) use key::{KEYS, Key, OTHER_ENV};
use layer::{Layer, read_if_there};
pub(crate) use policy::bad_policy;
pub(crate) use value::{ColorChoice, Format};

use dybox_model::policy::Rules;

use crate::args::Global;
use crate::report::{Failure, codes};

/// The administrator's file.
const SYSTEM_FILE: &str = "/etc/dybox/dybox.toml";

/// A setting and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    /// Its value.
    pub value: T,
    /// `default`, `file:line`, `$DYBOX_...`, `--flag`.
    pub from: String,
}

/// Every setting.
#[derive(Debug, Clone)]
pub(crate) struct Conf {
    /// Directory of runs.
    pub home: Setting<PathBuf>,
    /// Thousandths of cpus of the budget; nothing = the machine's.
    pub cpus: Setting<Option<u32>>,
    /// Bytes of the budget; nothing = the machine's.
    pub memory: Setting<Option<u64>>,
    /// The engine's address; nothing = docker's own default.
    pub docker_host: Setting<Option<String>>,
    /// When to use colour.
    pub color: Setting<ColorChoice>,
    /// What reading commands print.
    pub output: Setting<Format>,
    /// Whether commands mean the cluster; nothing = where a YARN configuration is found.
    pub yarn: Setting<Option<bool>>,
    /// The directory in HDFS; nothing = in the user's home there.
    pub store: Setting<Option<String>>,
    /// The queue of jobs that name none.
    pub queue: Setting<Option<String>>,
    /// What a master asks for.
    pub master_cpus: Setting<Option<u32>>,
    /// What a master asks for, in bytes.
    pub master_memory: Setting<Option<u64>>,
    /// The registry of profiles; nothing = in the store.
    pub profiles: Setting<Option<String>>,
    /// The state servers, in one text.
    pub state_servers: Setting<Option<String>>,
    /// What this user shows them.
    pub state_identity: Setting<Option<PathBuf>>,
    /// What the administrator allows on this machine; nothing where there is no policy.
    pub policy: Option<Rules>,
    /// Configuration files that were read.
    pub files: Vec<PathBuf>,
}

impl Conf {
    /// Reads all layers.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub(crate) fn load(global: &Global) -> Result<Self, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let policy = policy::load()?;
        let user = user_file(env);
        let mut files = Vec::new();
        let mut all = Layer::default();
        for path in [Some(PathBuf::from(SYSTEM_FILE)), user.path].into_iter().flatten() {
            if let Some(text) = read_if_there(&path)? {
                all.cover(Layer::file(&path, &text)?);
                files.push(path);
            } else if user.must_exist && path.as_os_str() != SYSTEM_FILE {
                return Err(Failure::coded(codes::CONF_READ, "the file that $DYBOX_CONF names does not exist")
                    .place(path.display().to_string())
                    .next("correct or unset DYBOX_CONF"));
            }
        }
        all.cover(Layer::environment(env));
        all.cover(flags(global));
        Self::understand(all, env, policy, files)
    }

    fn understand(
        all: Layer,
        env: impl Fn(&str) -> Option<String>,
        policy: Option<Rules>,
        files: Vec<PathBuf>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            home: value::setting(&all, "home", value::path)?.or_else(|| value::default_home(&env))?,
            cpus: value::setting(&all, "cpus", cpus)?.optional(),
            memory: value::setting(&all, "memory", memory)?.optional(),
            docker_host: value::setting(&all, "docker_host", value::text)?.optional(),
            color: value::setting(&all, "color", value::choice)?.or_default(),
            output: value::setting(&all, "output", value::choice)?.or_default(),
            yarn: value::setting(&all, "yarn", value::yes_or_no)?.optional(),
            store: value::setting(&all, "store", value::text)?.optional(),
            queue: value::setting(&all, "queue", value::text)?.optional(),
            master_cpus: value::setting(&all, "master_cpus", cpus)?.optional(),
            master_memory: value::setting(&all, "master_memory", memory)?.optional(),
            profiles: value::setting(&all, "profiles", value::text)?.optional(),
            state_servers: value::setting(&all, "state_servers", value::text)?.optional(),
            state_identity: value::setting(&all, "state_identity", value::path)?.optional(),
            policy,
            files,
        })
    }

    /// Every setting as text with its origin, for `doctor`.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String, &str)> {
        let unset = |key: usize| format!("({})", KEYS[key].default);
        let text = [
            self.home.value.display().to_string(),
            self.cpus.value.map_or_else(|| unset(1), dybox_model::format_cpus),
            self.memory.value.map_or_else(|| unset(2), dybox_model::format_bytes),
            self.docker_host.value.clone().unwrap_or_else(|| unset(3)),
            value::word(self.color.value),
            value::word(self.output.value),
            self.yarn.value.map_or_else(|| unset(6), |yes| yes.to_string()),
            self.store.value.clone().unwrap_or_else(|| unset(7)),
            self.queue.value.clone().unwrap_or_else(|| unset(8)),
            self.master_cpus.value.map_or_else(|| unset(9), dybox_model::format_cpus),
            self.master_memory.value.map_or_else(|| unset(10), dybox_model::format_bytes),
            self.profiles.value.clone().unwrap_or_else(|| unset(11)),
            self.state_servers.value.clone().unwrap_or_else(|| unset(12)),
            self.state_identity.value.as_ref().map_or_else(|| unset(13), |path| path.display().to_string()),
        ];
        let from = [
            &self.home.from,
            &self.cpus.from,
            &self.memory.from,
            &self.docker_host.from,
            &self.color.from,
            &self.output.from,
            &self.yarn.from,
            &self.store.from,
            &self.queue.from,
            &self.master_cpus.from,
            &self.master_memory.from,
            &self.profiles.from,
            &self.state_servers.from,
            &self.state_identity.from,
        ];
        KEYS.iter().zip(text).zip(from).map(|((key, text), from)| (key.name, text, from.as_str())).collect()
    }
}

struct UserFile {
    path: Option<PathBuf>,
    must_exist: bool,
}

fn user_file(env: impl Fn(&str) -> Option<String>) -> UserFile {
    let set = |name: &str| env(name).filter(|text| !text.is_empty());
    if let Some(path) = set("DYBOX_CONF") {
        return UserFile { path: Some(path.into()), must_exist: true };
    }
    let dir = set("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let dir = dir.or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")));
    UserFile { path: dir.map(|dir| dir.join("dybox/dybox.toml")), must_exist: false }
}

fn flags(global: &Global) -> Layer {
    let mut layer = Layer::default();
    if let Some(home) = &global.home {
        layer.set("home", home.to_string_lossy(), "--home");
    }
    if let Some(host) = &global.docker_host {
        layer.set("docker_host", host, "--docker-host");
    }
    if let Some(color) = global.color {
        layer.set("color", value::word(color), "--color");
    }
    if global.yarn || global.local {
        layer.set("yarn", global.yarn.to_string(), if global.yarn { "--yarn" } else { "--local" });
    }
    layer
}
