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
