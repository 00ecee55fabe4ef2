//! A session by script, and no ResourceManager that answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dybox_job::{PLAN_VERSION, Plan, SubDag};
use dybox_model::{Millis, Resources};
use dybox_store::bundle::{Bundle, Tls};
use dybox_store::layout::session_credentials;
use dybox_store::{HdfsConf, StopMark, Store};
use dybox_wire::{Call, RunTls, Server, SessionCall, TlsIdentity, serve_session, serve_tcp};
use dybox_yarn::{Launch, ResourceManager, Settings};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{Ahead, ClusterConf};
use super::*;
use crate::submit::Submission;

const SESSION: &str = "application_1795307233854_0018";
/// For what must have happened by now on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What the session does with what it is handed.
#[derive(Debug, Clone, Copy)]
enum Says {
    /// Its answer is lost, and nobody has the run.
    Nothing,
    /// The same, after a master made an epoch for it.
    NothingButAnEpoch,
    /// The same, after a master wrote its first word.
    NothingAndBegins,
    No,
    /// It takes it: where the master listens that it has for it.
    Yes,
}

struct Scene {
    _dir: TempDir,
    cluster: Cluster,
    /// Every hand-over, as it was heard.
    heard: mpsc::UnboundedReceiver<Bundle>,
    /// Stops that masters of taken sub-DAGs heard.
    stops: mpsc::UnboundedReceiver<(SubDagId, String, bool)>,
}

fn anywhere() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A session that says one after the other, the last for ever.
async fn scene(says: &[Says]) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_dir(dir.path().join("store"));
    let identity = RunTls::make(&"01jd0000000000000000000001".parse().unwrap()).unwrap();
    let (server, calls, port) = serve_session(anywhere(), &identity.master).await.unwrap();
    let TlsIdentity { ca, cert, key } = identity.client.clone();
    let client = serde_json::to_vec(&Tls { ca, cert, key }).unwrap();
    store.put(&session_credentials(SESSION), client).await.unwrap();
    let ((tell, heard), (stopped, stops)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    tokio::spawn(play(server, calls, (says.iter().copied().collect(), store.clone()), (tell, stopped)));
    let binary = dir.path().join("dybox");
    std::fs::write(&binary, "a program").unwrap();
    let nobody = BTreeMap::from([("yarn.resourcemanager.address".to_owned(), "127.0.0.1:1".to_owned())]);
    let rm = ResourceManager::from_settings(&Settings::from_map(nobody), "ann").unwrap();
    let conf = ClusterConf {
        rm: rm.with_deadline(Duration::from_millis(50)),
        hdfs: HdfsConf { url: "hdfs://127.0.0.1:1/x".to_owned(), settings: BTreeMap::new(), user: None },
        user: "ann".to_owned(),
        binary,
        cache: None,
        master: Resources::default(),
        queue: None,
        minimum: None,
        roster: None,
        launch: Launch::default(),
        pages: None,
    };
    let mut cluster = Cluster { conf: Arc::new(conf), store, own: None, ahead: None };
    let there = application(port);
    let line = SessionClient::dial("127.0.0.1", port, &identity.client).await.unwrap();
    cluster.ahead = Some(Ahead::found("etl", (there, line)));
    Scene { _dir: dir, cluster, heard, stops }
}

fn application(port: u16) -> Application {
    Application {
        id: SESSION.to_owned(),
        subdag: SubDagId(0),
        phase: Phase::Runs,
        state: "RUNNING",
        name: "session etl".to_owned(),
        user: "ann".to_owned(),
        queue: "default".to_owned(),
        master: Some(("127.0.0.1".to_owned(), port)),
        page: String::new(),
        diagnostics: String::new(),
        attempt: 1,
        submitted: Millis(1),
        ended: None,
        succeeded: false,
        session: true,
        yarn: SESSION.parse().unwrap(),
        run: None,
    }
}

type Tells = (mpsc::UnboundedSender<Bundle>, mpsc::UnboundedSender<(SubDagId, String, bool)>);

async fn play(
    _server: Server,
    mut calls: mpsc::Receiver<SessionCall>,
    (mut says, store): (VecDeque<Says>, Store),
    (tell, stopped): Tells,
) {
    while let Some(call) = calls.recv().await {
        let SessionCall::Submit { bundle, answer } = call else { continue };
        let bundle = Bundle::decode(&bundle).unwrap();
        let sub = RunDir::new(&bundle.info.run).sub(bundle.subdag);
        let now = if says.len() > 1 { says.pop_front() } else { says.front().copied() };
        match now.unwrap() {
            Says::Nothing => drop(answer),
            Says::NothingButAnEpoch => {
                store.claim(&sub.epoch(1)).await.unwrap();
                drop(answer);
            }
            Says::NothingAndBegins => {
                store.put(&sub.journal(), "opened").await.unwrap();
                drop(answer);
            }
            Says::No => drop(answer.send(Err("it is about to end".to_owned()))),
            Says::Yes => {
                let at = master(&bundle, stopped.clone()).await;
                let _ = answer.send(Ok(("127.0.0.1".to_owned(), at)));
            }
        }
        let _ = tell.send(bundle);
    }
}

