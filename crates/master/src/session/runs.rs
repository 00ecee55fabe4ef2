//! The runs of a session: each sub-DAG's master is a task of its own, as it would be a process of its own.

use std::collections::BTreeSet;
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
use crate::cluster::page::Source;
use crate::cluster::{Ears, Taken, identity, run_in_session};
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
    /// What its page is made of, once it is in control.
    pub(super) page: Option<Source>,
    waits: String,
    /// Machines that it leaves out.
    avoids: BTreeSet<String>,
    tries: u32,
}

pub(super) type Answer = oneshot::Sender<Result<(String, u16), String>>;

impl Running {
    pub(super) fn view(&self, (run, subdag): &Key) -> SessionRun {
        let info = &self.bundle.info;
        let (job, waits) = (info.job.clone(), self.waits.clone());
        SessionRun { run: run.clone(), subdag: *subdag, job, submitted: info.submitted, waits }
    }
}

impl Session {
    /// Takes a sub-DAG: written down, then answered. Whoever got no answer hands the same over again. Its master makes
    /// ready meanwhile, and does nothing before it is written down.
    pub(super) async fn submit(&mut self, bundle: &[u8], answer: Answer) -> Result<(), StoreError> {
        let bundle = match self.acceptable(bundle) {
            Ok(bundle) => bundle,
            Err(why) => {
                let _ = answer.send(Err(why));
                return Ok(());
            }
        };
        let key = (bundle.info.run.clone(), bundle.subdag);
        if self.in_hand(&key).is_some() {
            self.answer(key, answer);
            return Ok(());
        }
        let mark = self.mark_of(&key);
        let store = self.book.store.clone();
        let (tell_taken, taken) = oneshot::channel();
        self.begin(bundle.clone(), Some(taken));
        let (marked, written) = tokio::join!(store.claim(&mark), self.book.took(&bundle));
        written?;
        if let Err(error) = marked {
            // It would run and nobody would find it.
            self.runs.remove(&key);
            self.book.over(key).await?;
            let _ = answer.send(Err(format!("the run could not be marked as this session's: {}", error.text())));
            return Ok(());
        }
        tracing::info!(run = %key.0, subdag = key.1.0, "taken");
        // One that has failed already is begun again.
        let _ = tell_taken.send(());
        self.answer(key, answer);
        Ok(())
    }

    fn acceptable(&self, bundle: &[u8]) -> Result<Bundle, String> {
        let bundle = Bundle::decode(bundle).map_err(|error| error.to_string())?;
        let (run, name) = (&bundle.info.run, &self.conf.bundle.spec.name);
        match self.in_hand(&(run.clone(), bundle.subdag)) {
            // Also while it ends: it has it.
            Some(there) if *there == bundle => return Ok(bundle),
            Some(_) => return Err(format!("run {run} is in session {name} already")),
            None => {}
        }
        if self.ends.is_some() {
            return Err(format!("session {name} is about to end"));
        }
        if bundle.info.user != self.conf.bundle.user {
            return Err(format!("session {name} is of {}, and the run of {}", self.conf.bundle.user, bundle.info.user));
        }
        Ok(bundle)
    }

    /// What it has taken and is not over, also what an earlier master took and this one has not begun yet.
    fn in_hand(&self, key: &Key) -> Option<&Bundle> {
        self.runs.get(key).map(|running| &running.bundle).or_else(|| self.book.runs.get(key))
    }

    /// Tells where a sub-DAG's master listens, once it does.
    fn answer(&mut self, key: Key, answer: Answer) {
        match self.runs.get(&key).and_then(|running| running.port) {
            Some(port) => drop(answer.send(Ok((self.conf.host.clone(), port)))),
            None => self.answers.entry(key).or_default().push(answer),
        }
    }

    /// A sub-DAG's master listens.
    pub(super) fn listens(&mut self, key: &Key, port: u16) {
        if let Some(running) = self.runs.get_mut(key) {
            running.port = Some(port);
        }
        for answer in self.answers.remove(key).into_iter().flatten() {
            // Whoever submitted may be gone.
            let _ = answer.send(Ok((self.conf.host.clone(), port)));
        }
    }

    fn mark_of(&self, (run, subdag): &Key) -> String {
        RunDir::new(run).session(*subdag, &self.conf.application())
    }

