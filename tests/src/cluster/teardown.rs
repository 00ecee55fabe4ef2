//! Takes a cluster away: processes, mounts, cgroups, sockets, directories. Works on what a killed one left too.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::layout::Layout;
use super::process::{pids, stat};
use super::{Broken, Context};

const CGROUPS: &str = "/sys/fs/cgroup";

/// Takes away all that belongs to the cluster in `layout`. Its keeper must be the caller, or dead.
pub(super) fn teardown(layout: &Layout) -> Result<(), Broken> {
    let sockets = shim_sockets(layout);
    kill_all(layout)?;
    for mount in mounts(layout) {
        let _ = Command::new("umount").arg("-l").arg(&mount).status();
    }
    for cgroup in cgroups(layout) {
        remove_cgroup(&cgroup);
    }
    for socket in sockets {
        let _ = std::fs::remove_file(socket);
    }
    match std::fs::remove_dir_all(layout.root()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            // A process that was killed a moment ago may still have made a file.
            std::thread::sleep(Duration::from_millis(200));
            std::fs::remove_dir_all(layout.root()).doing("removing the cluster's directory")
        }
        _ => Ok(()),
    }
}

/// What is left of a cluster, one line each. Empty when it left nothing.
#[must_use]
pub fn leftovers(dir: &Path) -> Vec<String> {
    let layout = Layout::new(dir);
    let mut left: Vec<_> = members(&layout).into_iter().map(|pid| format!("process {pid}: {}", words(pid))).collect();
    left.extend(mounts(&layout).into_iter().map(|mount| format!("mount {mount}")));
    left.extend(cgroups(&layout).into_iter().map(|dir| format!("cgroup {}", dir.display())));
    if dir.exists() {
        left.push(format!("directory {}", dir.display()));
    }
    left
}

/// Takes away the clusters of tests that were killed together with their keeper.
pub(super) fn sweep(parent: &Path, prefix: &str) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) && is_dead(&entry.path()) {
            let _ = teardown(&Layout::new(&entry.path()));
        }
    }
}

/// Whether the cluster in `dir` has no keeper any more. One that is being made counts as alive for a minute.
pub(super) fn is_dead(dir: &Path) -> bool {
    match File::options().write(true).open(Layout::new(dir).lock()) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => {
            let made = dir.metadata().and_then(|about| about.modified()).ok();
            made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > Duration::from_secs(60))
        }
    }
}

fn kill_all(layout: &Layout) -> Result<(), Broken> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let members = members(layout);
        if members.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let left: Vec<_> = members.iter().map(|&pid| format!("{pid} ({})", words(pid))).collect();
            return Err(Broken::new(format!("processes that do not end: {}", left.join(", "))));
        }
        for pid in members {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Live processes of the cluster: those that it marked, their descendants, and all in its cgroup. Never the caller.
fn members(layout: &Layout) -> BTreeSet<i32> {
    let all: Vec<_> = pids().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut found: BTreeSet<_> = all.iter().map(|(pid, _)| *pid).filter(|&pid| is_marked(layout, pid)).collect();
    for cgroup in cgroups(layout) {
        let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    loop {
        let before = found.len();
        let below: Vec<_> = all.iter().filter(|(_, stat)| found.contains(&stat.parent)).map(|(pid, _)| *pid).collect();
        found.extend(below);
        if found.len() == before {
            break;
        }
    }
    found.remove(&i32::try_from(std::process::id()).expect("a pid fits"));
    found.retain(|&pid| stat(pid).is_some_and(|stat| !stat.dead));
    found
}

/// Daemons carry DYBOX_CLUSTER; what a NodeManager started has its configuration, or runs below its directory.
fn is_marked(layout: &Layout, pid: i32) -> bool {
    let root = layout.root().to_string_lossy().into_owned();
    let env = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let marks = [format!("DYBOX_CLUSTER={root}"), format!("HADOOP_CONF_DIR={root}/conf/node-")];
    let mut entries = env.split(|&byte| byte == 0);
    if entries.any(|entry| entry == marks[0].as_bytes() || entry.starts_with(marks[1].as_bytes())) {
        return true;
    }
    let below = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let node = below.strip_prefix(layout.root()).is_ok_and(|rest| rest.to_string_lossy().starts_with("node-"));
    let line = words(pid);
    node || (line.split(' ').next().is_some_and(|name| name.contains("containerd-shim"))
        && line.contains(&format!(" {root}/")))
}

fn words(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn mounts(layout: &Layout) -> Vec<String> {
    let below = format!("{}/", layout.root().to_string_lossy());
    let text = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let at = text.lines().rev().filter_map(|line| line.split(' ').nth(1));
    at.filter(|at| at.starts_with(&below)).map(str::to_owned).collect()
}

/// The cluster's cgroups, in every hierarchy, inner ones first.
fn cgroups(layout: &Layout) -> Vec<PathBuf> {
    let name = layout.cgroup();
    let mut tops = vec![PathBuf::from(CGROUPS).join(&name)];
    tops.extend(std::fs::read_dir(CGROUPS).into_iter().flatten().flatten().map(|entry| entry.path().join(&name)));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for top in tops.into_iter().filter(|top| top.is_dir()) {
        // Two names may lead to one hierarchy (cpu and cpu,cpuacct).
        if top.canonicalize().is_ok_and(|real| seen.insert(real)) {
            below(&top, &mut found);
        }
    }
    found
}

fn below(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        below(&entry.path(), found);
    }
    found.push(dir.to_owned());
}

/// A cgroup can be busy for a moment after its last process was killed.
fn remove_cgroup(dir: &Path) {
    for _ in 0..50 {
        match std::fs::remove_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => return,
        }
    }
}

/// containerd's shims listen outside of the cluster's directory.
fn shim_sockets(layout: &Layout) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let nodes = std::fs::read_dir(layout.root()).into_iter().flatten().flatten();
    for node in nodes {
        let tasks = node.path().join("exec/containerd/daemon/io.containerd.runtime.v2.task/moby");
        for task in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let address = std::fs::read_to_string(task.path().join("address")).unwrap_or_default();
            found.extend(address.trim().strip_prefix("unix://").map(PathBuf::from));
        }
    }
    found
}
