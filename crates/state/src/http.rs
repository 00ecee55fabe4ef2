//! JSON and metrics over plain HTTP: GET alone, for whoever reaches the address.

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// What a page wants from the actor.
#[derive(Debug)]
pub(crate) enum Look {
    /// One node, or all.
    Nodes(Option<String>, oneshot::Sender<Bytes>),
    /// Metrics.
    Metrics(oneshot::Sender<Bytes>),
}

/// Until the process ends.
pub(crate) async fn serve(listener: TcpListener, looks: mpsc::Sender<Look>) {
    let router = Router::new().fallback(show).with_state(looks);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!("pages are not shown any more: {error}");
    }
}

async fn show(State(looks): State<mpsc::Sender<Look>>, method: Method, uri: Uri) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let (answer, answered) = oneshot::channel();
    let (look, kind) = match uri.path() {
        "/" | "/nodes" => (Look::Nodes(None, answer), "application/json"),
        "/metrics" => (Look::Metrics(answer), "text/plain; version=0.0.4"),
        path => match path.strip_prefix("/nodes/").filter(|host| !host.is_empty()) {
            Some(host) => (Look::Nodes(Some(host.to_owned()), answer), "application/json"),
            None => return StatusCode::NOT_FOUND.into_response(),
        },
    };
    if looks.send(look).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(body) => ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