    /// Goes on with what earlier masters took. They may have died between their journal and the marks.
    pub(super) fn go_on(&mut self) {
        let taken = std::mem::take(&mut self.book.runs);
        let claimed: Vec<_> = taken.keys().map(|key| self.mark_of(key)).collect();
        let over: Vec<_> = std::mem::take(&mut self.book.over_last).iter().map(|key| self.mark_of(key)).collect();
        let store = self.book.store.clone();
        tokio::spawn(async move {
            let failed = |error: StoreError| tracing::warn!("a mark of a run could not be mended: {}", error.text());
            for mark in claimed {
                let _ = store.claim(&mark).await.map_err(failed);
            }
            for mark in over {
                let _ = store.remove(&mark).await.map_err(failed);
            }
        });
        taken.into_values().for_each(|bundle| self.begin(bundle, None));
    }

    /// `taken`: what its master waits for before it does anything.
    fn begin(&mut self, bundle: Bundle, taken: Option<Taken>) {
        let key = (bundle.info.run.clone(), bundle.subdag);
        let (tell, _) = mpsc::unbounded_channel();
        self.forget(&key);
        let (waits, avoids) = (String::new(), BTreeSet::new());
        let running = Running { bundle, tell, port: None, page: None, waits, avoids, tries: 0 };
        self.runs.insert(key.clone(), running);
        self.start(&key, taken);
    }

    fn start(&mut self, key: &Key, taken: Option<Taken>) {
        let Some(running) = self.runs.get_mut(key) else { return };
        let (tell, from_rm) = mpsc::unbounded_channel();
        let ((listens, port), (shows, page)) = (oneshot::channel(), oneshot::channel());
        (running.tries, running.port) = (running.tries + 1, None);
        running.avoids.clear();
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
        let (session, of) = (self.tell.clone(), key.clone());
        tokio::spawn(async move {
            let Ok(port) = port.await else { return };
            let _ = session.send(Came::Listens(of, port));
        });
        let (session, of) = (self.tell.clone(), key.clone());
        tokio::spawn(async move {
            let Ok(source) = page.await else { return };
            let _ = session.send(Came::Shows(of, source));
        });
        let (session, of) = (self.tell.clone(), key.clone());
        tokio::spawn(async move {
            let master = tokio::spawn(async move {
                std::fs::create_dir_all(&conf.work_dir).map_err(MasterError::Page)?;
                run_in_session(conf, hand, (tell, from_rm), Ears { port: listens, page: shows, taken }).await
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
        if let Some(running) = self.runs.remove(&key) {
            self.keep(key.clone(), running.bundle.info.job, running.page);
            self.tell_avoided();
        }
        self.answers.remove(&key);
        let mark = self.mark_of(&key);
        let store = self.book.store.clone();
        self.book.over(key).await?;
        tokio::spawn(async move {
            if let Err(error) = store.remove(&mark).await {
                tracing::warn!("the mark of a run that is over could not be removed: {}", error.text());
            }
        });
        Ok(())
    }

    /// A run leaves machines out, or does no more.
    pub(super) fn avoid(&mut self, key: &Key, add: &[String], remove: &[String]) {
        if let Some(running) = self.runs.get_mut(key) {
            running.avoids.extend(add.iter().cloned());
            running.avoids.retain(|host| !remove.contains(host));
        }
        self.tell_avoided();
    }

    /// YARN hears of the machines that every run leaves out.
    fn tell_avoided(&mut self) {
        // One that is not in control yet wants nothing.
        let each = self.runs.values().filter(|running| running.page.is_some()).map(|running| &running.avoids);
        if let Some((add, remove)) = self.avoided.follow(each) {
            self.am.order(am::Order::Blacklist { add, remove });
        }
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
                let tell = async {
                    let master = MasterClient::dial_at(&at?, Duration::from_secs(3)).await.ok()?;
                    master.stop(&why, at_once).await.ok()
                };
                let (marked, told) = tokio::join!(mark.leave(&store, &dir), tell);
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
    pub(super) fn pass(&mut self, key: &Key, told: Told) {
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
                if let Some(running) = self.runs.get_mut(key) {
                    running.waits.clone_from(&why);
                    let _ = running.tell.send(FromRm::Waits(why));
                }
            }
        }
    }
}
