//! `--request-id` on the cluster: whoever creates its file first makes the run; a submission that died in between is
//! finished by the next one under the same ids, which YARN takes for one.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_model::{RunId, SubDagId};
use dybox_store::Store;
use dybox_store::layout::Machine;
use dybox_yarn::ApplicationId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::ClientError;

/// How long one submission waits for another one to write its claim.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a request id stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Its run.
    pub run: RunId,
    /// SHA-256 of the job file's text, in hex.
    pub job_sha256: String,
    /// The ids of its first applications, by sub-DAG.
    pub applications: BTreeMap<SubDagId, String>,
}

impl Claim {
    /// The applications' ids; those that are none are left out.
    pub(crate) fn ids(&self) -> BTreeMap<SubDagId, ApplicationId> {
        self.applications.iter().filter_map(|(&subdag, id)| Some((subdag, id.parse().ok()?))).collect()
    }
}

/// Claims a request id; what somebody else claimed it for, where that is so.
pub(crate) async fn claim(store: &Store, request: &str, mine: &Claim) -> Result<Option<Claim>, ClientError> {
    let name = Machine::request(request);
    let text = serde_json::to_vec(mine).map_err(|error| crate::submit::damaged("the claim", &error))?;
    store.prepare().await?;
    let until = Instant::now() + PATIENCE;
    loop {
        if store.put_new(&name, text.clone()).await? {
            return Ok(None);
        }
        let there = store.get_opt(&name).await?.unwrap_or_default();
        if let Ok(theirs) = serde_json::from_slice(&there) {
            return Ok(Some(theirs));
        }
        // It is being written, or its writer died before it had written anything.
        if Instant::now() >= until {
            store.close_dead(&name).await?;
            store.remove(&name).await?;
        }
        if Instant::now() >= until + PATIENCE {
            return Err(ClientError::Busy { request: request.to_owned() });
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine(run: &str) -> Claim {
        let applications = [(SubDagId(0), "application_1_0007".to_owned())].into();
        Claim { run: run.parse().unwrap(), job_sha256: "ab".to_owned(), applications }
    }

    #[tokio::test]
    async fn the_first_claim_wins_and_the_second_learns_its_run() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        let (one, two) = (mine("01jd0000000000000000000001"), mine("01jd0000000000000000000002"));
        assert_eq!(claim(&store, "../nightly", &one).await.unwrap(), None);
        assert_eq!(claim(&store, "../nightly", &two).await.unwrap(), Some(one.clone()));
        assert_eq!(one.ids()[&SubDagId(0)].number, 7);
        assert_eq!(claim(&store, "other", &two).await.unwrap(), None);
    }
}
