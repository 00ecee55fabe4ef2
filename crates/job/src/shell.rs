//! `dybox shell`: a job of one stage from the command line, through the same checks as a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dybox_model::Attach;

use crate::{Outcome, World};

/// What `dybox shell` was told. Texts are as a job file would have them; nothing is a template.
#[derive(Debug, Clone, Default)]
pub struct ShellJob {
    /// `--name`; nothing = `shell`.
    pub name: Option<String>,
    /// `--image`.
    pub image: String,
    /// After `--`; empty = the image's own.
    pub command: Vec<String>,
    /// `--entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `--env`.
    pub env: BTreeMap<String, String>,
    /// `--env-file`.
    pub env_file: Vec<String>,
    /// `--cpus`, like `1.5`.
    pub cpus: Option<String>,
    /// `--memory`, like `512MiB`.
    pub memory: Option<String>,
    /// `--shm-size`.
    pub shm_size: Option<String>,
    /// `--pids`.
    pub pids: Option<u32>,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--volume source:target[:ro]`.
    pub volumes: Vec<String>,
    /// `--tmpfs`.
    pub tmpfs: Vec<String>,
    /// `--network none|bridge|NAME`.
    pub network: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--pull missing|always|never`.
    pub pull: Option<String>,
    /// `--timeout`, like `10m`.
    pub timeout: Option<String>,
    /// `--stop-grace`.
    pub stop_grace: Option<String>,
    /// Keep the container when it fails.
    pub keep_failed: bool,
    /// A person at the other end.
    pub attach: Option<Attach>,
    /// The working directory of the caller: relative volumes start there.
    pub dir: PathBuf,
}

/// Plans a shell. The only stage is called `shell`.
#[must_use]
pub fn shell_plan(_job: &ShellJob, _world: &dyn World) -> Outcome {
    Outcome::default()
}
