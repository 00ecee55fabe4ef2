//! Who submitted what.

use std::path::PathBuf;

use dybox_model::{Millis, RunId};
use serde::{Deserialize, Serialize};

use crate::layout::RunDir;
use crate::{Store, StoreError};

/// Version of the encoding of [`RunInfo`].
pub const RUN_INFO_VERSION: u32 = 1;

/// A submission, as the client wrote it down (`run.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// [`RUN_INFO_VERSION`] of who wrote it.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// The job's name.
    pub job: String,
    /// The job's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it was submitted.
    pub submitted: Millis,
    /// The submitter's user id.
    pub uid: u32,
    /// The submitter's group id.
    pub gid: u32,
    /// The submitter's name; the uid as text where there is none.
    pub user: String,
    /// Where the client was started.
    pub cwd: PathBuf,
    /// The job file; nothing for `dybox shell` and standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_file: Option<PathBuf>,
    /// SHA-256 of the job file's text and the values of its params, in hex.
    pub job_sha256: String,
    /// `--request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// `--cpus`, in thousandths: the machine's budget as this run sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_cpu_milli: Option<u32>,
    /// `--memory`, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_memory: Option<u64>,
    /// The `dybox` that submitted it, which `resume` starts again.
    pub binary: PathBuf,
}

/// The mark that a run is to end (`stop`): it survives when no master hears the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopMark {
    /// Why, in a phrase.
    pub why: String,
    /// When.
    pub at: Millis,
}

impl StopMark {
    /// Leaves it in a run's directory. Where one is, that one stays: its reason was the first.
    pub async fn leave(&self, store: &Store, dir: &RunDir) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).expect("text is JSON");
        store.put_new(&dir.stop(), text).await.map(drop)
    }

    /// Why a run is to end, where it is marked. A mark that can't be understood is one all the same.
    pub async fn why(store: &Store, dir: &RunDir) -> Result<Option<String>, StoreError> {
        let Some(text) = store.get_opt(&dir.stop()).await? else { return Ok(None) };
        let mark = serde_json::from_slice::<Self>(&text);
        Ok(Some(mark.map_or_else(|_| "asked to stop".to_owned(), |mark| mark.why)))
    }
}
