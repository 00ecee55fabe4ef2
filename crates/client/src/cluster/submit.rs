//! Submission: one application for each sub-DAG that needs nothing. All that a master needs travels with it, for a
//! small file costs HDFS half a second; so the run is durable when the ResourceManager has accepted it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use dybox_job::{Plan, wish_of};
use dybox_model::{Login, Resources, RunId, SubDagId};
use dybox_store::bundle::{
    BUNDLE_ALIAS, BUNDLE_VERSION, Binary, Bundle, MAX_PLAN_BYTES, MasterStart, QUEUE, REOPEN, RunTls, Tls,
};
use dybox_store::layout::RunDir;
use dybox_store::{Private, RunInfo, SecretValues, Store};
use dybox_wire::TlsIdentity;
use dybox_yarn::{ApplicationId, LocalResource, NewApplication, Submission as Order, tags};
use futures_util::future::{join_all, try_join_all};

use super::{Cluster, Own, binary};
use crate::submit::{Submission, Submitted, damaged, info_of, new_run, secret};
use crate::{ClientError, client, secrets};

/// All that the applications of a run have in common.
pub(super) struct Parts<'a> {
    pub plan: &'a Plan,
    pub info: &'a RunInfo,
    pub job: String,
    pub secret: String,
    pub tls: RunTls,
    pub private: Private,
    pub binary: Binary,
    /// The largest container that the cluster gives.
    pub max: Resources,
    /// Whether the run was there before.
    pub again: bool,
}

impl<'a> Parts<'a> {
    /// Of a run that is submitted for the first time.
    pub(super) fn new(
        (plan, submission): (&'a Plan, &Submission),
        info: &'a RunInfo,
        binary: Binary,
        max: Resources,
        tls: RunTls,
    ) -> Result<Self, ClientError> {
        let private =
            Private { values: secrets::read(plan, &SecretValues::default())?, logins: submission.logins.clone() };
        Ok(Self {
            plan,
            info,
            private,
            job: String::from_utf8_lossy(&submission.text).into_owned(),
            secret: secret().map_err(|source| ClientError::System { what: "get random numbers", source })?,
            tls,
            binary,
            max,
            again: false,
        })
    }
}

impl Cluster {
    /// Submits a run. On return YARN has accepted its first applications, or nothing is left of it.
    pub(crate) async fn submit(
        &self,
        store: &Store,
        plan: &Plan,
        submission: &Submission,
    ) -> Result<Submitted, ClientError> {
        if let Some(name) = &submission.session {
            return self.submit_to_session(store, name, (plan, submission)).await;
        }
        let first: Vec<SubDagId> =
            client::subdags(plan).filter(|(_, sub)| sub.needs.is_empty()).map(|(n, _)| n).collect();
        let mut info = info_of(new_run(submission.at), plan, submission, &self.conf.binary);
        let (binary, new, tls) = tokio::join!(
            self.room_for(store, &info.run),
            self.new_applications(first.len()),
            run_tls_beside(info.run.clone())
        );
        let (binary, new, tls) = match (binary, new.and_then(|new| Ok((new, tls?)))) {
            (Ok(binary), Ok((new, tls))) => (binary, new, tls),
            (Ok(_), Err(error)) => {
                let _ = store.remove_tree(&RunDir::new(&info.run).root()).await;
                return Err(error);
            }
            (Err(error), _) => return Err(error),
        };
        let max = new.first().map(|new| new.max).unwrap_or_default();
        let mut ids: BTreeMap<_, _> = first.into_iter().zip(new.into_iter().map(|new| new.id)).collect();
        info.user.clone_from(&self.conf.user);
        if let Some(request) = &submission.request
            && let Some(there) = self.claimed(store, request, &mut info, &mut ids).await?
        {
            return Ok(there);
        }
        let tls = if tls.0 == info.run { tls.1 } else { run_tls(&info.run)? };
        let parts = Parts::new((plan, submission), &info, binary, max, tls)?;
        if let Err(error) = self.take_hooks_along(store, &info.run, (plan, submission)).await {
            let _ = store.remove_tree(&RunDir::new(&info.run).root()).await;
            return Err(error);
        }
        let own =
            self.order_all(store, &parts, &ids.into_iter().map(|(n, id)| (n, id, false)).collect::<Vec<_>>()).await?;
        Ok(Submitted { own: Some(Arc::new(own)), ..Submitted::of(info, false) })
    }

