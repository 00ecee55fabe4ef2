//! Stopping a run: a mark that lasts, and a word to each master that lives.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_job::Plan;
use dybox_model::{Login, Millis, RunId, SubDagId};
use dybox_store::StopMark;
use dybox_store::layout::RunDir;
use dybox_wire::WireError;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::client::{Place, subdags};
use crate::cluster::{Application, Cluster, Phase};
use crate::submit::damaged;
use crate::{Client, ClientError};

/// How long a master that is just starting may take to listen.
const PATIENCE: Duration = Duration::from_secs(3);

/// The same on the cluster, where its program may have to come to the machine first.
const FAR: Duration = Duration::from_secs(12);
/// How long YARN may take to end what was killed.
const DYING: Duration = Duration::from_secs(10);

/// How long the master of a run in a session may take that YARN does not report, or is starting.
const IN_SESSION: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a stop reached.
#[derive(Debug, Default)]
pub struct Stopped {
    /// Sub-DAGs whose master has written the stop down.
    pub told: Vec<SubDagId>,
    /// Sub-DAGs without a live master. Those that have not ended see the mark when a master is started for them.
    pub absent: Vec<SubDagId>,
    /// On the cluster: applications that were killed, since their master did not run or did not answer.
    pub killed: Vec<String>,
    /// Sub-DAGs whose master lives and did not answer.
    pub deaf: Vec<(SubDagId, WireError)>,
}

impl Client {
    /// Asks every sub-DAG to end; `now`: without the stages' grace. Returns when all live masters have written it down.
    ///
    /// # Errors
    /// The store's, when the mark can't be written and no master could be told either.
    pub async fn stop(&self, run: &RunId, why: &str, now: bool, at: Millis) -> Result<Stopped, ClientError> {
        let mark = StopMark { why: why.to_owned(), at };
        if let Place::Cluster(cluster) = &self.place {
            let all = cluster.applications(run).await?.into_values();
            let live: Vec<_> = all.filter(|application| application.phase.is_live()).collect();
            return self.stop_there(cluster, (run, &live), &mark, now).await;
        }
        let plan = self.plan(run).await?;
        let marked = mark.leave(&self.store, &RunDir::new(run)).await;
        let mut stopped = Stopped::default();
        for n in 0..u32::try_from(plan.subdags.len()).unwrap_or(u32::MAX) {
            let subdag = SubDagId(n);
            match self.tell_stop(run, subdag, why, now).await {
                Ok(true) => stopped.told.push(subdag),
                Ok(false) => stopped.absent.push(subdag),
                Err(error) => stopped.deaf.push((subdag, error)),
            }
        }
        if stopped.told.is_empty() {
            marked?;
        }
        Ok(stopped)
    }

    /// Live masters are told; an application whose master does not run or hear is killed. The mark comes at the same
    /// time, so that no master starts a later sub-DAG; writing it takes as long as a file takes in HDFS.
    pub(crate) async fn stop_there(
        &self,
        cluster: &Cluster,
        (run, live): (&RunId, &[Application]),
        mark: &StopMark,
        now: bool,
    ) -> Result<Stopped, ClientError> {
        let each = join_all(live.iter().map(|application| self.stop_one(cluster, run, (application, &mark.why), now)));
        let dir = RunDir::new(run);
        let (marked, each) = tokio::join!(mark.leave(&self.store, &dir), each);
        let mut stopped = Stopped::default();
        for (application, done) in live.iter().zip(each) {
            match done? {
                true => stopped.told.push(application.subdag),
                false => stopped.killed.push(application.id.clone()),
            }
        }
        if live.is_empty() {
            marked?;
        }
        Ok(stopped)
    }

