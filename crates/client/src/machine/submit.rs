//! A run that becomes a directory of this machine.

use std::time::Duration;

use dybox_job::Plan;
use dybox_model::{RunId, SubDagId};
use dybox_store::layout::{Machine as Names, RunDir, SubDir};
use dybox_store::{Lock, Private, RunInfo, SecretValues, Store, local};

use super::Machine;
use crate::ClientError;
use crate::client::subdags;
use crate::secrets;
use crate::submit::{Submission, Submitted, damaged, info_of, new_run, secret, understood};

/// How long one submission waits for another one of the same request id.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

impl Machine {
    /// Makes a run durable. Nothing runs yet.
    pub(crate) async fn submit(
        &self,
        store: &Store,
        plan: &Plan,
        submission: &Submission,
    ) -> Result<Submitted, ClientError> {
        let info = |run| info_of(run, plan, submission, &self.binary);
        let Some(request) = &submission.request else {
            let values = secrets::read(plan, &SecretValues::default())?;
            let info = info(new_run(submission.at));
            self.write(store, (plan, &values), submission, &info).await?;
            return Ok(Submitted::of(info, false));
        };
        // Whoever holds the lock writes; the kernel frees it at any death.
        let path = self.home.path(&Names::request(request));
        let held = Lock::acquire(&path, REQUEST_PATIENCE).await?;
        let lock = held.ok_or_else(|| ClientError::Busy { request: request.clone() })?;
        let before: Option<RunId> = String::from_utf8_lossy(&Lock::read(&path)?).trim().parse().ok();
        let run = before.unwrap_or_else(|| new_run(submission.at));
        let info = info(run.clone());
        if let Some(text) = store.get_opt(&RunDir::new(&run).info()).await? {
            let there: RunInfo = understood(&text)?;
            if there.job_sha256 != info.job_sha256 {
                return Err(ClientError::RequestTaken { request: request.clone(), run });
            }
            return Ok(Submitted::of(there, true));
        }
        let values = secrets::read(plan, &SecretValues::default())?;
        // The id first: a submission that dies below is finished under the same id by the next one.
        lock.write(run.as_str().as_bytes())?;
        synced(&path).map_err(|source| ClientError::System { what: "sync the request id", source })?;
        self.write(store, (plan, &values), submission, &info).await?;
        Ok(Submitted::of(info, false))
    }

    /// Starts the masters of the sub-DAGs that need nothing, but those that have started already.
    pub(crate) async fn start(&self, store: &Store, submitted: &mut Submitted, plan: &Plan) -> Result<(), ClientError> {
        let run = submitted.info.run.clone();
        for (n, _) in plan.subdags.iter().enumerate().filter(|(_, subdag)| subdag.needs.is_empty()) {
            let subdag = SubDagId(u32::try_from(n).unwrap_or(u32::MAX));
            let journal = RunDir::new(&run).sub(subdag).journal();
            let started = submitted.existed && (self.is_held(&run, subdag)? || store.exists(&journal).await?);
            if !started {
                submitted.masters.push((subdag, self.start_master(&run, subdag, false)?));
            }
        }
        Ok(())
    }

    /// Leaves the values of a sub-DAG's secrets to its proxies; nothing where it takes none.
    pub(crate) async fn put_secrets(
        &self,
        store: &Store,
        run: &RunId,
        (plan, subdag): (&Plan, SubDagId),
        values: &SecretValues,
    ) -> Result<(), ClientError> {
        let private = Private { values: values.only(plan.secrets(Some(subdag)).into_keys()), ..Private::default() };
        if private.is_empty() {
            return Ok(());
        }
        Ok(store.put(&RunDir::new(run).sub(subdag).secrets(), private.encode()).await?)
    }

    /// Reads the secrets of a run again; those that can't be read any more count as they are there.
    pub(crate) async fn secrets_again(
        &self,
        store: &Store,
        run: &RunId,
        plan: &Plan,
    ) -> Result<SecretValues, ClientError> {
        let mut before = SecretValues::default();
        for (subdag, _) in subdags(plan) {
            let name = RunDir::new(run).sub(subdag).secrets();
            let Some(bytes) = store.get_opt(&name).await? else { continue };
            let there = Private::decode(&bytes, &name)?.values;
            for secret in plan.secrets(Some(subdag)).into_keys() {
                if let Some(value) = there.get(secret) {
                    before.set(secret, value.to_vec());
                }
            }
        }
        secrets::read(plan, &before)
    }

    /// Writes the run's directory. `run.json` comes last: without it there is no run.
    async fn write(
        &self,
        store: &Store,
        (plan, values): (&Plan, &SecretValues),
        submission: &Submission,
        info: &RunInfo,
    ) -> Result<(), ClientError> {
        let dir = RunDir::new(&info.run);
        for (subdag, _) in subdags(plan) {
            local::make_dir(&self.sub_path(&info.run, subdag, SubDir::root))?;
            self.put_secrets(store, &info.run, (plan, subdag), values).await?;
        }
        let plan = serde_json::to_vec(plan).map_err(|error| damaged("the plan", &error))?;
        let secret = secret().map_err(|source| ClientError::System { what: "get random numbers", source })?;
        let (plan_name, job_name, secret_name) = (dir.plan(), dir.job(), dir.secret());
        let (plan, job, secret) = tokio::join!(
            store.put(&plan_name, plan),
            store.put(&job_name, submission.text.clone()),
            store.put(&secret_name, secret),
        );
        plan.and(job).and(secret)?;
        let info = serde_json::to_vec_pretty(info).map_err(|error| damaged("the run's record", &error))?;
        Ok(store.put(&dir.info(), info).await?)
    }
}

fn synced(path: &std::path::Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}
