//! What a person wants of a running task beside its payload.

use serde::{Deserialize, Serialize};

/// A command in the container of a running task, with the task's user, variables and limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whether its stdin is fed; a terminal's always is.
    #[serde(default)]
    pub stdin: bool,
    /// Whether it has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Variables beside those of the task.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Where it runs; nothing = where the task does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// A command beside the payload.
    Exec(Exec),
    /// A file or directory of the container, as a tar archive.
    Copy {
        /// The engine's id of the attempt's container, as the journal has it.
        container: String,
        /// Its path in the container.
        path: String,
    },
}

impl Want {
    /// What the journal keeps of it: never what may be a secret, as arguments and variables may.
    #[must_use]
    pub fn in_short(&self) -> String {
        match self {
            Self::Exec(exec) => format!("exec {}", exec.argv.first().map_or("", String::as_str)),
            Self::Copy { path, .. } => format!("copy {path}"),
        }
    }
}

/// Who wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The user, as the client says; the master adds the uid where the line tells it.
    pub by: String,
    /// What.
    pub want: Want,
}
