//! Runs, as YARN and the directory in HDFS know them: a run is there once either does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dybox_job::{PLAN_VERSION, Plan, SubDag};
use dybox_model::{RunId, SessionRun, SubDagId};
use dybox_store::{FoundRun, RUN_INFO_VERSION, RunInfo, Runs, Store, find_run, runs};

use dybox_store::layout::{PRUNED, pruned};
use futures_util::future::join_all;

use super::{Application, Cluster, Phase};
use crate::ClientError;
use crate::submit::made;

impl Cluster {
    /// All runs, newest first.
    pub(crate) async fn runs(&self, store: &Store) -> Result<Runs, ClientError> {
        let (stored, live) = tokio::join!(runs(store), self.all());
        let mut found = stored?;
        // Where YARN does not answer the directory still knows every run that began.
        let mut fresh: BTreeMap<RunId, Application> = BTreeMap::new();
        let live = live.unwrap_or_else(|error| {
            found.short = Some(format!("the ResourceManager can't be asked: {}", error.text()));
            Vec::new()
        });
        for one in self.taken(&live).await {
            fresh.extend(one.run.clone().map(|run| (run, one)));
        }
        for application in live {
            // One that was refused never began: nothing of it is a run.
            let refused = application.phase == Phase::Failed && application.attempt == 0;
            if let Some(run) = application.run.clone().filter(|_| !refused) {
                fresh.entry(run).or_insert(application);
            }
        }
        for info in &found.list {
            fresh.remove(&info.run);
        }
        if !fresh.is_empty() {
            // YARN knows an application for long after its run was removed.
            let marks = store.list(PRUNED).await.unwrap_or_default();
            fresh.retain(|run, _| !marks.iter().any(|mark| mark.name == run.as_str()));
        }
        found.list.extend(fresh.into_iter().map(|(run, application)| info(run, application)));
        found.list.sort_by(|a, b| b.run.cmp(&a.run));
        Ok(found)
    }

    /// What live sessions have in hand, each with the session's application: a new one may not be in the directory yet.
    async fn taken(&self, live: &[Application]) -> Vec<Application> {
        let sessions = live.iter().filter(|application| application.session && application.phase == Phase::Runs);
        let each = sessions.map(|application| async move {
            let view = self.dial_session(application).await.ok()?.look().await.ok()?;
            let one = move |taken: SessionRun| Application {
                run: Some(taken.run),
                subdag: taken.subdag,
                name: taken.job,
                submitted: taken.submitted,
                ..application.clone()
            };
            Some(view.runs.into_iter().map(one))
        });
        join_all(each).await.into_iter().flatten().flatten().collect()
    }

    /// Finds one run as [`dybox_store::find_run`] does, also one that YARN alone knows yet.
    pub(crate) async fn find(&self, store: &Store, query: &str) -> Result<FoundRun, ClientError> {
        let found = |info| FoundRun::Found(Box::new(info));
        let lower = query.to_ascii_lowercase();
        if let Ok(run) = lower.parse::<RunId>() {
            return Ok(match find_run(store, &lower).await? {
                FoundRun::None if store.exists(&pruned(&run)).await? => FoundRun::None,
                FoundRun::None => self.run(&run).await?.map_or(FoundRun::None, found),
                stored => stored,
            });
        }
        let mut list = self.runs(store).await?.list;
        if query == "@latest" {
            return Ok(list.into_iter().next().map_or(FoundRun::None, found));
        }
        if let Some(at) = list.iter().position(|info| info.job == query) {
            return Ok(found(list.swap_remove(at)));
        }
        list.retain(|info| !lower.is_empty() && (info.run.as_str().starts_with(&lower) || info.run.short() == lower));
        Ok(match list.len() {
            0 => FoundRun::None,
            1 => found(list.remove(0)),
            _ => FoundRun::Ambiguous(list),
        })
    }

    /// What YARN knows of the plan of a run whose directory does not have it yet: its name and its sub-DAGs.
    pub(crate) async fn outline(&self, run: &RunId) -> Result<Plan, ClientError> {
        let applications = self.applications(run).await?;
        let Some((&SubDagId(last), newest)) = applications.last_key_value() else {
            return Err(ClientError::NotFound { query: run.to_string() });
        };
        let empty = SubDag {
            stages: Vec::new(),
            hooks: Vec::new(),
            needs: Vec::new(),
            name: None,
            queue: None,
            node_label: None,
        };
        Ok(Plan {
            ground: None,
            version: PLAN_VERSION,
            name: newest.name.clone(),
            tags: Vec::new(),
            params: BTreeMap::new(),
            queue: Some(newest.queue.clone()),
            priority: None,
            node_label: None,
            rules: BTreeMap::new(),
            timeout: None,
            fail_fast: false,
            stages: Vec::new(),
            hooks: Vec::new(),
            subdags: vec![empty; last as usize + 1],
        })
    }

    /// One run by its whole id, where its directory does not know it yet.
    pub(crate) async fn run(&self, run: &RunId) -> Result<Option<RunInfo>, ClientError> {
        let first = self.applications(run).await?.into_values().next();
        Ok(first.map(|application| info(run.clone(), application)))
    }
}

/// What YARN knows of a run.
fn info(run: RunId, application: Application) -> RunInfo {
    RunInfo {
        version: RUN_INFO_VERSION,
        // YARN's own time is another one than that of `run.json`, which comes later.
        submitted: made(&run).unwrap_or(application.submitted),
        run,
        job: application.name,
        tags: Vec::new(),
        uid: 0,
        gid: 0,
        user: application.user,
        cwd: PathBuf::new(),
        job_file: None,
        job_sha256: String::new(),
        request: None,
        budget_cpu_milli: None,
        budget_memory: None,
        binary: PathBuf::new(),
    }
}
