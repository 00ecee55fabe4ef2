//! Secrets as a plan knows them: where a value is, and where a task finds it. No plan holds a value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where tasks find secrets that name no other place.
pub const SECRETS_DIR: &str = "/run/secrets";
/// The most bytes of one secret, and of all of a run that its client reads.
pub const MOST_SECRET: u64 = 500 << 10;

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of the submitter's environment, read at submission.
    Env(String),
    /// A file of the submitter's, absolute, read at submission.
    File(PathBuf),
    /// A file in HDFS (`hdfs://...`), read where the task runs.
    Hdfs(String),
}

impl std::fmt::Display for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Hdfs(place) => f.write_str(place),
        }
    }
}

/// A secret by its name, and where its value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// Its name in the job.
    pub name: String,
    /// Where its value is.
    pub from: SecretSource,
}

/// A secret as a stage takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    /// Which one.
    pub secret: SecretRef,
    /// The absolute path of its file in the container.
    pub target: String,
    /// The file's mode.
    pub mode: u32,
}

/// How a stage's image is asked for: with a login that is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryAuth {
    /// The user; nothing = the secret is `user:password`, or docker's `config.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password, or all of the login.
    pub secret: SecretRef,
}

/// A login for a registry, as engines take it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Login {
    /// The user; nothing with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password; nothing with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A token instead of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}
