//! The grant's own cgroup: where YARN keeps one, containers are made inside it, so that YARN's accounts see them.

use std::fs;
use std::path::{Path, PathBuf};

use dybox_engine::EngineInfo;
use serde::{Deserialize, Serialize};

use crate::conf::Places;
use crate::files::write_whole;

/// Its name in the grant's directory.
const FILE: &str = "cgroup.json";

/// The grant's cgroup, if YARN made one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct GrantCgroup {
    /// From the root of each hierarchy.
    path: Option<String>,
    /// Directories that were not there before the engine made them for us, a parent before its child.
    missing: Vec<PathBuf>,
}

impl GrantCgroup {
    /// Of this process, written down for who may have to sweep after it.
    pub(crate) fn of(places: &Places) -> Self {
        let Some(far) = &places.far else { return Self::default() };
        let found = Self::find(&far.container);
        if !found.missing.is_empty() {
            let text = serde_json::to_vec(&found).expect("paths of cgroups are texts");
            if let Err(error) = write_whole(&file(places), text.as_slice(), 0o600) {
                tracing::warn!(%error, "can't write down where containers are made");
            }
        }
        found
    }

    /// Of a dead proxy.
    pub(crate) fn recall(places: &Places) -> Self {
        fs::read(file(places)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// What is left of those of the grant with this directory: its own, in each hierarchy, and none above it.
    pub(crate) fn left(dir: &Path) -> Vec<PathBuf> {
        let text = fs::read(dir.join(FILE)).ok();
        let known: Self = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let Some(path) = known.path.filter(|path| path.len() > 1) else { return Vec::new() };
        let own = path.trim_start_matches('/');
        known.missing.into_iter().filter(|dir| dir.ends_with(own) && dir.exists()).collect()
    }

    /// Looks where this process is.
    fn find(container: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some(path) = path_of(&own, container) else { return Self::default() };
        let tops = hierarchies(&mounts).into_iter();
        let missing = tops.flat_map(|top| parents(&top, &path)).filter(|dir| !dir.exists()).collect();
        Self { path: Some(path), missing }
    }

    /// Where a container is to be made, if that can be there; where it can't, that is said once, here.
    pub(crate) fn parent(&self, engine: &EngineInfo) -> Option<String> {
        let path = self.path.as_ref()?;
        if engine.cgroup_driver == "cgroupfs" {
            return Some(path.clone());
        }
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| {
            let driver = &engine.cgroup_driver;
            tracing::warn!(driver, path, "the engine can't make containers inside the grant's cgroup");
        });
        None
    }

    /// Removes what the engine made for us, leaf first. Another's cgroup is not empty, or was there before.
    pub(crate) fn clean(&self) {
        for dir in self.missing.iter().rev().filter(|dir| dir.exists()) {
            if let Err(error) = fs::remove_dir(dir) {
                tracing::info!(path = %dir.display(), %error, "can't remove a cgroup");
            }
        }
    }
}

fn file(places: &Places) -> PathBuf {
    places.path(&places.grant.root()).join(FILE)
}

/// The path of the first hierarchy in which this process is in the cgroup of the YARN container.
fn path_of(own: &str, container: &str) -> Option<String> {
    let paths = own.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    // What lies deeper was made by somebody in the grant.
    let whole = paths.filter_map(|path| Some((path, path.find(container)? + container.len())));
    let found =
        whole.filter(|(path, end)| !container.is_empty() && matches!(path[*end..].chars().next(), None | Some('/')));
    found.map(|(path, end)| path[..end].to_owned()).next()
}

/// Where the hierarchies are mounted that show the machine's whole tree.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let whole = mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        (root == "/" && right.starts_with("cgroup")).then(|| PathBuf::from(point))
    });
    whole.collect()
}

/// The cgroup in this hierarchy and all above it, from the top.
fn parents(top: &Path, path: &str) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = Path::new(path.trim_start_matches('/')).ancestors().map(|dir| top.join(dir)).collect();
    dirs.pop();
    dirs.reverse();
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "container_e01_1700000000000_0001_01_000002";

    #[test]
    fn the_grants_cgroup_is_the_one_with_its_name() {
        let own = format!("12:pids:/user.slice\n4:cpu,cpuacct:/hadoop-yarn/{ID}\n1:name=systemd:/x\n0::/\n");
        assert_eq!(path_of(&own, ID), Some(format!("/hadoop-yarn/{ID}")));
        assert_eq!(path_of(&format!("0::/yarn/{ID}/deeper"), ID), Some(format!("/yarn/{ID}")));
        assert_eq!(path_of(&format!("0::/yarn/{ID}3"), ID), None);
        assert_eq!((path_of("0::/user.slice", ID), path_of("0::/user.slice", "")), (None, None));
    }

    #[test]
    fn what_is_made_is_found_in_each_hierarchy_leaf_last() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            35 31 0:32 /inner /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(hierarchies(mounts), [PathBuf::from("/sys/fs/cgroup/cpu")]);
        assert_eq!(parents(Path::new("/c"), "/yarn/g1"), [PathBuf::from("/c/yarn"), PathBuf::from("/c/yarn/g1")]);
    }

    #[test]
    fn of_a_dead_grant_its_own_cgroups_are_left_and_none_above() {
        let dir = tempfile::tempdir().unwrap();
        assert!(GrantCgroup::left(dir.path()).is_empty());
        let own = format!("/yarn/{ID}");
        let dirs = [parents(&dir.path().join("cpu"), &own), parents(&dir.path().join("pids"), &own)].concat();
        fs::create_dir_all(&dirs[1]).unwrap();
        let known = GrantCgroup { path: Some(own), missing: dirs.clone() };
        fs::write(dir.path().join(FILE), serde_json::to_vec(&known).unwrap()).unwrap();
        assert_eq!(GrantCgroup::left(dir.path()), [dirs[1].clone()]);
    }

    #[test]
    fn only_what_was_missing_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = parents(dir.path(), "/yarn/g1");
        fs::create_dir(&dirs[0]).unwrap();
        let missing = dirs.iter().filter(|dir| !dir.exists()).cloned().collect();
        let cgroup = GrantCgroup { path: None, missing };
        fs::create_dir(&dirs[1]).unwrap();
        cgroup.clean();
        cgroup.clean();
        assert!(dirs[0].exists() && !dirs[1].exists());
    }
}