    /// Submits the applications of these sub-DAGs, with whether each is opened again. All or none.
    pub(super) async fn order_all(
        &self,
        store: &Store,
        parts: &Parts<'_>,
        all: &[(SubDagId, ApplicationId, bool)],
    ) -> Result<Own, ClientError> {
        let plan = serde_json::to_string(parts.plan).map_err(|error| damaged("the plan", &error))?;
        let run = &parts.info.run;
        let mut orders = Vec::new();
        let mut large = false;
        for &(subdag, id, reopen) in all {
            let mut bundle = self.bundle(parts, subdag, reopen);
            bundle.plan = Some(plan.clone());
            let mut secret = bundle.encode();
            if secret.len() > MAX_PLAN_BYTES {
                large = true;
                bundle.plan = None;
                secret = bundle.encode();
            }
            orders.push(self.order(parts, (subdag, id), secret, bundle.own));
        }
        if large {
            store.prepare().await?;
            store.put(&RunDir::new(run).plan(), plan).await?;
        }
        let submitted = join_all(orders.iter().map(|order| self.conf.rm.submit(order))).await;
        if let Some(error) = submitted.into_iter().find_map(Result::err) {
            // Nothing of a run that is refused stays behind; what had not come so far is refused anyway.
            let killed = orders.iter().map(|order| self.conf.rm.kill(order.id, "another part of its run was refused"));
            drop(join_all(killed).await);
            // A run that goes on keeps its directory.
            if !parts.again {
                let _ = store.remove_tree(&RunDir::new(run).root()).await;
            }
            return Err(error.into());
        }
        let applications = all.iter().map(|&(subdag, id, _)| (subdag, id)).collect();
        let (in_session, listens) = (false, BTreeMap::new());
        Ok(Own { run: run.clone(), tls: parts.tls.clone(), applications, in_session, listens })
    }

    /// Submits the applications of sub-DAGs again, each with whether it had ended, with what the run's directory holds.
    /// Nothing of the run lives, so that it can have new certificates. `session`: who takes them, where no application
    /// of their own is to.
    pub(crate) async fn submit_again(
        &self,
        run: &RunId,
        again: &[(SubDagId, bool)],
        (session, logins): (Option<&str>, BTreeMap<String, Login>),
    ) -> Result<(), ClientError> {
        if again.is_empty() {
            return Ok(());
        }
        let store = &self.store;
        let dir = RunDir::new(run);
        let (info, plan, job, secret) = (dir.info(), dir.plan(), dir.job(), dir.secret());
        let (info, plan, job, secret) =
            tokio::try_join!(store.get(&info), store.get(&plan), store.get(&job), store.get(&secret))?;
        let mut taker = match session {
            Some(name) => Some(self.taker(name).await?),
            None => None,
        };
        let count = if taker.is_some() { 0 } else { again.len() };
        let (binary, new) = tokio::join!(self.binary(store), self.new_applications(count));
        let new = new?;
        let plan: Plan = serde_json::from_slice(&plan).map_err(|error| damaged("the plan", &error))?;
        let private = Private { values: secrets::read(&plan, &SecretValues::default())?, logins };
        let parts = Parts {
            private,
            plan: &plan,
            info: &crate::submit::understood(&info)?,
            job: String::from_utf8_lossy(&job).into_owned(),
            secret: String::from_utf8_lossy(&secret).trim().to_owned(),
            tls: run_tls(run)?,
            binary: binary?,
            max: new.first().map(|new| new.max).unwrap_or_default(),
            again: true,
        };
        // The identity of clients comes first: the new masters' lines are closed to the old one.
        let client = serde_json::to_vec(&parts.tls.client).map_err(|error| damaged("the identity", &error))?;
        store.put(&dir.credentials(), client).await?;
        self.forget_sessions(&dir).await?;
        if let Some(taker) = &mut taker {
            return self.hand_all(taker, &parts, again).await.map(drop).map_err(|(error, _)| error);
        }
        let all: Vec<_> = again.iter().zip(new).map(|(&(subdag, reopen), new)| (subdag, new.id, reopen)).collect();
        self.order_all(store, &parts, &all).await.map(drop)
    }

    /// What says that sessions have parts of a run, of which nothing lives.
    async fn forget_sessions(&self, dir: &RunDir) -> Result<(), ClientError> {
        for mark in self.store.list(&dir.sessions()).await? {
            self.store.remove(&format!("{}/{}", dir.sessions(), mark.name)).await?;
        }
        Ok(())
    }

    /// This program in HDFS, and the run's directory: HDFS that can't be written is told before anything is submitted.
    async fn room_for(&self, store: &Store, run: &RunId) -> Result<Binary, ClientError> {
        let binary = self.binary(store).await?;
        store.make_dir(&RunDir::new(run).root(), 0o700).await?;
        Ok(binary)
    }

    /// This program in HDFS.
    pub(super) async fn binary(&self, store: &Store) -> Result<Binary, ClientError> {
        match self.found_binary().await {
            Some(binary) => Ok(binary),
            None => binary::there(store, &self.conf.binary, self.conf.cache.as_deref()).await,
        }
    }

