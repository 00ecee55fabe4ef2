//! The other end: agents hold a line; people submit, look and end.

use std::time::Duration;

use bytes::Bytes;
use dybox_model::SessionView;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::{AgentNews, AgentOrder};
use crate::client::{CALL, MESSAGE_MAX, answered, channel_over};
use crate::error::WireError;
use crate::proto::session_client::SessionClient as Stub;
use crate::proto::to_agent::Order;
use crate::proto::{EndRequest, FromAgent, LookRequest, SubmitRequest};
use crate::server::{PING, PONG};
use crate::tcp;
use crate::tls::TlsIdentity;

/// A sub-DAG is written down in HDFS before it is taken.
const SUBMIT: Duration = Duration::from_secs(60);

/// A connection to the master of a session.
#[derive(Debug, Clone)]
pub struct SessionClient {
    stub: Stub<Channel>,
}

/// An agent's line to its session.
#[derive(Debug)]
pub struct AgentLink {
    /// What the agent says; `send` fails once the line is cut.
    pub news: mpsc::Sender<AgentNews>,
    /// What the session says; `None` once the line is cut.
    pub orders: mpsc::Receiver<AgentOrder>,
}

impl SessionClient {
    /// Connects once.
    ///
    /// # Errors
    /// [`WireError`]; `Unreachable` where nobody listens, `Untrusted` where somebody else does.
    pub async fn dial(host: &str, port: u16, identity: &TlsIdentity) -> Result<Self, WireError> {
        let stream = tcp::connect(host, port, identity).await?;
        let endpoint = Endpoint::from_static("http://session")
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true);
        let stub = Stub::new(channel_over(stream, endpoint).await?);
        Ok(Self { stub: stub.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX) })
    }

    /// Opens an agent's line. The first thing to send is [`AgentNews::Hello`].
    ///
    /// # Errors
    /// [`WireError`] when the session is gone or does not answer.
    pub async fn line(&self) -> Result<AgentLink, WireError> {
        let (news, sent) = mpsc::channel(16);
        let (give, orders) = mpsc::channel(16);
        let mut stub = self.stub.clone();
        let said = ReceiverStream::new(sent).map(|news: AgentNews| {
            let news = serde_json::to_vec(&news).expect("ids and texts are JSON");
            FromAgent { news: news.into() }
        });
        let mut replies = answered("line", timeout(CALL, stub.line(said)).await)?;
        tokio::spawn(async move {
            while let Ok(Some(reply)) = replies.message().await {
                let order = match reply.order {
                    Some(Order::Serve(bundle)) => AgentOrder::Serve(bundle.to_vec()),
                    Some(Order::Leave(_)) => AgentOrder::Leave,
                    // Of a newer session.
                    None => continue,
                };
                if give.send(order).await.is_err() {
                    break;
                }
            }
        });
        Ok(AgentLink { news, orders })
    }

    /// Hands over a sub-DAG: the bundle as a master of its own would get it. Where its master listens.
    ///
    /// # Errors
    /// [`WireError::Refused`] when the session does not take it; others when it is gone or does not answer.
    pub async fn submit(&self, bundle: Vec<u8>) -> Result<(String, u16), WireError> {
        let mut stub = self.stub.clone();
        let request = SubmitRequest { bundle: Bytes::from(bundle) };
        let reply = answered("submit", timeout(SUBMIT, stub.submit(request)).await)?;
        let port = u16::try_from(reply.port).map_err(|error| WireError::Garbled { why: error.to_string() })?;
        Ok((reply.host, port))
    }

    /// What the session is and has.
    ///
    /// # Errors
    /// [`WireError`] when it is gone or does not answer.
    pub async fn look(&self) -> Result<SessionView, WireError> {
        let mut stub = self.stub.clone();
        let reply = answered("look", timeout(CALL, stub.look(LookRequest {})).await)?;
        serde_json::from_slice(&reply.view).map_err(|error| WireError::Garbled { why: error.to_string() })
    }

    /// Asks the session to end its runs and itself; answered once its runs were told.
    ///
    /// # Errors
    /// [`WireError`] when it is gone or does not answer.
    pub async fn end(&self, why: &str, now: bool) -> Result<(), WireError> {
        let mut stub = self.stub.clone();
        let request = EndRequest { why: why.to_owned(), now };
        answered("end", timeout(SUBMIT, stub.end(request)).await).map(|_| ())
    }
}