/// The master of a sub-DAG, which tells of stops.
async fn master(bundle: &Bundle, stopped: mpsc::UnboundedSender<(SubDagId, String, bool)>) -> u16 {
    let Tls { ca, cert, key } = bundle.tls.master.clone();
    let (server, mut calls, port) = serve_tcp(anywhere(), &TlsIdentity { ca, cert, key }).await.unwrap();
    let subdag = bundle.subdag;
    tokio::spawn(async move {
        let _server = server;
        while let Some(call) = calls.recv().await {
            if let Call::Stop { why, now, done, .. } = call {
                stopped.send((subdag, why, now)).unwrap();
                let _ = done.send(());
            }
        }
    });
    port
}

/// So many sub-DAGs that need nothing.
fn plan(subdags: usize) -> Plan {
    let empty =
        SubDag { stages: Vec::new(), hooks: Vec::new(), needs: Vec::new(), name: None, queue: None, node_label: None };
    Plan {
        ground: None,
        version: PLAN_VERSION,
        name: "nightly".to_owned(),
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
        subdags: vec![empty; subdags],
    }
}

impl Scene {
    async fn submit(&self, subdags: usize) -> Result<crate::Submitted, ClientError> {
        let submission = Submission { session: Some("etl".to_owned()), at: Millis(1), ..Submission::default() };
        let plan = plan(subdags);
        let done = self.cluster.submit(&self.cluster.store, &plan, &submission);
        timeout(LONG, done).await.expect("it ends")
    }

    /// The run that was handed over, and how often.
    fn handed(&mut self) -> (RunId, usize) {
        let first = self.heard.try_recv().expect("it was handed over");
        let mut times = 1;
        while let Ok(again) = self.heard.try_recv() {
            assert_eq!(again, first, "the same bundle each time");
            times += 1;
        }
        (first.info.run, times)
    }

    async fn has_directory(&self, run: &RunId) -> bool {
        self.cluster.store.exists(&RunDir::new(run).root()).await.unwrap()
    }
}

#[tokio::test]
async fn a_session_that_goes_silent_may_have_taken_the_run_which_keeps_its_directory() {
    let mut scene = scene(&[Says::NothingButAnEpoch, Says::Nothing]).await;
    let error = scene.submit(1).await.unwrap_err();
    let (handed, times) = scene.handed();
    assert!(times > 1, "it is handed over again");
    let ClientError::Unsure { name, run, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), run), ("etl", &handed));
    assert!(error.advice().contains(&format!("dybox status {run}")), "{}", error.advice());
    assert!(scene.has_directory(run).await, "whoever has it needs its directory");
}

#[tokio::test]
async fn a_run_whose_master_has_begun_was_taken_though_no_answer_came() {
    let mut scene = scene(&[Says::NothingAndBegins, Says::Nothing]).await;
    let submitted = scene.submit(1).await.unwrap();
    assert_eq!(submitted.info.run, scene.handed().0);
}

#[tokio::test]
async fn an_epoch_alone_says_nothing_where_the_session_refuses_in_the_end() {
    let mut scene = scene(&[Says::NothingButAnEpoch, Says::No]).await;
    let error = scene.submit(1).await.unwrap_err();
    assert!(matches!(error, ClientError::NotTaken { .. }), "{error}");
    let (run, times) = scene.handed();
    assert_eq!(times, 2);
    assert!(!scene.has_directory(&run).await, "nothing is left of it");
}

#[tokio::test]
async fn a_part_that_a_session_took_alone_is_stopped() {
    let mut scene = scene(&[Says::Yes, Says::No]).await;
    let error = scene.submit(2).await.unwrap_err();
    assert!(matches!(error, ClientError::NotTaken { .. }), "{error}");
    let why = "its session did not take the rest of it";
    let stop = scene.stops.try_recv().expect("the master of the part was told");
    assert_eq!(stop, (SubDagId(0), why.to_owned(), true));
    let run = scene.heard.try_recv().unwrap().info.run;
    let marked = StopMark::why(&scene.cluster.store, &RunDir::new(&run)).await.unwrap();
    assert_eq!(marked.as_deref(), Some(why), "and who could not be told finds the mark");
}
