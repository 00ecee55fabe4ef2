//! Sessions: applications that keep a master and grants warm, and take runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dybox_job::Plan;
use dybox_model::{Millis, Resources, SessionSpec, SessionView, SubDagId};
use dybox_store::bundle::{BUNDLE_VERSION, Binary, SESSION_ALIAS, SessionBundle, Tls};
use dybox_store::layout::{RunDir, SESSIONS, SubDir, session_credentials};
use dybox_store::{StopMark, Store};
use dybox_wire::{SessionClient, TlsIdentity, WireError};
use dybox_yarn::{AppState, KIND, LocalResource, Query, Submission as Order, session_named, session_tag};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::handing::Taker;
use super::submit::{Parts, run_tls, run_tls_beside};
use super::{Application, Cluster, Own, Phase};
use crate::client::{Place, subdags};
use crate::submit::{Submission, Submitted, damaged, info_of, new_run};
use crate::{Client, ClientError};

/// Room for the masters of runs beside the session's own.
const BESIDE: u64 = 128 << 20;
/// How long a session's machine may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a run waits for the master of a session that YARN is starting.
const STARTS: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(200);

/// A session as YARN reports it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its name.
    pub name: String,
    /// Its application.
    pub application: Application,
    /// What its master says; nothing while none answers.
    pub view: Option<SessionView>,
    /// Why its master does not answer, in a sentence.
    pub silent: String,
}

impl Client {
    /// Starts a session. On return YARN has accepted its application.
    ///
    /// # Errors
    /// `SessionTaken` where one of this name lives; `NoSessions` on one machine; the store's or the cluster's.
    pub async fn start_session(&self, spec: &SessionSpec, queue: Option<String>) -> Result<Application, ClientError> {
        self.there()?.start_session(&self.store, spec, queue).await
    }

    /// The sessions of this user that live.
    ///
    /// # Errors
    /// `NoSessions` on one machine; the ResourceManager's.
    pub async fn sessions(&self) -> Result<Vec<Session>, ClientError> {
        let cluster = self.there()?;
        let found = cluster.found_sessions(None).await?;
        Ok(join_all(found.into_iter().map(|(name, application)| async move {
            let view = match cluster.dial_session(&application).await {
                Ok(session) => session.look().await,
                Err(error) => Err(error),
            };
            let silent = view.as_ref().err().map(ToString::to_string).unwrap_or_default();
            Session { name, application, view: view.ok(), silent }
        }))
        .await)
    }

    /// Ends a session: its runs are told to end, then it goes. `false`: its master did not answer, and the application
    /// was killed.
    ///
    /// # Errors
    /// `NoSession` where none of this name lives; `NoSessions` on one machine; the ResourceManager's.
    pub async fn stop_session(&self, name: &str, why: &str, now: bool) -> Result<(Application, bool), ClientError> {
        let cluster = self.there()?;
        let application = cluster.session(name).await?;
        if let Ok(session) = cluster.dial_session(&application).await
            && session.end(why, now).await.is_ok()
        {
            return Ok((application, true));
        }
        cluster.conf.rm.kill(application.yarn, why).await?;
        Ok((application, false))
    }

    /// Whether an application is over.
    ///
    /// # Errors
    /// The ResourceManager's.
    pub async fn is_gone(&self, application: &Application) -> Result<bool, ClientError> {
        let report = self.there()?.conf.rm.report(application.yarn).await?;
        Ok(!Application::of(report).phase.is_live())
    }

    /// That a session of this name lives.
    pub(crate) async fn session_named(&self, name: &str) -> Result<Application, ClientError> {
        self.there()?.session(name).await
    }

    const fn there(&self) -> Result<&Cluster, ClientError> {
        match &self.place {
            Place::Machine(_) => Err(ClientError::NoSessions),
            Place::Cluster(cluster) => Ok(cluster),
        }
    }
}

