//! The news of a sub-DAG whose master runs in a YARN cluster, which starts it again when it dies.

use std::time::Duration;

use dybox_model::Millis;
use dybox_store::layout::RunDir;
use tokio::time::{Instant, sleep};

use super::{Ends, Feed, Next, Update};
use crate::cluster::{Application, Cluster, Phase, closed};

/// Pauses between two looks at the application: short at first, since a person waits for its first word.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long the first of them stays: a master starts within a second or two, or the cluster is busy.
const EAGER: Duration = Duration::from_secs(4);
/// How long an application may take to appear once all that its sub-DAG needs has ended.
const APPEARS: Duration = Duration::from_secs(60);
/// The same after a stop: whoever asked for it looks for so long whether others live.
const STOPPED: Duration = Duration::from_secs(20);
/// A master that has not been seen for so long after its time may have been there, quickly.
const SETTLES: Duration = Duration::from_secs(1);
/// A wait that is shorter is not worth a word.
const WORTH_A_WORD: Duration = Duration::from_secs(2);

/// A feed from the cluster.
pub(super) struct There {
    pub feed: Feed,
    pub cluster: Cluster,
    /// The application that had the sub-DAG before a `resume`, which hands it on when all that it needs has ended.
    pub former: Option<String>,
}

/// What was told of waiting.
#[derive(Default)]
struct Told {
    text: String,
}

impl There {
    /// Tells everything until the sub-DAG has ended.
    pub(super) async fn run(mut self, ends: Ends) {
        let mut heard = ends.subscribe();
        let (mut calm, mut told) = (Instant::now(), Told::default());
        let mut pause = PAUSES.0;
        loop {
            let before = self.feed.from;
            let needs = &self.feed.needs;
            let ready = needs.iter().all(|need| heard.borrow_and_update().get(need.0 as usize) == Some(&true));
            let next = match self.cluster.application(&self.feed.run, self.feed.subdag).await {
                Err(error) => {
                    self.wait(&mut told, calm, &format!("the ResourceManager can't be asked: {}", error.text())).await
                }
                Ok(None) if ready && calm.elapsed() > self.appears().await => {
                    self.gone("nobody submitted its application").await
                }
                Ok(application) if self.is_to_come(application.as_ref(), (ready, calm)) => {
                    if !ready {
                        calm = Instant::now();
                    }
                    if ready && calm.elapsed() > SETTLES { self.read_what_is_closed().await } else { Next::Again }
                }
                Ok(None) => Next::Again,
                Ok(Some(application)) => self.look(&application, (&mut told, calm)).await,
            };
            if matches!(next, Next::Over) {
                break;
            }
            if self.feed.from != before {
                (calm, pause) = (Instant::now(), PAUSES.0);
            }
            sleep(pause).await;
            if calm.elapsed() > EAGER {
                pause = (pause * 2).min(PAUSES.1);
            }
        }
        ends.send_modify(|ends| ends[self.feed.subdag.0 as usize] = true);
    }

    /// Whether the master that is to be followed has no application yet: there is none, or only one that is over and
    /// had the sub-DAG before all that it needs ran again.
    fn is_to_come(&mut self, application: Option<&Application>, (ready, calm): (bool, Instant)) -> bool {
        let Some(application) = application else { return true };
        if application.phase.is_live() || self.feed.past == 0 {
            return false;
        }
        let former = self.former.as_ref() == Some(&application.id);
        if !ready && !former {
            self.former = Some(application.id.clone());
            return true;
        }
        former && (!ready || calm.elapsed() <= APPEARS)
    }

    /// How long an application may take to appear. Nobody submits the rest of a run that was stopped before it began.
    async fn appears(&self) -> Duration {
        let (store, dir) = (&self.feed.client.store, RunDir::new(&self.feed.run));
        match (store.exists(&dir.stop()).await, store.exists(&dir.plan()).await) {
            (Ok(true), Ok(false)) => SETTLES,
            (Ok(true), _) => STOPPED,
            _ => APPEARS,
        }
    }

    async fn look(&mut self, application: &Application, (told, calm): (&mut Told, Instant)) -> Next {
        match application.phase {
            Phase::Waits => {
                let why = application.waits().unwrap_or("YARN has not started its master yet");
                let text = format!("{} waits in queue {}: {why}", application.id, application.queue);
                self.wait(told, calm, &text).await
            }
            Phase::Runs => {
                let feed = &mut self.feed;
                let dialled = self.cluster.dial_application(&feed.client.store, &feed.run, application).await;
                match dialled {
                    Ok(master) => match master.watch(feed.from, true).await {
                        Ok(watching) => feed.watch(watching).await,
                        Err(_) => Next::Again,
                    },
                    Err(error) if calm.elapsed() > APPEARS / 4 => {
                        let text = format!("the master of {} can't be reached: {error}", application.id);
                        self.wait(told, calm, &text).await
                    }
                    Err(_) => Next::Again,
                }
            }
            Phase::Finished | Phase::Failed | Phase::Killed => self.read_to_the_end(application).await,
        }
    }

    /// In a session a sub-DAG may come and go between two looks. Touches nothing of a master that is about to begin.
    async fn read_what_is_closed(&mut self) -> Next {
        let feed = &mut self.feed;
        let name = RunDir::new(&feed.run).sub(feed.subdag).journal();
        let Ok(Some(bytes)) = feed.client.store.get_opt(&name).await else { return Next::Again };
        let from = usize::try_from(feed.from).unwrap_or(usize::MAX).min(bytes.len());
        feed.take(&bytes[from..]).await.0
    }

    /// Nothing of the application lives: what it wrote down is all there is.
    async fn read_to_the_end(&mut self, application: &Application) -> Next {
        let feed = &mut self.feed;
        let bytes = match closed(&feed.client.store, &feed.run, feed.subdag).await {
            Ok(bytes) => bytes,
            Err(error) if error.passes() => return Next::Again,
            Err(error) => return feed.unreadable(error.text()).await,
        };
        let from = usize::try_from(feed.from).unwrap_or(usize::MAX).min(bytes.len());
        if matches!(feed.take(&bytes[from..]).await.0, Next::Over) {
            return Next::Over;
        }
        let why = match (application.phase, application.diagnostics.as_str()) {
            (Phase::Killed, "") => "it was killed".to_owned(),
            (_, "") => format!("it is {} without an end in its journal", application.state),
            (_, text) => text.to_owned(),
        };
        let killed = application.phase == Phase::Killed;
        let (id, at) = (application.id.clone(), application.ended.unwrap_or(Millis(0)));
        let _ = feed.send(Update::Gone { application: id, why, killed, at }).await;
        Next::Over
    }

    async fn gone(&mut self, why: &str) -> Next {
        let update = Update::Gone { application: String::new(), why: why.to_owned(), killed: false, at: Millis(0) };
        let _ = self.feed.send(update).await;
        Next::Over
    }

    /// Says once why nothing happens, when nothing has happened for a while.
    async fn wait(&mut self, told: &mut Told, calm: Instant, text: &str) -> Next {
        if calm.elapsed() < WORTH_A_WORD || told.text == text {
            return Next::Again;
        }
        text.clone_into(&mut told.text);
        self.feed.send(Update::Waits { why: text.to_owned() }).await
    }
}
