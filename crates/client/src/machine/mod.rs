//! The place where runs are directories of this machine and masters are processes of it.

mod spawn;
mod submit;

use std::path::{Path, PathBuf};

use dybox_model::{RunId, SubDagId};
use dybox_store::Lock;
use dybox_store::layout::{Home, RunDir, SubDir};

use crate::ClientError;

/// This machine: a directory of runs, and the program that masters are started from.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub home: Home,
    pub binary: PathBuf,
    pub engine: Option<String>,
}

impl Machine {
    /// The path of a run's directory.
    pub(crate) fn run_dir(&self, run: &RunId) -> PathBuf {
        self.home.path(&RunDir::new(run).root())
    }

    /// The path of a name of one sub-DAG.
    pub(crate) fn sub_path(&self, run: &RunId, subdag: SubDagId, name: impl Fn(&SubDir) -> String) -> PathBuf {
        self.home.path(&name(&RunDir::new(run).sub(subdag)))
    }

    /// Whether the master of a sub-DAG lives: the kernel frees its lock at any death.
    pub(crate) fn is_held(&self, run: &RunId, subdag: SubDagId) -> Result<bool, ClientError> {
        Ok(Lock::is_held(&self.sub_path(run, subdag, SubDir::lock))?)
    }

    /// The process that holds a sub-DAG, as it wrote it into its lock.
    pub(crate) fn holder(&self, run: &RunId, subdag: SubDagId) -> Option<u32> {
        let text = Lock::read(&self.sub_path(run, subdag, SubDir::lock)).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
    }
}

/// The last line of a file that has something in it, for a message; nothing where there is none.
pub(crate) fn last_line(path: &Path) -> Option<String> {
    const TAIL: u64 = 4096;
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(ToOwned::to_owned)
}