    /// Whether its master was told, or has ended; else it was killed. A master that is being started is waited for: what
    /// is killed before it has begun leaves nothing to go on with, and nobody runs what is to run after everything.
    async fn stop_one(
        &self,
        cluster: &Cluster,
        run: &RunId,
        (application, why): (&Application, &str),
        now: bool,
    ) -> Result<bool, ClientError> {
        let until = Instant::now() + FAR;
        let mut seen = application.clone();
        loop {
            if seen.phase == Phase::Runs
                && let Ok(master) = cluster.dial_application(&self.store, run, &seen).await
                && master.stop(why, now).await.is_ok()
            {
                return Ok(true);
            }
            if application.session {
                // It is not killed: its other runs go on.
                self.stop_in_session(cluster, run, (application.subdag, why), now).await;
                return Ok(true);
            }
            let comes = seen.phase == Phase::Runs || cluster.has_container(&seen).await;
            if !seen.phase.is_live() {
                return Ok(true);
            }
            if !comes || Instant::now() >= until {
                cluster.conf.rm.kill(application.yarn, why).await?;
                return Ok(false);
            }
            sleep(LOOK_AGAIN).await;
            seen = match cluster.application(run, application.subdag).await? {
                Some(newer) => newer,
                None => return Ok(true),
            };
        }
    }

    /// A ResourceManager that has just come back does not know the session's master yet, which lives. Where none does,
    /// the mark is read by the one that comes next.
    async fn stop_in_session(&self, cluster: &Cluster, run: &RunId, (subdag, why): (SubDagId, &str), now: bool) {
        let until = Instant::now() + IN_SESSION;
        loop {
            if let Ok(master) = cluster.dial_as_written(&self.store, run, subdag).await
                && master.stop(why, now).await.is_ok()
            {
                return;
            }
            if Instant::now() >= until {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// What runs after everything is started by the master that ends last. Where the last ones were killed, this client
    /// does that; `false` where there is nothing to start, or somebody else does. `logins`: at registries, for its images
    /// (on the cluster).
    ///
    /// # Errors
    /// The store's or the cluster's; `Spawn`.
    pub async fn end_stopped(
        &self,
        run: &RunId,
        logins: BTreeMap<String, Login>,
        at: Millis,
    ) -> Result<bool, ClientError> {
        let dir = RunDir::new(run);
        // Without it no master ever ran, and none could.
        let Some(plan) = self.store.get_opt(&dir.plan()).await? else { return Ok(false) };
        let plan: Plan = serde_json::from_slice(&plan).map_err(|error| damaged("the plan", &error))?;
        let Some((last, _)) = subdags(&plan).find(|(n, _)| plan.is_last(*n)) else { return Ok(false) };
        let claimed = dir.sub(last).claim();
        let until = Instant::now() + DYING;
        while self.is_any_driven(run, &plan).await? {
            if Instant::now() >= until || self.store.exists(&claimed).await? {
                return Ok(false);
            }
            sleep(LOOK_AGAIN).await;
        }
        let claim = serde_json::json!({ "by": last, "application": "", "at": at }).to_string();
        if !self.store.put_new(&claimed, claim).await? {
            return Ok(false);
        }
        match &self.place {
            Place::Machine(machine) => drop(machine.start_master(run, last, true)?),
            Place::Cluster(cluster) => cluster.submit_again(run, &[(last, true)], (None, logins)).await?,
        }
        Ok(true)
    }

    /// Whether anybody still drives a part of it.
    async fn is_any_driven(&self, run: &RunId, plan: &Plan) -> Result<bool, ClientError> {
        match &self.place {
            Place::Machine(machine) => {
                subdags(plan).try_fold(false, |driven, (subdag, _)| Ok(driven || machine.is_held(run, subdag)?))
            }
            Place::Cluster(cluster) => {
                Ok(cluster.applications(run).await?.values().any(|application| application.phase.is_live()))
            }
        }
    }

    async fn tell_stop(&self, run: &RunId, subdag: SubDagId, why: &str, now: bool) -> Result<bool, WireError> {
        let driven = self.is_driven(run, subdag).await.unwrap_or(true);
        let patience = if driven { PATIENCE } else { Duration::ZERO };
        let told = match self.dial(run, subdag, patience).await {
            Ok(master) => master.stop(why, now).await,
            Err(error) => Err(error),
        };
        match told {
            Ok(()) => Ok(true),
            // It ended while it was asked.
            Err(_) if !self.is_driven(run, subdag).await.unwrap_or(true) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
