//! What a NodeManager shall start, as a value.

use std::collections::BTreeMap;

use dybox_hrpc::Credentials;

/// Who on a node may share a localized file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every user: the file must be readable by all, its parents searchable by all. Kept by the node.
    Public,
    /// This user's applications. Kept by the node.
    Private,
    /// This application alone.
    Application,
}

/// A file that the NodeManager fetches into the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResource {
    /// Where it lies: `hdfs://host:port/path`, `hdfs://nameservice/path`, `file:///path`.
    pub url: String,
    /// Its exact size in bytes.
    pub size: u64,
    /// Its exact time of change, milliseconds since 1970: another one is an error at the start.
    pub mtime_ms: u64,
    /// Who may share it.
    pub visibility: Visibility,
}

impl LocalResource {
    /// A file that everybody may read (`public`), so that nodes share it between users, or this user alone.
    #[must_use]
    pub const fn kept(url: String, size: u64, mtime_ms: u64, public: bool) -> Self {
        let visibility = if public { Visibility::Public } else { Visibility::Private };
        Self { url, size, mtime_ms, visibility }
    }
}

/// The environment, files, secrets and command of one YARN container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// Name in the working directory -> file.
    pub resources: BTreeMap<String, LocalResource>,
    /// On top of what the NodeManager sets. `{{VAR}}` is replaced on the node.
    pub env: BTreeMap<String, String>,
    /// One line for bash; `<LOG_DIR>` is replaced on the node. Begin with `exec`, so that signals arrive.
    pub command: String,
    /// Tokens and secrets: a file readable by the process alone (`HADOOP_TOKEN_FILE_LOCATION`).
    pub credentials: Credentials,
    /// Who may see it besides its user, `user1,user2 group1,group2`.
    pub view_acl: Option<String>,
    /// Who may stop it besides its user.
    pub modify_acl: Option<String>,
}

impl Launch {
    /// The name of the program in a YARN container's directory.
    const PROGRAM: &str = "dybox";

    /// Starts a part of DYbox (`master`, `proxy`) from its program. Its words go where YARN shows and gathers them.
    #[must_use]
    pub fn starting(mut self, program: LocalResource, part: &str) -> Self {
        let name = Self::PROGRAM;
        self.resources.insert(name.to_owned(), program);
        // Signals arrive because of the `exec`.
        self.command = format!("exec ./{name} {part} --yarn 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_starts_from_the_program_beside_what_was_there() {
        let program = LocalResource::kept("hdfs://n/p".to_owned(), 1, 2, true);
        let env = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        let launch = Launch { env: env.clone(), ..Launch::default() }.starting(program.clone(), "proxy");
        assert_eq!(launch.command, "exec ./dybox proxy --yarn 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr");
        assert_eq!((&launch.resources["dybox"], launch.env), (&program, env));
        assert_eq!(program.visibility, Visibility::Public);
    }
}
