//! What a user must not loosen: the administrator's `/etc/dybox/policy.toml`.

use std::path::{Path, PathBuf};

use super::layer::{entries, unknown};
use super::value;
use crate::report::{Failure, codes};

/// Where the policy lies. No flag and no variable changes that.
pub(crate) const POLICY_FILE: &str = "/etc/dybox/policy.toml";

/// The keys of the policy and what each is for.
pub(crate) const POLICY_KEYS: &[(&str, &str)] = &[
    ("mount_roots", "Directories under which a job may mount. Without a policy: the job file's own directory."),
    ("trusted_registries", "Registries whose images may run (`docker.io` for names without one). Without: any."),
    ("may_run_as", "Users and uids that `user:` may name beside the submitter's own. Without: any."),
    ("max_cpus", "Most cpus of one task."),
    ("max_memory", "Most memory of one task, with a unit."),
    ("require_digest", "`true`: images must be named by digest."),
];

/// The policy as the file has it; what is unset restricts nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PolicyFile {
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// Directories under which a job may mount.
    pub mount_roots: Option<Vec<PathBuf>>,
    /// Registries whose images may run.
    pub trusted_registries: Option<Vec<String>>,
    /// Users and uids that `user:` may name.
    pub may_run_as: Option<Vec<String>>,
    /// Most thousandths of cpus of one task.
    pub max_cpus: Option<u32>,
    /// Most bytes of one task.
    pub max_memory: Option<u64>,
    /// Whether images must be named by digest.
    pub require_digest: bool,
}

impl PolicyFile {
    /// Understands the text of the file.
    ///
    /// # Errors
    /// The first unknown key or wrong value, with its line.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let mut policy = Self { path: Some(path.to_owned()), ..Self::default() };
        for (name, found, line) in entries(path, text)? {
            let place = format!("{}:{line}", path.display());
            if !POLICY_KEYS.iter().any(|(key, _)| *key == name) {
                return Err(unknown(&name, &place, POLICY_KEYS.iter().map(|(key, _)| *key)));
            }
            policy.take(&name, &found).map_err(|why| {
                Failure::coded(codes::CONF_VALUE, format!("`{name}` can't be {found}")).place(place).why(why)
            })?;
        }
        Ok(policy)
    }

    fn take(&mut self, name: &str, found: &toml::Value) -> Result<(), String> {
        match name {
            "mount_roots" => {
                let roots: Vec<PathBuf> = list(found)?.into_iter().map(PathBuf::from).collect();
                if let Some(root) = roots.iter().find(|root| !root.is_absolute()) {
                    return Err(format!("{} is not absolute", root.display()));
                }
                self.mount_roots = Some(roots);
            }
            "trusted_registries" => self.trusted_registries = Some(list(found)?),
            "may_run_as" => self.may_run_as = Some(list(found)?),
            "max_cpus" => self.max_cpus = Some(value::cpus(&scalar(found)?)?),
            "max_memory" => self.max_memory = Some(value::memory(&scalar(found)?)?),
            _ => self.require_digest = found.as_bool().ok_or("write true or false")?,
        }
        Ok(())
    }
}

fn scalar(found: &toml::Value) -> Result<String, String> {
    match found {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) => Ok(found.to_string()),
        _ => Err("write one value".to_owned()),
    }
}

fn list(found: &toml::Value) -> Result<Vec<String>, String> {
    let items = found.as_array().ok_or("write a list, like [\"a\", \"b\"]")?;
    items.iter().map(scalar).collect()
}
