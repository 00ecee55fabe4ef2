//! What a path of a machine leads to.

use std::path::PathBuf;

/// What lies at a path, symbolic links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file, at this real path.
    File(PathBuf),
    /// A directory, at this real path.
    Directory(PathBuf),
    /// A socket, at this real path.
    Socket(PathBuf),
    /// A device or a pipe, at this real path.
    Other(PathBuf),
    /// Nothing, or a symbolic link to nothing.
    Missing,
    /// Something that we may not look at, and why.
    Unreadable(String),
}
