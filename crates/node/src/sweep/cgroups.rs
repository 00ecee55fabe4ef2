//! Removes cgroups for whose removal a home's owner has no right: the engine made them as root.
//!
//! The path comes from a file of a user. So it must be that of a YARN container's cgroup; and the kernel removes none in
//! which a process or another cgroup is.

use std::io;
use std::path::{Component, Path, PathBuf};

/// How YARN's containers are called.
const OURS: &str = "container_";

/// Removes one, if it is what it should be.
pub(super) fn remove(dir: &Path, mounts: &str) -> io::Result<()> {
    if !is_of_grant(dir, mounts) || dir.canonicalize()? != dir {
        return Err(io::Error::other("it is no cgroup of a grant"));
    }
    std::fs::remove_dir(dir)
}

fn is_of_grant(dir: &Path, mounts: &str) -> bool {
    let plain = dir.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    let named = dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(OURS));
    dir.is_absolute() && plain && named && hierarchies(mounts).any(|top| dir != top && dir.starts_with(&top))
}

fn hierarchies(mounts: &str) -> impl Iterator<Item = PathBuf> {
    mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup").then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn only_what_is_named_like_a_grant_in_a_hierarchy_goes() {
        let is = |path: &str| is_of_grant(Path::new(path), MOUNTS);
        assert!(is("/sys/fs/cgroup/cpu/hadoop-yarn/container_e01_1_0001_01_000002"));
        assert!(!is("/sys/fs/cgroup/cpu/hadoop-yarn"), "others' are in it");
        assert!(!is("/sys/fs/cgroup/memory/container_1"), "no such hierarchy");
        assert!(!is("/sys/fs/cgroup/cpu/../../../../home/ann/container_1"));
        assert!(!is("/home/ann/container_1") && !is("container_1"));
    }
}
