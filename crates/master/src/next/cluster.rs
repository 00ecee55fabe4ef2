//! Other masters on the cluster are applications.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_job::Plan;
use dybox_model::{Millis, Resources, SubDagId};
use dybox_store::StopMark;
use dybox_store::bundle::{BUNDLE_ALIAS, Bundle, MAX_PLAN_BYTES, QUEUE, REOPEN};
use dybox_store::epochs::MasterAddr;
use dybox_wire::{Address, MasterClient};
use dybox_yarn::{
    AppState, ApplicationId, Credentials, Launch, Query, Report, ResourceManager, Submission, run_tag, tagged, tags,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::Rest;
use crate::MasterError;
use crate::cluster::{YarnConf, identity};
use crate::rm::program;
use crate::session::Hand;

/// What a master asks for where its client did not say.
const SIZE: Resources = Resources { cpu_milli: 1000, memory: 128 << 20 };
/// Tries of a submission while the ResourceManager does not answer.
const TRIES: u32 = 12;
const AGAIN: Duration = Duration::from_secs(5);

/// How to submit and find them.
#[derive(Debug)]
pub(crate) struct There {
    rm: ResourceManager,
    bundle: Bundle,
    credentials: Credentials,
    /// The session that this sub-DAG is in; it takes the next ones too.
    session: Option<Hand>,
}

/// Who starts a sub-DAG's master, and under which id: whoever finishes it, submits the same application.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    by: SubDagId,
    application: String,
    at: Millis,
}

impl There {
    pub(crate) fn new(conf: &YarnConf, rm: ResourceManager, session: Option<Hand>) -> Self {
        Self { rm, bundle: conf.bundle.clone(), credentials: conf.for_masters(), session }
    }

    /// Claims a sub-DAG and submits its application; `false` where another master has claimed it. A claim of ours, left
    /// by an earlier attempt, is finished with the id that it holds.
    pub(super) async fn bring_up(&self, rest: &Rest, subdag: SubDagId, now: Millis) -> Result<bool, MasterError> {
        let name = rest.dir.sub(subdag).claim();
        let (id, at) = match rest.store.get_opt(&name).await? {
            Some(text) => {
                let unreadable = |source| MasterError::Unreadable { what: name.clone(), source };
                let claim: Claim = serde_json::from_slice(&text).map_err(unreadable)?;
                if claim.by != rest.own {
                    return Ok(false);
                }
                (claim.application.parse().map_err(dybox_yarn_id)?, claim.at)
            }
            None => {
                let id = match &self.session {
                    Some(session) => session.application(),
                    None => self.rm.new_application().await?.id,
                };
                let claim = Claim { by: rest.own, application: id.to_string(), at: now };
                let text = serde_json::to_vec(&claim).expect("texts and numbers are JSON");
                if !rest.store.put_new(&name, text).await? {
                    return Ok(false);
                }
                (id, now)
            }
        };
        match &self.session {
            Some(session) => {
                // A session takes many sub-DAGs, and this one perhaps twice: the claim tells which time it is.
                let mut bundle = self.bundle_of(subdag);
                bundle.extra.insert(REOPEN.to_owned(), format!("{id}.{}", at.0));
                session.next(bundle.encode()).await?;
            }
            None => self.submit(&self.submission(&rest.plan, subdag, id)).await?,
        }
        Ok(true)
    }

