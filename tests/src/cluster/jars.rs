//! What `scripts/prepare --tests` has put on this machine: jars and a Java.

use std::path::{Path, PathBuf};

use super::{Broken, Context};

/// Directory with the jars of a release.
pub(super) fn jars(version: &str) -> Result<PathBuf, Broken> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .ok_or_else(|| Broken::new("neither XDG_CACHE_HOME nor HOME is set"))?;
    let dir = cache.join("dybox/hadoop").join(version);
    if dir.join("complete").is_file() {
        return Ok(dir.join("lib"));
    }
    Err(Broken::new(format!("no jars of Hadoop {version} in {}: run scripts/prepare --tests", dir.display())))
}

/// The program `java`.
pub(super) fn java() -> Result<PathBuf, Broken> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("java")).find(|path| path.is_file());
    let found = found.ok_or_else(|| Broken::new("no java on PATH: run scripts/prepare --tests"))?;
    // The name on PATH is a link; the home of the JVM is where it leads.
    found.canonicalize().doing("finding java")
}
