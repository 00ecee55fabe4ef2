//! The page behind YARN's tracking URL: plain HTTP, GET alone, from the same bytes that watchers get.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use dybox_journal::{RunView, decode, fold};
use dybox_model::SubDagId;
use dybox_store::Store;
use dybox_web::{About, answer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::YarnConf;
use crate::actor::now;

/// Seconds between two looks of an open page.
const REFRESH: u32 = 2;

/// What a page is made of.
#[derive(Debug, Clone)]
pub(super) struct Page {
    subdag: SubDagId,
    mirror: (Store, String),
    durable: watch::Receiver<u64>,
    about: About,
    /// Where the NodeManagers show their pages, by host.
    nodes: watch::Receiver<BTreeMap<String, String>>,
    /// A page folds the whole journal: one at a time.
    turn: Arc<Semaphore>,
}

impl Page {
    pub(super) fn new(
        conf: &YarnConf,
        (mirror, durable): ((Store, String), watch::Receiver<u64>),
        nodes: watch::Receiver<BTreeMap<String, String>>,
    ) -> Self {
        let about = About {
            user: conf.bundle.info.user.clone(),
            application: conf.container.attempt.application.to_string(),
            // Its own machine may hold the one task of a small run.
            nodes: conf.page.iter().map(|page| (conf.host.clone(), page.clone())).collect(),
            ..About::default()
        };
        Self { subdag: conf.bundle.subdag, mirror, durable, about, nodes, turn: Arc::new(Semaphore::new(1)) }
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
        let (store, journal) = &self.mirror;
        let Ok(reader) = store.open(journal).await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        let end = usize::try_from(*self.durable.borrow()).unwrap_or(usize::MAX);
        let Ok(bytes) = reader.read_at(0, end).await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
        let mut view = RunView::default();
        view.put(self.subdag, fold(decode(&bytes).facts));
        drop(bytes);
        let over = view.state().is_over();
        let mut about = About { now: now(), refresh: (!over).then_some(REFRESH), ..self.about.clone() };
        about.nodes.extend(self.nodes.borrow().clone());
        let page = answer(target, &view, &about);
        let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = [(header::CONTENT_TYPE, page.kind), (header::CACHE_CONTROL, "no-store")];
        (status, headers, page.body).into_response()
    }
}

async fn show(State(page): State<Page>, method: Method, uri: Uri) -> Response {
    match method {
        Method::GET | Method::HEAD => page.answer(uri.path_and_query().map_or("/", |target| target.as_str())).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