impl Cluster {
    async fn start_session(
        &self,
        store: &Store,
        spec: &SessionSpec,
        queue: Option<String>,
    ) -> Result<Application, ClientError> {
        if let Some((_, there)) = self.found_sessions(Some(&spec.name)).await?.into_iter().next() {
            return Err(ClientError::SessionTaken { name: spec.name.clone(), application: there.id });
        }
        let (binary, new) = tokio::join!(self.binary(store), self.new_applications(1));
        let (binary, id) = (binary?, new?[0].id);
        let application = id.to_string();
        let tls = run_tls(&new_run(Millis::default()))?;
        store.make_dir(SESSIONS, 0o700).await?;
        store.make_dir(&SubDir::of_session(&application).root(), 0o700).await?;
        let client = serde_json::to_vec(&tls.client).map_err(|error| damaged("the identity", &error))?;
        store.put(&session_credentials(&application), client).await?;
        let Binary { url, len, mtime_ms, public } = binary.clone();
        let bundle = SessionBundle {
            version: BUNDLE_VERSION,
            spec: spec.clone(),
            store: self.conf.hdfs.clone(),
            tls,
            binary,
            env: self.conf.launch.env.clone(),
            user: self.conf.user.clone(),
        };
        let program = LocalResource::kept(url, len, mtime_ms, public);
        let mut launch = self.conf.launch.clone().starting(program, "master");
        launch.credentials.secrets.insert(SESSION_ALIAS.to_owned(), bundle.encode());
        let size = Resources { memory: self.conf.master.memory.saturating_add(BESIDE), ..self.conf.master };
        let order = Order {
            queue: queue.or_else(|| self.conf.queue.clone()).unwrap_or_else(|| "default".to_owned()),
            tags: vec![session_tag(&spec.name)],
            ..Order::new(id, format!("session {}", spec.name), launch, size)
        };
        if let Err(error) = self.conf.rm.submit(&order).await {
            let _ = store.remove_tree(&SubDir::of_session(&application).root()).await;
            return Err(error.into());
        }
        Ok(Application::of(self.conf.rm.report(id).await?))
    }

    /// Live sessions of this user, newest first: all, or those of one name.
    async fn found_sessions(&self, name: Option<&str>) -> Result<Vec<(String, Application)>, ClientError> {
        let query = Query {
            kinds: vec![KIND.to_owned()],
            users: vec![self.conf.user.clone()],
            states: AppState::LIVE.to_vec(),
            tags: name.map(session_tag).into_iter().collect(),
            ..Query::default()
        };
        let found = self.conf.rm.applications(&query).await?.into_iter();
        let session = |report: dybox_yarn::Report| {
            let name = session_named(&report.tags)?.to_owned();
            Some((name, Application::of(report)))
        };
        let mut found: Vec<_> = found.filter_map(session).collect();
        found.sort_by_key(|(_, application)| std::cmp::Reverse(application.yarn));
        Ok(found)
    }

    pub(super) async fn session(&self, name: &str) -> Result<Application, ClientError> {
        let found = self.found_sessions(Some(name)).await?.into_iter().next();
        found.map(|(_, application)| application).ok_or_else(|| ClientError::NoSession { name: name.to_owned() })
    }

    /// The session of this name, once YARN has started its master, or after the time for that.
    pub(super) async fn started_session(&self, name: &str) -> Result<Application, ClientError> {
        let until = Instant::now() + STARTS;
        loop {
            let application = self.session(name).await?;
            let has_master = application.phase == Phase::Runs && application.master.is_some();
            if has_master || until <= Instant::now() {
                return Ok(application);
            }
            sleep(LOOK).await;
        }
    }

    pub(super) async fn dial_session(&self, application: &Application) -> Result<SessionClient, WireError> {
        let absent = |why: String| WireError::Ended { what: "dial", why };
        let (Phase::Runs, Some((host, port))) = (application.phase, &application.master) else {
            return Err(absent(format!("{} is {}, and has no master yet", application.id, application.state)));
        };
        let text = self.store.get(&session_credentials(&application.id)).await.map_err(|error| absent(error.text()))?;
        let identity = serde_json::from_slice(&text);
        let Tls { ca, cert, key } = identity.map_err(|_| absent("its credentials can't be understood".to_owned()))?;
        let dialled = timeout(ANSWER, SessionClient::dial(host, *port, &TlsIdentity { ca, cert, key })).await;
        dialled.unwrap_or(Err(WireError::Late { what: "dial" }))
    }

