//! Archives of loaded classes: a daemon that maps one needs 1.6 s of processor time to come up, not 2.5.
//!
//! The first cluster of a release on a machine makes them when it is taken down in peace; a JVM passes by one that does
//! not fit it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::layout::Layout;
use super::process::Process;
use super::{Broken, Context, Daemon};

/// Daemons that make an archive; every node uses the first one's.
const MAKERS: [Daemon; 4] = [Daemon::NameNode, Daemon::DataNode, Daemon::ResourceManager, Daemon::NodeManager(1)];

/// The archives of a release, for one Java.
#[derive(Debug)]
pub(super) struct Classes {
    kept: PathBuf,
}

impl Classes {
    /// Those beside the jars.
    pub(super) fn beside(jars: &Path, java: &Path) -> Self {
        let home = java.ancestors().nth(2).and_then(Path::file_name).unwrap_or_default();
        Self { kept: jars.with_file_name(format!("classes-{}", home.to_string_lossy())) }
    }

    /// What the command line of a daemon says about its archive.
    pub(super) fn flag(&self, layout: &Layout, daemon: Daemon) -> Option<String> {
        if self.kept.is_dir() {
            return Some(format!("-XX:SharedArchiveFile={}", self.kept.join(file(daemon)).display()));
        }
        let new = layout.at("classes").join(file(daemon));
        MAKERS.contains(&daemon).then(|| format!("-XX:ArchiveClassesAtExit={}", new.display()))
    }

    /// Notes for the keeper where the archives are wanted.
    pub(super) fn want(&self, layout: &Layout) -> Result<(), Broken> {
        if self.kept.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(layout.at("classes")).doing("making a directory")?;
        std::fs::write(layout.at("classes.wanted"), self.kept.to_string_lossy().as_bytes()).doing("a note")
    }
}

/// Ends the makers in peace, so that they write their archives, and keeps these if they are wanted and whole.
pub(super) fn gather(layout: &Layout, reap: impl Fn()) {
    let Ok(kept) = std::fs::read_to_string(layout.at("classes.wanted")) else { return };
    let makers: Vec<_> = MAKERS.iter().filter_map(|daemon| Process::read(&layout.pid(&daemon.to_string()))).collect();
    makers.iter().for_each(|maker| maker.signal(Signal::SIGTERM));
    let deadline = Instant::now() + Duration::from_secs(40);
    while makers.iter().any(|maker| maker.lives()) {
        if Instant::now() > deadline {
            return;
        }
        reap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let made = layout.at("classes");
    if !MAKERS.iter().all(|daemon| made.join(file(*daemon)).is_file()) {
        return;
    }
    // Another cluster may have been first; then these go away with the rest.
    let _ = move_dir(&made, Path::new(&kept));
}

fn file(daemon: Daemon) -> String {
    match daemon {
        Daemon::NodeManager(_) => "nodemanager.jsa".to_owned(),
        Daemon::SecondResourceManager => file(Daemon::ResourceManager),
        other => format!("{other}.jsa"),
    }
}

/// Copies beside the place first: the cache may lie on another file system.
fn move_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    let near = to.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&near)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        std::fs::copy(entry.path(), near.join(entry.file_name()))?;
    }
    std::fs::rename(&near, to).or_else(|_| std::fs::remove_dir_all(&near))
}