    async fn submit(&self, submission: &Submission) -> Result<(), MasterError> {
        let mut tries = 0;
        loop {
            match self.rm.submit(submission).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == dybox_yarn::Kind::Unreachable && tries < TRIES => {
                    tracing::warn!("the next application is submitted again: {error}");
                    tries += 1;
                    sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn submission(&self, plan: &Plan, subdag: SubDagId, id: ApplicationId) -> Submission {
        let cut = &plan.subdags[subdag.0 as usize];
        let tags = tags(&self.bundle.info.run, subdag);
        let size = self.bundle.masters.as_ref().map_or(SIZE, |masters| masters.size);
        let mut submission = Submission::new(id, plan.name.clone(), self.launch(subdag), size);
        let chosen = self.bundle.extra.get(QUEUE);
        if let Some(queue) = cut.queue.as_ref().or(plan.queue.as_ref()).or(chosen) {
            submission.queue.clone_from(queue);
        }
        let node_label = cut.node_label.clone().or_else(|| plan.node_label.clone());
        Submission { tags, node_label, priority: plan.priority, ..submission }
    }

    /// What had ended before a `resume` of the run is opened again; that does nothing to others.
    fn bundle_of(&self, subdag: SubDagId) -> Bundle {
        let mut bundle = Bundle { subdag, own: None, ..self.bundle.clone() };
        bundle.extra.insert(REOPEN.to_owned(), true.to_string());
        bundle
    }

    fn launch(&self, subdag: SubDagId) -> Launch {
        let mut bundle = self.bundle_of(subdag);
        let mut secret = bundle.encode();
        if secret.len() > MAX_PLAN_BYTES {
            // This master has put it into the run's directory.
            bundle.plan = None;
            secret = bundle.encode();
        }
        let secrets = BTreeMap::from([(BUNDLE_ALIAS.to_owned(), secret)]);
        let credentials = Credentials { secrets, ..self.credentials.clone() };
        Launch { credentials, env: self.bundle.env(), ..Launch::default() }
            .starting(program(&self.bundle.binary), "master")
    }

    /// Whether a sub-DAG has no end because its application was killed when the run was stopped, or was never submitted.
    pub(super) async fn was_killed(&self, rest: &Rest, subdag: SubDagId) -> Result<bool, MasterError> {
        if StopMark::why(&rest.store, &rest.dir).await?.is_none() {
            return Ok(false);
        }
        let query = Query { tags: vec![run_tag(&self.bundle.info.run)], ..Query::default() };
        let mut all = self.rm.applications(&query).await?.into_iter();
        let over = |report: &Report| matches!(report.state, AppState::Finished | AppState::Failed | AppState::Killed);
        Ok(all.all(|report| tagged(&report.tags).1 != subdag || over(&report)))
    }

    /// The master of a sub-DAG, where one lives.
    pub(super) async fn dial(&self, rest: &Rest, subdag: SubDagId) -> Option<MasterClient> {
        let MasterAddr { host, port, .. } = MasterAddr::get(&rest.store, &rest.dir.sub(subdag)).await.ok()??;
        let address = Address::Tcp { host, port, identity: identity(&self.bundle.tls.client) };
        MasterClient::dial_at(&address, Duration::ZERO).await.ok()
    }
}

fn dybox_yarn_id(error: dybox_yarn::BadId) -> MasterError {
    MasterError::BadClaim(error.to_string())
}

#[cfg(test)]
mod tests {
    use dybox_job::{PLAN_VERSION, SubDag};
    use dybox_store::bundle::{BUNDLE_VERSION, Binary, MasterStart, RosterAccess, RunTls, Tls};
    use dybox_store::{HdfsConf, RUN_INFO_VERSION, RunInfo};
    use dybox_yarn::Settings;

    use super::*;

    fn bundle(masters: Option<MasterStart>) -> Bundle {
        let tls = || Tls { ca: String::new(), cert: String::new(), key: String::new() };
        Bundle {
            version: BUNDLE_VERSION,
            store: HdfsConf { url: "hdfs://n:1/s".into(), settings: BTreeMap::new(), user: None },
            info: RunInfo {
                version: RUN_INFO_VERSION,
                run: "01jd0000000000000000000001".parse().unwrap(),
                job: "j".into(),
                tags: Vec::new(),
                submitted: Millis(1),
                uid: 1,
                gid: 1,
                user: "ann".into(),
                cwd: "/".into(),
                job_file: None,
                job_sha256: String::new(),
                request: None,
                budget_cpu_milli: None,
                budget_memory: None,
                binary: "dybox".into(),
            },
            plan: None,
            job: String::new(),
            secret: String::new(),
            tls: RunTls { master: tls(), proxy: tls(), client: tls() },
            subdag: SubDagId(0),
            binary: Binary { url: "hdfs://n:1/b".into(), len: 9, mtime_ms: 7, public: true },
            own: None,
            masters,
            roster: Some(RosterAccess { servers: vec!["s1:7311".into()], identity: tls() }),
            private: dybox_store::Private::default(),
            extra: BTreeMap::new(),
        }
    }

    fn plan() -> Plan {
        let (stages, hooks, needs) = (Vec::new(), Vec::new(), Vec::new());
        let sub = SubDag { stages, hooks, needs, name: None, queue: None, node_label: None };
        Plan {
            ground: None,
            version: PLAN_VERSION,
            name: "j".into(),
            tags: Vec::new(),
            params: BTreeMap::new(),
            queue: None,
            priority: None,
            node_label: None,
            rules: BTreeMap::new(),
            timeout: None,
            fail_fast: false,
            stages: Vec::new(),
            hooks: Vec::new(),
            subdags: vec![sub.clone(), sub],
        }
    }

    fn submission(masters: Option<MasterStart>) -> Submission {
        let settings = BTreeMap::from([("yarn.resourcemanager.address".to_owned(), "n:2".to_owned())]);
        let rm = ResourceManager::from_settings(&Settings::from_map(settings), "ann").unwrap();
        let there = There { rm, bundle: bundle(masters), credentials: Credentials::default(), session: None };
        there.submission(&plan(), SubDagId(1), "application_1_0007".parse().unwrap())
    }

    #[tokio::test]
    async fn later_masters_start_as_the_client_was_told() {
        let (size, env) =
            (Resources { cpu_milli: 2000, memory: 1 << 30 }, [("DYBOX_LOG".into(), "debug".into())].into());
        let told = submission(Some(MasterStart { size, env }));
        assert_eq!(told.size, size);
        assert_eq!(told.launch.env["DYBOX_LOG"], "debug");
        let secret = &told.launch.credentials.secrets[BUNDLE_ALIAS];
        let handed = Bundle::decode(secret).unwrap();
        assert_eq!(handed.roster.map(|roster| roster.servers), Some(vec!["s1:7311".to_owned()]));
        assert_eq!(handed.masters.map(|masters| masters.size), Some(size), "the ones after it, too");
        assert_eq!(submission(None).size, SIZE, "an older client says nothing");
    }
}