    /// So many new ids.
    pub(super) async fn new_applications(&self, count: usize) -> Result<Vec<NewApplication>, ClientError> {
        Ok(try_join_all((0..count).map(|_| self.conf.rm.new_application())).await?)
    }

    /// What is known of a run that somebody else submitted: nothing where no trace of it is left.
    pub(super) async fn known(&self, store: &Store, run: &RunId) -> Result<Option<RunInfo>, ClientError> {
        if let Some(text) = store.get_opt(&RunDir::new(run).info()).await? {
            return crate::submit::understood(&text).map(Some);
        }
        self.run(run).await
    }

    pub(super) fn bundle(&self, parts: &Parts<'_>, subdag: SubDagId, reopen: bool) -> Bundle {
        // Once, also where the same session takes it again later.
        let reopen = reopen.then(|| (REOPEN.to_owned(), ulid::Ulid::generate().to_string()));
        // Sub-DAGs that its masters submit go where this one goes.
        let queue = self.conf.queue.as_ref().map(|queue| (QUEUE.to_owned(), queue.clone()));
        Bundle {
            version: BUNDLE_VERSION,
            store: self.conf.hdfs.clone(),
            info: parts.info.clone(),
            plan: None,
            job: parts.job.clone(),
            secret: parts.secret.clone(),
            tls: parts.tls.clone(),
            subdag,
            binary: parts.binary.clone(),
            own: own_grant(parts.plan).filter(|own| self.with_task(*own).fits(parts.max)),
            masters: Some(MasterStart { size: self.conf.master, env: self.conf.launch.env.clone() }),
            roster: self.conf.roster.clone(),
            private: parts.private.clone(),
            extra: reopen.into_iter().chain(queue).collect(),
        }
    }

    /// A master that holds a task too. It does little while the task runs, so it asks for no cpu of its own then.
    fn with_task(&self, own: Resources) -> Resources {
        let master = self.conf.master;
        Resources { cpu_milli: master.cpu_milli.max(own.cpu_milli), memory: master.memory.saturating_add(own.memory) }
    }

    fn order(
        &self,
        parts: &Parts<'_>,
        (subdag, id): (SubDagId, ApplicationId),
        secret: Vec<u8>,
        own: Option<Resources>,
    ) -> Order {
        let Binary { url, len, mtime_ms, public } = parts.binary.clone();
        let program = LocalResource::kept(url, len, mtime_ms, public);
        let mut launch = self.conf.launch.clone().starting(program, "master");
        launch.credentials.secrets.insert(BUNDLE_ALIAS.to_owned(), secret);
        let size = own.map_or(self.conf.master, |own| self.with_task(own));
        let sub = parts.plan.subdags.get(subdag.0 as usize);
        let queue = sub.and_then(|sub| sub.queue.clone()).or_else(|| parts.plan.queue.clone());
        Order {
            queue: queue.or_else(|| self.conf.queue.clone()).unwrap_or_else(|| "default".to_owned()),
            priority: parts.plan.priority,
            tags: tags(&parts.info.run, subdag),
            node_label: sub.and_then(|sub| sub.node_label.clone()).or_else(|| parts.plan.node_label.clone()),
            ..Order::new(id, parts.plan.name.clone(), launch, size)
        }
    }
}

/// What the one task of a run of one task needs; nothing for any other run.
fn own_grant(plan: &Plan) -> Option<Resources> {
    let [stage] = plan.stages.as_slice() else { return None };
    // YARN never makes the container of a master larger.
    let grows = stage.elastic.is_some_and(|elastic| elastic.most > stage.ask.memory && !elastic.learns);
    let alone = stage.tasks == 1 && !grows && plan.hooks.is_empty() && stage.placement.is_anywhere();
    alone.then(|| wish_of(stage))
}

/// The certificates of a run, in the form that travels.
pub(super) fn run_tls(run: &RunId) -> Result<RunTls, ClientError> {
    let made = dybox_wire::RunTls::make(run).map_err(|source| ClientError::Unheard { subdag: SubDagId(0), source })?;
    let tls = |TlsIdentity { ca, cert, key }: TlsIdentity| Tls { ca, cert, key };
    Ok(RunTls { master: tls(made.master), proxy: tls(made.proxy), client: tls(made.client) })
}

/// The same while this thread waits for others: it costs a millisecond of a cpu. With whose they are: an earlier
/// submission's request may make the run another one.
pub(super) async fn run_tls_beside(run: RunId) -> Result<(RunId, RunTls), ClientError> {
    let made = tokio::task::spawn_blocking(move || run_tls(&run).map(|tls| (run, tls))).await;
    let lost = |error| ClientError::System { what: "make the run's certificates", source: io::Error::other(error) };
    made.map_err(lost)?
}
