//! The page behind YARN's tracking URL: plain HTTP, GET alone, from the same bytes that watchers get.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use dybox_journal::{Records, RunView, fold};
use dybox_model::SubDagId;
use dybox_store::Store;
use dybox_web::{About, Answer, answer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::YarnConf;
use crate::actor::now;

/// Seconds between two looks of an open page.
pub(crate) const REFRESH: u32 = 2;

/// What one sub-DAG adds to the page of its run.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    subdag: SubDagId,
    mirror: (Store, String),
    durable: watch::Receiver<u64>,
    /// Where the NodeManagers show their pages, by host.
    nodes: watch::Receiver<BTreeMap<String, String>>,
}

impl Source {
    pub(super) fn new(
        conf: &YarnConf,
        (mirror, durable): ((Store, String), watch::Receiver<u64>),
        nodes: watch::Receiver<BTreeMap<String, String>>,
    ) -> Self {
        Self { subdag: conf.bundle.subdag, mirror, durable, nodes }
    }

    /// How many bytes its journal has.
    pub(crate) fn len(&self) -> u64 {
        *self.durable.borrow()
    }

    /// Adds what its journal tells; nothing where that can't be read.
    pub(crate) async fn tell(&self, view: &mut RunView) -> Option<()> {
        let (store, journal) = &self.mirror;
        let end = usize::try_from(self.len()).unwrap_or(usize::MAX);
        let bytes = store.open(journal).await.ok()?.read_at(0, end).await.ok()?;
        view.put(self.subdag, fold(Records::new(&bytes)));
        Some(())
    }
}

/// The page of a run, as what these tell.
pub(crate) async fn of_run(target: &str, sources: &[Source], mut view: RunView, mut about: About) -> Response {
    for source in sources {
        if source.tell(&mut view).await.is_none() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        about.nodes.extend(source.nodes.borrow().clone());
    }
    let over = view.state().is_over();
    (about.now, about.refresh) = (now(), (!over).then_some(REFRESH));
    respond(answer(target, &view, &about))
}

pub(crate) fn respond(page: Answer) -> Response {
    let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, page.kind), (header::CACHE_CONTROL, "no-store")];
    (status, headers, page.body).into_response()
}

/// What a page is made of.
#[derive(Debug, Clone)]
pub(super) struct Page {
    source: Source,
    about: About,
    /// A page folds the whole journal: one at a time.
    turn: Arc<Semaphore>,
}

impl Page {
    pub(super) fn new(conf: &YarnConf, source: Source) -> Self {
        let about = About {
            user: conf.bundle.info.user.clone(),
            application: conf.container.attempt.application.to_string(),
            // Its own machine may hold the one task of a small run.
            nodes: conf.page.iter().map(|page| (conf.host.clone(), page.clone())).collect(),
            ..About::default()
        };
        Self { source, about, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Until the process ends.
    pub(super) async fn serve(self, listener: TcpListener) {
        let router = Router::new().fallback(show).with_state(self);
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!("the page is not shown any more: {error}");
        }
    }

    async fn answer(&self, target: &str) -> Response {
        let Ok(_turn) = self.turn.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        of_run(target, std::slice::from_ref(&self.source), RunView::default(), self.about.clone()).await
    }
}

async fn show(State(page): State<Page>, method: Method, uri: Uri) -> Response {
    match method {
        Method::GET | Method::HEAD => page.answer(uri.path_and_query().map_or("/", |target| target.as_str())).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
