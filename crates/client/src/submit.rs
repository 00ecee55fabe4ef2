//! Submission: everything about a run is durable before anybody hears its id.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use dybox_job::Plan;
use dybox_model::{Millis, RunId, SubDagId};
use dybox_store::layout::{Machine, RunDir, SubDir};
use dybox_store::{Lock, RUN_INFO_VERSION, RunInfo, StopMark, local};
use nix::unistd::{User, getegid, geteuid};
use sha2::{Digest, Sha256};
use tokio::process::Child;

use crate::{Client, ClientError};

/// How long one submission waits for another one of the same request id.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

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
}

impl Client {
    /// Makes a run durable. Nothing runs yet: tell its id, then [`Client::start`] it.
    ///
    /// # Errors
    /// The store's; `RequestTaken` where the request id was used for another job.
    pub async fn submit(&self, plan: &Plan, submission: &Submission) -> Result<Submitted, ClientError> {
        let Some(request) = &submission.request else {
            let info = self.info(new_run(), plan, submission);
            self.write(plan, submission, &info).await?;
            return Ok(Submitted { info, existed: false, masters: Vec::new() });
        };
        // Whoever holds the lock writes; the kernel frees it at any death.
        let path = self.path(&Machine::request(request));
        let held = Lock::acquire(&path, REQUEST_PATIENCE).await?;
        let lock = held.ok_or_else(|| ClientError::Busy { request: request.clone() })?;
        let before: Option<RunId> = String::from_utf8_lossy(&Lock::read(&path)?).trim().parse().ok();
        let run = before.unwrap_or_else(new_run);
        let info = self.info(run.clone(), plan, submission);
        if let Some(text) = self.store.get_opt(&RunDir::new(&run).info()).await? {
            let there: RunInfo = understood(&text)?;
            if there.job_sha256 != info.job_sha256 {
                return Err(ClientError::RequestTaken { request: request.clone(), run });
            }
            return Ok(Submitted { info: there, existed: true, masters: Vec::new() });
        }
        // The id first: a submission that dies below is finished under the same id by the next one.
        lock.write(run.as_str().as_bytes())?;
        synced(&path).map_err(|source| ClientError::System { what: "sync the request id", source })?;
        self.write(plan, submission, &info).await?;
        Ok(Submitted { info, existed: false, masters: Vec::new() })
    }

    /// Starts the masters of the sub-DAGs that need nothing, but those that have started already.
    ///
    /// # Errors
    /// The store's, or `Spawn`.
    pub async fn start(&self, submitted: &mut Submitted, plan: &Plan) -> Result<(), ClientError> {
        let run = submitted.info.run.clone();
        for (n, _) in plan.subdags.iter().enumerate().filter(|(_, subdag)| subdag.needs.is_empty()) {
            let subdag = SubDagId(u32::try_from(n).unwrap_or(u32::MAX));
            let journal = RunDir::new(&run).sub(subdag).journal();
            let started = submitted.existed && (self.is_held(&run, subdag)? || self.store.exists(&journal).await?);
            if !started {
                submitted.masters.push((subdag, self.start_master(&run, subdag, false)?));
            }
        }
        Ok(())
    }

    /// Marks a run as one that is to end, for masters that can't be told now.
    pub(crate) async fn mark_stop(&self, run: &RunId, mark: &StopMark) -> Result<(), ClientError> {
        let text = serde_json::to_vec(mark).map_err(|error| damaged("the stop mark", &error))?;
        Ok(self.store.put(&RunDir::new(run).stop(), text).await?)
    }

    fn info(&self, run: RunId, plan: &Plan, submission: &Submission) -> RunInfo {
        let uid = geteuid();
        let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
        RunInfo {
            version: RUN_INFO_VERSION,
            run,
            job: plan.name.clone(),
            tags: plan.tags.clone(),
            submitted: submission.at,
            uid: uid.as_raw(),
            gid: getegid().as_raw(),
            user: name.unwrap_or_else(|| uid.to_string()),
            cwd: submission.cwd.clone(),
            job_file: submission.job_file.clone(),
            job_sha256: hex::encode(Sha256::digest(&submission.text)),
            request: submission.request.clone(),
            budget_cpu_milli: submission.budget_cpu_milli,
            budget_memory: submission.budget_memory,
            binary: self.binary.clone(),
        }
    }

    /// Writes the run's directory. `run.json` comes last: without it there is no run.
    async fn write(&self, plan: &Plan, submission: &Submission, info: &RunInfo) -> Result<(), ClientError> {
        let dir = RunDir::new(&info.run);
        for (n, _) in plan.subdags.iter().enumerate() {
            local::make_dir(&self.sub_path(&info.run, SubDagId(u32::try_from(n).unwrap_or(u32::MAX)), SubDir::root))?;
        }
        let plan = serde_json::to_vec(plan).map_err(|error| damaged("the plan", &error))?;
        let secret = secret().map_err(|source| ClientError::System { what: "get random numbers", source })?;
        let (plan_name, job_name, secret_name) = (dir.plan(), dir.job(), dir.secret());
        let (plan, job, secret) = tokio::join!(
            self.store.put(&plan_name, plan),
            self.store.put(&job_name, submission.text.clone()),
            self.store.put(&secret_name, secret),
        );
        plan.and(job).and(secret)?;
        let info = serde_json::to_vec_pretty(info).map_err(|error| damaged("the run's record", &error))?;
        Ok(self.store.put(&dir.info(), info).await?)
    }
}

fn new_run() -> RunId {
    let text = ulid::Ulid::generate().to_string().to_ascii_lowercase();
    text.parse().expect("a ULID in lower case is a run id")
}

/// 64 hex digits that nobody can guess.
fn secret() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

fn synced(path: &std::path::Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

pub(crate) fn understood(text: &[u8]) -> Result<RunInfo, ClientError> {
    serde_json::from_slice(text).map_err(|error| damaged("run.json", &error))
}

fn damaged(what: &str, error: &serde_json::Error) -> ClientError {
    ClientError::Damaged { what: what.to_owned(), why: error.to_string() }
}
