//! The agent in a grant that a session keeps: it waits, warm, and is the proxy of one run's grant after another.
//!
//! Each of those proxies has a thread and an event loop of its own, so that nothing of a run is left when it has ended.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use dybox_model::{GrantId, RunId};
use dybox_store::Store;
use dybox_store::bundle::{AgentBundle, GrantBundle};
use dybox_store::epochs::MasterAddr;
use dybox_store::layout::{Home, RunDir, SubDir};
use dybox_wire::{AgentEnd, AgentLink, AgentNews, AgentOrder, SessionClient, TlsIdentity, WireError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::conf::{ClusterConf, Spot};
use crate::error::ProxyError;
use crate::parked::Waiting;
use crate::serve::{log_to_stderr, run_in_agent, runtime};

/// Between two tries to reach the session.
const PAUSE: Duration = Duration::from_millis(200);
/// For where the session is now to be read from the store.
const LOOK: Duration = Duration::from_secs(5);
/// Without a session for so long an agent leaves, as a proxy does without a master.
const ORPHANED: Duration = Duration::from_secs(45);

/// What is in hand.
struct Work {
    of: (RunId, GrantId),
    ended: oneshot::Receiver<Outcome>,
}

/// The container that waits for the next run, or why this one's proxy failed.
type Outcome = Result<Waiting, String>;

/// The session, and where it was last.
struct Session {
    at: (String, u16),
    identity: TlsIdentity,
    store: Store,
    names: SubDir,
}

struct Agent {
    spot: Spot,
    work: Option<Work>,
    last: Option<AgentEnd>,
    /// The container in which the next run may go on.
    parked: Waiting,
    /// To be gone once nothing is in hand.
    leaves: bool,
}

/// Serves a session until it lets this grant go, or is gone for long, or YARN takes the grant back. Logs to stderr.
///
/// # Errors
/// [`ProxyError`] when it could not begin.
pub fn run_agent(bundle: AgentBundle, spot: Spot) -> Result<(), ProxyError> {
    log_to_stderr();
    let AgentBundle { application, store, tls, host, port, .. } = bundle;
    let session = Session {
        at: (host, port),
        identity: TlsIdentity { ca: tls.ca, cert: tls.cert, key: tls.key },
        store: Store::hdfs(store)?,
        names: SubDir::of_session(&application),
    };
    let runtime = runtime()?;
    let mut agent = Agent { spot, work: None, last: None, parked: None, leaves: false };
    let served = runtime.block_on(async {
        let served = agent.serve(session).await;
        if let Some(parked) = agent.parked.take() {
            parked.end(None).await;
        }
        served
    });
    runtime.shutdown_background();
    served
}

impl Session {
    async fn line(&mut self) -> Result<AgentLink, WireError> {
        let dialled = SessionClient::dial(&self.at.0, self.at.1, &self.identity).await;
        if dialled.is_err()
            && let Ok(Ok(Some(addr))) = timeout(LOOK, MasterAddr::get(&self.store, &self.names)).await
        {
            self.at = (addr.host, addr.port);
        }
        dialled?.line().await
    }
}

impl Agent {
    async fn serve(&mut self, mut session: Session) -> Result<(), ProxyError> {
        let mut term = signal(SignalKind::terminate()).map_err(ProxyError::Runtime)?;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                line = session.line() => match line {
                    Ok(link) => {
                        tracing::info!(container = self.spot.container, "the session answered");
                        if self.carry(link, &mut term).await {
                            return Ok(());
                        }
                        heard = Instant::now();
                    }
                    Err(error) => tracing::debug!(%error, "no session"),
                },
                _ = term.recv() => return self.taken().await,
            }
            if heard.elapsed() > ORPHANED && self.work.is_none() {
                tracing::warn!("no session for {} s: leaving", ORPHANED.as_secs());
                return Ok(());
            }
            // What ends meanwhile is told with the next Hello.
            tokio::select! {
                ended = ended(&mut self.work) => self.note_end(ended),
                () = sleep(PAUSE) => {}
                _ = term.recv() => return self.taken().await,
            }
        }
    }

    /// Until the line is cut, or the agent is to go: `true`.
    async fn carry(&mut self, mut link: AgentLink, term: &mut tokio::signal::unix::Signal) -> bool {
        let serving = self.work.as_ref().map(|work| work.of.clone());
        let container = self.spot.container.clone();
        let hello = AgentNews::Hello { container, serving, last: self.last.clone() };
        if link.news.send(hello).await.is_err() {
            return false;
        }
        loop {
            if self.leaves && self.work.is_none() {
                return true;
            }
            tokio::select! {
                order = link.orders.recv() => match order {
                    Some(AgentOrder::Serve(bundle)) => self.begin(&bundle),
                    Some(AgentOrder::Leave) => self.leaves = true,
                    None => return false,
                },
                ended = ended(&mut self.work) => {
                    self.note_end(ended);
                    let Some(end) = self.last.clone() else { continue };
                    if link.news.send(AgentNews::Ended(end)).await.is_err() {
                        return false;
                    }
                }
                _ = term.recv() => {
                    let _ = self.taken().await;
                    return true;
                }
            }
        }
    }

    /// The proxy has got the signal too and removes everything now.
    async fn taken(&mut self) -> Result<(), ProxyError> {
        tracing::warn!("the grant is taken back");
        if self.work.is_none() {
            return Ok(());
        }
        let ended = ended(&mut self.work).await;
        self.note_end(ended);
        Ok(())
    }

    fn begin(&mut self, bundle: &[u8]) {
        if self.work.is_some() {
            tracing::error!("an order to serve came while another run is served: it is dropped");
            return;
        }
        let bundle = match GrantBundle::decode(bundle) {
            Ok(bundle) => bundle,
            Err(error) => return tracing::error!(%error, "an order to serve can't be understood"),
        };
        let (of, spot) = ((bundle.run.clone(), bundle.grant), self.spot.clone());
        tracing::info!(run = %of.0, grant = %of.1, "serving");
        let (tell, ended) = oneshot::channel();
        let parked = self.parked.take();
        let serve = move || {
            let shown_as = format!("{}-", bundle.run);
            let (dir, grant) = (
                spot.log_dir.clone(),
                Home::new(spot.user_dir.join("dybox")).path(&RunDir::new(&bundle.run).grant(bundle.grant).root()),
            );
            let conf = ClusterConf::new(bundle, spot).map(|conf| ClusterConf { shown_as: shown_as.clone(), ..conf });
            let served = conf.and_then(|conf| run_in_agent(conf, parked));
            if served.is_ok() {
                // It is in the store by now; a session's log directory would only grow.
                clear(&dir, &shown_as, &of_kept(&grant));
            }
            let _ = tell.send(served.map_err(|error| error.to_string()));
        };
        // A thread that can't be started drops the sender, which counts as an end.
        drop(thread::Builder::new().name("proxy".to_owned()).spawn(serve));
        self.work = Some(Work { of, ended });
    }

    fn note_end(&mut self, ended: Outcome) {
        let Some(Work { of: (run, grant), .. }) = self.work.take() else { return };
        let (clean, how) = match ended {
            Ok(parked) => {
                self.parked = parked;
                (true, "ended".to_owned())
            }
            Err(how) => (false, how),
        };
        tracing::info!(%run, %grant, clean, how, "free");
        self.last = Some(AgentEnd { run, grant, clean, how });
    }
}

