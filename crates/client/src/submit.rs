//! Submission: everything about a run is durable before anybody hears its id.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dybox_job::Plan;
use dybox_model::{Login, Millis, RunId, SubDagId};
use dybox_store::{RUN_INFO_VERSION, RunInfo};
use nix::unistd::{User, getegid, geteuid};
use sha2::{Digest, Sha256};
use tokio::process::Child;

use crate::client::Place;
use crate::cluster::Own;
use crate::{Client, ClientError};

/// What a submission says beside the plan.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// The job file; nothing for `dybox shell`.
    pub job_file: Option<PathBuf>,
    /// Its text.
    pub text: Vec<u8>,
    /// Where the client was started.
    pub cwd: PathBuf,
    /// `--request-id`: the second submission with the same one is the first one's run.
    pub request: Option<String>,
    /// Cpus that this run may use, in thousandths; nothing = as configured.
    pub budget_cpu_milli: Option<u32>,
    /// Memory that this run may use, in bytes; nothing = as configured.
    pub budget_memory: Option<u64>,
    /// Logins for the registries of the plan's images, where others than this machine pull them.
    pub logins: BTreeMap<String, Login>,
    /// `--session`: the session of the cluster that gets the run done.
    pub session: Option<String>,
    /// Now.
    pub at: Millis,
}

/// A run that is durable.
#[derive(Debug)]
pub struct Submitted {
    /// What is known of it.
    pub info: RunInfo,
    /// Whether an earlier submission with the same request id made it.
    pub existed: bool,
    /// Masters that were started now, each with its sub-DAG.
    pub(crate) masters: Vec<(SubDagId, Child)>,
    /// What this process knows of it because it submitted it to a cluster.
    pub(crate) own: Option<Arc<Own>>,
}

impl Submitted {
    /// The ids of the applications that were submitted now; none on one machine, or in a session.
    #[must_use]
    pub fn applications(&self) -> Vec<String> {
        let own = self.own.iter().filter(|own| !own.in_session);
        own.flat_map(|own| own.applications.values()).map(ToString::to_string).collect()
    }

    /// The application of the session that took it; nothing where none did.
    #[must_use]
    pub fn session_application(&self) -> Option<String> {
        let own = self.own.iter().find(|own| own.in_session)?;
        own.applications.values().next().map(ToString::to_string)
    }

    pub(crate) const fn of(info: RunInfo, existed: bool) -> Self {
        Self { info, existed, masters: Vec::new(), own: None }
    }
}

impl Client {
    /// Makes a run durable. On one machine nothing runs yet: tell its id, then [`Client::start`] it. On the cluster
    /// the ResourceManager has accepted its first applications.
    ///
    /// # Errors
    /// The store's or the cluster's; `RequestTaken` where the request id was used for another job.
    pub async fn submit(&self, plan: &Plan, submission: &Submission) -> Result<Submitted, ClientError> {
        match &self.place {
            Place::Machine(machine) => machine.submit(&self.store, plan, submission).await,
            Place::Cluster(cluster) => cluster.submit(&self.store, plan, submission).await,
        }
    }

    /// Starts the masters of the sub-DAGs that need nothing, but those that have started already.
    ///
    /// # Errors
    /// The store's, or `Spawn`.
    pub async fn start(&self, submitted: &mut Submitted, plan: &Plan) -> Result<(), ClientError> {
        match &self.place {
            Place::Machine(machine) => machine.start(&self.store, submitted, plan).await,
            // YARN starts them.
            Place::Cluster(_) => Ok(()),
        }
    }
}

/// What is to be known of a submission.
pub(crate) fn info_of(run: RunId, plan: &Plan, submission: &Submission, binary: &Path) -> RunInfo {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    RunInfo {
        version: RUN_INFO_VERSION,
        submitted: made(&run).unwrap_or(submission.at),
        run,
        job: plan.name.clone(),
        tags: plan.tags.clone(),
        uid: uid.as_raw(),
        gid: getegid().as_raw(),
        user: name.unwrap_or_else(|| uid.to_string()),
        cwd: submission.cwd.clone(),
        job_file: submission.job_file.clone(),
        job_sha256: digest_of(plan, &submission.text),
        request: submission.request.clone(),
        budget_cpu_milli: submission.budget_cpu_milli,
        budget_memory: submission.budget_memory,
        binary: binary.to_owned(),
    }
}

/// What a request id is for: the job file's text and, where it has any, the values of its params.
fn digest_of(plan: &Plan, text: &[u8]) -> String {
    let mut digest = Sha256::new_with_prefix(text);
    if !plan.params.is_empty() {
        digest.update(serde_json::to_vec(&plan.params).expect("texts by name are JSON"));
    }
    hex::encode(digest.finalize())
}

/// A new id of a run that is submitted at this time.
pub(crate) fn new_run(at: Millis) -> RunId {
    let ulid = ulid::Ulid::from_parts(at.0, ulid::Ulid::generate().random());
    ulid.to_string().to_ascii_lowercase().parse().expect("a ULID in lower case is a run id")
}

/// When a run was submitted, as its id tells: everybody knows that, and it never changes.
pub(crate) fn made(run: &RunId) -> Option<Millis> {
    ulid::Ulid::from_string(run.as_str()).ok().map(|ulid| Millis(ulid.timestamp_ms()))
}

/// 64 hex digits that nobody can guess.
pub(crate) fn secret() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

pub(crate) fn understood(text: &[u8]) -> Result<RunInfo, ClientError> {
    serde_json::from_slice(text).map_err(|error| damaged("run.json", &error))
}

pub(crate) fn damaged(what: &str, error: &serde_json::Error) -> ClientError {
    ClientError::Damaged { what: what.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_run_tells_when_it_was_submitted() {
        let at = Millis(1_795_270_513_360);
        assert_eq!(made(&new_run(at)), Some(at));
        assert_ne!(new_run(at), new_run(at));
        assert!(new_run(Millis(at.0 - 1)) < new_run(at), "ids are sorted by time");
        assert_eq!(made(&"zzzzzzzzzzzzzzzzzzzzzzzzzu".parse().unwrap()), None, "an id of another making");
    }
}