    /// Hands a run to a session: on return it is written down there, or nothing of it goes on.
    pub(super) async fn submit_to_session(
        &self,
        store: &Store,
        name: &str,
        (plan, submission): (&Plan, &Submission),
    ) -> Result<Submitted, ClientError> {
        let mut info = info_of(new_run(submission.at), plan, submission, &self.conf.binary);
        let (taker, binary, tls) = tokio::join!(self.taker(name), self.binary(store), run_tls_beside(info.run.clone()));
        let (mut taker, binary, tls) = (taker?, binary?, tls?);
        info.user.clone_from(&self.conf.user);
        if let Some(request) = &submission.request
            && let Some(there) = self.claimed(store, request, &mut info, &mut BTreeMap::new()).await?
        {
            return Ok(there);
        }
        let tls = if tls.0 == info.run { tls.1 } else { run_tls(&info.run)? };
        let parts = Parts::new((plan, submission), &info, binary, Resources::default(), tls)?;
        if let Err(error) = self.take_hooks_along(store, &info.run, (plan, submission)).await {
            let _ = store.remove_tree(&RunDir::new(&info.run).root()).await;
            return Err(error);
        }
        let first: Vec<_> =
            subdags(plan).filter(|(_, sub)| sub.needs.is_empty()).map(|(subdag, _)| (subdag, false)).collect();
        let own = match self.hand_all(&mut taker, &parts, &first).await {
            Ok(own) => own,
            Err((error, taken)) => {
                // Another submission with the same request id may have been faster.
                if taken.applications.is_empty()
                    && submission.request.is_some()
                    && let Some(there) = self.known(store, &info.run).await?
                {
                    return Ok(Submitted::of(there, true));
                }
                match taken.applications.is_empty() {
                    // Where that is not certain it must find its directory.
                    true if matches!(error, ClientError::NotTaken { .. }) => {
                        let _ = store.remove_tree(&RunDir::new(&info.run).root()).await;
                    }
                    true => {}
                    false => self.stop_taken(taken, &taker.application, submission.at).await,
                }
                return Err(error);
            }
        };
        Ok(Submitted { own: Some(Arc::new(own)), ..Submitted::of(info, false) })
    }

    /// Hands over these sub-DAGs, each with whether it is opened again; or why not, and what was taken before.
    pub(super) async fn hand_all(
        &self,
        taker: &mut Taker<'_>,
        parts: &Parts<'_>,
        all: &[(SubDagId, bool)],
    ) -> Result<Own, (ClientError, Own)> {
        let (run, tls) = (parts.info.run.clone(), parts.tls.clone());
        let (applications, listens) = (BTreeMap::new(), BTreeMap::new());
        let mut own = Own { run, tls, applications, in_session: true, listens };
        let text = match serde_json::to_string(parts.plan) {
            Ok(text) => text,
            Err(error) => return Err((damaged("the plan", &error), own)),
        };
        for &(subdag, reopen) in all {
            let mut bundle = self.bundle(parts, subdag, reopen);
            bundle.plan = Some(text.clone());
            match taker.hand((&own.run, subdag), &bundle.encode()).await {
                Ok(at) => own.listens.extend(at.map(|at| (subdag, at))),
                Err(error) => return Err((error, own)),
            }
            own.applications.insert(subdag, taker.application.yarn);
        }
        Ok(own)
    }

    /// A run of which a session took a part alone must not go on.
    async fn stop_taken(&self, taken: Own, session: &Application, at: Millis) {
        let taken = Arc::new(taken);
        let cluster = Self { own: Some(taken.clone()), ..self.clone() };
        let client = Client { place: Place::Cluster(cluster.clone()), store: self.store.clone() };
        let of = |&subdag: &SubDagId| Application { subdag, session: true, ..session.clone() };
        let parts: Vec<_> = taken.applications.keys().map(of).collect();
        let mark = StopMark { why: "its session did not take the rest of it".to_owned(), at };
        // Whoever can't be told reads the mark; why the rest was not taken is what the user hears.
        let _ = client.stop_there(&cluster, (&taken.run, &parts), &mark, true).await;
    }
}