/// When what is in hand ends; never, where nothing is.
async fn ended(work: &mut Option<Work>) -> Outcome {
    match work {
        Some(work) => (&mut work.ended).await.unwrap_or_else(|_| Err("ended without a word".to_owned())),
        None => std::future::pending().await,
    }
}

/// The output of attempts whose containers stay for a look: it is mounted there, and an engine copies nothing out of a
/// container whose mounts are gone.
fn of_kept(grant: &Path) -> Vec<PathBuf> {
    let marks = std::fs::read_dir(grant).into_iter().flatten().flatten().map(|entry| entry.path());
    let kept = marks.filter(|path| path.extension().is_some_and(|end| end == "kept"));
    kept.flat_map(|mark| ["stdout", "stderr"].map(|end| std::fs::read_link(mark.with_extension(end))))
        .filter_map(Result::ok)
        .collect()
}

fn clear(dir: &Path, begin: &str, but: &[PathBuf]) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let over = |entry: &std::fs::DirEntry| {
        entry.file_name().to_string_lossy().starts_with(begin) && !but.contains(&entry.path())
    };
    for entry in entries.filter(over) {
        // What stays is gathered by YARN.
        let _ = std::fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_kept_container_has_mounted_stays_in_the_log_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, grant) = (dir.path().join("shown"), dir.path().join("grant"));
        [&shown, &grant].into_iter().for_each(|dir| fs::create_dir(dir).unwrap());
        for (attempt, stage) in [("s0-0-1", "run-a-0-1"), ("s1-0-1", "run-b-0-1")] {
            for end in ["stdout", "stderr"] {
                let real = shown.join(format!("{stage}.{end}"));
                fs::write(&real, "said").unwrap();
                symlink(real, grant.join(format!("{attempt}.{end}"))).unwrap();
            }
        }
        fs::write(shown.join("other-a-0-1.stdout"), "another run's").unwrap();
        fs::write(grant.join("s1-0-1.kept"), "name").unwrap();
        clear(&shown, "run-", &of_kept(&grant));
        let mut left: Vec<_> = fs::read_dir(&shown).unwrap().map(|one| one.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["other-a-0-1.stdout", "run-b-0-1.stderr", "run-b-0-1.stdout"]);
    }
}
