//! The runs of a session: each sub-DAG's master is a task of its own, as it would be a process of its own.

use std::time::Duration;

use dybox_model::{Resources, SessionRun};
use dybox_store::bundle::Bundle;
use dybox_store::layout::RunDir;
use dybox_store::{StopMark, StoreError};
use dybox_wire::{Address, MasterClient};
use dybox_yarn::am;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::actor::{Came, Session};
use super::hand::Hand;
use super::pool::{In, Key, Told};
use crate::MasterError;
use crate::actor::now;
use crate::cluster::{identity, run_in_session};
use crate::rm::FromRm;

/// Starts of one sub-DAG's master, as YARN gives an application by default.
const TRIES: u32 = 2;
const AGAIN: Duration = Duration::from_secs(1);

/// A sub-DAG in hand.
#[derive(Debug)]
pub(super) struct Running {
    bundle: Bundle,
    tell: mpsc::UnboundedSender<FromRm>,
    pub(super) port: Option<u16>,
    tries: u32,
}

type Answer = oneshot::Sender<Result<(String, u16), String>>;

impl Running {
    pub(super) fn view(&self, (run, subdag): &Key) -> SessionRun {
        let info = &self.bundle.info;
        SessionRun { run: run.clone(), subdag: *subdag, job: info.job.clone(), submitted: info.submitted }
    }
}

impl Session {
    /// Takes a sub-DAG: written down, then begun, then answered.
    pub(super) async fn submit(&mut self, bundle: &[u8], answer: Answer) -> Result<(), StoreError> {
        let bundle = match self.acceptable(bundle) {
            Ok(bundle) => bundle,
            Err(why) => {
                let _ = answer.send(Err(why));
                return Ok(());
            }
        };
        let mark = RunDir::new(&bundle.info.run).session(bundle.subdag, &self.conf.application());
        let store = self.book.store.clone();
        let (marked, written) = tokio::join!(store.claim(&mark), self.book.took(&bundle));
        written?;
        if let Err(error) = marked {
            // It would run and nobody would find it.
            let key = (bundle.info.run, bundle.subdag);
            self.book.over(key).await?;
            let _ = answer.send(Err(format!("the run could not be marked as this session's: {}", error.text())));
            return Ok(());
        }
        self.begin(bundle, Some(answer));
        Ok(())
    }

    fn acceptable(&self, bundle: &[u8]) -> Result<Bundle, String> {
        let bundle = Bundle::decode(bundle).map_err(|error| error.to_string())?;
        let (run, name) = (&bundle.info.run, &self.conf.bundle.spec.name);
        if self.ends.is_some() {
            return Err(format!("session {name} is about to end"));
        }
        if bundle.info.user != self.conf.bundle.user {
            return Err(format!("session {name} is of {}, and the run of {}", self.conf.bundle.user, bundle.info.user));
        }
        if self.runs.contains_key(&(run.clone(), bundle.subdag)) {
            return Err(format!("run {run} is in session {name} already"));
        }
        Ok(bundle)
    }

    pub(super) fn begin(&mut self, bundle: Bundle, answer: Option<Answer>) {
        let key = (bundle.info.run.clone(), bundle.subdag);
        tracing::info!(run = %key.0, subdag = key.1.0, "taken");
        let (tell, _) = mpsc::unbounded_channel();
        self.runs.insert(key.clone(), Running { bundle, tell, port: None, tries: 0 });
        self.start(&key, answer);
    }

    fn start(&mut self, key: &Key, answer: Option<Answer>) {
        let Some(running) = self.runs.get_mut(key) else { return };
        let (tell, from_rm) = mpsc::unbounded_channel();
        let (listens, port) = oneshot::channel();
        running.tries += 1;
        running.tell = tell.clone();
        let conf = self.conf.of_run(running.bundle.clone());
        let (said, mut says) = mpsc::unbounded_channel();
        let hand = Hand::new(key.clone(), self.conf.container.attempt.application, said);
        let session = self.tell.clone();
        tokio::spawn(async move {
            while let Some((key, said)) = says.recv().await {
                if session.send(Came::Said(key, said)).is_err() {
                    break;
                }
            }
        });
        let (session, of, host) = (self.tell.clone(), key.clone(), self.conf.host.clone());
        tokio::spawn(async move {
            let Ok(port) = port.await else { return };
            let _ = session.send(Came::Listens(of, port));
            if let Some(answer) = answer {
                let _ = answer.send(Ok((host, port)));
            }
        });
        let (session, of) = (self.tell.clone(), key.clone());
        tokio::spawn(async move {
            let master = tokio::spawn(async move {
                std::fs::create_dir_all(&conf.work_dir).map_err(MasterError::Page)?;
                let work_dir = conf.work_dir.clone();
                let done = run_in_session(conf, hand, (tell, from_rm), listens).await;
                let _ = std::fs::remove_dir_all(work_dir);
                done
            });
            let outcome = master.await.unwrap_or_else(|panic| Err(MasterError::Over { why: panic.to_string() }));
            let _ = session.send(Came::Returned(of, outcome));
        });
    }

