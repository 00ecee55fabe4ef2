//! A store, and the program that runs in it.

use std::path::{Path, PathBuf};

use dybox_job::Plan;
use dybox_model::{RunId, SubDagId};
use dybox_store::layout::{Home, RunDir, SubDir};
use dybox_store::{FoundRun, Lock, RunInfo, Store, find_run};

use crate::ClientError;

/// Runs of one store. Cheap to clone; holds nothing open.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) home: Home,
    pub(crate) store: Store,
    pub(crate) binary: PathBuf,
    pub(crate) engine: Option<String>,
}

impl Client {
    /// The runs in the directory `home`; masters are started from `binary`. Touches nothing.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, binary: impl Into<PathBuf>) -> Self {
        let home = home.into();
        Self { store: Store::open_dir(&home), home: Home::new(home), binary: binary.into(), engine: None }
    }

    /// Masters use the engine at this address, and so do their proxies; nothing = as docker's own client would.
    #[must_use]
    pub fn with_engine(self, engine: Option<String>) -> Self {
        Self { engine, ..self }
    }

    /// The store itself.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The path on this machine of a run's directory.
    #[must_use]
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.home.path(&RunDir::new(run).root())
    }

    /// The path on this machine of a name of the store.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// Finds one run by `@latest`, id, name of the job, beginning or short form of the id.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, or the store's.
    pub async fn find(&self, query: &str) -> Result<RunInfo, ClientError> {
        match find_run(&self.store, query).await? {
            FoundRun::Found(info) => Ok(*info),
            FoundRun::None => Err(ClientError::NotFound { query: query.to_owned() }),
            FoundRun::Ambiguous(list) => {
                let runs = list.into_iter().map(|info| info.run).collect();
                Err(ClientError::Ambiguous { query: query.to_owned(), runs })
            }
        }
    }

    /// The plan of a run.
    ///
    /// # Errors
    /// The store's, or `Damaged`.
    pub async fn plan(&self, run: &RunId) -> Result<Plan, ClientError> {
        let text = self.store.get(&RunDir::new(run).plan()).await?;
        serde_json::from_slice(&text)
            .map_err(|error| ClientError::Damaged { what: "the plan".to_owned(), why: error.to_string() })
    }

    /// Whether the master of a sub-DAG lives: the kernel frees its lock at any death.
    ///
    /// # Errors
    /// The store's.
    pub fn is_held(&self, run: &RunId, subdag: SubDagId) -> Result<bool, ClientError> {
        Ok(Lock::is_held(&self.sub_path(run, subdag, SubDir::lock))?)
    }

    /// The process that holds a sub-DAG, as it wrote it into its lock.
    pub(crate) fn holder(&self, run: &RunId, subdag: SubDagId) -> Option<u32> {
        let text = Lock::read(&self.sub_path(run, subdag, SubDir::lock)).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
    }

    pub(crate) fn sub_path(&self, run: &RunId, subdag: SubDagId, name: impl Fn(&SubDir) -> String) -> PathBuf {
        self.home.path(&name(&RunDir::new(run).sub(subdag)))
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
