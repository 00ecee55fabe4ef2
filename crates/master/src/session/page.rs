//! The page of a session behind its tracking URL, and below it the pages of its runs: those in hand, and the last ones
//! that were.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use dybox_journal::{Run, RunView};
use dybox_model::{RunId, SessionView};
use dybox_web::{About, Answer, OverRun, answer_session, of_run, run_asked};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::actor::{Came, Session};
use super::pool::Key;
use crate::actor::now;
use crate::cluster::page::{self, REFRESH, Source};

/// Sub-DAGs that are over whose pages are kept.
const KEPT: usize = 20;
/// Most bytes of the journal of one of them: a page reads all of it.
const LARGEST: u64 = 1 << 20;

/// A sub-DAG that is over and has its page still.
#[derive(Debug)]
pub(super) struct Over {
    told: OverRun,
    source: Source,
    /// Where the copy of its journal is, and nothing else of value.
    dir: PathBuf,
}

/// Those that are over, newest first.
pub(super) type Kept = VecDeque<Over>;

/// What a page asks of the loop.
#[derive(Debug)]
pub(super) struct Look {
    run: Option<RunId>,
    answer: oneshot::Sender<Shown>,
}

/// What a page is made of.
#[derive(Debug)]
struct Shown {
    about: About,
    view: SessionView,
    linked: BTreeSet<RunId>,
    over: Vec<OverRun>,
    /// Of the run that was asked for.
    sources: Vec<Source>,
    /// The same, with what is in hand and tells nothing yet.
    begun: RunView,
}

/// Serves pages until the process ends.
pub(super) async fn serve(listener: TcpListener, session: mpsc::UnboundedSender<Came>) {
    let pages = Pages { session, turn: Arc::new(Semaphore::new(1)) };
    let router = Router::new().fallback(show).with_state(pages);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!("the page is not shown any more: {error}");
    }
}

#[derive(Debug, Clone)]
struct Pages {
    session: mpsc::UnboundedSender<Came>,
    /// A run's page folds its journal: one at a time.
    turn: Arc<Semaphore>,
}

impl Pages {
    async fn answer(&self, target: &str) -> Option<Response> {
        let _turn = self.turn.acquire().await.ok()?;
        let asked = run_asked(target);
        let run = asked.map(str::parse).transpose();
        let Ok(run) = run else { return Some(page::respond(Answer::plain(404, "this is no id of a run"))) };
        let (answer, answered) = oneshot::channel();
        self.session.send(Came::Looks(Look { run: run.clone(), answer })).ok()?;
        let Shown { about, view, linked, over, sources, begun } = answered.await.ok()?;
        let Some(run) = run else {
            let session = dybox_web::Session { view: &view, linked: &linked, over: &over };
            return Some(page::respond(answer_session(target, &session, &about)));
        };
        if begun.subs.is_empty() && sources.is_empty() {
            let line = format!("this session does not have run {run}, or not any more: see `dybox status {run}`");
            return Some(page::respond(Answer::plain(404, &line)));
        }
        let about = About { query: of_run(&run), ..about };
        Some(page::of_run(target, &sources, begun, about).await)
    }
}

async fn show(State(pages): State<Pages>, method: Method, uri: Uri) -> Response {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    match method {
        Method::GET | Method::HEAD => {
            pages.answer(target).await.unwrap_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl Session {
    /// Answers a page.
    pub(super) fn shown(&self, Look { run, answer }: Look) {
        let (mut sources, mut begun) = (Vec::new(), RunView::default());
        let of_run = |key: &Key| run.as_ref() == Some(&key.0);
        for over in self.kept.iter().filter(|over| run.as_ref() == Some(&over.told.run)) {
            sources.push(over.source.clone());
        }
        for (key, running) in self.runs.iter().filter(|(key, _)| of_run(key)) {
            begun.put(key.1, Run::default());
            sources.extend(running.page.clone());
        }
        let in_hand = self.runs.iter().filter(|(_, running)| running.page.is_some()).map(|(key, _)| &key.0);
        let linked = in_hand.chain(self.kept.iter().map(|over| &over.told.run)).cloned().collect();
        let over = self.kept.iter().map(|over| over.told.clone()).collect();
        // Nobody may wait any more.
        let _ = answer.send(Shown { about: self.about(), view: self.view(), linked, over, sources, begun });
    }

    /// What it says of itself.
    pub(super) fn view(&self) -> SessionView {
        SessionView {
            spec: self.conf.bundle.spec.clone(),
            since: self.since,
            epoch: self.book.epoch,
            grants: self.pool.grants(),
            runs: self.runs.iter().map(|(key, running)| running.view(key)).collect(),
            asked: self.pool.asked(),
            free: self.free,
            stops: self.ends.is_some(),
        }
    }

    fn about(&self) -> About {
        let own = self.conf.page.iter().map(|page| (self.conf.host.clone(), page.clone()));
        let all = self.containers.values().filter(|container| !container.http.is_empty());
        About {
            now: now(),
            user: self.conf.bundle.user.clone(),
            session: self.conf.bundle.spec.name.clone(),
            queue: self.queue.clone(),
            application: self.conf.application(),
            nodes: own.chain(all.map(|container| (container.node.host.clone(), container.http.clone()))).collect(),
            refresh: Some(REFRESH),
            ..About::default()
        }
    }

    /// A sub-DAG is over: its page stays, where it is not too large, until so many others are.
    pub(super) fn keep(&self, key: Key, job: String, source: Option<Source>) {
        let dir = self.conf.dir_of(&key);
        let Some(source) = source.filter(|source| source.len() <= LARGEST) else { return remove(&dir) };
        let tell = self.tell.clone();
        tokio::spawn(async move {
            let mut view = RunView::default();
            let read = source.tell(&mut view).await;
            // A master that was given up has no end in its journal.
            let state = if read.is_some() && view.state().is_over() { view.state().word() } else { "lost" };
            let told = OverRun { run: key.0, subdag: key.1, job, state, ended: view.ended().or_else(|| Some(now())) };
            let _ = tell.send(Came::Kept(Over { told, source, dir }));
        });
    }

    pub(super) fn kept(&mut self, over: Over) {
        let key = (over.told.run.clone(), over.told.subdag);
        if self.runs.contains_key(&key) {
            // It was handed over again, and writes there.
            return;
        }
        self.kept.push_front(over);
        while self.kept.len() > KEPT {
            self.kept.pop_back().iter().for_each(|over| remove(&over.dir));
        }
    }

    /// It is here again: what it left is the new master's.
    pub(super) fn forget(&mut self, key: &Key) {
        self.kept.retain(|over| (&over.told.run, over.told.subdag) != (&key.0, key.1));
    }
}

fn remove(dir: &std::path::Path) {
    // YARN removes all of them with the application.
    let _ = std::fs::remove_dir_all(dir);
}