    /// A master has returned: its sub-DAG is over, or another try goes on with it.
    pub(super) async fn returned(&mut self, key: Key, outcome: Result<(), MasterError>) -> Result<(), StoreError> {
        self.pool(In::Over { key: key.clone() });
        let tries = self.runs.get(&key).map_or(TRIES, |running| running.tries);
        match &outcome {
            Ok(()) => tracing::info!(run = %key.0, subdag = key.1.0, "over"),
            Err(error) if error.is_final() || error.is_replaced() || tries >= TRIES => {
                tracing::error!(run = %key.0, subdag = key.1.0, "given up: {error}; {}", error.advice());
            }
            Err(error) => {
                tracing::warn!(run = %key.0, subdag = key.1.0, "its master is started again: {error}");
                let tell = self.tell.clone();
                tokio::spawn(async move {
                    sleep(AGAIN).await;
                    let _ = tell.send(Came::Again(key));
                });
                return Ok(());
            }
        }
        self.runs.remove(&key);
        let mark = RunDir::new(&key.0).session(key.1, &self.conf.application());
        let store = self.book.store.clone();
        self.book.over(key).await?;
        tokio::spawn(async move {
            if let Err(error) = store.remove(&mark).await {
                tracing::warn!("the mark of a run that is over could not be removed: {}", error.text());
            }
        });
        Ok(())
    }

    pub(super) fn again(&mut self, key: &Key) {
        self.start(key, None);
    }

    /// Tells every run to end, as `dybox stop` does.
    pub(super) fn stop_runs(&self, why: &str, at_once: bool, done: oneshot::Sender<()>) {
        let mut all = tokio::task::JoinSet::new();
        for (key, running) in &self.runs {
            let (store, dir, why) = (self.book.store.clone(), RunDir::new(&key.0), why.to_owned());
            let identity = identity(&running.bundle.tls.client);
            let at = running.port.map(|port| Address::Tcp { host: self.conf.host.clone(), port, identity });
            all.spawn(async move {
                let mark = StopMark { why: why.clone(), at: now() };
                let mark = serde_json::to_vec(&mark).expect("text is JSON");
                let tell = async {
                    let master = MasterClient::dial_at(&at?, Duration::from_secs(3)).await.ok()?;
                    master.stop(&why, at_once).await.ok()
                };
                let name = dir.stop();
                let (marked, told) = tokio::join!(store.put(&name, mark), tell);
                if let (Err(error), None) = (marked, told) {
                    tracing::warn!("a run could not be told to end: {}", error.text());
                }
            });
        }
        let tell = self.tell.clone();
        tokio::spawn(async move {
            while all.join_next().await.is_some() {}
            let _ = done.send(());
            let _ = tell.send(Came::Told);
        });
    }

    pub(super) fn tell_run(&self, key: &Key, event: am::Event) {
        if let Some(running) = self.runs.get(key) {
            // One that is about to return hears nothing more.
            let _ = running.tell.send(FromRm::Am(Box::new(event)));
        }
    }

    pub(super) fn tell_all(&self, event: &am::Event) {
        self.runs.keys().for_each(|key| self.tell_run(key, event.clone()));
    }

    /// What the pool says, in YARN's words.
    pub(super) fn pass(&self, key: &Key, told: Told) {
        let container = |name: &String| self.containers.get(name).cloned();
        match told {
            Told::Registered(lives) => {
                let previous = lives.iter().filter_map(container).collect();
                let max = Resources { cpu_milli: u32::MAX, memory: u64::MAX };
                self.tell_run(key, am::Event::Registered { max, queue: self.queue.clone(), previous });
                if !self.machines.is_empty() {
                    self.tell_run(key, am::Event::Nodes(self.machines.clone()));
                }
            }
            Told::Granted { container: name, wish } => {
                if let Some(container) = container(&name) {
                    self.tell_run(key, am::Event::Granted { container, wish });
                }
            }
            Told::Completed { container, exit, how } => {
                if let Ok(id) = container.parse() {
                    self.tell_run(key, am::Event::Completed { id, exit, diagnostics: how });
                }
            }
            Told::Refused { wish, why } => self.tell_run(key, am::Event::Refused { wish, why }),
            Told::Waits(why) => {
                if let Some(running) = self.runs.get(key) {
                    let _ = running.tell.send(FromRm::Waits(why));
                }
            }
        }
    }
}
