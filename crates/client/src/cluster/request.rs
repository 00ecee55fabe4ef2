//! `--request-id` on the cluster: whoever creates its file first makes the run; a submission that died in between is
//! finished by the next one under the same ids, which YARN takes for one.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_model::{RunId, SubDagId};
use dybox_store::layout::{Machine, RunDir};
use dybox_store::{RunInfo, Store};
use dybox_yarn::ApplicationId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::Cluster;
use crate::ClientError;
use crate::submit::{Submitted, made};

/// How long one submission waits for another one to write its claim.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a request id stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// Its run.
    run: RunId,
    /// SHA-256 of the job file's text and the values of its params, in hex.
    job_sha256: String,
    /// The ids of its first applications, by sub-DAG.
    applications: BTreeMap<SubDagId, String>,
}

impl Claim {
    /// The applications' ids; those that are none are left out.
    fn ids(&self) -> BTreeMap<SubDagId, ApplicationId> {
        self.applications.iter().filter_map(|(&subdag, id)| Some((subdag, id.parse().ok()?))).collect()
    }
}

/// Claims a request id; what somebody else claimed it for, where that is so.
async fn claim(store: &Store, request: &str, mine: &Claim) -> Result<Option<Claim>, ClientError> {
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

impl Cluster {
    /// Claims a request id for a run. The run that it stands for already, where that is there; else `info` and `ids`
    /// are those of whoever claimed it first: a submission that died, or this one.
    pub(super) async fn claimed(
        &self,
        store: &Store,
        request: &str,
        info: &mut RunInfo,
        ids: &mut BTreeMap<SubDagId, ApplicationId>,
    ) -> Result<Option<Submitted>, ClientError> {
        let mine = Claim {
            run: info.run.clone(),
            job_sha256: info.job_sha256.clone(),
            applications: ids.iter().map(|(&subdag, id)| (subdag, id.to_string())).collect(),
        };
        let Some(theirs) = claim(store, request, &mine).await? else { return Ok(None) };
        let _ = store.remove_tree(&RunDir::new(&mine.run).root()).await;
        if theirs.job_sha256 != info.job_sha256 {
            return Err(ClientError::RequestTaken { request: request.to_owned(), run: theirs.run });
        }
        if let Some(there) = self.known(store, &theirs.run).await? {
            return Ok(Some(Submitted::of(there, true)));
        }
        // A run that was to go to a session has no applications of its own, and one that goes there needs none.
        let known = theirs.ids();
        if !known.is_empty() {
            *ids = known;
        }
        info.submitted = made(&theirs.run).unwrap_or(info.submitted);
        info.run = theirs.run;
        Ok(None)
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
