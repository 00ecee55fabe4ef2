//! A session's end: every call of every peer goes into one mailbox.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::{AgentOrder, SessionCall};
use crate::client::MESSAGE_MAX;
use crate::desk::{allow, closing};
use crate::error::WireError;
use crate::proto::session_server::{Session, SessionServer};
use crate::proto::to_agent::Order;
use crate::proto::{
    AgentLeave, EndReply, EndRequest, FromAgent, LookReply, LookRequest, SubmitReply, SubmitRequest, ToAgent,
};
use crate::server::{LinkId, Server, serve_routes};
use crate::tcp;
use crate::tls::{self, Role, Speech, TlsIdentity};

/// Listens on `bind` for those who show a certificate of the same session, and puts every call that their role allows
/// into the returned mailbox. With port 0 the system chooses one; the port is returned.
///
/// # Errors
/// [`WireError::Port`] when that can't be listened on; [`WireError::Credentials`] when `identity` is no good.
pub async fn serve_session(
    bind: SocketAddr,
    identity: &TlsIdentity,
) -> Result<(Server, mpsc::Receiver<SessionCall>, u16), WireError> {
    let config = tls::server_config(identity, false, &[Speech::Grpc])?;
    let (listener, port) = tcp::listen(bind).await?;
    let (mailbox, calls) = mpsc::channel(1024);
    let desk = SessionServer::new(Desk { mailbox, links: AtomicU64::new(1) })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let server = serve_routes(ReceiverStream::new(tcp::accept(listener, config, tcp::of_run)), None, Routes::new(desk));
    Ok((server, calls, port))
}

struct Desk {
    mailbox: mpsc::Sender<SessionCall>,
    links: AtomicU64,
}

impl Desk {
    async fn call(&self, call: SessionCall) -> Result<(), Status> {
        self.mailbox.send(call).await.map_err(closing)
    }
}

#[tonic::async_trait]
impl Session for Desk {
    type LineStream = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;

    async fn line(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::LineStream>, Status> {
        allow(&request, Role::Proxy)?;
        let link = LinkId(self.links.fetch_add(1, Ordering::Relaxed));
        let (orders, given) = mpsc::unbounded_channel();
        self.call(SessionCall::Linked { link, orders }).await?;
        tokio::spawn(listen_to(link, request.into_inner(), self.mailbox.clone()));
        let replies = UnboundedReceiverStream::new(given).map(|order| {
            let order = match order {
                AgentOrder::Serve(bundle) => Order::Serve(bundle.into()),
                AgentOrder::Leave => Order::Leave(AgentLeave {}),
            };
            Ok(ToAgent { order: Some(order) })
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        allow(&request, Role::Client)?;
        let (answer, answered) = oneshot::channel();
        let bundle = request.into_inner().bundle.to_vec();
        self.call(SessionCall::Submit { bundle, answer }).await?;
        let (host, port) = answered.await.map_err(closing)?.map_err(Status::failed_precondition)?;
        Ok(Response::new(SubmitReply { host, port: port.into() }))
    }

    async fn look(&self, request: Request<LookRequest>) -> Result<Response<LookReply>, Status> {
        allow(&request, Role::Client)?;
        let (answer, answered) = oneshot::channel();
        self.call(SessionCall::Look { answer }).await?;
        let view = answered.await.map_err(closing)?;
        let view = serde_json::to_vec(&view).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(LookReply { view: view.into() }))
    }

    async fn end(&self, request: Request<EndRequest>) -> Result<Response<EndReply>, Status> {
        allow(&request, Role::Client)?;
        let EndRequest { why, now } = request.into_inner();
        let (done, told) = oneshot::channel();
        self.call(SessionCall::End { why, now, done }).await?;
        told.await.map_err(closing)?;
        Ok(Response::new(EndReply {}))
    }
}

async fn listen_to(link: LinkId, mut said: Streaming<FromAgent>, mailbox: mpsc::Sender<SessionCall>) {
    // What can't be understood cuts the line: an agent says everything again after a Hello.
    while let Ok(Some(message)) = said.message().await {
        let Ok(news) = serde_json::from_slice(&message.news) else { break };
        if mailbox.send(SessionCall::News { link, news }).await.is_err() {
            return;
        }
    }
    // A session that is about to end needs no news.
    let _ = mailbox.send(SessionCall::Unlinked { link }).await;
}
